"""Media by web address: refused unless their host is allowed, then fetched from a real server."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from tests.media.address_server import HOST, Server, answer, fetcher_for, serving

from savs.cli.main import run
from savs.data import (
    ErrorLedger,
    Example,
    Message,
    Text,
    as_example,
    as_examples,
    example_hash,
    iter_examples,
    preflight,
    read_examples,
)
from savs.errors import ExampleError, ItemError, MediaError
from savs.media import Audio, Image, Video, load_image
from savs.media.audio import load_audio

URL = "https://images.example.org/cat.png?token=s3cret"
FORMS = [
    URL,
    [URL, "What is it?"],
    (URL, "What is it?"),
    ([URL, URL], "Which?"),
    {"image": URL, "question": "?"},
    {"images": [URL, "b.png"], "question": "?"},
    {"image_1": "a.png", "image_2": URL},
    {"image": {"bytes": None, "path": URL}},
    {"video": URL, "question": "?"},
    {"audio": URL, "question": "?"},
    [{"role": "user", "content": [{"type": "image", "image": URL}, {"type": "text", "text": "?"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
    [{"role": "user", "content": [{"type": "video", "video": URL}]}],
    {"messages": [{"role": "user", "content": [{"type": "image"}]}], "image": URL},
    Image(URL),  # type: ignore[arg-type]
    [Video(URL, n_frames=2), "?"],  # type: ignore[arg-type]
    [Audio(URL), "?"],  # type: ignore[arg-type]
    Example((Message("user", (Image(URL), Text("?"))),)),  # type: ignore[arg-type]
    "https://images.example.org/clip.mp4",
    "https://images.example.org/bell.wav?x=1",
    "https://",
    "https://[",
]
OTHER_SCHEMES = [
    *("http://images.example.org/a.png", "HTTP://images.example.org/a.png", "ftp://images.example.org/a.png"),
    *("file:///etc/passwd", "file://images.example.org/a.png", "s3://bucket/a.png", "gs://bucket/a.png"),
    *("hf://datasets/a/b/c.png", "git+ssh://x/a.png", "ws://images.example.org/a.png"),
]


def png(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", (12, 10), colour).save(file, "PNG")
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16000)
        audio.writeframes((np.sin(np.arange(8000) / 20) * 9000).astype("<i2").tobytes())
    return file.getvalue()


def never(url: str, kind: str) -> Path:
    raise AssertionError(f"fetched {url} as {kind}")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def fetch(server: Server):
    with fetcher_for(server) as made:
        yield made


def rows_file(folder: Path, *rows: dict) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("item", FORMS, ids=lambda item: type(item).__name__)
def test__fault_12__address_in_any_form__refused_by_default(item) -> None:
    with pytest.raises(ExampleError) as caught:
        as_example(item)
    assert caught.value.code == "url_refused"
    assert "--allow-host" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", OTHER_SCHEMES)
def test__fault_12__another_scheme__refused_although_hosts_are_allowed(url: str) -> None:
    for item in (url, {"image": url}, {"video": url}, {"audio": url}, (url, "?"), [Image(url), "?"]):
        with pytest.raises(ExampleError) as caught:
            as_example(item, fetch=never)
        assert caught.value.code == "url_refused"
        assert "https://" in str(caught.value)


@pytest.mark.parametrize("item", FORMS, ids=lambda item: type(item).__name__)
def test__fault_12__address_in_any_form__fetched_as_what_it_is(item, tmp_path: Path) -> None:
    asked = []

    def fetch(url: str, kind: str) -> Path:
        asked.append((url, kind))
        return tmp_path / "file"

    example = as_example(item, fetch=fetch)
    media = [part for part in example.parts if not isinstance(part, Text)]
    fetched = [part for part in media if part.source == tmp_path / "file"]
    assert len(fetched) == len(asked) >= 1
    kinds = {Image: "image", Video: "video", Audio: "audio"}
    assert [kind for _, kind in asked] == [kinds[type(part)] for part in fetched]
    assert all(url.startswith("https://") for url, _ in asked)


def test__fault_12__kinds_and_sampling__from_the_path_or_the_place() -> None:
    def kind(item) -> str:
        found = []
        as_example(item, fetch=lambda _url, kind: found.append(kind) or Path("x"))
        return found[0]

    assert kind("https://a.org/CLIP.MP4?x=.png#y") == "video"
    assert kind("https://a.org/bell.wav?x=.png") == "audio"
    assert kind("https://a.org/file") == "image"
    assert kind({"video": "https://a.org/file"}) == "video"
    assert kind({"audio": "https://a.org/file"}) == "audio"
    part = as_example([Video("https://a.org/f", 3, 2.0)], fetch=lambda *_: Path("x")).parts[0]  # type: ignore[arg-type]
    assert (part.n_frames, part.fps, part.source) == (3, 2.0, Path("x"))


def test__fault_12__example_that_is_wrong_otherwise__nothing_is_fetched() -> None:
    for item in (
        {"image": URL, "question": "<image> <image>?"},
        {"image": URL, "label": 1.5},
        {"image": URL, "id": [1]},
    ):
        with pytest.raises(ExampleError):
            as_example(item, fetch=never)


def test__fault_12__text_that_is_no_address__stays_text() -> None:
    for text in ("see https://images.example.org/", "https://images.example.org/a.png is down", "1://a"):
        assert as_example(text, fetch=never).text == text
    assert as_example(Text(URL), fetch=never).text == URL
    assert as_example({"text": URL}, fetch=never).text == URL


def test__fault_12__parts_made_by_hand__not_opened_behind_the_back() -> None:
    with pytest.raises(ItemError):
        load_audio(Audio(URL), 16000)  # type: ignore[arg-type]
    with pytest.raises(ItemError):
        load_image(URL)  # type: ignore[arg-type]


def test__fault_12__fetched_media__have_the_content_of_files(server: Server, fetch, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.wav").write_bytes(wav())
    image = as_example((server.url("/a.png?token=1", answer(png())), "?"), fetch=fetch)
    audio = as_example([server.url("/a.wav", answer(wav())), "?"], fetch=fetch)
    assert example_hash(image) == example_hash(as_example((tmp_path / "a.png", "?")))
    assert example_hash(audio) == example_hash(as_example([tmp_path / "a.wav", "?"]))
    assert load_image(image.images[0].source).getpixel((3, 3)) == (200, 30, 30)
    assert len(load_audio(audio.audios[0], 16000)) == 8000
    assert preflight([image, audio]) == []


def test__fault_12__fetched_page_is_no_image__error_of_the_image(server: Server, fetch) -> None:
    example = as_example(server.url("/a.png", answer(b"<html>secret server text</html>")), fetch=fetch)
    with pytest.raises(MediaError) as caught:
        load_image(example.images[0].source)
    assert caught.value.code == "image_undecodable"
    assert "secret" not in str(caught.value)


def test__fault_12__ledger__takes_addresses_that_fail(server: Server, fetch) -> None:
    ledger = ErrorLedger(2)
    good, gone = server.url("/a.png", answer(png())), server.url("/gone.png?token=s3cret")
    items = [good, gone, ("https://evil.example.com/a.png", "?"), good]
    examples = as_examples(items, ledger=ledger, fetch=fetch)
    assert [example.id for example in examples] == ["0", "3"]
    assert [(error.id, error.code) for error in ledger.errors] == [("1", "url_status"), ("2", "url_host")]
    assert isinstance(ledger.errors[0], MediaError)
    assert [error.record()["stage"] for error in ledger.errors] == ["media", "media"]
    assert "s3cret" not in json.dumps([error.record() for error in ledger.errors])
    with pytest.raises(MediaError, match="my id"):
        as_example(gone, id="my id", fetch=fetch)


def test__fault_12__rows__fetched_though_outside_the_root_and_paths_are_not(server, fetch, tmp_path) -> None:
    good, gone = server.url("/a.png", answer(png())), server.url("/gone.png?token=s3cret")
    outside = tmp_path / "outside.png"
    outside.write_bytes(png())
    (tmp_path / "data").mkdir()
    data = rows_file(
        tmp_path / "data",
        {"image": good, "question": "?", "label": "a"},
        {"image": gone, "id": "mine"},
        {"image": str(outside)},
        {"image": str(fetch(good, "image"))},
        {"image": good, "question": "?", "label": "b"},
    )
    ledger = ErrorLedger(3)
    examples = read_examples(data, fetch=fetch, ledger=ledger)
    assert [example.id for example in examples] == ["data.jsonl:1", "data.jsonl:5"]
    assert {example.images[0].source for example in examples} == {fetch(good, "image")}
    assert [error.code for error in ledger.errors] == ["url_status", *["media_outside_root"] * 2]
    assert str(ledger.errors[0]).startswith("mine: data.jsonl:2: the host")
    with pytest.raises(MediaError, match=r"mine: data\.jsonl:2: the host"):
        read_examples(data, fetch=fetch)
    assert len(server.requests) == 2


def test__fault_12__rows_of_other_shards_and_beyond_the_limit__not_fetched(server, fetch, tmp_path) -> None:
    data = rows_file(tmp_path, *({"image": server.url(f"/{n}.png", answer(png()))} for n in range(6)))
    found = list(iter_examples(data, fetch=fetch, limit=5, shard=(1, 2)))
    assert [position for position, _ in found] == [1, 3]
    assert [request.split()[1] for request in server.requests] == [b"/1.png", b"/3.png"]


def test__fault_12__command_line__addresses_refused_by_default(tmp_path: Path, capsys) -> None:
    url = "https://127.0.0.1:1/cat.png?token=s3cret"
    data = rows_file(tmp_path, {"image": url, "label": "a"}, {"image": url, "label": "b"})
    code = run(["fit", str(data), "-b", "tiny", "-o", str(tmp_path / "out"), "--json"])
    shown = capsys.readouterr()
    assert code == 1
    error = json.loads(shown.out)["error"]
    assert error["code"] == "url_refused"
    assert "data.jsonl:1: " in error["message"]
    assert "--allow-host" in error["message"]
    assert "s3cret" not in shown.out + shown.err
    assert not (tmp_path / "out").exists()


def test__fault_12__command_line__this_machine_is_never_dialled(
    server: Server, tmp_path: Path, capsys
) -> None:
    data = rows_file(tmp_path, {"image": server.url("/a.png", answer(png()), "localhost"), "label": "a"})
    arguments = ["fit", data, "-b", "tiny", "-o", tmp_path / "out", "--json"]
    code = run([*map(str, arguments), "--allow-host", f"localhost:{server.port}"])
    assert code == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "url_address"
    assert server.n_connections == 0


def test__fault_12__command_line__host_not_allowed__told_which(tmp_path: Path, capsys) -> None:
    data = rows_file(tmp_path, {"image": f"https://{HOST}/a.png?token=s3cret", "label": "a"})
    arguments = ["fit", data, "-b", "tiny", "-o", tmp_path / "out", "--json", "--allow-host", "*.example.com"]
    assert run([*map(str, arguments)]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "url_host"
    assert f"--allow-host {HOST}" in error["message"]
    assert "s3cret" not in error["message"]


@pytest.mark.parametrize("host", ["", "*", "127.0.0.1", "https://example.org", "example.org:0"])
def test__fault_12__command_line__host_that_is_none__wrong_usage(tmp_path: Path, host: str) -> None:
    data = rows_file(tmp_path, {"text": "x", "label": "a"})
    out = tmp_path / "out"
    assert run(["fit", str(data), "-b", "tiny", "-o", str(out), "--allow-host", host, "--quiet"]) == 2
