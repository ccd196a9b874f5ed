"""Commands on Parquet, saved datasets and ``hf://`` addresses, with their options."""

import dataclasses
import inspect
import io
import json

import click
import pytest
from tests.data.tables import quietly

from savs.cli._options import backbone_options, data_options
from savs.data import ReadOptions, iter_examples
from savs.data.options import ReadKeywords

NAMED = ["--image-column", "photo", "--label-column", "kind"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A dataset with the splits train and test: saved, and laid out as on the hub."""
    import datasets
    from tests.cli.conftest import COLOURS, draw_image

    def split(n_rows, seed):
        rows = []
        for number in range(n_rows):
            stream = io.BytesIO()
            draw_image(list(COLOURS)[number % 2], seed + number).save(stream, "PNG")
            photo = {"bytes": stream.getvalue(), "path": None}
            rows.append({"photo": photo, "kind": number % 2, "hint": f"Number {number}."})
        classes = datasets.ClassLabel(names=list(COLOURS))
        features = {"photo": datasets.Image(), "kind": classes, "hint": datasets.Value("string")}
        return datasets.Dataset.from_list(rows, features=datasets.Features(features))

    folder = tmp_path_factory.mktemp("library")
    data = datasets.DatasetDict({"train": split(8, 0), "test": split(6, 1000)})
    quietly(data.save_to_disk, folder / "saved")
    for name, part in data.items():
        quietly(part.to_parquet, folder / "hub" / "data" / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """What the library stores for ``hf://`` goes to a folder of the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("own_cache")
def test__fit_and_evaluate__splits_and_a_prompt_over_a_column__right(library, backbone, tmp_path, savs):
    prompt = "Hint: {hint} Which colour?"
    fit = ["fit", library / "hub", "--split", "train", *NAMED, "-b", backbone, "--n-heads", 5]
    code, text, error = savs(*fit, "--prompt", prompt, "-o", tmp_path / "new", "--json")
    assert (code, error) == (0, "")
    assert json.loads(text)["shots_per_class"] == {"blue": 4, "red": 4}
    reports = []
    for source in ([library / "saved", "--split", "test"], [f"hf://{library / 'hub'}#test"]):
        code, text, error = savs("evaluate", tmp_path / "new", *source, *NAMED, "--json")
        assert (code, error) == (0, "")
        reports.append({name: json.loads(text)[name] for name in ("n", "n_correct", "confusion", "n_leaks")})
    assert reports[0] == reports[1]
    assert (reports[0]["n"], reports[0]["n_leaks"]) == (6, 0)


@pytest.mark.usefixtures("own_cache")
def test__predict__parquet_and_hub__the_same_answers(classifier, library, savs):
    answers = []
    for source in (library / "hub" / "data" / "test-00000-of-00001.parquet", f"hf://{library / 'hub'}#test"):
        code, text, error = savs("predict", classifier, source, *NAMED)
        assert code == 0
        # The prompt of this classifier leaves that column out.
        assert error.startswith("savs: warning: text in the columns 'hint' is not read")
        answers.append([json.loads(line) for line in text.splitlines()])
    assert [row["id"] for row in answers[1]] == [f"hub/test:{number}" for number in range(1, 7)]
    assert [row["proba"] for row in answers[0]] == [row["proba"] for row in answers[1]]


@pytest.mark.usefixtures("own_cache")
def test__compare__a_split_and_the_other_as_test__read(library, backbone, savs):
    address = f"hf://{library / 'hub'}"
    compare = ["compare", f"{address}#train", "--test", f"{address}#test", *NAMED, "-b", backbone]
    code, text, error = savs(
        *compare, "--prompt", "Which?", "--methods", "sav", "--shots", 2, "--draws", 2, "--json"
    )
    assert (code, error) == (0, "")
    assert json.loads(text)["test"] == f"{address}#test"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("saved", [], "saved has several splits; name one of train, test"),
        ("hub", ["--split", "dev"], "hub has no split 'dev'; name one of test, train"),
        ("saved", ["--split", "test", "--data-revision", "v1"], "belong to a hub dataset"),
        ("saved", ["--split", "test", "--label-column", "nope"], "saved/test:1: there is no column 'nope'"),
        ("hf://a/b/c", [], "is not a dataset of the hub"),
    ],
)
def test__fault_17__wrong_source_or_option__one_line_with_the_place(
    library, classifier, savs, source, options, words
):
    place = source if source.startswith("hf://") else library / source
    code, text, error = savs("evaluate", classifier, place, *NAMED[:2], *options)
    assert (code, text) == (1, "")
    (line,) = error.splitlines()
    assert words in line


@click.command()
@data_options()
@backbone_options()
def show_options(reading: ReadOptions, loading: dict[str, object]) -> tuple[ReadOptions, dict[str, object]]:
    return reading, loading


def test__data_and_backbone_options__each_reach_the_command_as_one_value() -> None:
    arguments = ["--image-column", "a", "--image-column", "b", "--data-revision", "v1", "--revision", "main"]
    reading, loading = show_options.main(arguments, standalone_mode=False)
    assert reading == ReadOptions(image_column=("a", "b"), revision="v1")
    assert loading == {"revision": "main"}


def test__read_options__fields__are_the_keywords_that_readers_take() -> None:
    assert {field.name for field in dataclasses.fields(ReadOptions)} == set(ReadKeywords.__annotations__)
    assert "keywords" in inspect.signature(iter_examples).parameters
