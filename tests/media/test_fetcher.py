"""Files by address from a real TLS server that behaves, and from one that does not."""

from __future__ import annotations

import gzip
import os
import resource
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.media.address_server import HOST, Server, answer, fetcher_for, raw, serving, trusting

from savs.errors import MediaError
from savs.media import Fetcher, UrlPolicy
from savs.media.addresses import tls_context

pytestmark = pytest.mark.slow

BODY = bytes(range(256)) * 1000
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def _running() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(_running: Server) -> Server:
    _running.pages.clear()
    _running.requests.clear()
    _running.n_connections = 0
    return _running


@pytest.fixture
def fetch(server: Server) -> Iterator[Fetcher]:
    with fetcher_for(server) as made:
        yield made


def failure(fetch: Fetcher, url: str, kind: str = "image") -> MediaError:
    """Return the error of an address: one line that names the host and nothing that the server said."""
    with pytest.raises(MediaError) as caught:
        fetch(url, kind)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert HOST in text
    assert TOKEN not in text
    assert "secret server text" not in text
    return caught.value


def chunked(body: bytes):
    return answer(body, length=None, Transfer_Encoding="chunked")


def dripping(parts: Iterator[bytes], over: threading.Event, pause: float):
    def page(sock) -> None:
        for part in parts:
            sock.sendall(part)
            if over.wait(pause):
                return

    return page


def endless(start: bytes, block: bytes):
    def page(sock) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(block)

    return page


def test__fetcher__whole_file__in_a_private_folder(server: Server, fetch: Fetcher) -> None:
    path = fetch(server.url(f"/a.png?token={TOKEN}", answer(BODY)), "image")
    assert path.read_bytes() == BODY
    assert TOKEN not in str(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test__fetcher__request__asks_for_the_file_and_tells_nothing_else(
    server: Server, fetch: Fetcher, monkeypatch
):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fetch(server.url(f"/a%20b.png?token={TOKEN}&x=ä#part", answer(BODY, Set_Cookie="a=b")), "image")
    fetch(server.url("/b.png", answer(BODY)), "image")
    first, second = (request.decode().split("\r\n") for request in server.requests)
    assert first[0] == f"GET /a%20b.png?token={TOKEN}&x=%C3%A4 HTTP/1.1"
    assert f"Host: {HOST}:{server.port}" in first
    assert "Accept-Encoding: identity" in first
    names = {line.partition(":")[0] for line in second[1:] if line}
    assert names == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


@pytest.mark.parametrize(
    "page",
    [
        answer(BODY, length=None),
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY),
        chunked(b"%x;ext=1\r\n%b\r\n0\r\ntrailer: x\r\n\r\n" % (len(BODY), BODY)),
        answer(BODY, Content_Encoding="identity"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 256000\r\n\r\n" + BODY),
    ],
)  # fmt: skip
def test__fetcher__every_way_to_send_a_body__read(server: Server, fetch: Fetcher, page) -> None:
    assert fetch(server.url("/a", page), "image").read_bytes() == BODY


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "304 N", "307 T", "308 P", "399 ?"])
def test__fetcher__redirect__told_and_not_followed(server: Server, fetch: Fetcher, status: str) -> None:
    server.pages["/there"] = answer(BODY)
    page = answer(b"", status, Location=server.url("/there?secret server text"))
    error = failure(fetch, server.url("/here", page))
    assert error.code == "url_redirect"
    assert status[:3] in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["404 Not Found", "201 C", "204 N", "206 P", "103 E", "401 U", "500 I", "999 X"]
)
def test__fetcher__another_status__told(server: Server, fetch: Fetcher, status: str) -> None:
    error = failure(fetch, server.url("/a", answer(b"", status)))
    assert error.code == "url_status"
    assert status[:3] in str(error)


def test__fetcher__compressed__refused(server: Server, fetch: Fetcher) -> None:
    for number, coding in enumerate(("gzip", "br", "GZIP", "deflate, identity", "x")):
        page = answer(gzip.compress(BODY), Content_Encoding=coding)
        assert failure(fetch, server.url(f"/{number}", page)).code == "url_encoding"
    page = answer(gzip.compress(BODY), length=None, Transfer_Encoding="gzip, chunked")
    assert failure(fetch, server.url("/t", page)).code == "url_failed"


