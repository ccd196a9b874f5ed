"""Feature rows of examples: head vectors, and the last-layer state where a classifier uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from savs.backbones import Backbone, Extraction
from savs.data import Example
from savs.errors import BackboneError
from savs.layout import EarlyExit, Head


def read_rows(
    backbone: Backbone,
    examples: Sequence[Example],
    heads: Sequence[Head] | None = None,
    *,
    state: bool = False,
    state_is_optional: bool = False,
    exits: Sequence[EarlyExit] = (),
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return feature rows of the given heads, and the last-layer state behind them where it is wanted.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : sequence of Example
        With their prompt.
    heads : sequence of Head, optional
        All heads of the backbone by default; the last one may be a layout's ``state_head``.
    state : bool, default=False
        Append the state to the rows of all heads.
    state_is_optional : bool, default=False
        Leave the state out where the backbone cannot give it.
    exits : sequence of EarlyExit, optional
        By depth: what lies above the one that answers an example is not read but NaN, where the backbone can
        end a pass for some examples before others. One with a store reads and keeps whole rows.
    max_errors, progress
        As for `Backbone.extract`.

    Raises
    ------
    ItemError
        When more than `max_errors` examples cannot be read.
    BackboneError
        If the state is needed and the backbone cannot give it.
    """
    if heads is not None and len(heads) and heads[-1].is_state:
        heads, state = heads[:-1], True
    alone = heads is not None and not len(heads)
    asked = [backbone.layout.heads[0]] if alone else heads
    extract = backbone.extract
    if exits and hasattr(backbone, "extract_early"):
        extract = partial(backbone.extract_early, exits=exits)
    if not state:
        return extract(examples, asked, max_errors=max_errors, progress=progress)
    found = extract(examples, asked, max_errors=max_errors, progress=progress, states=True)
    if found.states is None and state_is_optional and not alone:
        return found
    if found.states is None:
        raise BackboneError("the backbone gives no final hidden states; use another method")
    features = found.states if alone else np.hstack([found.features, found.states])
    return replace(found, features=features, states=None)
