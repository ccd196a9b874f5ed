"""The report of a run: its numbers are those of the cells, and every text is escaped."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.reports.runs import LABELS, TASK, write_run

from savs.errors import DataError
from savs.reports import run_report, to_html
from savs.reports.content import Cards, Note, Picture, Report, Section, Table


class Page(HTMLParser):
    """Elements of a page, their ids and what they refer to."""

    VOID = frozenset({"meta", "img", "br", "link", "path", "use", "image", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.handlers: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.svgs: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = dict(attrs)
        self.handlers += [name for name in found if name.startswith("on")]
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found[name] or "" for name in ("href", "src", "xlink:href") if name in found]
        if tag in ("img", "svg"):
            (self.images if tag == "img" else self.svgs).append(found)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _section(report: Report, title: str) -> Section:
    return next(one for one in report.sections if one.title == title)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return run_report(folder)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(to_html(report))


def test__page__labels_and_texts_like_markup__stay_text(page: Page) -> None:
    assert page.tags["script"] == page.tags["b"] - 1 == page.tags["u"] == 0  # one b is the page's own
    assert not page.handlers
    text = " ".join(page.text)
    for shown in (*LABELS, "<i>3</i>", "<u>no</u> memory", "<b>sav</b>", "onerror=alert(2)"):
        assert shown in text


def test__page__addresses__are_within_the_file(page: Page) -> None:
    assert page.links
    assert {link[:5] for link in page.links if not link.startswith("#")} == {"data:"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test__page__ids__are_unique(page: Page) -> None:
    assert [id for id, n in Counter(page.ids).items() if n > 1] == []


def test__page__pictures__say_what_they_show(page: Page) -> None:
    assert all(image["alt"] for image in page.images)
    assert page.svgs
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.svgs)


def test__page__made_twice__is_the_same(folder: Path) -> None:
    assert to_html(run_report(folder)) == to_html(run_report(folder))


def test__page__thumbnails__are_small(page: Page) -> None:
    import base64
    import io

    from PIL import Image

    (found,) = page.images
    content = base64.b64decode((found["src"] or "").partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (96, 48)


def test__headline__first_method_of_the_run__is_its_mean_at_the_most_shots(report: Report) -> None:
    assert report.headline is not None
    assert report.headline.value == pytest.approx(0.75)  # 3 of 12 items are wrong
    assert report.headline.name == "Accuracy of sav, 5 shots per class"


def test__headline__another_method__is_of_that_one(folder: Path) -> None:
    found = run_report(folder, method="majority")
    assert found.headline is not None
    assert found.headline.value == pytest.approx(4 / 12)


def test__headline__one_draw_is_left__has_the_interval_over_items(folder: Path) -> None:
    found = run_report(folder, method="knn").headline
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.65, 0.85))
    assert "one draw" in found.about


def test__results__every_method_and_count__is_there_with_its_failures(report: Report) -> None:
    tables = [block for block in _section(report, "Results").blocks if isinstance(block, Table)]
    assert [[row[0].text for row in table.rows] for table in tables] == [
        ["sav", "auto", "knn", "majority"]
    ] * 2
    assert "1 draws failed: <u>no</u> memory" in tables[0].rows[2][1].detail
    assert tables[0].rows[0][1].text == "75.0"


def test__heads__kept_in_one_of_two_draws__are_not_outlined(report: Report) -> None:
    (picture,) = _section(report, "Heads").blocks
    assert isinstance(picture, Picture)
    assert "the 1 of 5 heads" in picture.caption
    assert "in layers 1" in picture.alt


def test__heads__of_a_method_that_ranks_none__are_those_of_the_first_that_does(folder: Path) -> None:
    (picture,) = _section(run_report(folder, method="auto"), "Heads").blocks
    assert isinstance(picture, Picture)
    assert "heads on my photos by sav:" in picture.alt


def test__mistakes__most_confident_first__have_votes_and_thumbnail(report: Report) -> None:
    cards = next(
        one for one in _section(report, "Most confident mistakes").blocks if isinstance(one, Cards)
    ).cards
    assert [card.id for card in cards] == ["<i>11</i>", "<i>7</i>", "<i>3</i>"]
    assert cards[0].votes == [(LABELS[0], 0.7), (LABELS[2], 0.3)]
    assert [card.thumbnail is None for card in cards] == [True, True, False]


def test__suspect_labels__all_methods_against_a_label__are_listed(report: Report) -> None:
    table = _section(report, "Suspect labels").blocks[0]
    assert isinstance(table, Table)
    assert sorted(row[0].text for row in table.rows) == ["<i>11</i>", "<i>3</i>", "<i>7</i>"]
    assert {row[4].text for row in table.rows} == {"3 of 3"}


def test__audit__controls__stand_beside_the_method(report: Report) -> None:
    table = _section(report, "Shortcut audit").blocks[0]
    assert isinstance(table, Table)
    assert [row[1].text for row in table.rows[:2]] == ["75.0", "40.0"]


def test__missing_parts__name_the_commands_that_make_them(tmp_path: Path) -> None:
    found = run_report(write_run(tmp_path / "run", audit=False, experiments=False, shots=(5,)))
    audit, curves = _section(found, "Shortcut audit").blocks[0], _section(found, "Curves").blocks[0]
    assert isinstance(audit, Note)
    assert audit.command == "savs benchmark photos/ -b tiny --shots 5 --audit -o NEW-RUN"
    assert isinstance(curves, Note)
    assert curves.command.startswith("savs experiment shots")


def test__thumbnail__outside_the_run__is_not_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (tmp_path / "secret.jpg").write_bytes((folder / "thumbs/a.jpg").read_bytes())
    file = folder / "items/my_photos.jsonl"
    file.write_text(file.read_text().replace("thumbs/a.jpg", "../secret.jpg"))
    assert not Page(to_html(run_report(folder))).images


def test__thumbnail__that_is_no_image__is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "thumbs/a.jpg").write_bytes(b"no image")
    assert not Page(to_html(run_report(folder))).images


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("answers/my_photos/sav-5-0.jsonl", "line 1 is damaged"),
        ("heads/my_photos/sav-5-0.json", "is damaged"),
        ("experiments/heads-x.json", "is damaged"),
        ("cells/my_photos/sav-5-0.json", "a file of cells is damaged"),
        ("items/my_photos.jsonl", "line 1 is damaged"),
        ("audit.jsonl", "line 1 is damaged"),
    ],
)
def test__damaged_file__is_named(tmp_path: Path, name: str, message: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text("{")
    with pytest.raises(DataError, match=message):
        run_report(folder)


def test__experiment_of_another_schema__is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "experiments/heads-x.json").write_text('{"schema": 99}')
    with pytest.raises(DataError, match=r"heads-x\.json: is no record"):
        run_report(folder)


def test__unknown_method__is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(DataError, match=r"'sax' .* sav, auto, knn, majority"):
        run_report(folder, method="sax")


def test__run_without_a_cell__is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for file in (folder / "cells/my_photos").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no part of the run is finished"):
        run_report(folder)


def test__many_labels__those_with_most_mistakes_are_drawn(tmp_path: Path) -> None:
    import json

    folder = write_run(tmp_path / "run")
    lines = [
        {"id": str(n), "label": f"{n:02d}", "answer": f"{n - n % 2:02d}", "probability": 0.5}
        for n in range(30)
    ]
    for draw in range(2):
        file = folder / f"answers/my_photos/sav-5-{draw}.jsonl"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (picture,) = _section(run_report(folder), "Confusions").blocks
    assert isinstance(picture, Picture)
    assert picture.caption.startswith("The 12 of 30 labels with the most mistakes.")
    assert re.search(r"Confusion matrix of 12 labels on " + TASK, picture.alt)


def test__many_labels__shares_count_the_answers_that_are_not_drawn(tmp_path: Path) -> None:
    import json

    folder = write_run(tmp_path / "run")
    # Of 40 labels each is right once, and taken once for the label 13 places on: most of those are not drawn.
    lines = [
        {"id": f"{n}-{step}", "label": f"{n:02d}", "answer": f"{(n + step) % 40:02d}", "probability": 0.5}
        for n in range(40)
        for step in (0, 13)
    ]
    for draw in range(2):
        file = folder / f"answers/my_photos/sav-5-{draw}.jsonl"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (picture,) = _section(run_report(folder), "Confusions").blocks
    assert isinstance(picture, Picture)
    axes = picture.figure.axes[0]
    assert sum(int(text.get_text()) for text in axes.texts) == 12 * 2 * 2
    assert axes.images[0].get_array().max(axis=1).tolist() == [0.5] * 12
    assert axes.get_xticklabels()[-1].get_text() == "(other answers)"


def _with_more_methods(folder: Path, more: list[str]) -> Path:
    """Put methods, that answer as auto does, in front of those of the run."""
    import json

    for cell in list((folder / "cells/my_photos").glob("auto-*.json")):
        for name in more:
            record = {**json.loads(cell.read_text()), "method": name}
            (cell.parent / cell.name.replace("auto", name)).write_text(json.dumps(record))
    run = json.loads((folder / "run.json").read_text())
    run["settings"]["methods"] = ["majority", *more, *run["settings"]["methods"]]
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test__curves__more_methods_than_are_drawn__keep_the_subject_and_the_majority(tmp_path: Path) -> None:
    more = ["pixels", "last_layer", "all_heads", "ridge_probe", "logistic_probe", "hec_v", "calm"]
    folder = _with_more_methods(write_run(tmp_path / "run", experiments=False), more)
    (picture,) = _section(run_report(folder, method="sav"), "Curves").blocks
    assert isinstance(picture, Picture)
    shown = [line.get_label() for line in picture.figure.axes[0].lines]
    assert shown == ["sav", "hec_v", "calm", "auto", "pixels", "last_layer", "majority"]
    assert picture.caption == "my photos, from this run: 7 of 11 methods"


def test__headline__baselines_first__is_of_the_first_method_that_learns_from_shots(tmp_path: Path) -> None:
    folder = _with_more_methods(write_run(tmp_path / "run"), ["pixels", "last_layer", "option_likelihood"])
    found = run_report(folder).headline
    assert found is not None
    assert found.name == "Accuracy of sav, 5 shots per class"


def test__calibration__several_draws__says_what_the_intervals_leave_out(report: Report) -> None:
    (picture,) = _section(report, "Calibration").blocks
    assert isinstance(picture, Picture)
    assert "Intervals take the answers of 2 draws as independent." in picture.caption


def test__page__wide_pictures__have_the_whole_width(tmp_path: Path) -> None:
    import json

    folder = write_run(tmp_path / "run", experiments=False)
    rows = [{"x": x, "series": "a", "draw": 0, "accuracy": 0.5, "n_test": 9, "failure": None} for x in "ab"]
    record = {
        "schema": 1,
        "kind": "transfer",
        "task": "t",
        "methods": ["sav"],
        "x_name": "to",
        "settings": {},
    }
    (folder / "experiments").mkdir()
    (folder / "experiments/transfer-t.json").write_text(json.dumps({**record, "rows": rows}))
    assert to_html(run_report(folder)).count('<figure class="wide">') == 1


def test__experiments_of_every_kind__are_drawn(tmp_path: Path) -> None:
    import json

    folder = write_run(tmp_path / "run", experiments=False)
    places = {
        "shots": [1, 5],
        "heads": [1, 96],
        "noise": [0, 40],
        "transfer": ["a", "b"],
        "interleaved": ["both"],
    }
    (folder / "experiments").mkdir()
    for kind, values in places.items():
        rows = [
            {"x": x, "series": "sav", "draw": draw, "accuracy": 0.5, "n_test": 9, "failure": None}
            for x in values
            for draw in range(2)
        ]
        record = {"schema": 1, "kind": kind, "task": "t", "methods": ["sav"], "x_name": kind, "settings": {}}
        (folder / f"experiments/{kind}-t.json").write_text(json.dumps({**record, "rows": rows}))
    (folder / "experiments/shortcuts-t.json").write_text(json.dumps({"schema": 1, "kind": "shortcuts"}))
    report = run_report(folder)
    found = [block for block in _section(report, "Curves").blocks if isinstance(block, Picture)]
    assert [picture.wide for picture in found[1:]] == [
        False,
        True,
        False,
        False,
        True,
    ]  # after the run's own curve
    assert Page(to_html(report)).tags["svg"] >= 6


def test__published_numbers__stand_beside_those_of_the_same_task_and_protocol(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", audit=False, experiments=False, shots=(5, 20))
    for file in (folder / "cells/my_photos").iterdir():
        file.write_text(file.read_text().replace('"my photos"', '"eurosat"').replace('"n_way"', '"four_way"'))
    tables = [one for one in _section(run_report(folder), "Results").blocks if isinstance(one, Table)]
    details = {table.caption[:2].strip(): table.rows[0][1].detail for table in tables}
    assert "published" not in details["5"]
    assert "published: 86.7 (LLaVA-OneVision-7B)" in details["20"]
