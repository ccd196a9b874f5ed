"""The same content by every route into savs gives the same examples."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.hub_server import HubServer, serving
from tests.data.tables import png, quietly, write_jsonl

from savs.backbones.prompts import PromptTemplate
from savs.data import DataWarning, Example, Text, as_examples, read_examples

pytestmark = pytest.mark.slow

FLAT_COMMIT, CHAT_COMMIT, LIBRARY_COMMIT, PLAIN_COMMIT = (digit * 40 for digit in "5678")
COLUMNS = "hint", "code", "day", "flag", "size"
FLAT = [
    {
        "question": 'One, "two"\nthree;',
        "label": "NA",
        "hint": "look left",
        "code": "007",
        "day": "2020-01-01",
        "flag": "true",
        "size": "1,5",
    },
    {
        "question": "q",
        "label": "None",
        "hint": None,
        "code": "08",
        "day": None,
        "flag": "false",
        "size": "1e3",
    },
    {"question": "null", "label": "7", "hint": None, "code": "7", "day": "N/A", "flag": None, "size": "nan"},
]


def picture(shade: int) -> str:
    return "data:image/png;base64," + base64.b64encode(png(shade)).decode()


def chat_rows() -> list[dict[str, Any]]:
    parts = [
        {"type": "image", "image": picture(10)},
        {"type": "text", "text": "Left?"},
        {"type": "image", "image": picture(20)},
    ]
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    ]
    return [
        {"messages": [{"role": "user", "content": parts}], "label": "a"},
        {"messages": [*history, {"role": "user", "content": parts[:2]}], "label": "b"},
        {"messages": [{"role": "user", "content": "No image"}], "label": None},
    ]


def told(examples: list[Example]) -> list[Any]:
    """Return what is in examples: turns, label, other columns, and what a prompt makes of them."""
    prompt = PromptTemplate("Hint: {hint}\n{question}")
    rows = []
    for example in examples:
        turns = [[message.role, [_told(part) for part in message.parts]] for message in example.messages]
        prompted = prompt.apply(example).text if "hint" in example.fields else None
        rows.append([turns, example.label, [example.fields.get(name) for name in COLUMNS], prompted])
    return rows


def _told(part: Any) -> str:
    if isinstance(part, Text):
        return part.text
    return str(part.source.read_bytes() if isinstance(part.source, Path) else part.source)


def library_set(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(rows, on_mixed_types="use_json")


def by_file(rows: list[dict[str, Any]], folder: Path) -> dict[str, list[Example]]:
    write_jsonl(folder / "a.jsonl", rows)
    (folder / "a.json").write_text(json.dumps(rows))
    write_jsonl(folder / "lines.json", rows)
    quietly(library_set(rows).to_parquet, folder / "library.parquet")
    quietly(library_set(rows).save_to_disk, folder / "saved")
    paths = ("a.jsonl", "a.json", "lines.json", "library.parquet", "saved")
    return {path: read_examples(folder / path) for path in paths}


def in_memory(rows: list[dict[str, Any]]) -> dict[str, list[Example]]:
    return {
        "list of dicts": as_examples(rows),
        "datasets.Dataset": as_examples(library_set(rows)),
        "pandas records": as_examples(pd.DataFrame(rows).to_dict("records")),
    }


def test__flat_rows__every_route__same_examples(tmp_path: Path) -> None:
    table = pd.DataFrame(FLAT)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "b.csv", index=False, sep=";")
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    pq.write_table(pa.Table.from_pylist(FLAT), tmp_path / "arrow.parquet")
    coded = pa.table({name: pa.array([row[name] for row in FLAT]).dictionary_encode() for name in FLAT[0]})
    pq.write_table(coded, tmp_path / "coded.parquet")
    table.to_parquet(tmp_path / "pandas.parquet")
    paths = ("a.csv", "b.csv", "a.tsv", "arrow.parquet", "coded.parquet", "pandas.parquet")
    found = {
        **{path: read_examples(tmp_path / path) for path in paths},
        **by_file(FLAT, tmp_path),
        **in_memory(FLAT),
    }
    expected = [
        [
            [["user", [row["question"]]]],
            row["label"],
            [row[name] for name in COLUMNS],
            f"Hint: {row['hint'] or ''}\n{row['question']}",
        ]
        for row in FLAT
    ]
    assert {name: told(examples) for name, examples in found.items()} == dict.fromkeys(found, expected)


def test__chat_rows__every_route__images_reach_the_example(tmp_path: Path) -> None:
    rows = chat_rows()
    found = {**by_file(rows, tmp_path), **in_memory(rows)}
    images = str(png(10)), str(png(20))
    expected = [
        [["user", [images[0], "Left?", images[1]]]],
        [["user", ["Hello"]], ["assistant", ["Hi"]], ["user", [images[0], "Left?"]]],
        [["user", ["No image"]]],
    ]
    for name, examples in found.items():
        assert [row[0] for row in told(examples)] == expected, name
        assert [example.label for example in examples] == ["a", "b", None], name


def test__json_column__text_that_is_damaged__error_with_row_and_column(tmp_path: Path) -> None:
    texts = pa.array(['{"a": 1}', '{"a":'], pa.string())
    table = pa.table({"question": ["p", "q"], "extra": pa.ExtensionArray.from_storage(pa.json_(), texts)})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(Exception, match=r"a\.parquet:2: column 'extra' is of type arrow\.json") as caught:
        read_examples(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


def test__json_column__nested_in_lists_structs_and_maps__decoded(tmp_path: Path) -> None:
    kind = pa.json_()
    cells = pa.ExtensionArray.from_storage(kind, pa.array(['{"a": [1]}', "null", '"x"'], pa.string()))
    table = pa.table(
        {
            "question": ["p", "q", "r"],
            "one": cells,
            "many": pa.ListArray.from_arrays([0, 2, 3, 3], cells),
            "inside": pa.StructArray.from_arrays([cells, pa.array([1, 2, 3])], ["json", "number"]),
            "pairs": pa.MapArray.from_arrays([0, 1, 2, 3], pa.array(["k", "l", "m"]), cells),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    fields = [example.fields for example in read_examples(tmp_path / "a.parquet")]
    assert [row["one"] for row in fields] == [{"a": [1]}, None, "x"]
    assert [row["many"] for row in fields] == [[{"a": [1]}, None], ["x"], []]
    assert [row["inside"]["json"] for row in fields] == [{"a": [1]}, None, "x"]
    assert [row["pairs"] for row in fields] == [[("k", {"a": [1]})], [("l", None)], [("m", "x")]]


@pytest.mark.parametrize("ids", [["1", "a"], [1, "a"]])
def test__json_column__as_id__read_in_every_shard(tmp_path: Path, ids: list[Any]) -> None:
    texts = pa.array([json.dumps(one) for one in ids], pa.string())
    table = pa.table({"question": ["p", "q"], "id": pa.ExtensionArray.from_storage(pa.json_(), texts)})
    pq.write_table(table, tmp_path / "a.parquet")
    parts = [read_examples(tmp_path / "a.parquet", shard=(number, 2)) for number in range(2)]
    assert [example.id for part in parts for example in part] == ["1", "a"]


# By hf://, where the library finds and fetches the files.

READER = """
import json, sys, warnings
from savs.data import adopt_label_type, read_examples
from savs.errors import SAVsError
from tests.data.test_routes import told
for address, options in json.loads(sys.stdin.read()):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            examples = read_examples(address, **options)
            adopted = [repr(one.label) for one in adopt_label_type(examples, address, [7, True])]
            found = [told(examples), [example.id for example in examples], adopted]
        except SAVsError as error:
            found = f"{type(error).__name__} {error}"
    print(json.dumps([found, [str(w.message) for w in caught]]))
