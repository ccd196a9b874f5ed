"""Hub datasets: the real client and library against a hub on this machine, and folders laid out like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.data.hub_server import HubServer, serving
from tests.data.tables import library_data, png, quietly, write_jsonl, write_parquet

from savs.data._hub import HubAddress
from savs.errors import DataError

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD, FOURTH = (digit * 40 for digit in "1234")

# One process reads many addresses: the library and the client look at the environment when they are imported.
READER = """
import json, sys, warnings
from savs.data import count_rows, read_examples
from savs.errors import SAVsError
for address, options in json.loads(sys.stdin.read()):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            examples = read_examples(address, **options)
            found = [[e.id, e.text, e.label, [str(i.source)[:200] for i in e.images]] for e in examples]
        except SAVsError as error:
            found = f"{type(error).__name__} {error}"
    print(json.dumps([found, [str(w.message) for w in caught]]))
"""


def reading(home: Path, asked: list[tuple[str, dict[str, Any]]], **environment: str) -> list[Any]:
    """Return examples or error, and warnings, of each address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(asked),
        env={**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("made")
    quietly(library_data().to_parquet, folder / "a.parquet")
    old = write_parquet(folder / "b.parquet", [{"question": "old", "label": "x"}])
    train, early = (folder / "a.parquet").read_bytes(), old.read_bytes()
    commits = {
        FIRST: {"README.md": b"# x\n", "data/train-00000-of-00001.parquet": early},
        SECOND: {
            "README.md": b"# x\n",
            "data/train-00000-of-00001.parquet": train,
            "data/test-00000-of-00001.parquet": train,
        },
        THIRD: {"data/train.parquet": train, "data/test.parquet": early},
        FOURTH: {"train/cat/1.png": png(1), "train/dog/2.png": png(2)},
    }
    with serving(HubServer(commits, {"main": SECOND, "v1": FIRST, "v2": THIRD, "v3": FOURTH})) as server:
        yield server


def test__hub__served__splits_revisions_errors_then_offline(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    # A folder of that name in the working directory is another dataset.
    write_parquet(tmp_path / "owner" / "name" / "trap.parquet", [{"question": "trap"}])
    named = {"image_column": "image", "label_column": "kind"}
    train = {"split": "train", **named}
    new, again, test, images, old, mixed, split, missing, revision = reading(
        home,
        [
            ("hf://owner/name", train),
            ("hf://datasets/owner/name#train", named),
            ("hf://owner/name", {"split": "test", "limit": 1, **named}),
            ("hf://owner/name@v3", {}),
            ("hf://owner/name@v1", {}),
            ("hf://owner/name@v2", {}),
            ("hf://owner/name", {}),
            ("hf://owner/other", {}),
            ("hf://owner/name", {"revision": "v9"}),
        ],
        HF_ENDPOINT=hub.url,
    )
    rows = [
        ["owner/name/train:1", "p", "cat", [str(png(10))[:200]]],
        ["owner/name/train:2", "q", "dog", [str(png(20))[:200]]],
        ["owner/name/train:3", "r", None, []],
    ]
    assert new == [rows, []]
    assert again == [rows, []]
    assert [row[:2] for row in test[0]] == [["owner/name/test:1", "p"]]
    assert mixed[0].startswith("DataError owner/name: its files differ in their columns")
    assert old == [[["owner/name/train:1", "old", "x", []]], []]
    # Images as files, where the client stored them.
    assert [row[2] for row in images[0]] == ["cat", "dog"]
    assert [Path(row[3][0]).read_bytes() for row in images[0]] == [png(1), png(2)]
    assert all(home in Path(row[3][0]).parents for row in images[0])
    assert split[0] == "DataError owner/name has several splits; name one of train, test (--split)"
    assert missing[0].startswith("DataError owner/other: there is no such dataset on the hub")
    assert revision[0].startswith(
        "DataError owner/name: there is no such dataset on the hub, no such revision"
    )
    assert all("x-error" not in str(one).lower() and hub.url not in str(one) for one in (missing, revision))

    n_asked = len(hub.asked)
    offline, commit, wrong, none = reading(
        home,
        [
            ("hf://owner/name", {"limit": 1}),
            ("hf://owner/name", {"revision": FIRST}),
            ("hf://owner/name@v9", {}),
            ("hf://owner/elsewhere", {}),
        ],
        HF_ENDPOINT=hub.url,
        HF_HUB_OFFLINE="1",
    )
    assert len(hub.asked) == n_asked
    (warning,) = offline[1]
    assert f"revision {FIRST} of the cache is read" in warning  # the one fetched last
    assert commit == [[["owner/name/train:1", "old", "x", []]], []]
    assert wrong[0].endswith(f"the cache holds revision {FIRST}, not v9")
    assert none[0].startswith(
        "DataError owner/elsewhere: the hub cannot be reached and the cache does not hold"
    )


def test__hub__folder_laid_out_like_one__read_like_the_hub(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "big").mkdir(parents=True)
    (clone / "small").mkdir()
    front = (
        "---\nconfigs:\n- config_name: big\n  data_files: big/*.jsonl\n- config_name: small\n  data_files: "
    )
    (clone / "README.md").write_text(front + "small/*.jsonl\n---\n")
    (clone / "photos").mkdir()
    (clone / "photos" / "1.png").write_bytes(png(3))
    rows = [{"image": "photos/1.png", "question": "q", "label": "x"}]
    write_jsonl(clone / "big" / "train.jsonl", rows * 2)
    write_jsonl(clone / "small" / "train.jsonl", rows)
    images = tmp_path / "images"
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(png(4))
    outside = write_parquet(
        tmp_path / "outside" / "data" / "train.parquet",
        [{"image": {"bytes": None, "path": str(tmp_path / "secret.png")}, "question": "q"}],
    )
    (tmp_path / "secret.png").write_bytes(png(1))
    (tmp_path / "empty").mkdir()
    which, small, folder, classes, leaving, empty = reading(
        tmp_path / "home",
        [
            ("hf://./clone", {}),
            ("hf://./clone", {"config": "small"}),
            (f"hf://{clone}#train", {"config": "big"}),
            ("hf://./images", {"split": "train"}),
            (f"hf://{outside.parents[1]}", {}),
            ("hf://./empty", {}),
        ],
        HF_HUB_OFFLINE="1",
    )
    assert which[0] == (
        "DataError clone: choose one of its configurations with config (--config): big, small"
    )
    place = str((clone / "photos" / "1.png").resolve())
    assert small[0] == [["clone/train:1", "q", "x", [place]]]
    assert [row[0] for row in folder[0]] == ["clone/train:1", "clone/train:2"]
    assert [(row[2], Path(row[3][0]).name) for row in classes[0]] == [("cat", "1.png"), ("dog", "2.png")]
    assert "ItemError" in leaving[0] or "MediaError" in leaving[0]
    assert "outside/train:1: the media path" in leaving[0]
    assert "it holds no file that the datasets library reads" in empty[0]


def test__local_sources__nothing_asked_of_the_hub_and_nothing_stored(hub: HubServer, tmp_path: Path) -> None:
    quietly(library_data().to_parquet, tmp_path / "a.parquet")
    quietly(library_data().save_to_disk, tmp_path / "saved")
    n_asked = len(hub.asked)
    for found, warned in reading(tmp_path / "home", [("a.parquet", {}), ("saved", {})], HF_ENDPOINT=hub.url):
        assert ([row[1] for row in found], warned) == (["p", "q", "r"], [])
    assert (len(hub.asked), (tmp_path / "home").exists()) == (n_asked, False)


def test__hub__cache_that_cannot_be_written__says_so(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "data" / "train.parquet", [{"question": "q"}])
    (tmp_path / "file").touch()
    ((found, _),) = reading(tmp_path / "file", [("hf://./set", {})], HF_HUB_OFFLINE="1")
    assert found.startswith(
        "DataError set: the cache of the datasets library (HF_HOME) cannot be read or written"
    )


@pytest.mark.parametrize(
    "address",
    [
        "hf://",
        "hf://a/b/c",
        "hf://owner/../name",
        "hf://owner/na me",
        "hf://owner/name@",
        "hf://owner/name#",
        "hf://-x/y",
        "hf://owner/name\n",
        "hf://\ud800/x",
        "hf://https://x.org/y",
    ],
)
def test__hub_address__malformed__error_that_shows_the_form(address: str) -> None:
    with pytest.raises(DataError, match=r"write hf://owner/name") as caught:
        HubAddress.parse(address)
    assert "\n" not in str(caught.value)


def test__hub_address__parts__read_and_not_contradicted() -> None:
    address = HubAddress.parse("hf://owner/na.me-x@refs/pr/3#train")
    assert (address.name, address.revision, address.split) == ("owner/na.me-x", "refs/pr/3", "train")
    assert HubAddress.parse("hf://squad", "test", "v1") == HubAddress("squad", None, "test", "v1")
    assert HubAddress.parse("hf:///usr/../usr/bin#a") == HubAddress("bin", Path("/usr/bin").resolve(), "a")
    for address in (
        "hf:///no/where",
        "hf://~nobody-here/x",
        "hf://./\0",
        "hf:///" + "x" * 5000,
        "hf:///etc/passwd",
    ):
        with pytest.raises(DataError, match="there is no folder"):
            HubAddress.parse(address)
    assert HubAddress.parse("hf://a/b#train", "train").split == "train"
    with pytest.raises(DataError, match="the split 'train' and the option 'test'"):
        HubAddress.parse("hf://a/b#train", "test")
