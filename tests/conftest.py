"""What tests of several packages share: warm processes and small file systems."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.warm import WarmPython


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts real processes."""
    for item in items:
        if "warm_python" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """Real Python processes without the seconds of importing torch; see warm.py."""
    python = WarmPython()
    yield python
    python.close()


class Disk:
    """A file system of its own, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        """Change its options, such as ``ro``, ``rw`` or ``size=4m``."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """Mount a file system of a size, such as "256k"; the test is skipped where that is not allowed."""
    mounted: list[Disk] = []

    def mount(size: str, *, read_only: bool = False, path: Path | None = None) -> Disk:
        disk = Disk(tmp_path / f"disk-{len(mounted)}" if path is None else path)
        disk.path.mkdir(exist_ok=True)
        options = f"size={size},ro" if read_only else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk.path]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        subprocess.run(["umount", "-l", disk.path], check=True)
