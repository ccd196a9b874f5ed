"""Commands on data whose images have addresses, from a real server that stands in for the internet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.media.address_server import Server, answer, fetcher_for, serving

from savs.cli import _inputs as reading


@pytest.fixture
def server(draw, monkeypatch) -> Iterator[Server]:
    """Serve two images; the commands resolve every name to it, and trust its authority."""
    with serving() as made:
        for number, colour in enumerate(("red", "blue")):
            file = io.BytesIO()
            draw(colour, 500 + number).save(file, "PNG")
            made.pages[f"/{colour}.png"] = answer(file.getvalue())
        monkeypatch.setattr(reading, "_fetcher", lambda hosts: fetcher_for(made, hosts))
        yield made


def data_of(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def allowed(server: Server) -> tuple[str, str]:
    return "--allow-host", f"*.example.org:{server.port}"


def test__fault_12__predict__answers_are_those_of_files(savs, server, classifier, draw, tmp_path) -> None:
    for number, colour in enumerate(("red", "blue")):
        draw(colour, 500 + number).save(tmp_path / f"{colour}.png")
    colours = ["red", "blue", "red"]
    local = data_of(tmp_path, *({"image": f"{colour}.png", "id": str(n)} for n, colour in enumerate(colours)))
    code, expected, _ = savs("predict", classifier, local)
    assert code == 0
    urls = [server.url(f"/{colour}.png") for colour in colours]
    remote = data_of(tmp_path, *({"image": url, "id": str(n)} for n, url in enumerate(urls)))
    code, found, told = savs("predict", classifier, remote, *allowed(server))
    assert code == 0, told
    assert found == expected
    assert len(server.requests) == 2  # looked through first, and read again: each image is fetched once


def test__fault_12__predict__address_that_fails__a_row_with_an_error(
    savs, server, classifier, tmp_path
) -> None:
    gone, good = server.url("/gone.png?token=s3cret"), server.url("/red.png")
    data = data_of(tmp_path, {"image": gone}, {"image": good}, {"image": "https://evil.example.com/a.png"})
    code, shown, told = savs("predict", classifier, data, *allowed(server), "--max-errors", 2)
    assert code == 3
    rows = [json.loads(line) for line in shown.splitlines()]
    assert [row.get("error", {}).get("code") for row in rows] == ["url_status", None, "url_host"]
    assert rows[1]["label"] == "red"
    assert rows[0]["id"] == "data.jsonl:1"
    code, _, failed = savs("predict", classifier, data, *allowed(server), "--max-errors", 1)
    assert code == 1
    assert "s3cret" not in shown + told + failed


def test__fault_12__predict__output_in_a_file__all_rows(savs, server, classifier, tmp_path):
    data = data_of(tmp_path, {"image": server.url("/red.png")}, {"image": server.url("/blue.png")})
    output = tmp_path / "answers.jsonl"
    arguments = ("predict", classifier, data, "-o", output, "--quiet")
    assert savs(*arguments, *allowed(server))[0] == 0
    assert [json.loads(line)["label"] for line in output.read_text().splitlines()] == ["red", "blue"]


def test__fault_12__fit_evaluate_extract_explain__take_allowed_hosts(
    savs, server, backbone, tmp_path
) -> None:
    rows = [
        {"image": server.url(f"/{colour}.png"), "label": colour, "question": f"{n}"}
        for n in range(3)
        for colour in ("red", "blue")
    ]
    data, hosts = data_of(tmp_path, *rows), allowed(server)
    made, store = tmp_path / "made", tmp_path / "store"
    assert savs("fit", data, "-b", backbone, "-o", made, "--quiet", *hosts)[0] == 0
    code, shown, _ = savs("evaluate", made, data, "--json", *hosts)
    assert code == 0
    assert json.loads(shown)["n"] == 6
    code, shown, _ = savs("extract", data, "-b", backbone, "-o", store, "--json", *hosts)
    assert (code, json.loads(shown)["n"]) == (0, 6)
    assert savs("explain", made, data, "--tiles", 0, "--json", *hosts)[0] == 0
    compared = ("compare", data, "-b", backbone, "--methods", "sav", "--shots", 1, "--draws", 2, "--json")
    code, _, told = savs(*compared, *hosts)
    assert code == 0, told
    assert savs("evaluate", made, data, "--quiet")[0] == 1
