"""How likely a model finds each of several answers: what is returned, and which backbones can say it.

An option (an answer, such as the name of a class) is put behind the prompt where the model's own answer would
begin. Its log likelihood is the sum of its tokens' log probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from savs._labels import has_surrogate
from savs._reprs import short_repr
from savs.data import Example
from savs.errors import BackboneError, DataError, ItemError

__all__ = ["OptionLogLikelihood", "OptionScorer", "as_scorer", "check_options"]


@dataclass(frozen=True)
class OptionLogLikelihood:
    """Log likelihoods of the options behind the prompts that could be read, and the errors of the others.

    Attributes
    ----------
    sums : ndarray of float64, shape (n_ok, n_options)
        Natural logarithm of each option's probability as the beginning of the answer: the sum over its
        tokens. One row per example that was read, in the order of the examples.
    n_tokens : ndarray of int, shape (n_ok, n_options)
        Tokens of each option.
    indices : ndarray of int, shape (n_ok,)
        Which example each row belongs to, ascending.
    errors : list of ItemError
        One per example that could not be read, in the order of the examples.
    """

    sums: NDArray[np.float64]
    n_tokens: NDArray[np.intp]
    indices: NDArray[np.intp]
    errors: list[ItemError] = field(default_factory=list)

    __repr__ = short_repr

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean log probability of each option's tokens, shape (n_ok, n_options)."""
        return np.asarray(self.sums / self.n_tokens)


@runtime_checkable
class OptionScorer(Protocol):
    """A backbone that can say how likely it finds each of several answers."""

    def option_log_likelihood(
        self,
        examples: Sequence[Example],
        options: Sequence[str],
        *,
        max_errors: int = 0,
        progress: bool = False,
    ) -> OptionLogLikelihood:
        """Return the log likelihood of each option as the beginning of the answer to each example.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        options : sequence of str
            The answers, each once.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar when the work takes longer than two seconds and stderr is a terminal.

        Raises
        ------
        DataError
            If the options cannot be used; see `check_options`.
        ItemError
            When more than `max_errors` examples cannot be read.
        BackboneError
            If the model gives no probabilities of tokens, or fails.
        """


def as_scorer(backbone: Any) -> OptionScorer:
    """Return a backbone that can say how likely it finds answers.

    Raises
    ------
    BackboneError
        If it cannot.
    """
    inside = getattr(backbone, "backbone", backbone)  # a store asks the backbone inside
    if isinstance(backbone, OptionScorer) and isinstance(inside, OptionScorer):
        return backbone
    raise BackboneError(
        "the backbone gives no likelihoods of class names; use a method that does not need them"
    )


def check_options(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options as a tuple.

    Raises
    ------
    DataError
        If there are none, one is no text or blank, holds half a character, or stands twice.

    Examples
    --------
    >>> check_options(["cat", "sea lion"])
    ('cat', 'sea lion')
    """
    if isinstance(options, str | bytes):
        raise DataError("options must be a list of texts, not one text")
    found = tuple(options)
    if not found:
        raise DataError("at least one option is required, got 0")
    wrong = next((option for option in found if not isinstance(option, str)), None)
    if wrong is not None:
        raise DataError(f"options must be texts, got {type(wrong).__name__}")
    if not all(option.strip() for option in found):
        raise DataError("an option is blank, so there is nothing to score")
    if any(map(has_surrogate, found)):
        raise DataError("an option holds half a character (a lone surrogate)")
    if len(set(found)) < len(found):
        twice = next(option for option in found if found.count(option) > 1)
        raise DataError(f"the option {twice!r} stands twice")
    return found
