"""`Fetcher` and `UrlPolicy`: media by web address, where the user allows the host; off unless asked for.

The table is our own: `ipaddress.is_global` calls addresses global that lead to private ones (6to4 2002::/16,
NAT64 64:ff9b::/96, multicast) and changed between Python versions. Sources: IANA's registries of
special-purpose IPv4 and IPv6 addresses (RFC 6890 and its updates) and of IPv6 address space (RFC 4291).

Made of `socket`, `ssl` and the parser of `http.client`, which need no further dependency. Clients such as
urllib3 resolve the name themselves, retry, follow redirects and read proxies from the environment, and their
timeouts hold for one read each: each of these would have to be undone. Here every read of the socket, also
within a header line, has what is left of one deadline, and counts against one number of bytes.
"""

from __future__ import annotations

import atexit
import http.client
import io
import os
import re
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import quote, urlsplit

from savs import __version__
from savs.errors import DataError, MediaError
from savs.media.audio import AudioLimits
from savs.media.limits import MediaLimits
from savs.media.video import VideoLimits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "UrlPolicy",
    "Fetcher",
]


# `Deadline`: one span of time for many waits.


class Deadline:
    """A time limit that starts when the object is created.

    Parameters
    ----------
    seconds : float
        Until the limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; `TimeoutError` if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


# `UrlPolicy`: which hosts may be asked, and for how much; and an address taken apart by its rules.

_HTTPS_PORT = 443
_LONGEST = 8192
# A last label of digits or 0x... makes a number of the whole name: 127.1, 0x7f.1, 2130706433.
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+\Z|0x[0-9a-f]*\Z)"
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_KEPT = "/%:@!$&'()*+,;=-._~?"  # delimiters of a path and query, RFC 3986, section 2.2, and what is escaped


class Target(NamedTuple):
    """What is asked of whom.

    Attributes
    ----------
    host : str
        Name in lower case.
    port : int
    path : str
        Path and query as they go into the request, percent-encoded.
    """

    host: str
    port: int
    path: str


@dataclass(frozen=True)
class UrlPolicy:
    """The hosts that may be asked, and limits.

    Parameters
    ----------
    hosts : tuple of str
        Exact names; ``*.example.org`` for all names below ``example.org``, not itself; ``example.org:8443``
        for another port than 443. Names only, no numbers, in ASCII (``xn--...`` for others). A pattern for
        names that anybody can register below (``*.co.uk``) is not noticed.
    max_bytes : int, optional
        Longest file; by default the limits of `savs.media` for an image, video or audio clip.
    deadline_s : float, default=60
        Seconds for one file in all: name, connection, certificate, answer and content.
    max_files : int, default=10000
        Most addresses in the life of a `Fetcher`, failed ones too.
    max_total_bytes : int, default=16 GiB
        No file is begun once there are as many bytes.

    Raises
    ------
    DataError
        If a host or limit cannot be used.
    """

    hosts: tuple[str, ...]
    max_bytes: int | None = None
    deadline_s: float = 60.0
    max_files: int = 10_000
    max_total_bytes: int = 16 * 2**30

    def __post_init__(self) -> None:
        if isinstance(self.hosts, str) or not all(isinstance(host, str) for host in self.hosts):
            raise DataError("the allowed hosts are a tuple of names")
        # Frozen: a list from a user becomes a tuple, so that policies can be compared and hashed.
        object.__setattr__(self, "hosts", tuple(host.lower() for host in self.hosts))
        for host in self.hosts:
            _check_entry(host)
        limits = (self.max_bytes, self.deadline_s, self.max_files, self.max_total_bytes)
        if not all(limit is None or limit > 0 for limit in limits):
            raise DataError("the limits of a UrlPolicy are above 0")

    def target(self, url: str) -> Target:
        """Return what an address asks of whom.

        Raises
        ------
        MediaError
            ``url_refused`` for another scheme than https, user names and damaged addresses; ``url_host`` for
            a host or port that is not allowed.
        """
        # What browsers and libraries drop or turn on the way (tabs, backslashes) may lead elsewhere.
        if len(url) > _LONGEST or re.search(r"[\x00-\x20\x7f\\]", url) or not url.isprintable():
            raise _refused(f"the address is longer than {_LONGEST} characters or has blanks or backslashes")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _refused("the address is damaged") from None
        if parts.scheme != "https":
            raise _refused("only https:// addresses are opened")
        if "@" in parts.netloc:
            raise _refused("the address holds a user name or password; take it out")
        if not _NAME.fullmatch(host):
            message = (
                "the host of the address must be a plain name; numbers, [...] and a dot at the end are "
                "refused, names in other letters go as xn--..."
            )
            raise MediaError(message, code="url_host")
        if port == 0:
            raise _refused("the address's port is 0")
        return self._allowed(
            host, _HTTPS_PORT if port is None else port, _request_path(parts.path, parts.query)
        )

    def _allowed(self, host: str, port: int, path: str) -> Target:
        if any(_matches(entry, host, port) for entry in self.hosts):
            return Target(host, port, path)
        name = host if port == _HTTPS_PORT else f"{host}:{port}"
        raise MediaError(
            f"the host {name} is not allowed; allow it (--allow-host {name}), or give a file", code="url_host"
        )


def _check_entry(entry: str) -> None:
    name, colon, port = entry.partition(":")
    pattern = name.startswith("*.")
    below = name.removeprefix("*.")
    if not _NAME.fullmatch(below) or (pattern and "." not in below):
        raise DataError(
            f"{entry[:100]!r} is not a host name; write images.example.org, *.example.org or "
            "images.example.org:8443"
        )
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 2**16):
        raise DataError(f"{entry[:100]!r} has no port from 1 to 65535 after its colon")


def _matches(entry: str, host: str, port: int) -> bool:
    name, _, given = entry.partition(":")
    if port != int(given or _HTTPS_PORT):
        return False
    # The dot stays in: evil-example.org is not below example.org.
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _request_path(path: str, query: str) -> str:
    return quote((path or "/") + (f"?{query}" if query else ""), safe=_KEPT)


def _refused(message: str) -> MediaError:
    return MediaError(f"{message}; give a file or an https:// address of an allowed host", code="url_refused")


# The addresses that a host's name stands for: asked once, all of them public, or none is dialled.

IPAddress = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host and port, as texts."""

