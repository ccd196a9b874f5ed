"""Feature rows from a backbone: head vectors, and the final hidden state where a classifier uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from savs.backbones import Backbone, Extraction
from savs.errors import BackboneError
from savs.examples import Example
from savs.features import Head

__all__ = ["read_rows"]


def read_rows(
    backbone: Backbone,
    examples: Sequence[Example],
    heads: Sequence[Head] | None = None,
    *,
    state: bool = False,
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return rows of the given heads, followed by the state if that is wanted or the last head stands for it.

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
    max_errors, progress
        As for `Backbone.extract`.

    Raises
    ------
    ItemError
        When more than `max_errors` examples cannot be read.
    BackboneError
        If the backbone has no final hidden state to give.
    """
    if heads is not None and len(heads) and heads[-1].is_state:
        heads, state = heads[:-1], True
    alone = heads is not None and not len(heads)
    asked = [backbone.layout.heads[0]] if alone else heads
    if not state:
        return backbone.extract(examples, asked, max_errors=max_errors, progress=progress)
    found = backbone.extract(examples, asked, max_errors=max_errors, progress=progress, states=True)
    if found.states is None:
        raise BackboneError("the backbone gives no final hidden states; use another method")
    features = found.states if alone else np.hstack([found.features, found.states])
    return replace(found, features=features, states=None)
