"""Data files that nest, repeat, overflow and contradict themselves."""

from __future__ import annotations

import datetime
import io
import json
import pickle
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["attacks"]

MANY = 100_000


def attacks() -> dict[str, bytes]:
    """Return the files by name."""
    return {**_valid(), **_json(), **_json_lines(), **_tables(), **_parquet()}


def _lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _valid() -> dict[str, bytes]:
    cat: dict[str, Any] = {"image": "a.png", "question": "What is <image>?", "label": "cat", "id": 1}
    chat = {
        "messages": [{"role": "user", "content": [{"type": "image", "path": "b.png"}, "Look."]}],
        "label": "dog",
    }
    several = {"image_1": "a.png", "image_2": "b.png", "claim": "<image> or <image>", "label": "x"}
    text = b'id,text,label\n1,one,a\n2,"two, and\nmore",b\n'
    return {
        "valid.jsonl": _lines(cat, chat, several),
        "valid.json": json.dumps([cat, chat | {"id": "c"}, several]).encode(),
        "valid.csv": text,
        "valid-bom-crlf.csv": b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        "valid.tsv": b"text\tlabel\none\ta\n\ntwo\tb\n",
        "valid.parquet": _table(text=["one", "two"], label=["a", "b"], id=[1, 2]),
        "valid-pictures.parquet": _table(image=[{"bytes": b"\x89PNG", "path": None}], label=[3]),
    }


def _json() -> dict[str, bytes]:
    return {
        "nested-100-000-deep.json": b"[" * MANY,
        "nested-and-closed.json": b'[{"text": "a", "more": ' + b"[" * MANY + b"]" * MANY + b"}]",
        "accepted-nested-900-deep.json": b'[{"text": "a", "more": ' + b"[" * 900 + b"]" * 900 + b"}]",
        "objects-100-000-deep.json": b'{"a":' * MANY + b"1" + b"}" * MANY,
        "5000-digits.json": b'[{"text": "a", "label": ' + b"9" * 5000 + b"}]",
        "4000-digits.json": b'[{"text": "a", "label": ' + b"9" * 4000 + b"}]",
        "nan.json": b'[{"text": "a", "label": NaN}]',
        "infinity.json": b'[{"text": "a", "label": -Infinity}]',
        "exponent.json": b'[{"text": "a", "label": 1e999}]',
        "lone-surrogate.json": b'[{"text": "\\ud800", "label": "a"}]',
        "lone-surrogate-in-a-name.json": b'[{"text": "a", "\\udfff": "a"}]',
        "accepted-lone-surrogate-deep.json": b'[{"text": "a", "more": {"x": ["\\ud800"]}, "label": "a"}]',
        "name-twice.json": b'[{"text": "a", "text": "b"}]',
        "one-object.json": b'{"text": "a"}',
        "accepted-lines.json": b'{"text": "a"}\n{"text": "b"}\n',
        "list-of-lists.json": b'[["text"], ["a"]]',
        "nothing.json": b"",
        "empty-list.json": b"[]",
        "empty-object.json": b"[{}]",
        "utf-16.json": '[{"text": "a"}]'.encode("utf-16"),
        "null.json": b"null",
        "pickle.json": pickle.dumps([{"text": "a"}], 4),
        "id-of-a-list.json": b'[{"text": "a", "id": [1]}]',
        "label-of-a-list.json": b'[{"text": "a", "label": ["x"]}]',
        "image-of-a-number.json": b'[{"image": 3}]',
        "image-of-itself.json": b'[{"image": {"bytes": {"bytes": {"bytes": null}}}}]',
        "image-nested-500-deep.json": b'[{"image": ' + b'{"bytes": ' * 500 + b"1" + b"}" * 501 + b"]",
        "image-above.json": b'[{"image": "../../../../etc/passwd"}]',
        "image-absolute.json": b'[{"image": "/dev/zero"}]',
        "image-of-the-web.json": b'[{"image": "http://169.254.169.254/latest/meta-data/"}]',
        "image-of-a-file-address.json": b'[{"image": "file:///etc/passwd"}]',
        "image-with-a-null.json": b'[{"image": "a\\u0000.png"}]',
        "image-name-of-5000.json": json.dumps([{"image": "a" * 5000 + ".png"}]).encode(),
        "sound-above.json": b'[{"audio": "../../../../etc/passwd"}]',
        "sound-of-a-number.json": b'[{"audio": 3}]',
        "sound-of-itself.json": b'[{"audio": {"array": {"array": [0.5]}, "sampling_rate": 8000}}]',
        "sound-without-a-rate.json": b'[{"audio": {"array": [0.5]}}]',
        "sound-at-a-rate-of-4000-digits.json": b'[{"audio": {"array": [0.5], "sampling_rate": 1e400}}]',
        "sound-of-uneven-lists.json": b'[{"audio": {"array": [[0.5], [0.5, 0.5]], "sampling_rate": 8000}}]',
        "sound-nested-200-deep.json": b'[{"audio": {"sampling_rate": 1, "array": '
        + b"[" * 200
        + b"0.5"
        + b"]" * 200
        + b"}}]",
        "accepted-sound-of-samples.json": b'[{"audio": {"array": [0.5, -0.5], "sampling_rate": 8000}}]',
        "video-of-a-number.json": b'[{"video": 3}]',
        "markers-of-sounds.json": json.dumps([{"text": "<audio>" * 1000, "audio": "a.wav"}]).encode(),
        "markers.json": json.dumps([{"text": "<image>" * 1000, "image": "a.png"}]).encode(),
        "roles.json": b'[{"messages": [{"role": "assistant", "content": "x"}]}]',
        "role-of-a-list.json": b'[{"messages": [{"role": ["user"], "content": "x"}]}]',
        "base64-of-nothing.json": b'[{"image": "data:image/png;base64,"}]',
        "accepted-label-with-control-characters.json": b'[{"text": "a", "label": "\\u001b[31m\\n\\u202e"}]',
        "id-with-control-characters.json": b'[{"text": "", "image": 3, "id": "\\u001b[31m\\n\\u202e"}]',
        "1000-columns.json": json.dumps([{f"column {n}": n for n in range(1000)}]).encode(),
    }