"""


def reading(home: Path, asked: list[tuple[str, dict[str, Any]]], **environment: str) -> list[Any]:
    """Return examples or error, and warnings, of each address, read by a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    path = os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(asked),
        env={
            **kept,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": path,
            **environment,
        },
        cwd=home.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("routes")
    pd.DataFrame(FLAT).to_csv(folder / "a.csv", index=False)
    quietly(library_set(chat_rows()).to_parquet, folder / "chat.parquet")
    lines = write_jsonl(folder / "chat.jsonl", chat_rows()).read_bytes()
    plain = write_jsonl(folder / "flat.jsonl", FLAT).read_bytes()
    table = (folder / "a.csv").read_bytes()
    declared = (
        b"---\ndataset_info:\n  features:\n  - name: question\n    dtype: string\n"
        b"  - name: label\n    dtype:\n"
        b"      class_label:\n        names:\n          '0': cat\n          '1': dog\n---\n"
    )
    commits = {
        FLAT_COMMIT: {"README.md": b"# x\n", "train.csv": table, "test.csv": b"question;label\r\nq;1,5\r\n"},
        CHAT_COMMIT: {"README.md": b"# x\n", "data/train.jsonl": lines},
        LIBRARY_COMMIT: {"README.md": b"# x\n", "data/train.parquet": (folder / "chat.parquet").read_bytes()},
        PLAIN_COMMIT: {
            "README.md": declared,
            "train.csv": b"question,label\np,1\nq,cat\nr,\n",
            "test.csv": b"question,label\np,2\n",
        },
    }
    refs = {"main": FLAT_COMMIT, "chat": CHAT_COMMIT, "library": LIBRARY_COMMIT, "declared": PLAIN_COMMIT}
    with serving(HubServer(commits, refs)) as server:
        server.commits["9" * 40] = {"README.md": b"# x\n", "data/train.jsonl": plain}
        server.refs["lines"] = "9" * 40
        yield server


