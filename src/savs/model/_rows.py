"""Feature rows of examples: head vectors, and what else a classifier uses.

That is the last-layer state, and the log likelihoods of the class names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, Extraction
from savs.backbones.option_likelihood import as_scorer
from savs.data import ErrorLimit, Example
from savs.errors import BackboneError, ItemError
from savs.layout import EarlyExit, Head


def read_rows(
    backbone: Backbone,
    examples: Sequence[Example],
    heads: Sequence[Head] | None = None,
    *,
    state: bool = False,
    state_is_optional: bool = False,
    options: Sequence[str] = (),
    exits: Sequence[EarlyExit] = (),
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return feature rows of the given heads, with the state and the options behind them where wanted.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : sequence of Example
        With their prompt.
    heads : sequence of Head, optional
        All heads of the backbone by default; the last ones may be a layout's ``state_head`` and
        ``options_head``.
    state : bool, default=False
        Append the state to the rows of all heads.
    state_is_optional : bool, default=False
        Leave the state out where the backbone cannot give it.
    options : sequence of str, optional
        Texts of the classes, whose log likelihoods are appended to the rows of all heads, or where `heads`
        ask for them.
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
        If the state or the likelihoods are needed and the backbone cannot give them.
    """
    if options and (heads is None or (len(heads) and heads[-1].is_options)):
        heads = None if heads is None else heads[:-1]
        read = partial(read_rows, heads=heads, state=state, state_is_optional=state_is_optional)
        first = None if heads is not None and not len(heads) else partial(read, backbone, progress=progress)
        second = partial(option_columns, backbone, options=options, progress=progress)
        return _side_by_side(examples, [one for one in (first, second) if one is not None], max_errors)
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


def option_columns(
    backbone: Backbone,
    examples: Sequence[Example],
    options: Sequence[str],
    *,
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return the log likelihood of each option behind each example, as float32 columns.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : sequence of Example
        With their prompt.
    options : sequence of str
        Texts of the classes.
    max_errors, progress
        As for `Backbone.extract`.

    Raises
    ------
    ItemError
        When more than `max_errors` examples cannot be read.
    BackboneError
        If the backbone cannot give them.
    """
    found = as_scorer(backbone).option_log_likelihood(
        examples, options, max_errors=max_errors, progress=progress
    )
    return Extraction(found.sums.astype(np.float32), found.indices, found.errors)


def _side_by_side(
    examples: Sequence[Example], readers: Sequence[Callable[..., Extraction]], max_errors: int
) -> Extraction:
    """Return the columns of several readers for the examples that all of them can read."""
    limit, errors = ErrorLimit(max_errors), dict[int, ItemError]()
    left = np.arange(len(examples))
    columns: list[NDArray[np.float32]] = []
    for read in readers:
        found = read([examples[index] for index in left.tolist()], max_errors=limit.left)
        lost = np.setdiff1d(np.arange(len(left)), found.indices)
        for place, error in zip(left[lost].tolist(), found.errors, strict=True):
            errors[place] = limit.count(error)
        columns = [*(one[found.indices] for one in columns), found.features]
        left = left[found.indices]
    return Extraction(np.hstack(columns), left, [errors[place] for place in sorted(errors)])
