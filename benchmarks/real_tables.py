"""Tables of `benchmarks.real` in Markdown: every method on every text set, and which kind wins where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NAMES",
    "Estimate",
    "difference_table",
    "estimate",
    "method_table",
    "outcomes",
    "seconds_table",
    "winner_table",
]

NAMES = {
    "sav": "`sav`, the published rule",
    "auto": "`auto`",
    "hec_v": "`hec_v`",
    "calm": "`calm`",
    "kernel_ridge": "`kernel_ridge`",
    "all_heads": "all heads, nearest mean",
    "logistic_probe": "all heads and the state, logistic regression",
    "last_layer": "last layer, nearest mean",
    "option_likelihood": "`option_likelihood`, the likeliest class name",
    "zero_shot": "zero-shot, the model's own answer",
    "in_context": "in context, four shots before the question",
    "embedding_names": "sentence encoder, nearest class name",
    "embedding_centroid": "sentence encoder, nearest mean",
    "embedding_logistic": "sentence encoder and logistic regression",
    "tf_idf": "TF-IDF and logistic regression, no model",
    "majority": "the most frequent class",
}
"""What is measured, in the order of the tables: heads, the model itself, the encoder, controls."""

_RESAMPLES = 2000
_LEVEL = 0.95


class Estimate(NamedTuple):
    """A share with its interval, all of them in percent."""

    value: float
    low: float
    high: float


def outcomes(found: Mapping[str, Any], name: str, shots: int) -> NDArray[np.float64] | None:
    """Return what a method got right, shape (n_draws, n_texts): 1, 0, or NaN for texts not judged.

    Parameters
    ----------
    found : mapping
        Of one text set, from `benchmarks.real.measure`.
    name : str
        Of the method.
    shots : int
        Per class.

    Returns
    -------
    ndarray or None
        None where it was not measured or cannot work.
    """
    draws = found["right"].get(name, {}).get(str(shots))
    if not draws:
        return None
    values = {"1": 1.0, "0": 0.0, "-": np.nan}
    return np.array([[values[one] for one in draw] for draw in draws])


def estimate(right: NDArray[np.float64], seed: int = 0) -> Estimate:
    """Return the mean over draws and texts with an interval over both.

    Parameters
    ----------
    right : ndarray of float64, shape (n_draws, n_texts)
        From `outcomes`, or the difference of two of them.
    seed : int, default=0
        Of the resamples.

    Notes
    -----
    Percentile interval at 95 % over resamples of draws and, apart from them, of texts (the pigeonhole
    bootstrap of Owen, Annals of Applied Statistics 2007): it covers other shots and other texts.
    """
    known = ~np.isnan(right)
    values = np.where(known, right, 0.0)
    generator = np.random.default_rng(seed)
    n_draws, n_texts = right.shape
    of_draws = generator.multinomial(n_draws, np.full(n_draws, 1 / n_draws), _RESAMPLES).astype(float)
    of_texts = generator.multinomial(n_texts, np.full(n_texts, 1 / n_texts), _RESAMPLES).astype(float)
    sums = np.einsum("rd,dt,rt->r", of_draws, values, of_texts, optimize=True)
    counts = np.einsum("rd,dt,rt->r", of_draws, known.astype(float), of_texts, optimize=True)
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(*(100 * float(one) for one in (values.sum() / known.sum(), low, high)))


def method_table(found: Mapping[str, Any]) -> str:
    """Return every method on one text set: accuracy in percent and its interval, the best of a column bold.

    Parameters
    ----------
    found : mapping
        From `benchmarks.real.measure`.
    """
    shots = [0, *found["settings"]["shots"]]
    cells: dict[str, list[Estimate | None]] = {}
    for name in NAMES:
        rights = [outcomes(found, name, count) for count in shots]
        if any(right is not None for right in rights):
            cells[name] = [None if right is None else estimate(right) for right in rights]
    best = [max((row[i].value for row in cells.values() if row[i]), default=0.0) for i in range(len(shots))]  # type: ignore[union-attr]
    lines = [f"| shots per class | {' | '.join(map(str, shots))} |", "|---" * (len(shots) + 1) + "|"]
    for name, row in cells.items():
        texts = [_cell(one, top) for one, top in zip(row, best, strict=True)]
        lines.append(f"| {NAMES[name]} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _cell(one: Estimate | None, best: float) -> str:
    if one is None:
        return ""
    value = f"{one.value:.1f}"
    return f"{f'**{value}**' if one.value == best else value} ({one.low:.0f}-{one.high:.0f})"


def difference_table(every: Sequence[Mapping[str, Any]], name: str, other: str, shots: Sequence[int]) -> str:
    """Return how many points one method is above another, on the same draws and texts.

    Parameters
    ----------
    every : sequence of mapping
        From `benchmarks.real.measure`, one per text set.
    name, other : str
        The two methods.
    shots : sequence of int
        The columns.
    """
    lines = [f"| shots per class | {' | '.join(map(str, shots))} |", "|---" * (len(shots) + 1) + "|"]
    for found in every:
        cells = []
        for count in shots:
            one, two = outcomes(found, name, count), outcomes(found, other, count)
            if one is None or two is None:
                cells.append("")
                continue
            n_draws = min(len(one), len(two))
            value, low, high = estimate(one[:n_draws] - two[:n_draws])
            text = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
            cells.append(f"**{text}**" if low > 0 or high < 0 else text)
        lines.append(f"| {found['set']} | {' | '.join(cells)} |")
    return "\n".join(lines)


KINDS = {
    "heads of the language model": ("sav", "auto", "hec_v", "calm", "kernel_ridge"),
    "sentence encoder": ("embedding_names", "embedding_centroid", "embedding_logistic", "setfit"),
    "words alone": ("tf_idf",),
    "the model's own answer": ("zero_shot", "option_likelihood", "in_context"),
}
"""Which methods are of which kind, for `winner_table`."""


def winner_table(every: Sequence[Mapping[str, Any]], shots: Sequence[int]) -> str:
    """Return the best method of each kind on each text set.

    Parameters
    ----------
    every : sequence of mapping
        From `benchmarks.real.measure`, one per text set.
    shots : sequence of int
        A group of rows each.

    Notes
    -----
    The best of several methods on the texts that they are judged on is a little too good; that is so for
    every kind with several methods.
    """
    lines = [f"| text set | shots per class | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 2) + "|"]
    for found in every:
        for count in shots:
            cells: list[tuple[float, str]] = []
            for names in KINDS.values():
                rights = {name: outcomes(found, name, count) for name in names}
                values = [(float(np.nanmean(one)), name) for name, one in rights.items() if one is not None]
                cells.append(max(values, default=(-1.0, "")))
            top = max(value for value, _ in cells)
            texts = [
                ""
                if not name
                else f"**{100 * value:.1f}** `{name}`"
                if value == top
                else f"{100 * value:.1f} `{name}`"
                for value, name in cells
            ]
            lines.append(f"| {found['set']} | {count} | {' | '.join(texts)} |")
    return "\n".join(lines)


def seconds_table(every: Sequence[Mapping[str, Any]]) -> str:
    """Return milliseconds that one text costs each model.

    Parameters
    ----------
    every : sequence of mapping
        From `benchmarks.real.measure`, one per text set.
    """
    names = list(every[0]["per_text"])
    lines = [f"| milliseconds for a text | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for found in every:
        cells = [f"{1000 * found['per_text'][name]:.0f}" for name in names]
        lines.append(f"| {found['set']} | {' | '.join(cells)} |")
    return "\n".join(lines)
