from __future__ import annotations

import pytest

from savs.errors import ArtifactError, DataError, ExampleError, MediaError, SAVsError

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
