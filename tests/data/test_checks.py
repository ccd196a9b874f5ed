from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from savs.data import (
    DataWarning,
    Example,
    Message,
    Text,
    as_example,
    as_examples,
    check_support,
    describe_errors,
    draw_shots,
    example_hash,
    find_duplicates,
    find_test_leakage,
    preflight,
    split_draws,
    warn_of_test_leakage,
)
from savs.errors import DataError, ItemError, MediaError
from savs.media import Image


def labeled(counts: dict[str, int]) -> list[Example]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return as_examples([f"text {number}" for number in range(len(labels))], labels)


def ids(examples: list[Example]) -> list[str | None]:
    return [example.id for example in examples]


def test__fault_13__no_example_or_one_class__error_with_the_counts() -> None:
    with pytest.raises(DataError, match="0 examples"):
        check_support([])
    with pytest.raises(DataError, match="'a' has 3"):
        check_support(labeled({"a": 3}))


def test__fault_13__class_with_one_example__allowed() -> None:
    check_support(labeled({"a": 3, "b": 1}))


def test__fault_13__example_without_label__error_with_the_count() -> None:
    with pytest.raises(DataError, match=r"1 of 3 .* q3"):
        check_support([*labeled({"a": 1, "b": 1}), as_example("q", id="q3")])


def test__fault_14__same_content_same_label__one_warning() -> None:
    examples = as_examples(["p", "p", "p", "q"], ["a", "a", "a", "b"])
    assert find_duplicates(examples) == [(0, 1, 2)]
    with pytest.warns(DataWarning, match="2 of 4") as caught:
        check_support(examples)
    assert len(caught) == 1


def test__fault_14__same_content_other_label__error_that_lists_the_pairs() -> None:
    examples = as_examples(["p", "q", "p", "q"], ["a", "a", "b", "b"])
    with pytest.raises(DataError, match=r"0 \('a'\) and 2 \('b'\); 1 \('a'\) and 3 \('b'\)"):
        check_support(examples)
    many = as_examples([f"{number // 2}" for number in range(60)], ["a", "b"] * 30)
    with pytest.raises(DataError, match="and 10 more pairs"):
        check_support(many)


def test__fault_14__shot_in_the_test_set__found_by_content_and_warned(tmp_path: Path) -> None:
    for name in ("a.png", "copy.png"):
        PILImage.new("L", (8, 8), 7).save(tmp_path / name)
    shots = as_examples([(tmp_path / "a.png", "q")], ["x"])
    test = as_examples(
        [(tmp_path / "copy.png", "q"), (tmp_path / "a.png", "other"), (tmp_path / "gone.png", "q")]
    )
    leaks = find_test_leakage([example_hash(shot) for shot in shots], test)
    assert leaks == [0]
    with pytest.warns(DataWarning, match="1 of 3"):
        warn_of_test_leakage(leaks, test)
    warn_of_test_leakage([], test)


def test__fault_15__mixed_labels_in_the_support__error() -> None:
    mixed = [as_example("p", label=1), as_example("q", label=True)]
    with pytest.raises(DataError, match="mixed"):
        check_support(mixed)
    with pytest.raises(DataError, match="mixed"):
        draw_shots(mixed, 1, 0)


def test__fault_09__missing_files__found_before_any_is_opened(tmp_path: Path) -> None:
    PILImage.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    paths = ["a.png", "gone.png", ".", "link.png", "empty.png"]
    examples = as_examples([tmp_path / path for path in paths], ["x", "y", "x", "y", "x"])
    errors = preflight(examples)
    assert [(error.id, error.code) for error in errors] == [
        ("1", "media_missing"),
        ("2", "media_not_a_file"),
        ("3", "media_missing"),
        ("4", "image_undecodable"),
    ]
    with pytest.raises(MediaError, match=r"1: .*3 other examples.*: 2, 3, 4"):
        check_support(examples)


def test__fault_09__many_errors__twenty_are_listed() -> None:
    errors: list[ItemError] = list(
        preflight(as_examples([Path(f"/nowhere/{number}.png") for number in range(50)]))
    )
    lines = describe_errors(errors).split("\n")
    assert len(lines) == 21
    assert lines[0].startswith("0: ")
    assert lines[-1] == "... and 30 more"
    assert describe_errors(errors[:1]) == str(errors[0])


def test__example_hash__label_id_and_cuts__not_in_it() -> None:
    whole = Example((Message("user", (Text("ab"),)),), label=1, id="x")
    cut = Example((Message("user", (Text("a"), Text("b"))),), label=2, id="y")
    assert example_hash(whole) == example_hash(cut)
    assert len(example_hash(whole)) == 64


def test__example_hash__order_roles_and_boundaries__in_it() -> None:
    image = Image(b"x")
    contents = [
        (Message("user", (image, Text("q"))),),
        (Message("user", (Text("q"), image)),),
        (Message("user", (image, image, Text("q"))),),
        (Message("user", (Image(b"y"), Text("q"))),),
        (Message("user", (Text("q"),)),),
        (Message("user", (Text("q1"),)), Message("user", (Text("r"),))),
        (Message("user", (Text("q"),)), Message("user", (Text("1r"),))),
        (Message("assistant", (Text("q"),)), Message("user", (Text("1r"),))),
    ]
    assert len({example_hash(Example(messages)) for messages in contents}) == len(contents)