def test__fetcher__as_long_as_allowed__read_and_a_byte_more_refused(server: Server) -> None:
    with fetcher_for(server, max_bytes=1000) as fetch:
        for number, length in enumerate((-1, None)):
            assert (
                fetch(server.url(f"/a{number}", answer(BODY[:1000], length=length)), "image").stat().st_size
                == 1000
            )
            error = failure(fetch, server.url(f"/b{number}", answer(BODY[:1001], length=length)))
            assert error.code == "url_too_large"


def test__fetcher__length_promised_beyond_the_limit__refused_unread(server: Server) -> None:
    with fetcher_for(server, max_bytes=1000) as fetch:
        for number, length in enumerate((1001, 10**30)):
            error = failure(fetch, server.url(f"/{number}", answer(b"", length=length)))
            assert error.code == "url_too_large"


@pytest.mark.parametrize(
    ("start", "block"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", bytes(65536)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"trailer: x\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"HTTP/1.1 100 Continue\r\n", b"header: x\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"header: x\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nheader: ", bytes(65536)),
        (b"", b"HTTP" * 10000),
    ],
)
def test__fetcher__endless__ends_soon_with_an_error(server: Server, start: bytes, block: bytes) -> None:
    began = time.monotonic()
    with fetcher_for(server, max_bytes=100_000) as fetch:
        error = failure(fetch, server.url("/a", endless(start, block)))
        assert error.code in {"url_too_large", "url_failed"}
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "page",
    [
        answer(BODY, length=len(BODY) + 1),
        chunked(b"%x\r\n%b" % (len(BODY) + 1, BODY)),
        chunked(b"%x\r\n%b\r\n" % (len(BODY), BODY)),
        chunked(b"zz\r\n%b\r\n0\r\n\r\n" % BODY),
        answer(b""),
        answer(b"", length=None),
        chunked(b"0\r\n\r\n"),
        raw(b""),
        raw(b"\r\n\r\n"),
        raw(b"secret server text"),
        raw(b"HTTP/1.1 secret server text\r\n\r\n"),
        raw(b"SSH-2.0-x\r\n"),
        raw(BODY),
        raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
)
def test__fetcher__broken_answer__url_failed(server: Server, fetch: Fetcher, page) -> None:
    assert failure(fetch, server.url("/a", page)).code == "url_failed"


def test__fetcher__connection_cut_in_a_body_of_unknown_length__not_taken_for_its_end(
    server: Server, fetch: Fetcher
):
    def cut(sock) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
        # The TCP connection ends without the end of TLS, as anybody on the way can make it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    assert failure(fetch, server.url("/a", cut)).code == "url_failed"


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nheader: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n",
    ],
)
def test__fetcher__slow_drip__whole_deadline_holds(server: Server, start: bytes) -> None:
    parts = iter([start, *[b"x"] * 600])
    began = time.monotonic()
    with fetcher_for(server, deadline_s=0.5) as fetch:
        error = failure(fetch, server.url("/a", dripping(parts, server.over, 0.02)))
    assert error.code == "url_timeout"
    assert "0.5 s" in str(error)
    assert 0.4 < time.monotonic() - began < 3


def test__fetcher__no_handshake__deadline_holds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://{HOST}:{listener.getsockname()[1]}/"
        fetch = Fetcher(
            UrlPolicy((url[8:-1],), deadline_s=0.3),
            resolver=lambda *_: ["127.0.0.1"],
            denied=lambda _: False,
            context=trusting(),
        )
        assert failure(fetch, url).code == "url_timeout"


def test__fetcher__resolver_hangs__deadline_holds(server: Server) -> None:
    never = threading.Event()
    with fetcher_for(server, deadline_s=0.2, resolver=lambda *_: never.wait(20) and []) as fetch:
        error = failure(fetch, server.url("/a", answer(BODY)))
        never.set()
    assert error.code == "url_timeout"
    assert server.n_connections == 0


