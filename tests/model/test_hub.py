"""`push_to_hub` and `from_pretrained("owner/name")` against a real HTTP server that behaves like the hub."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import savs

pytestmark = pytest.mark.slow

COMMIT, OTHER = "a" * 40, "b" * 40

PUSH = """
from savs import SAVModel
from savs.backbones import FakeBackbone
texts = [f"{word} {n}" for n in range(4) for word in ("apple", "brick", "cloud")]
model = SAVModel(FakeBackbone(), prompt="What is it?", method="hec_v", n_heads=8)
model.fit(texts, ["fruit", "stone", "sky"] * 4)
model.push_to_hub("owner/name", token="hf_x", commit_message="first")
print(*model.predict(["apple 9", "brick 9"]))
"""

PULL = """
import sys
from savs import SAVModel
from savs.backbones import FakeBackbone
from savs.errors import ArtifactError
revision = sys.argv[2] if len(sys.argv) > 2 else None
try:
    model = SAVModel.from_pretrained(sys.argv[1], backbone=FakeBackbone(), revision=revision)
    print(*model.predict(["apple 9", "brick 9"]))
except ArtifactError as error:
    print("ArtifactError", error)
"""


class Hub(ThreadingHTTPServer):
    """One repository, ``owner/name``: files by name at the commit of branch ``main``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.describe(parts)
        elif parts[2:4] == ["resolve", COMMIT] and parts[4] in self.server.files:
            content = self.server.files[parts[4]]
            self.reply(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"')
        else:
            self.reply(404, b"{}", **{"X-Error-Code": "EntryNotFound"})

    def describe(self, parts: list[str]) -> None:
        revision = parts[5] if len(parts) > 5 else "main"
        if parts[2:4] != ["owner", "name"]:
            self.reply(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        elif revision not in {"main", COMMIT}:
            self.reply(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        elif "tree" in parts:
            files = self.server.files.items()
            self.json([{"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in files])
        else:
            names = [{"rfilename": name} for name in self.server.files]
            self.json({"id": "owner/name", "sha": COMMIT, "siblings": names, "private": False, "tags": []})

    def do_POST(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            self.json({"url": f"{self.server.url}/owner/name", "id": "owner/name"})
        elif path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            self.json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif path.endswith("/commit/main"):
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.files[entry["value"]["path"]] = content
            self.json({"commitUrl": f"{self.server.url}/owner/name/commit/{COMMIT}", "commitOid": COMMIT})
        elif path == "/api/validate-yaml":
            self.json({"errors": [], "warnings": []})
        else:
            self.reply(404, b"{}")

    def json(self, answer: Any) -> None:
        self.reply(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})

    def reply(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a program whose hub is the server, and returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "SAVS_HOME": str(tmp_path / "savs"),
        "PYTHONPATH": str(Path(savs.__file__).parents[1]),
    }

    def run(program: str, *arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    return run


def test__push_and_pull__same_answers_and_no_pickle(hub: Hub, python: Callable[..., str]) -> None:
    answers = python(PUSH)
    assert sorted(name.split(".")[-1] for name in hub.files) == ["json", "md", "safetensors"]
    assert b"library_name: savs" in hub.files["README.md"]
    hub.requests.clear()
    assert python(PULL, "owner/name") == answers
    assert not [request for request in hub.requests if request.startswith("POST")]
    assert python(PULL, "owner/name", COMMIT) == answers


def test__pull__unknown_name_or_revision__one_line(python: Callable[..., str]) -> None:
    python(PUSH)
    for arguments in (["owner/other"], ["owner/name", OTHER]):
        message = python(PULL, *arguments)
        assert message.startswith("ArtifactError owner/")
        assert len(message.splitlines()) == 1


def test__folder_or_mistyped_path__never_asks_the_hub(
    hub: Hub, python: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    for place in ("owner/name", "no/such/folder", "./owner/other", str(tmp_path / "nothing")):
        assert python(PULL, place).startswith("ArtifactError")
    assert hub.requests == []
