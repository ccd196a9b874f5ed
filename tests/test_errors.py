from __future__ import annotations

import subprocess
import sys

import pytest

from savs import errors
from savs.errors import (
    ArtifactError,
    DataError,
    ExampleError,
    MediaError,
    MissingDependencyError,
    NotFittedError,
    SAVsError,
)

HOSTILE = ["a\x1b[31mb", "a\x00b", "a\ud800b", "a\u202eb", "a\rb", "a\u2028b"]


@pytest.mark.parametrize("text", HOSTILE)
def test__message__quoting_what_steers_a_terminal__is_escaped(text):
    for error in (DataError(text), ArtifactError(text), SAVsError(text), MediaError(text, code="x", id=text)):
        assert str(error).isprintable()
        assert str(error).encode()
        assert str(error).endswith("b")


@pytest.mark.parametrize("text", [*HOSTILE, "a\nb"])
def test__item_error__hostile_id_and_message__one_line_in_text_and_record(text):
    error = ExampleError(text, code="row", id=text)
    assert str(error).isprintable()
    assert error.record()["message"].isprintable()
    assert error.record()["id"] == text
    assert error.id == text


def test__message__plain__stays_as_it_is():
    assert str(DataError("café: 3 rows\ncat.png")) == "café: 3 rows\ncat.png"
    assert str(ExampleError("it is 'x'", code="row", id="é")) == "é: it is 'x'"
    assert str(SAVsError()) == ""


def test__message__as_long_as_the_data__is_cut():
    assert len(str(DataError("x" * 10**6))) <= 4000
    assert len(str(MediaError("\n" * 10**6, code="x"))) <= 4000


def test__not_fitted_error__is_scikit_learns_too__imported_only_when_used():
    from sklearn import exceptions

    assert issubclass(NotFittedError, SAVsError)
    assert issubclass(NotFittedError, exceptions.NotFittedError)
    code = "import sys, savs.errors; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test__missing_dependency_error__names_the_extra_and_is_an_import_error():
    error = MissingDependencyError("videos need PyAV", "video", "av")
    assert str(error) == "videos need PyAV: pip install 'savs[video]'"
    assert isinstance(error, ImportError)
    assert (error.extra, error.name) == ("video", "av")


def test__tree_at_the_top_of_the_module__names_every_public_error():
    for name in errors.__all__:
        assert name in errors.__doc__ or name == "ItemErrorRecord"