def _json_lines() -> dict[str, bytes]:
    return {
        "nested-100-000-deep.jsonl": b'{"text": "a"}\n' + b"[" * MANY + b"\n",
        "types-that-change.jsonl": _lines({"text": "a", "label": 1}, {"text": "b", "label": "1"}),
        "accepted-columns-that-change.jsonl": _lines(
            {"text": "a"}, {"question": "b"}, {"messages": None, "claim": "c"}
        ),
        "label-true-and-1.jsonl": _lines({"text": "a", "label": True}, {"text": "b", "label": 1}),
        "accepted-deep-types-that-change.jsonl": _lines(
            {"text": "a", "m": {"x": [1]}}, {"text": "b", "m": {"x": "y"}}
        ),
        "id-twice.jsonl": _lines({"text": "a", "id": 1}, {"text": "b", "id": "1"}),
        "null-bytes.jsonl": b'{"text": "a"}\n\0\0\0\n',
        "accepted-blank-and-bom.jsonl": b"\xef\xbb\xbf\r\n\r\n" + b'{"text": "a"}\r\n\n',
        "bom-in-the-middle.jsonl": b'{"text": "a"}\n\xef\xbb\xbf{"text": "b"}\n',
        "not-utf-8.jsonl": b'{"text": "a"}\n{"text": "\xff\xfe"}\n',
        "surrogates-as-utf-8.jsonl": b'{"text": "\xed\xa0\x80"}\n',
        "accepted-other-line-ends.jsonl": '{"text": "a\u2028b\u0085c"}\n'.encode(),
        "only-carriage-returns.jsonl": b'{"text": "a"}\r{"text": "b"}\r',
        "half-a-line.jsonl": b'{"text": "a"}\n{"text": "b',
        "accepted-one-line-of-megabytes.jsonl": json.dumps({"text": "x" * 4_000_000}).encode(),
        "accepted-large-numbers.jsonl": _lines(
            {"text": "a", "label": 2**63 - 1}, {"text": "b", "label": -(2**63)}
        ),
        "too-large-number.jsonl": _lines({"text": "a", "label": 2**63}),
        "accepted-number-then-too-large.jsonl": _lines({"text": "a", "n": 1}, {"text": "b", "n": 2**70}),
        "accepted-number-then-text.jsonl": _lines({"text": "a", "n": 1}, {"text": "b", "n": "2020-01-01"}),
        "accepted-date-then-text.jsonl": _lines(
            {"text": "a", "n": "2020-01-01T00:00:00"}, {"text": "b", "n": "never"}
        ),
        "accepted-empty-lists-then-text.jsonl": _lines({"text": "a", "n": []}, {"text": "b", "n": "x"}),
        "accepted-list-of-mixed.jsonl": _lines({"text": "a", "n": [1, "x", None, {}]}),
        "only-empty-objects.jsonl": b"{}\n{}\n",
    }


