"""``python -m fuzz.attacks``: write the attack files."""

from __future__ import annotations

from pathlib import Path

from fuzz.attacks import TARGETS, built, is_kept

FOLDER = Path(__file__).parents[2] / "tests" / "attacks"

for target in TARGETS:
    (FOLDER / target).mkdir(exist_ok=True)
    for name, content in built(target).items():
        if is_kept(name, content):
            (FOLDER / target / name).write_bytes(content)
