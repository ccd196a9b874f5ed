"""One ``GET`` over TLS to a pinned address: no redirect, no cookie, no proxy, no decompression.

Made of `socket`, `ssl` and the parser of `http.client`, which need no further dependency. Clients such as
urllib3 resolve the name themselves, retry, follow redirects and read proxies from the environment, and their
timeouts hold for one read each: each of these would have to be undone. Here every read of the socket, also
within a header line, has what is left of one deadline, and counts against one number of bytes.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, cast

from savs import __version__
from savs.errors import MediaError
from savs.media.addresses.deadline import Deadline
from savs.media.addresses.networks import IPAddress
from savs.media.addresses.policy import Target

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["content_blocks", "failures_told", "tls_context"]

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
        failures_told(target.host, deadline),
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
def failures_told(host: str, deadline: Deadline) -> Iterator[None]:
    """Turn what goes wrong on the way into `MediaError`, without the server's or the library's own text."""
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
