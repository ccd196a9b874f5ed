"""`UrlPolicy`: which hosts may be asked, and for how much; and an address taken apart by its rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from savs.errors import DataError, MediaError

__all__ = ["Target", "UrlPolicy"]

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
        Longest file; by default the limits of `savs.media` for a picture, video or sound.
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
            ``url_refused`` for another scheme than https, user names and what is no address; ``url_host`` for
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
                "the address's host is no plain name; numbers, [...] and a dot at the end are refused, "
                "names in other letters go as xn--..."
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
            f"{entry[:100]!r} is no host to allow; write images.example.org, *.example.org or "
            "images.example.org:8443"
        )
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 2**16):
        raise DataError(f"{entry[:100]!r} names no port from 1 to 65535 after its colon")


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
