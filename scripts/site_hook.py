"""What mkdocs does not do by itself for the documentation site; mkdocs.yml names this file as a hook.

- Pages that live outside docs/ become pages of the site. They are read where they are, never copied.
- Links are written for readers of the repository. Those that cross the border of docs/ become links of the
  site.
- The build fails if a page would load something from another server.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

OUTSIDE = {
    "changelog.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "security.md": ROOT / "SECURITY.md",
    "tiny.md": ROOT / "src/savs/backbones/tiny/README.md",
}
"""Pages of the site, relative to docs/, and the files that they show."""

RESOURCE = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
)
"""What a page of the built site would load from another server."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
"""The file part of a Markdown link to another file."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    from mkdocs.structure.files import File

    for name, source in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links between pages at their places on the site."""
    return LINK.sub(lambda link: site_link(page.file.src_uri, link[1]), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Drop the lone ``::`` that docstrings put before a block of text."""
    return html.replace("<p>::</p>", "")


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page of the built site would load something from another server."""
    from mkdocs.exceptions import PluginError

    for page in sorted(Path(config.site_dir).rglob("*.html")):
        if found := RESOURCE.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page} loads {found[1]}; the site must work without a network")


def source_of(name: str) -> Path:
    """Return the file that a page of the site shows."""
    return OUTSIDE.get(name, DOCS / name)


def site_link(name: str, link: str) -> str:
    """Return a link as it must stand on the site.

    Parameters
    ----------
    name : str
        The page that holds the link, relative to docs/.
    link : str
        The link, relative to the file that the page shows.
    """
    target = Path(os.path.normpath(source_of(name).parent / link))
    on_site = {source: page for page, source in OUTSIDE.items()}
    if target in on_site:
        page = on_site[target]
    elif target.is_relative_to(DOCS):
        page = target.relative_to(DOCS).as_posix()
    else:
        return link
    return posixpath.relpath(page, posixpath.dirname(name) or ".")