def _tables() -> dict[str, bytes]:
    return {
        "one-field-of-200-000.csv": b"text,label\n" + b"x" * 200_000 + b",a\n",
        "quote-never-closed.csv": b'text,label\n"never closed,a\nmore,b\n',
        "quote-in-the-middle.csv": b'text,label\na"b,c\n"a"b,c\n',
        "accepted-null-bytes.csv": b"text,label\na\0b,c\n",
        "only-a-header.csv": b"text,label\n",
        "only-line-ends.csv": b"\r\n\r\n\n",
        "empty-name.csv": b"text,,label\na,b,c\n",
        "name-twice.csv": b"text,text\na,b\n",
        "cells-too-many.csv": b"text,label\na,b,c\n",
        "cells-too-few.csv": b"text,label\na\n",
        "40-000-columns.csv": b",".join(b"c%d" % n for n in range(40_000)) + b"\n" + b"," * 39_998 + b"x,y\n",
        "100-000-commas.csv": b"," * MANY + b"\n",
        "accepted-carriage-returns.csv": b"text,label\ra,b\rc,d\r",
        "not-utf-8.csv": b"text,label\na,\xff\n",
        "utf-16.csv": "text,label\na,b\n".encode("utf-16"),
        "accepted-bom-before-a-quote.csv": b'\xef\xbb\xbf"text",label\r\na,b\r\n',
        "accepted-formulas.csv": b"text,label\n=cmd|' /C calc'!A0,@x\n",
        "control-characters-in-the-header.csv": b"te\x1b[31mxt,la\x07bel\na,b\n",
        "accepted-tabs-in-quotes.tsv": b'text\tlabel\n"a\tb"\tc\n',
        "accepted-commas.tsv": b"text,label\na,b\n",
        "nothing.tsv": b"",
    }


def _table(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _parquet() -> dict[str, bytes]:
    whole = _table(text=["one", "two"], label=["a", "b"])
    day = datetime.datetime(2020, 1, 1)
    return {
        "no-footer.parquet": whole[:-8],
        "half.parquet": whole[: len(whole) // 2],
        "only-magic.parquet": b"PAR1PAR1",
        "footer-of-2-gigabytes.parquet": b"PAR1" + bytes(100) + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
        "negative-footer.parquet": b"PAR1" + bytes(100) + (2**32 - 5).to_bytes(4, "little") + b"PAR1",
        "encrypted.parquet": b"PARE" + bytes(100) + (50).to_bytes(4, "little") + b"PARE",
        "footer-of-lists.parquet": b"PAR1" + b"\x1c" * 3000 + (3000).to_bytes(4, "little") + b"PAR1",
        "footer-of-numbers.parquet": b"PAR1" + b"\xff" * 300 + (300).to_bytes(4, "little") + b"PAR1",
        "list-of-4-billion.parquet": b"PAR1\x15\x02\x19\xfc\xff\xff\xff\xff\x07"
        + bytes(91)
        + (100).to_bytes(4, "little")
        + b"PAR1",
        "no-rows.parquet": _table(text=pa.array([], pa.string())),
        "no-columns.parquet": _table(),
        "rows-without-columns.parquet": _table(x=pa.array([None, None], pa.null())),
        "nested-lists.parquet": _table(text=[[[["a"]]]], label=["x"]),
        "maps.parquet": _table(text=pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32()))),
        "dates.parquet": _table(text=["a"], label=[day]),
        "durations.parquet": _table(text=["a"], label=[datetime.timedelta(1)]),
        "accepted-nan-labels.parquet": _table(text=["a"], label=[float("nan")]),
        "numbers-beyond-64-bits.parquet": _table(text=["a"], label=pa.array([2**64 - 1], pa.uint64())),
        "decimals.parquet": _table(text=["a"], label=pa.array([1], pa.decimal128(38, 0))),
        "binary-text.parquet": _table(text=[b"\xff\xfe"], label=["a"]),
        "text-that-is-not-utf-8.parquet": _table(
            text=pa.Array.from_buffers(
                pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
            )
        ),
        "accepted-dictionary.parquet": _table(text=pa.array(["a", "b"]).dictionary_encode(), label=[1, 2]),
        "name-twice.parquet": _twice(),
        "names-of-nothing.parquet": _table(**{"": ["a"], "text": ["b"]}),
        "1000-columns.parquet": _table(**{f"column {n}": [n] for n in range(1000)}),
        "huge-row-count.parquet": _row_count(whole),
        "accepted-features-that-lie.parquet": _features(
            b'{"info": {"features": {"text": {"_type": "Image"}}}}'
        ),
        "features-of-garbage.parquet": _features(b"[" * 2000),
        "features-with-code.parquet": _features(
            b'{"info": {"features": {"text": {"_type": "os.system", "dtype": "__import__"}}}}'
        ),
        "csv.parquet": b"text,label\na,b\n",
        "pickle.parquet": pickle.dumps([{"text": "a"}], 4),
    }


def _twice() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"]), buffer)
    return buffer.getvalue()


def _row_count(whole: bytes) -> bytes:
    """Return a file whose row count, a varint after the schema, is five bytes of ones."""
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    footer = whole[start:-8]
    spot = footer.index(b"\x16\x04\x19")
    longer = footer[:spot] + b"\x16\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x19" + footer[spot + 3 :]
    return whole[:start] + longer + len(longer).to_bytes(4, "little") + b"PAR1"


def _features(text: bytes) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}).replace_schema_metadata({"huggingface": text}), buffer)
    return buffer.getvalue()
