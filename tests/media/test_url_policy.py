"""Addresses taken apart, and hosts that are and are not allowed."""

from __future__ import annotations

import pytest

from savs.errors import DataError, MediaError
from savs.media import UrlPolicy
from savs.media.addresses import Target

POLICY = UrlPolicy(("images.example.org", "*.images.example.net", "other.example.org:8443"))


def code(url: str, policy: UrlPolicy = POLICY) -> str:
    with pytest.raises(MediaError) as caught:
        policy.target(url)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    for secret in ("s3cret", "user", "token"):
        assert secret not in text.replace("user name", "")
    return caught.value.code


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://images.example.org/a.png", ("images.example.org", 443, "/a.png")),
        ("HTTPS://IMAGES.Example.ORG", ("images.example.org", 443, "/")),
        ("https://images.example.org:443/a%20b?x=%2F&y#p", ("images.example.org", 443, "/a%20b?x=%2F&y")),
        ("https://images.example.org:/a", ("images.example.org", 443, "/a")),
        ("https://images.example.org?x", ("images.example.org", 443, "/?x")),
        ("https://images.example.org/grün.png?ä", ("images.example.org", 443, "/gr%C3%BCn.png?%C3%A4")),
        ("https://a.images.example.net/", ("a.images.example.net", 443, "/")),
        ("https://a.b.images.example.net/", ("a.b.images.example.net", 443, "/")),
        ("https://other.example.org:8443//a/../b", ("other.example.org", 8443, "//a/../b")),
    ],
)  # fmt: skip
def test__target__allowed__taken_apart(url: str, target: tuple[str, int, str]) -> None:
    assert POLICY.target(url) == Target(*target)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/a.png",
        "https://evil-images.example.org/",
        "https://images.example.org.evil.com/",
        "https://example.org/",
        "https://images.example.net/",
        "https://evilpictures.example.net/",
        "https://images.example.org:8443/",
        "https://other.example.org/",
        "https://images.example.org./a.png",
        "https://images.example.org:444/?token=s3cret",
        "https://imäges.example.org/",
        "https://xn--imges-gra.example.org/",
        "https://images。example。org/",
        "https://\u2170mages.example.org/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://1.2.3.4/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2606:4700::1111]/",
        "https:///a.png",
        "https://",
        "https://localhost/",
        "https://-images.example.org/",
        "https://images..example.org/",
        "https://images.example.org%2eevil.com/",
        "https://images.example.org%00.evil.com/",
        "https://" + "a" * 64 + ".example.org/",
    ],
)
def test__target__host_not_allowed__url_host(url: str) -> None:
    assert code(url) == "url_host"


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example.org/a.png",
        "ftp://images.example.org/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "//images.example.org/a.png",
        "images.example.org/a.png",
        "https:images.example.org",
        "https://user:s3cret@images.example.org/",
        "https://images.example.org@evil.com/",
        "https://@images.example.org/",
        "https://evil.com\\@images.example.org/",
        "https://images.example.org\\.evil.com/",
        "https://images.example.org/a b.png",
        "https://images.example.org/\r\nHost: evil.com",
        "https://images.exam\tple.org/",
        "https://images.example.org/\x00",
        "https://images.example.org/\u2028",
        "https://images.example.org/\ud800",
        "https://images.example.org:0/",
        "https://images.example.org:99999/",
        "https://images.example.org:x/",
        "https://images.example.org:-1/",
        "https://[images.example.org/",
        "https://images.example.org/" + "a" * 9000,
    ],
)
def test__target__another_scheme_or_no_address__url_refused(url: str) -> None:
    if url.startswith("https:images"):
        assert code(url) == "url_host"  # an address without a host
    else:
        assert code(url) == "url_refused"


@pytest.mark.parametrize(
    "host",
    [
        *("", "*", "*.", "*.org", "*.*.example.org", "a.*.example.org", "*example.org", ".example.org"),
        *(
            "https://example.org",
            "example.org/",
            "user@example.org",
            "example.org.",
            "exämple.org",
            "a b.org",
        ),
        *("127.0.0.1", "0x7f.1", "2130706433", "[::1]", "::1", "*.0.0.1", "example.org:", "example.org:x"),
        *("example.org:0", "example.org:65536", "example.org:443:443", "example.org\n", "example.org:\uff11"),
    ],
)
def test__policy__entry_that_is_no_host__refused(host: str) -> None:
    with pytest.raises(DataError):
        UrlPolicy((host,))


def test__policy__text_instead_of_hosts__refused() -> None:
    for hosts in ("example.org", (1,), (None,)):
        with pytest.raises(DataError, match="tuple of names"):
            UrlPolicy(hosts)  # type: ignore[arg-type]


def test__policy__limits_not_above_zero__refused() -> None:
    for name in ("max_bytes", "deadline_s", "max_files", "max_total_bytes"):
        with pytest.raises(DataError, match="above 0"):
            UrlPolicy(("example.org",), **{name: 0})


def test__policy__no_hosts__nothing_allowed() -> None:
    assert code("https://images.example.org/", UrlPolicy(())) == "url_host"


def test__policy__list_and_capitals__same_policy() -> None:
    assert UrlPolicy(["Images.Example.ORG"]) == UrlPolicy(("images.example.org",))  # type: ignore[arg-type]
    assert hash(UrlPolicy(["a.org"])) == hash(UrlPolicy(("a.org",)))  # type: ignore[arg-type]
