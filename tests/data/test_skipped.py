"""What a folder holds beside what is read: counted by kind, an error where a fit would lose it."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import pytest

from savs.data import DataWarning, count_rows, read_examples
from savs.errors import DataError


def made(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    return top


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """pillow-heif is not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "savs.data._skipped.find_spec", lambda name: None if name == "pillow_heif" else real(name)
    )


def warned(top: Path, **options: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_examples(top, **options)  # type: ignore[arg-type]
    assert all(warning.category is DataWarning for warning in caught)
    return [str(warning.message) for warning in caught]


MIXED = (
    *(f"cat/{number}.HEIC" for number in range(12)),
    *(f"dog/{number}.svg" for number in range(3)),
    *("cat/a.jpg", "dog/b.png", "dog/notes.txt", "dog/more.txt", "cat/.DS_Store", "cat/README", "dog/c.m4a"),
)


@pytest.mark.usefixtures("no_heif")
def test__skipped_files__counted_by_kind_what_is_lost_first(tmp_path):
    (message,) = warned(made(tmp_path / "pets", *MIXED))
    assert message == (
        "pets: skipped 12 .heic files: pip install 'savs[heif]'; 3 .svg files: not an image format that savs "
        "reads; 1 .m4a file: not an audio format that savs reads; 2 .txt files, 1 file without an ending, 1 "
        "hidden file or folder: not images, videos or audio clips"
    )


def test__heic__read_where_pillow_heif_is_installed(tmp_path):
    examples_of = made(tmp_path / "pets", *MIXED[:12], "dog/a.avif", "dog/b.jfif")
    assert len(read_examples(examples_of)) == 14


@pytest.mark.usefixtures("no_heif")
def test__skipped_media__an_error_where_they_must_not_be_lost(tmp_path):
    top = made(tmp_path / "pets", *MIXED)
    with pytest.raises(DataError, match=r"pets would lose 16 files: 12 \.heic files: pip install") as caught:
        read_examples(top, skip_unread=False)
    assert "3 .svg files" in str(caught.value)
    assert "move them out of the folder" in str(caught.value)
    with pytest.warns(DataWarning, match="skipped 12"):
        assert count_rows(top) == 2


def test__other_files__no_error_whatever_is_asked(tmp_path):
    top = made(tmp_path / "pets", "cat/a.jpg", "dog/b.png", "dog/notes.txt", "labels.csv")
    (message,) = warned(top, skip_unread=False)
    assert message == "pets: skipped 1 .csv file, 1 .txt file: not images, videos or audio clips"


def test__many_kinds__the_rest_counted(tmp_path):
    names = [f"cat/{number}.x{number}" for number in range(9)]
    (message,) = warned(made(tmp_path / "pets", "cat/a.jpg", *names))
    assert message.endswith("1 .x4 file, 4 more: not images, videos or audio clips")


@pytest.mark.usefixtures("no_heif")
def test__nothing_but_skipped_files__said_why(tmp_path):
    with pytest.raises(
        DataError, match=r"holds 0 images.*skipped: 2 \.heic files: pip install 'savs\[heif\]'"
    ):
        read_examples(made(tmp_path / "pets", "cat/1.heic", "dog/2.heic"))
    with pytest.raises(DataError, match=r"class folder 'cat' holds 0 images.*2 \.heic files: pip install"):
        read_examples(made(tmp_path / "half", "cat/1.heic", "cat/2.heic", "dog/1.png", "bird/2.png"))