_MOST_ADDRESSES = 16

_DENIED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's host, from inside its machines
            "169.254.0.0/16",  # link-local, the metadata of clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocols
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT relays
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

# Only 2000::/3 is assigned as global unicast. Outside lie ::, ::1, IPv4-compatible ::/96, IPv4-mapped
# ::ffff:0:0/96, translated ::ffff:0:0:0/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, discard-only 100::/64,
# segment routing 5f00::/16, unique local fc00::/7, link-local fe80::/10, site-local fec0::/10 and multicast.
_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols: Teredo, benchmarking, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address inside
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # 6bone, given back
            "3fff::/20",  # documentation
        ),
    )
)


def is_denied(address: IPAddress) -> bool:
    """Return whether an address is not, or not certainly, one of a public host."""
    if isinstance(address, IPv4Address):
        denied = any(address in network for network in _DENIED_V4)
    else:
        scoped = address.scope_id is not None
        denied = scoped or address not in _GLOBAL_V6 or any(address in network for network in _DENIED_V6)
    # Python's own table may know later additions.
    return denied or not address.is_global


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as the system knows them; `OSError` if it knows none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(place[0]) for *_, place in found]


def pinned_addresses(
    target: Target, deadline: Deadline, resolver: Resolver, denied: Callable[[IPAddress], bool]
) -> list[IPAddress]:
    """Return the addresses to connect to. The name is resolved once, so later changes have no effect.

    Raises
    ------
    MediaError
        ``url_failed`` if the name cannot be resolved, ``url_address`` if one of its addresses is denied.
    TimeoutError
        If the deadline passes.
    """
    try:
        texts = _within(deadline, resolver, target)
        addresses = list(dict.fromkeys(map(ip_address, texts)))
    except TimeoutError:
        raise
    except (OSError, ValueError):
        addresses = []
    if not addresses:
        message = f"the name of the host {target.host} cannot be resolved; check it and the connection"
        raise MediaError(message, code="url_failed")
    if any(map(denied, addresses)):
        message = f"the host {target.host} stands for an address that is not public; give a file"
        raise MediaError(message, code="url_address")
    return addresses[:_MOST_ADDRESSES]


