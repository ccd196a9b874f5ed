"""The addresses that a host's name stands for: asked once, all of them public, or none is dialled.

The table is our own: `ipaddress.is_global` calls addresses global that lead to private ones (6to4 2002::/16,
NAT64 64:ff9b::/96, multicast) and changed between Python versions. Sources: IANA's registries of
special-purpose IPv4 and IPv6 addresses (RFC 6890 and its updates) and of IPv6 address space (RFC 4291).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue

from savs.errors import MediaError
from savs.media.addresses.deadline import Deadline
from savs.media.addresses.policy import Target

__all__ = ["IPAddress", "Resolver", "is_denied", "pinned_addresses", "resolve"]

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
    """Return the addresses to dial; the name is asked for once and never again.

    Raises
    ------
    MediaError
        ``url_failed`` if the name is not known, ``url_address`` if one of its addresses is denied.
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
