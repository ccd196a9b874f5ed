"""The documentation site holds together: its menu, its links, and its pages that scripts write.

None of this needs mkdocs; `make docs` builds the site itself.
"""

import os
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections import Counter
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml

import savs

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
HOOK_SPEC = spec_from_file_location("site_hook", ROOT / "scripts" / "site_hook.py")
HOOK = module_from_spec(HOOK_SPEC)
HOOK_SPEC.loader.exec_module(HOOK)
SITE = {page.relative_to(DOCS).as_posix(): page for page in DOCS.rglob("*.md")} | HOOK.OUTSIDE
PAGES = sorted({*SITE.values(), ROOT / "README.md"})
WITHOUT_API_PAGE = {"cli", "model_card"}  # docs/cli.md shows the one; the other only writes a text


def source(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return a page without its code, where brackets and number signs mean something else."""
    without_blocks = re.sub(r"^```.*?^```", "", source(page), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in without_blocks.splitlines() if not line.startswith("    ")]
    return re.sub(r"`[^`\n]*`", "code", "\n".join(lines))


def anchors(page: Path) -> set[str]:
    """Return the anchors that the site gives to a page's headings."""
    without_blocks = re.sub(r"^```.*?^```", "", source(page), flags=re.DOTALL | re.MULTILINE)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+)$", without_blocks, flags=re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
        found.add(f"{slug}_{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def menu(entries: list) -> list[str]:
    """Return the pages of the site's menu, in its order."""
    found = []
    for entry in entries:
        target = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += menu(target) if isinstance(target, list) else [target]
    return found


def layers() -> list[str]:
    """Return the public layers of the import contract, highest first."""
    contracts = tomllib.loads(source(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    names = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [name for name in names if not name.startswith("savs._")]


def rows_of(page: Path) -> list[list[str]]:
    """Return the cells of all rows of a page's tables."""
    lines = [line for line in source(page).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def up_to_date(script: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=os.environ)


def test__menu__lists_every_page_once_and_no_other():
    pages = menu(yaml.safe_load(source(ROOT / "mkdocs.yml"))["nav"])
    assert sorted(pages) == sorted(SITE)
    assert all(page.is_file() for page in SITE.values())


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test__links__lead_to_pages_of_the_site_and_to_anchors_they_have(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        on_site = found in SITE.values() or found.parent == DOCS / "images"
        assert on_site or page == ROOT / "README.md", f"{target} is not on the site"
        assert not anchor or anchor in anchors(found), f"{target}: {sorted(anchors(found))}"


def test__links_across_the_border_of_docs__become_links_of_the_site():
    assert HOOK.site_link("index.md", "../CONTRIBUTING.md") == "contributing.md"
    assert HOOK.site_link("api/index.md", "../../SECURITY.md") == "../security.md"
    assert HOOK.site_link("contributing.md", "docs/api/index.md") == "api/index.md"
    assert HOOK.site_link("tiny.md", "../../../../docs/guide.md") == "guide.md"
    assert HOOK.site_link("guide.md", "media.md") == "media.md"


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ('<script src="https://a.example/x.js">', True),
        ("<link rel=stylesheet href=//a.example/x.css>", True),
        ('<img alt="" src="images/a.svg">', False),
        ('<a href="https://a.example">', False),
        ('<link href="assets/main.css" rel="stylesheet">', False),
    ],
)
def test__resources_of_other_servers__are_found(tag, found):
    assert bool(HOOK.RESOURCE.search(tag)) is found


def test__site__names_no_other_server_for_fonts_and_scripts():
    settings = yaml.safe_load(source(ROOT / "mkdocs.yml"))
    assert settings["theme"]["font"] is False
    assert not any(str(one).startswith("http") for one in settings.get("extra_javascript", []))
    assert not any(str(one).startswith("http") for one in settings.get("extra_css", []))


def test__api_reference__has_every_package_and_every_name_of_savs():
    pages = "\n".join(map(source, DOCS.glob("api/*.md")))
    described = set(re.findall(r"^::: savs\.(\S+)$", pages, re.MULTILINE))
    public = {name.removeprefix("savs.") for name in layers()}
    assert described == public - WITHOUT_API_PAGE
    overview = source(DOCS / "api" / "index.md")
    assert [name for name in savs.__all__ if f"`{name}`" not in overview] == []


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in sorted(DOCS.glob("api/*.md"))])
def test__api_links__name_what_a_package_exports(page):
    for name in re.findall(r"\]\[(savs\.[\w.]+)\]", source(page)):
        package, _, attribute = name.rpartition(".")
        assert attribute in import_module(package).__all__, name


@pytest.mark.parametrize("script", ["write_cli_docs.py", "draw_architecture.py", "write_task_table.py"])
def test__written_by_a_script__up_to_date(script):
    done = up_to_date(script)
    assert done.returncode == 0, done.stderr


def test__architecture__lists_the_layers_of_the_import_contract_in_order():
    listed = [row[0].strip("`") for row in rows_of(DOCS / "architecture.md") if row[0].startswith("`savs.")]
    assert listed == layers()


def test__reliability__has_each_number_once_and_says_where_it_is_tested():
    rows = [row for row in rows_of(DOCS / "reliability.md") if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(1, 40))
    tested: dict[int, set[str]] = {number: set() for number in range(1, 40)}
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT).as_posix()
        for numbers in re.findall(r"def test__fault((?:_\d\d)+)__", source(path)):
            for number in numbers.strip("_").split("_"):
                tested[int(number)].add(folder)
    for number, *_, where in ([int(row[0]), *row[1:]] for row in rows):
        expected = ", ".join(f"`{folder}`" for folder in sorted(tested[number])) or "planned"
        assert where == expected, f"number {number}"


def test__reliability__has_the_number_of_every_file_of_fault_tests():
    numbers = {row[0] for row in rows_of(DOCS / "reliability.md")}
    for path in (ROOT / "tests" / "faults").glob("test_fault_*.py"):
        assert path.stem.removeprefix("test_fault_").lstrip("0") in numbers, path.name