def _within(deadline: Deadline, resolver: Resolver, target: Target) -> Sequence[str]:
    """Ask in a thread that may be left waiting: the system's resolver knows no deadline."""
    answers: SimpleQueue[Sequence[str] | BaseException] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(target.host, target.port))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=ask, name="savs-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


# One `GET` over TLS to a pinned address: no redirect, no cookie, no proxy, no decompression.

_BLOCK = 65536
_OVERHEAD = 2**20  # bytes of headers


def tls_context() -> ssl.SSLContext:
    """Return what checks certificates against the system's authorities, and the host's name."""
    context = ssl.create_default_context()
    # Some builds, such as Debian's 3.11.2, leave the version to the system's settings, and take a connection
    # that was cut for one that was ended.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(["http/1.1"])
    return context


def content_blocks(
    target: Target, addresses: Sequence[IPAddress], limit: int, deadline: Deadline, context: ssl.SSLContext
) -> Generator[bytes, None, None]:
    """Yield the content of a file, block by block.

    Parameters
    ----------
    target : Target
    addresses : sequence of IPv4Address and IPv6Address
        Tried in order until one takes the connection.
    limit : int
        Most bytes.
    deadline : Deadline
        Of everything together.
    context : SSLContext

    Raises
    ------
    MediaError
        ``url_certificate``, ``url_redirect``, ``url_status``, ``url_encoding``, ``url_too_large``,
        ``url_timeout`` or ``url_failed``.
    """
    with (
        reported_failures(target.host, deadline),
        closing(_connected(target, addresses, deadline, context)) as sock,
    ):
        host = target.host if target.port == 443 else f"{target.host}:{target.port}"
        sock.settimeout(deadline.left())
        sock.sendall(_request(host, target.path))
        received = _Received(sock, deadline, 2 * limit + _OVERHEAD, target.host)
        response = http.client.HTTPResponse(cast(socket.socket, received), method="GET")
        with closing(response):
            response.begin()
            _check_head(response, target.host, limit)
            yield from _content(response, target.host, limit)


@contextmanager
def reported_failures(host: str, deadline: Deadline) -> Iterator[None]:
    """Turn failures of a download into `MediaError`, without text from the server or a library."""
    try:
        yield
    except MediaError:
        raise
    except ssl.SSLCertVerificationError:
        message = f"the host {host} has no certificate that is valid for its name now; check the address"
        raise MediaError(message, code="url_certificate") from None
    except TimeoutError:
        message = (
            f"the host {host} did not give the file within {deadline.seconds:g} s; try again or give a file"
        )
        raise MediaError(message, code="url_timeout") from None
    except (OSError, ValueError, http.client.HTTPException):
        raise _failed(host, "cannot be reached, or broke off, or does not speak HTTPS") from None


