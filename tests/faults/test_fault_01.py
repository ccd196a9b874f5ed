"""Item errors: the record that is logged, and what its message never holds."""

from __future__ import annotations

import base64
import json

import pytest

from savs.data import ErrorLedger, as_examples, read_examples
from savs.errors import ItemError
from savs.media import load_image

SECRET = b"secret-of-the-picture" * 20


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + base64.b64encode(SECRET).decode(),
        "data:image/png;base64,!" + base64.b64encode(SECRET).decode(),
        "data:image/png," + base64.b64encode(SECRET).decode(),
        base64.b64encode(b"\x89PNG\r\n\x1a\n" + SECRET).decode(),
    ],
)
def test__fault_01__image_in_base64_that_is_none__message_without_its_body(url, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"image": url, "question": "q"}))
    with pytest.raises(ItemError) as caught:
        load_image(read_examples(path)[0].images[0].source)
    body = base64.b64encode(SECRET).decode()
    for part in (body[:24], body[-24:], SECRET.decode()[:12]):
        assert part not in str(caught.value)
    assert caught.value.__cause__ is None


def test__fault_01__one_bad_item__record_with_four_entries_and_the_others_go_on():
    ledger = ErrorLedger(max_errors=1)
    made = as_examples(["one", "http://x.org/a.png", "three"], ledger=ledger)
    assert [example.id for example in made] == ["0", "2"]
    (error,) = ledger.errors
    assert set(error.record()) == {"id", "stage", "code", "message"}
    assert error.record()["id"] == "1"
    assert json.loads(json.dumps(error.record())) == error.record()


@pytest.mark.parametrize(
    ("allowed", "bad", "stops"), [(0, 1, True), (1, 1, False), (1, 2, True), (-1, 9, False)]
)
def test__fault_01__more_bad_items_than_allowed__the_first_too_many_stops(allowed, bad, stops):
    items = ["good", *["http://x.org/a.png"] * bad]
    ledger = ErrorLedger(max_errors=allowed)
    if stops:
        with pytest.raises(ItemError):
            as_examples(items, ledger=ledger)
    else:
        assert len(as_examples(items, ledger=ledger)) == 1
