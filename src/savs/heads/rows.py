"""Feature rows as estimators take them: the layout that belongs to them, and no NaN or infinity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from savs.errors import ActivationError
from savs.features import HeadLayout

__all__ = ["check_finite", "check_finite_from", "resolve_layout"]


def resolve_layout(layout: HeadLayout | tuple[int, int, int] | None, width: int) -> HeadLayout:
    """Return the layout of rows of `width` columns; None makes the whole row one head.

    Raises
    ------
    ValueError
        If `layout` is no layout, or not of this width.
    """
    if layout is None:
        return HeadLayout.uniform(1, 1, width)
    if isinstance(layout, tuple) and len(layout) == 3:
        layout = HeadLayout.uniform(*layout)
    if not isinstance(layout, HeadLayout):
        raise ValueError(
            f"layout must be a HeadLayout, (n_layers, n_heads, head_dim) or None, got {layout!r}"
        )
    if layout.width != width:
        raise ValueError(f"X has {width} columns, but the layout needs {layout.width}")
    return layout


def check_finite(rows: NDArray[np.floating], layout: HeadLayout) -> None:
    """Raise `ActivationError` naming the first row with NaN or infinity, and its head."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):  # cheap: a NaN or an infinity survives every sum
            return
    bad = next(
        ((i, np.flatnonzero(~np.isfinite(row))) for i, row in enumerate(rows) if not np.isfinite(row).all()),
        None,
    )
    if bad is not None:
        ends = np.cumsum(layout.dims)
        head = layout.parts[int(np.searchsorted(ends, bad[1][0], side="right"))]
        place = "the last-layer state" if head.is_state else f"layer {head.layer}, head {head.index}"
        raise ActivationError(
            f"row {bad[0]} has NaN or inf in {place}",
            code="activation_not_finite",
        )


def check_finite_from(rows: NDArray[np.floating], layout: HeadLayout, start: int) -> None:
    """As `check_finite` for rows that begin at `start` of what the caller handed in."""
    try:
        check_finite(rows, layout)
    except ActivationError as error:
        first = int(str(error).split()[1])
        message = str(error).replace(f"row {first} ", f"row {first + start} ", 1)
        raise ActivationError(message, code=error.code) from None
