from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from savs.errors import MediaError
from savs.media import DEFAULT_LIMITS, MediaLimits, content_hash, load_image, resolve_media_path
from savs.media._paths import check_media_file


def refused(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> str:
    codes = set()
    for look in (check_media_file, load_image, content_hash):
        with pytest.raises(MediaError) as caught:
            look(path, limits)
        assert "\n" not in caught.value.message
        codes.add(caught.value.code)
    assert len(codes) == 1
    return codes.pop()


def test__fault_09__missing_dangling_and_below_a_file__missing(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "file").write_bytes(b"x")
    assert refused(tmp_path / "nowhere.png") == "media_missing"
    assert refused(tmp_path / "dangling.png") == "media_missing"
    assert refused(tmp_path / "file" / "a.png") == "media_missing"


def test__fault_09__folder_pipe_and_device__not_a_file_and_no_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert refused(tmp_path) == "media_not_a_file"
    assert refused(tmp_path / "pipe.png") == "media_not_a_file"
    assert refused(Path("/dev/zero")) == "media_not_a_file"


def test__fault_09__no_permission__unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    path.chmod(0)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        # os.access asks for the real user: as root only the opening fails.
        with pytest.raises(MediaError) as caught:
            load_image(path)
    finally:
        if is_root:
            os.seteuid(0)
    assert caught.value.code == "media_unreadable"


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000 + ".png"])
def test__fault_09__name_that_no_file_can_have__unreadable(name: str) -> None:
    assert refused(Path(name)) == "media_unreadable"


def test__fault_09__link_loop__unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert refused(tmp_path / "a.png") == "media_unreadable"


def test__fault_03__file_over_the_limit__refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)
    assert refused(tmp_path / "huge.png") == "image_too_large"


def test__fault_01__empty_file__undecodable(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert refused(tmp_path / "a.png") == "image_undecodable"


def test__message__control_characters_in_the_name__escaped(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        load_image(tmp_path / "a\n\x1b[31m\udcff.png")
    assert caught.value.message.isprintable()
    assert caught.value.message.encode()


def test__fault_10__inside__resolved(tmp_path: Path) -> None:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    root = tmp_path / "root"
    for path in (Path("sub/a.png"), Path("sub/../a.png"), root / "a.png"):
        assert root.resolve() in resolve_media_path(path, root).parents


@pytest.mark.parametrize(
    "path", ["../a.png", "sub/../../a.png", "/etc/passwd", "link/a.png", "../root-private/a.png"]
)
def test__fault_10__outside__refused_unless_allowed(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "root-private").mkdir()
    (root / "link").symlink_to(tmp_path / "root-private")
    with pytest.raises(MediaError) as caught:
        resolve_media_path(Path(path), root)
    assert caught.value.code == "media_outside_root"
    assert resolve_media_path(Path(path), root, allow_outside=True) == (root / path).resolve()
