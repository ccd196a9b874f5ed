"""Hub names: a cache laid out as the hub's client lays it out, and a small hub of our own on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import savs
from savs.backbones import load_backbone
from savs.errors import BackboneError

pytestmark = pytest.mark.slow

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"

LOAD = """
import json, sys
from savs.backbones import load_backbone
from savs.errors import BackboneError
answers = []
for options in json.loads(sys.argv[1]):
    try:
        found = load_backbone("owner/name", **options).fingerprint
        answers.append({key: found[key] for key in ("source", "revision", "commit")})
    except BackboneError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""


@pytest.fixture(autouse=True)
def client(tmp_path, monkeypatch) -> Any:
    """The hub client's settings, as its environment variables set them at import, on an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(tmp_path / "xet"))

    def change(name: str, value: Any) -> None:
        monkeypatch.setattr(constants, name, value)
        if name == "ENDPOINT":
            template = value + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return change


def refused(**options: Any) -> tuple[str, float]:
    """Return the error of loading ``owner/name``, and the seconds until then."""
    start = time.perf_counter()
    with pytest.raises(BackboneError) as error:
        load_backbone("owner/name", **options)
    assert "\n" not in str(error.value)
    return str(error.value), time.perf_counter() - start


def cached(folder: Path, home: Path, revisions: dict[str, str]) -> Path:
    """Lay a model out in a hub cache: blobs, a snapshot of links to them, and a file per branch or tag."""
    root = home / "hub" / "models--owner--name"
    for commit in set(revisions.values()):
        snapshot = root / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (root / "blobs").mkdir(exist_ok=True)
        for path in folder.iterdir():
            blob = root / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            shutil.copyfile(path, blob)
            (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    for name, commit in revisions.items():
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / name).write_text(commit)
    return root


def test__offline__cached_revisions__resolved_to_their_commits(folder_of, tmp_path) -> None:
    cached(folder_of("llama"), tmp_path, {"main": COMMIT, "v1": OTHER})
    bad = [{"revision": "../main"}, {"revision": ""}, {"revision": "/etc"}, {"revision": "a/../main"}]
    wanted = [*bad, {}, {"revision": "main"}, {"revision": "v1"}, {"revision": COMMIT}, {"revision": "v2"}]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "SAVS_HOME": str(tmp_path / "savs")}
    environment["PYTHONPATH"] = str(Path(savs.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", LOAD, json.dumps(wanted)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    answers = json.loads(done.stdout)
    assert done.stderr == ""
    assert all("not the name of a branch" in answer["error"] for answer in answers[: len(bad)])
    del answers[: len(bad)]
    assert [answer.get("commit") for answer in answers] == [COMMIT, COMMIT, OTHER, COMMIT, None]
    assert [answer.get("revision") for answer in answers] == [None, "main", "v1", COMMIT, None]
    assert {answer.get("source") for answer in answers[:4]} == {"owner/name"}
    assert "owner/name at revision v2" in answers[4]["error"]
    assert "offline mode is on (HF_HUB_OFFLINE)" in answers[4]["error"]
    assert "\n" not in answers[4]["error"]


def test__unreachable_hub__error_within_seconds_or_the_cache(client, folder_of, tmp_path, capfd) -> None:
    with socket.socket() as taken:  # bound, never listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        client("ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        message, seconds = refused()
        assert "the hub cannot be reached" in message
        assert seconds < 8
        cached(folder_of("llama"), tmp_path, {"main": COMMIT})
        capfd.readouterr()
        assert load_backbone("owner/name").fingerprint["commit"] == COMMIT
    assert capfd.readouterr() == ("", "")


def test__silent_hub__given_up_after_seconds(client) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client("ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        message, seconds = refused()
    assert "the hub cannot be reached" in message
    assert seconds < 15


class Hub(ThreadingHTTPServer):
    """Serves one folder as the model ``owner/name`` with one commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.describe(parts, body)
        elif parts[2:4] == ["resolve", COMMIT] and (self.server.folder / parts[4]).is_file():
            content = (self.server.folder / parts[4]).read_bytes()
            self.reply(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, body)
        else:
            self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)

    def describe(self, parts: list[str], body: bool) -> None:
        revision = parts[5] if len(parts) > 5 else "main"
        if revision not in {"main", COMMIT}:
            status, _, code = revision.partition("-")
            known = status.isdigit()
            headers = {"X-Error-Code": code if known else "RevisionNotFound"}
            self.reply(int(status) if known else 404, b"{}", headers, body)
            return
        paths = sorted(self.server.folder.iterdir())
        files = [{"rfilename": path.name} for path in paths]
        answer: Any = {"id": "owner/name", "sha": COMMIT, "siblings": files, "private": False, "tags": []}
        if "tree" in parts:
            answer = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0"} for path in paths
            ]
        self.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, body)

    def reply(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(client, folder_of, tmp_path) -> Iterator[Hub]:
    folder = tmp_path / "served"
    shutil.copytree(folder_of("llama"), folder)
    (folder / "consolidated.00.pth").write_bytes(b"the same weights in another format")
    (folder / "pytorch_model.bin").write_bytes(b"and in a third")
    server = Hub(folder)
    client("ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test__hub__downloads_one_commit_and_one_format_of_the_weights(hub, client, folder_of, capfd) -> None:
    expected = load_backbone(folder_of("llama")).fingerprint["weights_digest"]
    capfd.readouterr()
    found = load_backbone("owner/name", revision="main").fingerprint
    assert capfd.readouterr() == ("", "")  # bars are for terminals
    assert (found["source"], found["revision"], found["commit"]) == ("owner/name", "main", COMMIT)
    assert found["weights_digest"] == expected
    fetched = {line.split("/")[-1] for line in hub.requests if line.startswith("GET /owner")}
    assert "model.safetensors" in fetched
    assert not fetched & {"consolidated.00.pth", "pytorch_model.bin"}
    assert not [line for line in hub.requests if "/resolve/main/" in line]
    client("HF_HUB_OFFLINE", True)
    assert load_backbone("owner/name").fingerprint["weights_digest"] == expected


def test__hub__download_bars__on_a_terminal_and_the_setting_stays(hub, capfd, monkeypatch) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled

    before = are_progress_bars_disabled()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_backbone("owner/name", progress=False)
    assert "%|" not in capfd.readouterr().err
    shutil.rmtree(hub.folder.parent / "hub")
    load_backbone("owner/name")
    assert "%|" in capfd.readouterr().err
    assert are_progress_bars_disabled() == before


def test__hub__refusals__one_line_that_says_which(hub) -> None:
    expected = {
        "no-such-revision": "the hub has no revision no-such-revision of it",
        "404-RepoNotFound": "no such model on the hub",
        "403-GatedRepo": "accepted its terms",
        "503-Busy": "the hub cannot be reached (status 503)",
    }
    for revision, said in expected.items():
        message, seconds = refused(revision=revision)
        assert said in message
        assert seconds < 8
    assert not [line for line in hub.requests if "/resolve/" in line]


@pytest.fixture
def gguf_folder(tmp_path) -> Path:
    """What a hub repository of GGUF files has: two quantizations and a projector, no configuration."""
    pytest.importorskip("gguf")
    from tests.backbones.gguf_files import write_gguf

    folder = tmp_path / "ggufs"
    folder.mkdir()
    write_gguf(folder / "small-Q8_0.gguf")
    write_gguf(folder / "small-F16.gguf", "F16")
    (folder / "mmproj-small-f16.gguf").write_bytes(b"GGUF")
    return folder


def test__hub__repository_of_gguf_files__the_one_that_is_named(hub, client, gguf_folder) -> None:
    hub.folder = gguf_folder
    message, _ = refused()
    assert "there are 2 GGUF files: small-F16.gguf, small-Q8_0.gguf; " in message
    assert "such as owner/name/small-F16.gguf" in message
    name = "owner/name/small-Q8_0.gguf"
    found = load_backbone(name).fingerprint
    assert (found["source"], found["commit"]) == (name, COMMIT)
    assert found["quantization"]["weights"]["Q8_0"] == 16
    fetched = {line.split("/")[-1] for line in hub.requests if line.startswith("GET /owner")}
    assert {file for file in fetched if "gguf" in file} == {"small-Q8_0.gguf"}
    client("HF_HUB_OFFLINE", True)
    assert load_backbone(name).fingerprint == found
    with pytest.raises(
        BackboneError, match=r"^owner/name/none\.gguf: there is no such folder here, it is not in"
    ):
        load_backbone("owner/name/none.gguf")


def test__hub__repository_with_one_gguf_file__is_that_model(hub, client, gguf_folder) -> None:
    (gguf_folder / "small-F16.gguf").unlink()
    hub.folder = gguf_folder
    found = load_backbone("owner/name").fingerprint
    assert (found["source"], found["quantization"]["method"]) == ("owner/name", "gguf")
    client("HF_HUB_OFFLINE", True)
    assert load_backbone("owner/name").fingerprint == found


@pytest.mark.usefixtures("hub")
def test__hub__file_that_the_repository_does_not_have__one_line() -> None:
    with pytest.raises(BackboneError, match=r"^owner/name: the hub has no file other\.gguf of it$"):
        load_backbone("owner/name/other.gguf")