def test__fetcher__nobody_listens__url_failed(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with fetcher_for(server, (f"{HOST}:{port}",)) as fetch:
        assert failure(fetch, f"https://{HOST}:{port}/").code == "url_failed"


def test__fetcher__first_address_silent__time_left_for_the_next(server: Server) -> None:
    with socket.socket() as silent, ExitStack() as waiting:
        silent.bind(("127.0.0.2", server.port))
        silent.listen(0)
        for _ in range(8):  # its queue is full: further connections are not answered
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", server.port))
        with fetcher_for(server, resolver=lambda *_: ["127.0.0.2", "127.0.0.1"], deadline_s=1.0) as fetch:
            assert fetch(server.url("/a", answer(BODY)), "image").read_bytes() == BODY


def test__fetcher__first_address_refuses__the_next_is_tried(server: Server) -> None:
    with fetcher_for(server, resolver=lambda *_: ["::1", "127.0.0.2", "127.0.0.1"]) as fetch:
        assert fetch(server.url("/a", answer(BODY)), "image").read_bytes() == BODY


@pytest.mark.parametrize("certificate", ["other.pem", "expired.pem", "alone.pem"])
def test__fetcher__certificate_not_valid__refused_before_the_request(certificate: str) -> None:
    with serving(certificate) as server, fetcher_for(server) as fetch:
        error = failure(fetch, server.url(f"/a?token={TOKEN}", answer(BODY)))
        assert error.code == "url_certificate"
        assert server.n_connections == 1
        assert server.requests == []


def test__fetcher__authority_not_the_systems__refused(server: Server) -> None:
    with fetcher_for(server, context=None) as fetch:
        assert failure(fetch, server.url("/a", answer(BODY))).code == "url_certificate"
    with fetcher_for(server, context=tls_context()) as fetch:
        assert failure(fetch, server.url("/a", answer(BODY))).code == "url_certificate"


def test__fetcher__name_below_an_allowed_one__its_own_certificate(server: Server) -> None:
    with fetcher_for(server, (f"*.example.org:{server.port}",)) as fetch:
        assert fetch(server.url("/a", answer(BODY), "sub.pictures.example.org"), "image").is_file()
        with pytest.raises(MediaError) as caught:
            fetch(server.url("/a", host="elsewhere.example.org"), "image")
        assert caught.value.code == "url_certificate"


def test__tls_context__old_versions_and_wrong_names__refused() -> None:
    assert tls_context().minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls_context().check_hostname
    assert not tls_context().options & ssl.OP_IGNORE_UNEXPECTED_EOF


def test__fetcher__real_table__this_machine_is_not_dialled(server: Server) -> None:
    fetch = Fetcher(UrlPolicy((f"localhost:{server.port}",)), context=trusting())
    with pytest.raises(MediaError) as caught:
        fetch(server.url("/a", answer(BODY), "localhost"), "image")
    assert caught.value.code == "url_address"
    assert server.n_connections == 0


def test__fetcher__rebinding__the_name_is_asked_for_once(server: Server) -> None:
    asked: list[str] = []

    def resolver(host: str, _port: int) -> list[str]:
        asked.append(host)
        # Public at first, which nobody answers here (TEST-NET-1); then this machine.
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    with fetcher_for(server, resolver=resolver, denied=lambda _: False, deadline_s=0.5) as fetch:
        url = server.url("/a", answer(BODY))
        assert failure(fetch, url).code in {"url_timeout", "url_failed"}
        assert failure(fetch, url).code in {"url_timeout", "url_failed"}
    assert asked == [HOST]
    assert server.n_connections == 0


def test__fetcher__rebinding__public_then_loopback__checked_address_is_the_dialled_one(
    server: Server, monkeypatch
):
    answers = iter([["127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: pytest.fail("asked the system for a name"))
    with fetcher_for(server, resolver=lambda *_: next(answers)) as fetch:
        assert fetch(server.url("/a", answer(BODY)), "image").is_file()


def test__fetcher__same_address__fetched_once_for_all_threads(server: Server, fetch: Fetcher) -> None:
    url = server.url("/a", dripping(iter([b"HTTP/1.1 200 OK\r\n\r\n", BODY]), server.over, 0.1))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda number: fetch(f"{url}#{number}", "image"), range(32)))
    assert len(paths) == 1
    assert len(server.requests) == 1


def test__fetcher__many_addresses_in_threads__each_its_own_content(server: Server, fetch: Fetcher) -> None:
    urls = [server.url(f"/{number}", answer(b"%d" % number * 1000)) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda url: fetch(url, "image"), urls))
    assert [path.read_bytes() for path in paths] == [b"%d" % number * 1000 for number in range(40)]


def test__fetcher__failure__remembered_as_errors_of_their_own(server: Server, fetch: Fetcher) -> None:
    url = server.url("/a", answer(b"", "404 Not Found"))
    first, second = failure(fetch, url), failure(fetch, url)
    assert first is not second
    assert (first.message, first.code) == (second.message, second.code)
    assert len(server.requests) == 1


def test__fetcher__interrupted__others_do_not_wait_and_it_is_asked_again(server: Server) -> None:
    answers = [KeyboardInterrupt(), ["127.0.0.1"]]

    def resolver(_host: str, _port: int) -> list[str]:
        found = answers.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    with fetcher_for(server, resolver=resolver) as fetch:
        url = server.url("/a", answer(BODY))
        with pytest.raises(KeyboardInterrupt):
            fetch(url, "image")
        assert fetch(url, "image").read_bytes() == BODY


def test__fetcher__too_many__told(server: Server) -> None:
    with fetcher_for(server, max_files=2) as fetch:
        for name in ("a", "b"):
            fetch(server.url(f"/{name}", answer(BODY)), "image")
        assert failure(fetch, server.url("/c", answer(BODY))).code == "url_too_many"
        assert fetch(server.url("/a"), "image").is_file()
    with fetcher_for(server, max_total_bytes=len(BODY)) as fetch:
        fetch(server.url("/a"), "image")
        assert failure(fetch, server.url("/c")).code == "url_too_many"


def test__fetcher__kinds__have_their_own_limits(server: Server, fetch: Fetcher) -> None:
    page = answer(b"", length=100 * 2**20)
    assert failure(fetch, server.url("/a", page), "image").code == "url_too_large"
    # Within the limit of a video: it is read, and breaks off.
    assert failure(fetch, server.url("/a", page), "video").code == "url_failed"
    assert failure(fetch, server.url("/a", page), "audio").code == "url_failed"


def test__fetcher__no_room__told_and_nothing_left(server: Server, fetch: Fetcher) -> None:
    kept = fetch(server.url("/a", answer(BODY)), "image")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, before[1]))
    try:
        error = failure(fetch, server.url("/b", answer(BODY)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "TMPDIR" in str(error)
    assert list(kept.parent.iterdir()) == [kept]


def test__fetcher__no_temporary_folder__told(server, fetch, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert "TMPDIR" in str(failure(fetch, server.url("/b", answer(BODY))))


def test__fetcher__failed_downloads__leave_no_files(server: Server, fetch: Fetcher) -> None:
    kept = fetch(server.url("/a", answer(BODY)), "image")
    failure(fetch, server.url("/b", answer(BODY, length=len(BODY) + 1)))
    assert list(kept.parent.iterdir()) == [kept]


def test__fetcher__closed__files_gone_and_usable_again(server: Server) -> None:
    fetch = fetcher_for(server)
    first = fetch(server.url("/a", answer(BODY)), "image")
    fetch.close()
    assert not first.parent.exists()
    assert fetch(server.url("/a"), "image").is_file()
    fetch.close()


FORK = """
if os.fork() == 0:
    raise SystemExit(0)
os.wait()
assert path.is_file()
"""


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "raise KeyboardInterrupt", FORK])
def test__fetcher__end_of_the_process__folder_removed(server: Server, ending: str, tmp_path: Path) -> None:
    url = server.url("/a", answer(BODY))
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from tests.media.address_server import *
server = type("Server", (), {{"port": {server.port}}})
path = fetcher_for(server)({url!r}, "image")
assert path.is_file()
print(path, flush=True)
{ending}
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip(), done.stderr
    assert "AssertionError" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test__fetcher__shown__hosts_and_limits_alone(server: Server, fetch: Fetcher) -> None:
    fetch(server.url(f"/a?{TOKEN}", answer(BODY)), "image")
    assert repr(fetch) == repr(fetcher_for(server))
    assert TOKEN not in repr(fetch)
    assert HOST in str(fetch)