class _Received(io.RawIOBase):
    """What comes in over a socket, within a deadline and a number of bytes, for `HTTPResponse`."""

    def __init__(self, sock: ssl.SSLSocket, deadline: Deadline, limit: int, host: str) -> None:
        self._socket, self._deadline, self._left, self._host = sock, deadline, limit, host

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - as of a socket
        """Return a buffer in front of it."""
        return io.BufferedReader(self, _BLOCK)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read once."""
        self._socket.settimeout(self._deadline.left())
        n_read = self._socket.recv_into(buffer)
        self._left -= n_read
        # Sizes of chunks can make http.client read on and on: 100 Continue, headers, a chunk of size -1.
        if self._left < 0:
            raise _too_large(self._host)
        return n_read


def _connected(
    target: Target, addresses: Sequence[IPAddress], deadline: Deadline, context: ssl.SSLContext
) -> ssl.SSLSocket:
    sock = _dialled(target, addresses, deadline)
    try:
        sock.settimeout(deadline.left())
        # A connection cut before the end of the content must not pass for its end.
        return context.wrap_socket(sock, server_hostname=target.host, suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def _dialled(target: Target, addresses: Sequence[IPAddress], deadline: Deadline) -> socket.socket:
    failure: OSError = ConnectionError()
    for n_tried, address in enumerate(addresses):
        family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address that does not answer must leave time for the others.
            sock.settimeout(deadline.left() / (len(addresses) - n_tried))
            sock.connect((str(address), target.port))
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            failure = error
    raise failure


def _request(host: str, path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: savs/{__version__}",
        "Accept: image/*, video/*, audio/*, */*;q=0.1",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii")


def _check_head(response: http.client.HTTPResponse, host: str, limit: int) -> None:
    if 300 <= response.status < 400:
        message = (
            f"the host {host} redirects (status {response.status}), which is not followed; give the address "
            "that it leads to, and allow its host"
        )
        raise MediaError(message, code="url_redirect")
    if response.status != http.client.OK:
        message = f"the host {host} answers with status {response.status}; check the address"
        raise MediaError(message, code="url_status")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        message = f"the host {host} sends the file compressed, which was not asked for; give a file"
        raise MediaError(message, code="url_encoding")
    if response.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise _failed(host, "sends the file in a form that is not read")
    if response.length is not None and response.length > limit:
        raise _too_large(host)


def _content(response: http.client.HTTPResponse, host: str, limit: int) -> Iterator[bytes]:
    promised, n_read = response.length, 0
    while block := response.read(_BLOCK):
        n_read += len(block)
        if n_read > limit:
            raise _too_large(host)
        yield block
    if promised is not None and n_read < promised:
        raise _failed(host, "broke off before the end of the file")
    if not n_read:
        raise _failed(host, "sends an empty file")


def _failed(host: str, problem: str) -> MediaError:
    return MediaError(f"the host {host} {problem}; try again or give a file", code="url_failed")


def _too_large(host: str) -> MediaError:
    return MediaError(
        f"the host {host} sends more bytes than the limit of such a file; make it smaller",
        code="url_too_large",
    )


# `Fetcher`: addresses to files in a private folder, each address once.

_LIMITS = {"image": MediaLimits, "video": VideoLimits, "audio": AudioLimits}


class Fetcher:
    """Opens addresses of allowed hosts: what ``fetch`` of `savs.as_example` and `savs.read_examples` takes.

    Files lie in a private folder, which is removed when the process ends (not when it is killed) or by
    `close`. An address is asked for once, also if that failed. Safe to call from several threads.

    Parameters
    ----------
    policy : UrlPolicy
    resolver : callable, optional
        Gives the addresses of a host and port; the system's by default.
    denied : callable, optional
        Tells addresses that are not dialled; `savs.media.addresses.is_denied` by default.
    context : ssl.SSLContext, optional
        Checks certificates; by default the system's authorities and the host's name.

    Examples
    --------
    >>> fetch = Fetcher(UrlPolicy(hosts=("images.example.org",)))
    >>> from savs import as_example
    >>> as_example("https://elsewhere.example.org/cat.png", fetch=fetch)
    Traceback (most recent call last):
        ...
    savs.errors.MediaError: the host elsewhere.example.org is not allowed; allow it \