def test__hub__text_and_json_columns__read_as_by_path(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "a.csv").write_bytes(hub.commits[FLAT_COMMIT]["train.csv"])
    flat = told(read_examples(tmp_path / "a.csv"))
    write_jsonl(tmp_path / "chat.jsonl", chat_rows())
    chat = told(read_examples(tmp_path / "chat.jsonl"))
    table, semicolons, lines, library, jsonl, declared, none = reading(
        home,
        [
            ("hf://owner/name#train", {}),
            ("hf://owner/name#test", {}),
            ("hf://owner/name@chat", {}),
            ("hf://owner/name@library", {}),
            ("hf://owner/name@lines", {}),
            ("hf://owner/name@declared#train", {}),
            ("hf://owner/name@declared#test", {}),
        ],
        HF_ENDPOINT=hub.url,
    )
    rows, ids, adopted = table[0]
    assert (rows, ids, table[1]) == (flat, [f"owner/name/train:{row}" for row in (1, 2, 3)], [])
    assert adopted == ["'NA'", "'None'", "7"]
    assert [row[1] for row in semicolons[0][0]] == ["1,5"]
    assert [one[0][0] for one in (lines, library, jsonl)] == [chat, chat, flat]
    assert [one[1] for one in (semicolons, lines, library, jsonl, declared)] == [[]] * 5
    assert [row[1] for row in declared[0][0]] == ["dog", "cat", None]
    assert none[0] == ("DataError owner/name/test.csv:2: '2' in column 'label' is none of its 2 classes")

    offline, of_revision, unknown = reading(
        home,
        [
            ("hf://owner/name#train", {"revision": FLAT_COMMIT}),
            ("hf://owner/name@9999#train", {"revision": "9999"}),
            ("hf://owner/name#train", {}),
        ],
        HF_ENDPOINT=hub.url,
        HF_HUB_OFFLINE="1",
    )
    assert (offline[0][:2], offline[1]) == ([flat, ids], [])
    assert of_revision[0].startswith("DataError owner/name: ")
    assert "of the cache is read" in unknown[1][0]


