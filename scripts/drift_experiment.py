"""Whether a classifier and a store notice that another transformers computes other vectors; `make drift`.

A small random Qwen2.5-VL is saved once. A classifier and a feature store are made of it under one release of
transformers and used under the next, each release in a folder and a process of its own:

- 5.3.0 to 5.5.0 and 5.5.4 to 5.6.0 compute the same: both must go on without a word, although configuration
  and processor have other fields;
- 5.5.4 mends the positions of images (huggingface/transformers#45325): from 5.5.0 to 5.5.4 both must be
  refused.

The releases are public packages, installed into a temporary folder (300 MB). Needs a registry; not in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

RELEASES = ("5.3.0", "5.5.0", "5.5.4", "5.6.0")
BESIDE = ("tokenizers==0.22.2", "huggingface-hub==1.5.0")
STEPS = (("5.3.0", "5.5.0", "same"), ("5.5.0", "5.5.4", "other"), ("5.5.4", "5.6.0", "same"))
MAKER = "5.5.0"
ROOT = Path(__file__).resolve().parents[1]
LABELS = ["stripes", "dots"] * 3


def main() -> int:
    """Run all steps, print a table, and return 1 if one does not come out as it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--libraries", type=Path, help="keep the releases in this folder")
    parser.add_argument("--step", nargs=3, metavar=("WHAT", "FOLDER", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        print(json.dumps(_STEPS[options.step[0]](Path(options.step[1]), options.step[2])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return experiment(options.libraries or Path(folder) / "libraries", Path(folder))


def experiment(libraries: Path, folder: Path) -> int:
    """Install the releases where they are missing, and run every step."""
    install(libraries)
    run(libraries, MAKER, "model", folder, "-")
    failures = 0
    print(f"{'fitted under':>14} {'used under':>11} {'largest':>8} {'difference':>10}  classifier  store")
    for then, now, expected in STEPS:
        made = run(libraries, then, "make", folder, then)
        found = run(libraries, now, "use", folder, then)
        wanted = {"same": "goes on", "other": "refused"}[expected]
        ok = found["classifier"] == found["store"] == wanted and not found["warnings"]
        ok = ok and (found["difference"] == 0.0) == (expected == "same")
        failures += not ok
        numbers = f"{made['largest']:8.3f} {found['difference']:10.2g}"
        verdict = "" if ok else f"  WRONG, should be: {wanted}"
        print(f"{then:>14} {now:>11} {numbers}  {found['classifier']:10}  {found['store']}{verdict}")
        for message in [*found["errors"], *found["warnings"]]:
            print(f"    {message}")
    return 1 if failures else 0


def install(libraries: Path) -> None:
    """Install each release of transformers alone into a folder, and what they share into another."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for release in RELEASES:
        if not (libraries / release).is_dir():
            target = ["--no-deps", "--target", str(libraries / release), f"transformers=={release}"]
            subprocess.run([*pip, *target], check=True)
    if not (libraries / "beside").is_dir():
        subprocess.run([*pip, "--target", str(libraries / "beside"), *BESIDE], check=True)


def run(libraries: Path, release: str, what: str, folder: Path, name: str) -> dict[str, Any]:
    """Run a step of this program under a release, and return what it prints."""
    paths = (libraries / release, libraries / "beside", ROOT / "src", ROOT)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "SAVS_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, __file__, "--step", what, str(folder), name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} under {release} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _images() -> list[Any]:
    import numpy as np

    row, column = np.mgrid[:96, :160]
    bright = [(row // (4 + i)) % 2 if i % 2 else ((row // 8 + column // (6 + i)) % 2) for i in range(6)]
    return [np.repeat((255 * one).astype(np.uint8)[..., None], 3, axis=2) for one in bright]


def _make_model(folder: Path, _name: str) -> dict[str, Any]:
    from tests.backbones.families import make_family

    family = make_family("qwen2_5_vl")
    family.model.save_pretrained(folder / "model")
    family.processor.save_pretrained(folder / "model")
    return {}


def _make(folder: Path, name: str) -> dict[str, Any]:
    import numpy as np

    from savs import SAVModel, load_backbone
    from savs.cache import with_store

    images, backbone = _images(), load_backbone(folder / "model")
    stored = with_store(backbone, folder / f"store {name}")
    model = SAVModel(stored, prompt="What is it?", n_heads=4).fit(images, LABELS)
    model.save_pretrained(folder / f"classifier {name}")
    np.save(folder / f"rows {name}.npy", model.head_vectors(images))
    vectors = SAVModel(backbone, prompt="What is it?").head_vectors(images)
    np.save(folder / f"vectors {name}.npy", vectors)
    return {"largest": float(np.abs(vectors).max())}


def _use(folder: Path, name: str) -> dict[str, Any]:
    import numpy as np

    from savs import SAVModel, load_backbone
    from savs.cache import with_store
    from savs.errors import SAVsError

    images, backbone = _images(), load_backbone(folder / "model")
    found: dict[str, Any] = {"errors": []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vectors = SAVModel(backbone, prompt="What is it?").head_vectors(images)
        before = np.load(folder / f"vectors {name}.npy")
        found["difference"] = float(np.abs(vectors - before).max())

        def classifier() -> None:
            SAVModel.from_pretrained(folder / f"classifier {name}").predict(images)

        def store() -> None:
            stored = with_store(backbone, folder / f"store {name}")
            again = SAVModel(stored, prompt="What is it?").head_vectors(images)
            if stored.n_computed or not np.array_equal(again, np.load(folder / f"rows {name}.npy")):
                raise SystemExit("the store did not answer with its own rows")

        for what, use in (("classifier", classifier), ("store", store)):
            try:
                use()
                found[what] = "goes on"
            except SAVsError as error:
                found[what] = "refused"
                found["errors"].append(f"{what}: {error}".replace(str(folder), "..."))
    ours = [one for one in caught if one.category.__module__.startswith("savs")]
    found["warnings"] = [str(one.message) for one in ours]
    return found


_STEPS = {"model": _make_model, "make": _make, "use": _use}

if __name__ == "__main__":
    sys.exit(main())
