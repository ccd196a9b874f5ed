"""Names that users add by function call or by the entry points of an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from savs._registry import Registry


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """Return a registry that an installed package adds `blue` to."""
    (tmp_path / "savs_blue.py").write_text("BLUE = '#00f'\n")
    info = tmp_path / "savs_blue-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: savs-blue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[savs.tests.colors]\nblue = savs_blue:BLUE\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry[str]("color", "savs.tests.colors")


def test__entry_point__listed_without_import_and_loaded_when_asked_for(installed) -> None:
    sys.modules.pop("savs_blue", None)
    assert list(installed) == ["blue"]
    assert "blue" in installed
    assert "savs_blue" not in sys.modules
    assert installed["blue"] == "#00f"


def test__register__name_of_an_installed_package__refused_unless_replaced(installed) -> None:
    with pytest.raises(ValueError, match="a color named 'blue' exists"):
        installed.register("blue", "navy")
    installed.register("blue", "navy", replace=True)
    assert installed["blue"] == "navy"


def test__missing_name__error_lists_the_names() -> None:
    colors = Registry[str]("color", "savs.tests.colors")
    colors.register("red", "#f00")
    with pytest.raises(KeyError, match="no color named 'green'; available are red"):
        _ = colors["green"]


@pytest.mark.parametrize("name", ["", "a b", "é/ü", "../x"])
def test__register__name_with_other_characters__error(name: str) -> None:
    with pytest.raises(ValueError, match="has only letters"):
        Registry[str]("color", "savs.tests.colors").register(name, "#f00")