def test__hub__csv_with_settings_of_its_own__read_by_the_library_with_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    front = "---\nconfigs:\n- config_name: default\n  data_files: a.csv\n  skiprows: 1\n---\n"
    (folder / "README.md").write_text(front)
    (folder / "a.csv").write_text("made by hand\nquestion,label\nq,x\n")
    ((found, warned),) = reading(tmp_path / "home", [("hf://./set", {})], HF_HUB_OFFLINE="1")
    assert [row[1] for row in found[0]] == ["x"]
    (warning,) = warned
    assert "its description sets skiprows" in warning


METADATA = b"file_name,label,question,day\n1.png,007,NA,2020-01-01\n./deep/2.png,08,,\n"


def metadata_files(metadata: bytes, name: str = "metadata.csv") -> dict[str, bytes]:
    images = {"train/1.png": png(1), "train/deep/2.png": png(2), "train/3.png": png(3)}
    return {**images, f"train/{name}": metadata}


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test__hub__metadata_beside_images__read_as_by_path(tmp_path: Path) -> None:
    files = metadata_files(METADATA)
    write_files(tmp_path / "set", files)
    with pytest.warns(
        DataWarning, match=r"are left out, as it does not name them \(1, the first is 3\.png\)"
    ):
        expected = told(read_examples(tmp_path / "set" / "train"))
    commit = "8" * 40
    with serving(HubServer({commit: {"README.md": b"# x\n", **files}}, {"main": commit})) as server:
        of_folder, of_hub = reading(
            tmp_path / "home", [("hf://./set", {}), ("hf://owner/name", {})], HF_ENDPOINT=server.url
        )
    offline, of_main = reading(
        tmp_path / "home",
        [("hf://owner/name", {"revision": commit}), ("hf://owner/name", {})],
        HF_ENDPOINT=server.url,
        HF_HUB_OFFLINE="1",
    )
    for name, (found, warned) in (("set", of_folder), ("owner/name", of_hub), ("owner/name", offline)):
        assert found[0] == expected
        assert [row[1] for row in found[0]] == ["007", "08"]
        assert found[1] == [f"{name}/train:1", f"{name}/train:2"]
        (warning,) = warned
        assert warning == (
            f"{name}/train: 1 files beside its metadata are left out, as it does not name them, the first is "
            f"{name}/train/3.png; add rows for them"
        )
    assert of_main[0] == offline[0]
    assert "of the cache is read" in of_main[1][0]


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        (
            "metadata.csv",
            b"file_name,label\n1.png,a\nnope.png,b\n",
            "3: the metadata names 'nope.png', and there is",
        ),
        ("metadata.csv", b"file_name,label\n../test/1.png,a\n", "2: the metadata names '../test/1.png', and"),
        (
            "metadata.csv",
            b"name,label\n1.png,a\n",
            "2: the metadata names no file: there is no column file_name",
        ),
        ("metadata.jsonl", b'{"file_name": "1.png", "n": 1e400}\n', "1: 1e400 is too large"),
    ],
)
def test__hub__metadata_that_does_not_fit__error_with_file_and_line(
    tmp_path: Path, name: str, metadata: bytes, message: str
) -> None:
    write_files(tmp_path / "set", {"test/1.png": png(1), **metadata_files(metadata, name)})
    ((found, _),) = reading(tmp_path / "home", [("hf://./set#train", {})], HF_HUB_OFFLINE="1")
    assert found.startswith(f"DataError set/train/{name}:{message}")


def test__hub__metadata_lines_with_several_images__each_in_its_column(tmp_path: Path) -> None:
    rows = [
        {"file_names": ["1.png", "3.png"], "label": "2020-01-01"},
        {"file_name": None, "question": "no image", "label": "12345678901234567890123"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    write_files(tmp_path / "set", metadata_files(lines, "metadata.jsonl"))
    ((found, _),) = reading(tmp_path / "home", [("hf://./set", {})], HF_HUB_OFFLINE="1")
    assert [row[1] for row in found[0]] == ["2020-01-01", "12345678901234567890123"]