def test__example_hash__text_that_imitates_a_second_message__differs() -> None:
    two = (Message("user", (Text("a"),)), Message("user", (Text("b"),)))
    for imitation in ("aroleusertextb", "arole 4 usertext 1 b"):
        one = (Message("user", (Text(imitation),)),)
        assert example_hash(Example(one)) != example_hash(Example(two))


def test__example_hash__missing_file__error_with_the_id() -> None:
    with pytest.raises(MediaError) as caught:
        example_hash(as_example(Path("/nowhere/a.png"), id="e1"))
    assert caught.value.id == "e1"


def test__draw_shots__too_few__error_that_names_the_counts() -> None:
    with pytest.raises(DataError, match="'b' has 2") as caught:
        draw_shots(labeled({"a": 5, "b": 2}), 3, 0)
    assert "'a'" not in str(caught.value)


def test__draw_shots__too_few_in_many_classes__some_listed_with_what_to_do() -> None:
    with pytest.raises(DataError) as caught:
        draw_shots(labeled({f"class {number:02d}": 2 for number in range(50)}), 3, 0)
    message = str(caught.value)
    assert ("'class 19' has 2 and 30 more classes" in message, "'class 20'" in message) == (True, False)
    assert message.endswith("ask for at most 2, or add examples")


@pytest.mark.parametrize(("shots", "seed"), [(0, 0), (-1, 0), (1, -1)])
def test__draw_shots__out_of_range__error(shots: int, seed: int) -> None:
    with pytest.raises(DataError, match="at least"):
        draw_shots(labeled({"a": 2, "b": 2}), shots, seed)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(3, 7), min_size=1),
    st.integers(1, 3),
    st.integers(0, 2**40),
)
def test__draw_shots__any_set__stratified_partition_in_order(
    counts: dict[str, int], shots: int, seed: int
) -> None:
    examples = labeled(counts)
    drawn, rest = draw_shots(examples, shots, seed)
    assert Counter(example.label for example in drawn) == dict.fromkeys(counts, shots)
    assert sorted(map(int, map(str, ids(drawn) + ids(rest)))) == list(range(len(examples)))
    assert [int(str(i)) for i in ids(drawn)] == sorted(int(str(i)) for i in ids(drawn))
    assert ids(draw_shots(examples, shots, seed)[0]) == ids(drawn)


def test__fault_14__copies_of_shots__left_out_of_the_rest(tmp_path: Path) -> None:
    for shade, name in enumerate(("a0", "a1", "b0", "b1")):
        PILImage.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "a0.png").read_bytes())
    images = [tmp_path / "a0.png", tmp_path / "b0.png", (tmp_path / "copy.png").read_bytes()]
    images += [tmp_path / name for name in ("copy.png", "a1.png", "b1.png", "gone.png")]
    items = [(image, "q") for image in images]
    examples = as_examples([*items, (tmp_path / "copy.png", "another question")], list("ababaabb"))
    seed = next(seed for seed in range(99) if ids(_drawn(examples, seed)[0]) == ["0", "1"])
    with pytest.warns(
        DataWarning, match="2 of 6 examples that were not drawn have the content of a shot, the fi"
    ):
        shots, rest = draw_shots(examples, 1, seed)
    assert (ids(shots), ids(rest)) == (["0", "1"], ["4", "5", "6", "7"])
    assert not {example_hash(shot) for shot in shots} & {example_hash(one) for one in rest if one.id != "6"}


def _drawn(examples: list[Example], seed: int) -> tuple[list[Example], list[Example]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return draw_shots(examples, 1, seed)


def test__draw_shots__large_set_without_copies__few_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * (number + 1))
    opened: list[str] = []
    read = "savs.media.image.read_media_file"

    def noted(path: Path, _limits: object) -> bytes:
        opened.append(path.name)
        return path.read_bytes()

    monkeypatch.setattr(read, noted)
    draw_shots(as_examples(paths, ["a", "b"] * 30), 3, 0)
    assert opened == []


def test__draw_shots__every_example__drawn_about_equally_often() -> None:
    examples = labeled({"a": 5, "b": 10})
    drawn = Counter(i for seed in range(400) for i in ids(draw_shots(examples, 2, seed)[0]))
    assert len(drawn) == 15
    assert all(110 < drawn[str(number)] < 215 for number in range(5))
    assert all(45 < drawn[str(number)] < 120 for number in range(5, 15))


def test__split_draws__more_of_them__begin_the_same_and_differ() -> None:
    examples = labeled({"a": 20, "b": 20})
    few = [ids(shots) for shots, _ in split_draws(examples, 3, 3, seed=1)]
    many = [ids(shots) for shots, _ in split_draws(examples, 3, 8, seed=1)]
    assert many[:3] == few
    assert len({tuple(map(str, draw)) for draw in many}) == 8
    with pytest.raises(DataError, match="at least"):
        list(split_draws(examples, 3, 0, seed=1))


def test__check_support__good_set__silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_support(labeled({"a": 2, "b": 2}))
