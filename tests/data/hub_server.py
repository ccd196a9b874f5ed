"""A hub on this machine: serves one dataset to the real client, as ``HF_ENDPOINT``."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

Files = dict[str, bytes]
Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class HubServer:
    """The dataset ``owner/name`` with its commits.

    Attributes
    ----------
    commits : dict
        Files by commit.
    refs : dict
        Commits by branch or tag.
    asked : list of str
        Method and path of every request.
    """

    commits: dict[str, Files]
    refs: dict[str, str]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, query: str, body: bytes) -> Answer:
        self.asked.append(f"{method} {path}")
        match path.strip("/").split("/"):
            case ["api", "datasets", "owner", "name", "revision", revision] if self._has(revision):
                return self._json({"id": "owner/name", "sha": self._commit(revision), "siblings": []})
            case ["api", "datasets", "owner", "name", "tree", revision, *parts] if self._has(revision):
                deep = "recursive=true" in query.lower()
                return self._tree(self.commits[self._commit(revision)], parts, deep)
            case ["api", "datasets", "owner", "name", "paths-info", revision] if self._has(revision):
                files = self.commits[self._commit(revision)]
                wanted = json.loads(body).get("paths", [])
                return self._json([_entry(name, files[name]) for name in wanted if name in files])
            case ["datasets", "owner", "name", "resolve", revision, *parts] if self._has(revision):
                return self._file(self._commit(revision), "/".join(parts))
            case ["api", "datasets", "owner", "name", *_] | ["datasets", "owner", "name", *_]:
                return 404, b"{}", {"X-Error-Code": "RevisionNotFound"}
        return 404, b"{}", {"X-Error-Code": "RepoNotFound"}

    def _has(self, revision: str) -> bool:
        return self._commit(revision) in self.commits

    def _commit(self, revision: str) -> str:
        return self.refs.get(revision, revision)

    def _tree(self, files: Files, parts: list[str], deep: bool) -> Answer:
        depth = len(parts)
        inside = [name for name in files if name.split("/")[:depth] == parts]
        if not inside:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound"}
        folders = {
            name.rsplit("/", up)[0]
            for name in inside
            for up in range(1, name.count("/") - depth + 1)
            if deep or up == name.count("/") - depth
        }
        entries = [_entry(name, files[name]) for name in inside if deep or name.count("/") == depth]
        return self._json(entries + [{"type": "directory", "path": name, "oid": "0"} for name in folders])

    def _file(self, commit: str, name: str) -> Answer:
        if name not in self.commits[commit]:
            return 404, b"", {"X-Error-Code": "EntryNotFound"}
        content = self.commits[commit][name]
        return 200, content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": commit}

    def _json(self, value: object) -> Answer:
        return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}


@contextmanager
def serving(hub: HubServer) -> Iterator[HubServer]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = urlparse(self.path)
            path = unquote(address.path)
            status, content, headers = hub.answer(self.command, path, address.query, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
