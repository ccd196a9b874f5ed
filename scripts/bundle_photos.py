"""Choose the photographs that travel inside the package: `python scripts/bundle_photos.py --photos PATH`.

Takes the first files, by name, of the test part of each class that is kept out of training, and writes them
byte for byte below `src/savs/demo/data/photos/<class>/`. PATH is CIFAR-10 as JPEG files, a tar archive or a
folder that holds `test/<class>/NNNN.jpg`. Prints one digest per class; `tests/demo/test_data.py` pins them.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

CLASSES = ("deer", "ship", "truck")
PER_CLASS = 300
TARGET = Path(__file__).parents[1] / "src" / "savs" / "demo" / "data" / "photos"


def main() -> None:
    """Read the command line, write the files, print the digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=Path, required=True, help="CIFAR-10 as JPEG files: tar archive or folder"
    )
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    found: dict[str, dict[str, bytes]] = {name: {} for name in CLASSES}
    for name, content in _test_files(options.photos):
        parts = Path(name).parts
        if parts[-2] in found:
            found[parts[-2]][parts[-1]] = content
    for name, files in found.items():
        print(name, write_class(options.out / name, dict(sorted(files.items())[:PER_CLASS])))


def write_class(folder: Path, files: dict[str, bytes]) -> str:
    """Write one class and return the digest over its names and contents."""
    if len(files) < PER_CLASS:
        raise SystemExit(f"{folder.name}: {len(files)} files found, {PER_CLASS} needed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    digest = hashlib.sha256()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def _test_files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in path.glob("test/*/*.jpg"):
            yield file.as_posix(), file.read_bytes()
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and member.name.startswith("test/"):
                yield member.name, content.read()


if __name__ == "__main__":
    main()
