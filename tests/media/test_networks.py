"""Which addresses are dialled: one by one, and names that stand for several."""

from __future__ import annotations

import threading
from ipaddress import ip_address

import pytest

from savs.errors import MediaError
from savs.media.addresses import Deadline, Target, is_denied, pinned_addresses, resolve

TARGET = Target("images.example.org", 443, "/")
DENIED = {
    "this network": ["0.0.0.0", "0.255.255.255"],
    "private": [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
    ],
    "carrier-grade NAT": ["100.64.0.0", "100.127.255.255", "100.100.100.200"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "cloud host": ["168.63.129.16", "169.254.169.254", "fd00:ec2::254"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0"],
    "protocols": ["192.0.0.1", "192.0.0.9", "192.0.0.192", "2001:1::1", "2001:20::1", "2001:1ff::1"],
    "documentation": ["192.0.2.1", "198.51.100.255", "203.0.113.0", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "anycast services": ["192.31.196.1", "192.52.193.1", "192.175.48.1", "192.88.99.1", "2620:4f:8000::1"],
    "benchmarking": ["198.18.0.0", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.1", "233.252.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "5f00::1", "e000::1", "100::1", "100:0:0:1::1"],
    "unspecified": ["::"],
    "IPv4 inside": ["::7f00:1", "::808:808", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "64:ff9b:1:ffff::1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "6bone": ["3ffe::1"],
    "unique local": ["fc00::1", "fdff:ffff::1"],
    "site-local": ["fec0::1", "feff::1"],
    "scoped": ["2606:4700::1%1"],
}
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "168.63.129.15", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"),
    *("192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *(
        "2606:4700::1111",
        "2a00:1450:4001::200e",
        "2001:4860:4860::8888",
        "2003::1",
        "2620:0:861::1",
        "2001:200::1",
    ),
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in DENIED.items() for text in texts])
def test__deny_table__not_public__denied(kind: str, text: str) -> None:
    assert is_denied(ip_address(text)), kind


@pytest.mark.parametrize("text", PUBLIC)
def test__deny_table__beside_the_networks__dialled(text: str) -> None:
    assert not is_denied(ip_address(text))


def pinned(*texts: str, denied=is_denied) -> list[str]:
    found = pinned_addresses(TARGET, Deadline(5), lambda _host, _port: texts, denied)
    return [str(address) for address in found]


def test__pinned__public_addresses__each_once_in_order() -> None:
    assert pinned("1.1.1.1", "2606:4700::1111", "1.1.1.1") == ["1.1.1.1", "2606:4700::1111"]


@pytest.mark.parametrize("bad", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test__pinned__one_of_several_not_public__none_is_dialled(bad: str, place: int) -> None:
    texts = ["1.1.1.1", "8.8.8.8"]
    texts.insert(place, bad)
    with pytest.raises(MediaError) as caught:
        pinned(*texts)
    assert caught.value.code == "url_address"
    assert bad not in str(caught.value)


@pytest.mark.parametrize("texts", [(), ("no address",), ("1.1.1.1", "127.1")])
def test__pinned__no_or_odd_answer__url_failed(texts: tuple[str, ...]) -> None:
    with pytest.raises(MediaError) as caught:
        pinned(*texts)
    assert caught.value.code == "url_failed"


def test__pinned__name_not_known__url_failed() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("the resolver's own text")

    with pytest.raises(MediaError) as caught:
        pinned_addresses(TARGET, Deadline(5), unknown, is_denied)
    assert caught.value.code == "url_failed"
    assert "own text" not in str(caught.value)


def test__pinned__resolver_hangs__deadline_holds() -> None:
    never = threading.Event()

    def hang(_host: str, _port: int) -> list[str]:
        never.wait(20)
        return ["1.1.1.1"]

    try:
        with pytest.raises(TimeoutError):
            pinned_addresses(TARGET, Deadline(0.1), hang, is_denied)
    finally:
        never.set()


def test__resolve__numbers_and_this_machine() -> None:
    assert resolve("127.0.0.1", 443) == ["127.0.0.1"]
    assert {ip_address(text).is_loopback for text in resolve("localhost", 443)} == {True}
