"""A report as one HTML file: figures as SVG, images as data URLs, no script, no network."""

from __future__ import annotations

import io
import re
import warnings
from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from savs.figures import INK, PALE
from savs.reports.content import Report

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

__all__ = ["to_html"]

_COLORS = {INK: "var(--ink)", PALE: "var(--line)", "#777777": "var(--gray)", "#000000": "var(--ink)"}
"""Colors of figures that follow the colors of the page, in light and dark mode."""


def to_html(report: Report) -> str:
    """Return a report as a whole HTML document.

    Parameters
    ----------
    report : Report
        Every text of it is escaped.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"svg": _Drawer().svg, "thumbnail": data_url}
    folder = files("savs.reports")
    page = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    style = (folder / "report.css").read_text(encoding="utf-8")
    return page.render(report=report, style=_markup(style))


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


class _Drawer:
    """Draws the figures of one document, whose ids must not be the same."""

    def __init__(self) -> None:
        self.number = 0

    def svg(self, figure: Figure, alt: str) -> Markup:
        """Return a figure as SVG for inline use."""
        from markupsafe import escape
        from matplotlib import rc_context

        self.number += 1
        stream = io.StringIO()
        settings: Any = {"svg.fonttype": "none", "svg.hashsalt": f"savs {self.number}"}
        with rc_context(settings), warnings.catch_warnings():
            # The browser has fonts for all scripts; matplotlib's own only measures the text.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            stamp = {"Date": None, "Creator": None}
            figure.savefig(stream, format="svg", metadata=stamp, transparent=True)
        text = stream.getvalue()
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r"\bid=\"([A-Za-z]+_?[0-9.]*[^\"]*)\"", rf'id="f{self.number}-\1"', text)
        text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>f{self.number}-", text)
        for color, variable in _COLORS.items():
            text = re.sub(rf"(fill|stroke): {color}(?=[;\"])", rf"\1: {variable}", text, flags=re.IGNORECASE)
        text = text.replace("'DejaVu Sans'", "var(--font)")
        text = re.sub(r' width="[0-9.]+pt" height="[0-9.]+pt"', "", text, count=1)
        width = round(96 * figure.get_figwidth())
        head = f'<svg role="img" aria-label="{escape(alt)}" style="--width: {width}px" '
        return _markup(head + text.removeprefix("<svg"))


def data_url(content: bytes) -> str:
    """Return a JPEG image as a data URL."""
    return f"data:image/jpeg;base64,{b64encode(content).decode()}"
