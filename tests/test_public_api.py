"""What is public: names that the documentation imports, `__all__` of each module, and their docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest

import savs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
SCRIPTS = [*ROOT.glob("examples/**/*.py"), *ROOT.glob("examples/**/*.ipynb")]
IMPORT = re.compile(r"^\s*(from savs[\w.]* import (?:\([^)]*\)|[^\n(]+)|import savs[\w.]*)", re.MULTILINE)


def code_of(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return text


def imports_of(path: Path) -> list[tuple[str, str | None]]:
    """Return the (module, name) pairs of `savs` that a page or script imports."""
    pairs: list[tuple[str, str | None]] = []
    for statement in IMPORT.findall(code_of(path)):
        node = ast.parse(inspect.cleandoc(statement)).body[0]
        if isinstance(node, ast.ImportFrom):
            pairs += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            pairs += [(alias.name, None) for alias in node.names]
    return pairs


def public_modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(savs.__path__, "savs.")]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    return ["savs", *public]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in [*PAGES, *SCRIPTS]])
def test__imports_of_the_documentation__are_public(path):
    for module, name in imports_of(path):
        assert not any(part.startswith("_") for part in module.split(".")), module
        found = importlib.import_module(module)
        assert name is None or name in found.__all__, f"{name} is not in __all__ of {module}"


@pytest.mark.parametrize("module", public_modules())
def test__all_of_a_public_module__names_that_can_be_imported(module):
    found = importlib.import_module(module)
    names = getattr(found, "__all__", [])
    assert (found.__doc__ or "").strip()
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize("package", [name for name in public_modules() if name.count(".") <= 1])
def test__all_of_a_lazy_package__is_what_dir_shows(package):
    found = importlib.import_module(package)
    if not hasattr(found, "__getattr__"):
        pytest.skip("its names are not loaded lazily")
    assert sorted(dir(found)) == sorted(set(found.__all__) - {"__version__"})


def callables_of(module: str) -> list[tuple[str, object]]:
    """Return the public functions and methods that a module defines, by name."""
    found = importlib.import_module(module)
    pairs = [
        (name, value)
        for name in getattr(found, "__all__", [])
        if getattr(value := getattr(found, name), "__module__", None) == module
    ]
    functions = [(name, value) for name, value in pairs if inspect.isfunction(value)]
    for name, value in pairs:
        if inspect.isclass(value):
            methods = [(key, one) for key, one in vars(value).items() if inspect.isfunction(one)]
            functions += [(f"{name}.{key}", one) for key, one in methods if not key.startswith("_")]
    return functions


def lacks_parameters_section(function: object) -> bool:
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]  # type: ignore[arg-type]
    return len(names) > 1 and "Parameters\n" not in (inspect.getdoc(function) or "")


def test__public_functions_with_parameters__document_them():
    lacking = [
        f"{module}.{name}"
        for module in public_modules()
        for name, function in callables_of(module)
        if lacks_parameters_section(function)
    ]
    assert lacking == []
