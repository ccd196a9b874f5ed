"""A TLS server on this machine whose pages are functions of the connection, and a `Fetcher` that finds it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from savs.media import Fetcher, UrlPolicy
from savs.media.addresses import tls_context

CERTIFICATES = Path(__file__).parent / "certificates"
HOST = "pictures.example.org"  # the certificate names it

Page = Callable[[ssl.SSLSocket], None]


def answer(body: bytes = b"", status: str = "200 OK", length: int | None = -1, **headers: str) -> Page:
    """Return a page with a body; `length` None leaves Content-Length out, -1 is the true one."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items())]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def raw(content: bytes) -> Page:
    return lambda sock: sock.sendall(content)


class Server:
    """Answers each path by its page, each connection in its own thread."""

    def __init__(self, certificate: str) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[bytes] = []
        self.n_connections = 0
        self.over = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def url(self, path: str, page: Page | None = None, host: str = HOST) -> str:
        """Return the address of a path, whose page this becomes."""
        if page is not None:
            self.pages[path.partition("?")[0]] = page
        return f"https://{host}:{self.port}{path}"

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.n_connections += 1
            thread = threading.Thread(target=self._answer, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(10)
            with self._context.wrap_socket(sock, server_side=True) as secured:
                request = b""
                while b"\r\n\r\n" not in request:
                    received = secured.recv(65536)
                    if not received:
                        return
                    request += received
                self.requests.append(request)
                path = request.split()[1].decode().partition("?")[0]
                self.pages.get(path, answer(b"secret server text", "404 Not Found"))(secured)
                secured.unwrap()


@contextlib.contextmanager
def serving(certificate: str = "pictures.pem") -> Iterator[Server]:
    server = Server(certificate)
    try:
        yield server
    finally:
        server.close()


def trusting() -> ssl.SSLContext:
    """Return the context of the real thing, with the tests' authority instead of the system's."""
    context = tls_context()
    context.load_verify_locations(CERTIFICATES / "authority.pem")
    return context


def fetcher_for(server: Server, hosts: tuple[str, ...] | None = None, **changed: Any) -> Fetcher:
    """Return a fetcher that finds every host on this machine, where loopback alone is no reason to refuse."""
    parts = {name: changed.pop(name) for name in ("resolver", "denied", "context") if name in changed}
    parts = {
        "resolver": lambda _host, _port: ["127.0.0.1"],
        "denied": lambda address: not address.is_loopback,
        "context": trusting(),
        **parts,
    }
    policy = UrlPolicy(hosts or (f"{HOST}:{server.port}",), **{"deadline_s": 10.0, **changed})
    return Fetcher(policy, **parts)
