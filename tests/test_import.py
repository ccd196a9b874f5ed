"""`import savs` and `savs --help` stay quick: nothing heavy is loaded before it is needed."""

import subprocess
import sys

import pytest

import savs

pytestmark = pytest.mark.slow

HEAVY = {"torch", "transformers", "PIL", "sklearn", "matplotlib", "scipy"}


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout


def test__import_savs__loads_nothing_heavy():
    loaded = set(run_python("import sys, savs; print(*{name.split('.')[0] for name in sys.modules})").split())
    assert not loaded & HEAVY


def test__import_savs__costs_under_a_tenth_of_a_second_more_than_numpy():
    code = (
        "import time; import numpy; start = time.perf_counter(); import savs; "
        "print(time.perf_counter() - start)"
    )
    assert min(float(run_python(code)) for _ in range(5)) < 0.1


@pytest.mark.parametrize("name", sorted(set(savs.__all__) - {"__version__"}))
def test__public_name__is_there(name):
    assert getattr(savs, name).__module__.startswith("savs.")


def test__unknown_name__is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'SAVMoel'"):
        _ = savs.SAVMoel


def test__version__equals_the_distribution():
    from importlib.metadata import version

    assert savs.__version__ == version("savs")