(--allow-host elsewhere.example.org), or give a file
    """

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        resolver: Resolver = resolve,
        denied: Callable[[IPAddress], bool] = is_denied,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self._resolver, self._denied, self._context = resolver, denied, context
        self._lock = threading.Lock()
        self._asked: dict[tuple[Target, str], Future[Path]] = {}
        self._folder: Path | None = None
        self._n_bytes = self._n_files = 0

    def __repr__(self) -> str:
        return f"Fetcher({self.policy!r})"

    def __call__(self, url: str, kind: str) -> Path:
        """Return the file with the content of an address.

        Parameters
        ----------
        url : str
            Its part after ``#`` is left out.
        kind : str
            ``"image"``, ``"video"`` or ``"audio"``: which limit of bytes holds.

        Raises
        ------
        MediaError
            ``url_refused``, ``url_host``, ``url_address``, ``url_certificate``, ``url_redirect``,
            ``url_status``, ``url_encoding``, ``url_too_large``, ``url_timeout``, ``url_too_many`` or
            ``url_failed``.
        """
        key = (self.policy.target(url), kind)
        with self._lock:
            asked = self._asked.get(key)
            mine = asked is None
            if asked is None:
                self._check_room(key[0])
                asked = self._asked[key] = Future()
        if mine:
            self._answer(asked, *key)
        error = asked.exception()
        if isinstance(error, MediaError):
            # Each row notes its own id on its error.
            raise MediaError(error.message, code=error.code)
        return asked.result()

    def close(self) -> None:
        """Remove the files; examples that name them cannot be read any more."""
        with self._lock:
            folder, self._folder, self._n_bytes = self._folder, None, 0
            self._asked.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_room(self, target: Target) -> None:
        full = self._n_bytes >= self.policy.max_total_bytes
        if full or len(self._asked) >= self.policy.max_files:
            limit = f"{self.policy.max_total_bytes} bytes" if full else f"{self.policy.max_files} addresses"
            message = (
                f"the host {target.host} is not asked: more than {limit} in one run; download the files once "
                "and give their paths"
            )
            raise MediaError(message, code="url_too_many")

    def _answer(self, asked: Future[Path], target: Target, kind: str) -> None:
        try:
            asked.set_result(self._fetched(target, kind))
        except MediaError as error:
            asked.set_exception(error)
        except BaseException as error:
            # Interrupted: those who wait must not wait on, and a later call asks again.
            with self._lock:
                self._asked.pop((target, kind), None)
            asked.set_exception(error)
            raise

    def _fetched(self, target: Target, kind: str) -> Path:
        limit = _LIMITS[kind]().max_bytes
        if self.policy.max_bytes is not None:
            limit = min(limit, self.policy.max_bytes)
        deadline = Deadline(self.policy.deadline_s)
        with reported_failures(target.host, deadline):
            addresses = pinned_addresses(target, deadline, self._resolver, self._denied)
        with closing(content_blocks(target, addresses, limit, deadline, self._checking())) as blocks:
            return self._written(target, blocks)

    def _checking(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = tls_context()
            return self._context

    def _written(self, target: Target, blocks: Iterator[bytes]) -> Path:
        path = None
        try:
            path = self._new_file()
            with path.open("xb") as file:
                for block in blocks:
                    file.write(block)
                n_bytes = file.tell()
        except BaseException as error:
            if path is not None:
                with suppress(OSError):
                    path.unlink()
            if isinstance(error, OSError):
                message = f"the file of the host {target.host} cannot be stored; make room, or set TMPDIR"
                raise MediaError(message, code="url_failed") from None
            raise
        with self._lock:
            self._n_bytes += n_bytes
        return path

    def _new_file(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="savs-"))
                atexit.register(_remove, self._folder, os.getpid())
            self._n_files += 1
            return self._folder / f"{self._n_files:06d}"


def _remove(folder: Path, owner: int) -> None:
    # A forked child that ends must not take its parent's files away.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
