"""A forward pass that ends for some rows of a batch before it ends for others.

As soon as the heads of an exit are recorded, its rule says which rows are answered. The pass ends when all
are. Until then the others go on: alone, where every argument of the next layers says without doubt which of
its dimensions is the batch, and with the whole batch otherwise, which gives the same vectors and saves less.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from savs.backbones._attention_sites import AttentionSite
from savs.backbones._memory import OutOfMemoryError
from savs.backbones._record import Reading, Recorded, RecordingComplete, TokenReader, head_columns, recording
from savs.errors import ActivationError, BackboneError
from savs.layout import EarlyExit, HeadLayout

_LOG = logging.getLogger(__name__)
_PLAIN = (type(None), bool, int, float, str, torch.dtype, torch.device)
_ROTARY = ("position_embeddings", "cos", "sin", "freqs_cis")


@dataclass
class Narrowing:
    """What is known about going on with some rows of a batch alone, for one model.

    Attributes
    ----------
    failure : str or None
        Why it is not done with this model.
    checked : set
        The kinds of inputs whose vectors were compared with those of the whole batch.
    n_rows : int
        Rows that layers were spared of, in all calls.
    """

    failure: str | None = None
    checked: set[Hashable] = field(default_factory=set)
    n_rows: int = 0


class EarlyReading(Reading):
    """Reads rows of shape (layout.width + hidden_size + 1,) float32, each only as deep as it must.

    The last column holds the layers that were run for the row; columns of deeper heads, and the state, are
    NaN. The other parameters are those of `Reading`.

    Parameters
    ----------
    exits : sequence of EarlyExit
        By depth.
    layers : sequence of nn.Module
        The decoder's layers in running order, each once; none where that is not so.
    narrowing : Narrowing
        Shared by all calls of a backbone.
    """

    def __init__(
        self,
        *given: Any,
        exits: Sequence[EarlyExit],
        layers: Sequence[nn.Module],
        narrowing: Narrowing,
        **options: Any,
    ) -> None:
        super().__init__(*given, **options)
        if self.layout is None:
            raise BackboneError("early exits need heads")
        self.heads_layout: HeadLayout = self.layout
        self.exits, self.layers, self.narrowing = exits, layers, narrowing
        self.depths = np.repeat([head.layer for head in self.heads_layout.heads], self.heads_layout.dims)
        self.n_layers = int(self.depths.max()) + 1 if not self.states else len(layers) or 2**20

    def _read_pass(self, inputs: dict[str, Any], mask: torch.Tensor) -> list[NDArray[np.float32]]:
        kind = tuple(sorted(inputs))
        if self.narrowing.failure is not None or len(mask) < 2 or not self.layers:
            return self._early_pass(inputs, mask, None)[0]
        narrower = _Narrower(self.layers, mask.shape[1], len(mask), new_cache="cache" not in inputs)
        try:
            rows, recorded = self._early_pass(inputs, mask, narrower)
            if narrower.narrowed and kind not in self.narrowing.checked:
                self._check(rows, inputs, mask, kind)
        except OutOfMemoryError:
            raise
        except BackboneError as error:
            if not narrower.narrowed:
                raise
            self._give_up(str(error))
        if self.narrowing.failure is not None:
            return self._early_pass(inputs, mask, None)[0]
        self.narrowing.n_rows += narrower.n_spared
        del recorded
        return rows

    def _early_pass(
        self, inputs: dict[str, Any], mask: torch.Tensor, narrower: _Narrower | None
    ) -> tuple[list[NDArray[np.float32]], Recorded]:
        departures = Departures(self.exits, self.sites, self.heads_layout, len(mask))
        decoder = self.decoder if self.states else None
        with (
            recording(self.sites, mask, decoder, departures) as recorded,
            _narrowing(narrower, departures, recorded.reader),
        ):
            self._forward(inputs)
        return list(self._marked(recorded, departures)), recorded

    def _marked(self, recorded: Recorded, departures: Departures) -> NDArray[np.float32]:
        """Return the rows with NaN in what lies above each row's exit, then the layers run for it."""
        n_layers = np.where(departures.n_layers > 0, departures.n_layers, self.n_layers)
        hidden = int(self.model.config.get_text_config(decoder=True).hidden_size) if self.states else 0
        rows = np.full((len(n_layers), len(self.depths) + hidden + 1), np.nan, np.float32)
        for site in self.sites:
            if site not in recorded.vectors:  # everybody had left
                width = site.n_heads * site.head_dim
                recorded.vectors[site] = torch.full((len(rows), width), torch.nan)
        columns = torch.cat(head_columns(recorded, self.sites, self.heads_layout), dim=1).numpy()
        rows[:, : len(self.depths)] = np.where(self.depths < n_layers[:, None], columns, np.nan)
        stay = departures.n_layers == 0
        if recorded.states is not None:
            rows[stay, len(self.depths) : -1] = recorded.states.numpy()[stay]
        rows[:, -1] = n_layers
        return rows

    def _check(
        self, rows: list[NDArray[np.float32]], inputs: dict[str, Any], mask: torch.Tensor, kind: Hashable
    ) -> None:
        """Compare a batch that was narrowed with the same batch whole."""
        whole = self._early_pass(inputs, mask, None)[0]
        wrong = next(filter(None, map(self.difference, rows, whole)), None)
        if wrong is not None:
            self._give_up(wrong)
        self.narrowing.checked.add(kind)

    def _give_up(self, reason: str) -> None:
        self.narrowing.failure = " ".join(reason.split())[:200] or "unknown"
        _LOG.warning(
            "rows that are answered early stay in their batch until all are: %s", self.narrowing.failure
        )

    def _reached(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the columns that were computed for a row."""
        heads = row[: len(self.depths)][self.depths < row[-1]]
        return np.concatenate([heads, row[len(self.depths) : -1]]) if row[-1] >= self.n_layers else heads

    def difference(self, row: NDArray[np.float32], whole: NDArray[np.float32]) -> str | None:
        """Return how two readings of one row differ in what both have computed, or None.

        Parameters
        ----------
        row, whole : ndarray of float32
            Rows of this reading.
        """
        one, other = self._reached(row), self._reached(whole)
        n = min(len(one), len(other))  # columns go by depth: what both have comes first
        if n < len(other) and not self._goes_by_depth:
            both = self.depths < min(row[-1], whole[-1])
            return super().difference(row[: len(both)][both], whole[: len(both)][both])
        return super().difference(one[:n], other[:n])

    @property
    def _goes_by_depth(self) -> bool:
        return bool((np.diff(self.depths) >= 0).all())

    def non_finite(self, row: NDArray[np.float32]) -> ActivationError | None:
        """Return the error of a row with a NaN or an infinite value in what was computed for it.

        Parameters
        ----------
        row : ndarray of float32
            A row of this reading.
        """
        if np.isfinite(self._reached(row)).all():
            return None
        filled = row[:-1].copy()
        filled[: len(self.depths)][self.depths >= row[-1]] = 0
        if row[-1] < self.n_layers:
            filled[len(self.depths) :] = 0
        return super().non_finite(filled)


class Departures:
    """Which rows of a batch are answered, as a forward pass goes from exit to exit.

    Parameters
    ----------
    exits : sequence of EarlyExit
        By depth.
    sites : sequence of AttentionSite
        All that are recorded.
    layout : HeadLayout
        Of the heads of all exits.
    n_rows : int
        Rows of the batch.

    Attributes
    ----------
    n_layers : ndarray of int, shape (n_rows,)
        The layers run for each row that is answered; 0 for the others.
    """

    def __init__(
        self,
        exits: Sequence[EarlyExit],
        sites: Sequence[AttentionSite],
        layout: HeadLayout,
        n_rows: int,
    ) -> None:
        self.n_layers = np.zeros(n_rows, dtype=np.intp)
        self._waiting = [
            (one, layout.select(one.heads), [site for site in sites if _holds(site, one)]) for one in exits
        ]

    @property
    def left(self) -> NDArray[np.intp]:
        """The rows that are not answered, ascending."""
        return np.flatnonzero(self.n_layers == 0)

    def after_site(self, recorded: Recorded) -> None:
        """Ask the exits whose heads are all recorded; end the pass when no row is left.

        Parameters
        ----------
        recorded : Recorded
            What the pass has left behind so far.

        Raises
        ------
        RecordingComplete
            When no row is left.
        """
        while self._waiting and all(site in recorded.vectors for site in self._waiting[0][2]):
            one, layout, sites = self._waiting.pop(0)
            left = self.left
            table = torch.cat(head_columns(recorded, sites, layout), dim=1).cpu().numpy()[left]
            finite = np.isfinite(table).all(axis=1)
            done = ~finite  # an error, whatever comes after it
            if finite.any():
                done[finite] = one.is_answered(table[finite])
            self.n_layers[left[done]] = one.n_layers
            if done.all():
                raise RecordingComplete


def _holds(site: AttentionSite, one: EarlyExit) -> bool:
    indices = range(site.first_index, site.first_index + site.n_heads)
    return any(head.layer == site.layer and head.index in indices for head in one.heads)


class _UnclearError(Exception):
    """It is not certain which dimension of an argument is the batch."""


class _Narrower:
    """Takes the rows that are left out of the arguments of layers.

    `history` holds the rows that layers ran on, from all to the fewest: sizes fall, so a tensor's size along
    the batch says which rows it holds.

    A cache that the model has made for this pass is left alone: each layer has a place of its own there. One
    that holds a shared beginning has as many rows as the batch had.
    """

    def __init__(
        self, layers: Sequence[nn.Module], n_tokens: int, n_rows: int, *, new_cache: bool = True
    ) -> None:
        self.layers = layers
        self.new_cache = new_cache
        self.n_tokens = n_tokens
        self.history = [np.arange(n_rows)]
        self.possible = True
        self.n_spared = 0

    @property
    def narrowed(self) -> bool:
        return len(self.history) > 1

    def rows_for(self, layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return a layer's arguments with the rows of the last entry of `history` alone."""
        names = _names(layer, len(given))
        first = names[0] if given else next(iter(named), "")
        args = tuple(self._taken(name, value, first) for name, value in zip(names, given, strict=True))
        return args, {name: self._taken(name, value, first) for name, value in named.items()}

    def _taken(self, name: str, value: Any, first: str) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if type(value) in (tuple, list):
            return type(value)(self._taken(name, one, "") for one in value)
        if self.new_cache and name == "past_key_values" and type(value).__name__ == "DynamicCache":
            return value
        if not isinstance(value, torch.Tensor):
            raise _UnclearError(f"{name} is a {type(value).__name__}")
        dim = self._batch_dim(name, value, is_first=name == first)
        return value if dim is None else self._picked(value, dim, name)

    def _batch_dim(self, name: str, value: torch.Tensor, *, is_first: bool) -> int | None:
        shape, n = tuple(value.shape), len(value.shape)
        if n == 0 or (n == 1 and name in ("cache_position", "position_ids") and shape[0] == self.n_tokens):
            return None
        if is_first and n != 3:
            raise _UnclearError(f"{name} has {n} dimensions")
        if not is_first and name.endswith("mask") and n in (2, 3, 4):
            return 0
        if name == "position_ids" and n in (2, 3):
            return n - 2  # (batch, tokens), or (axes, batch, tokens)
        if name.startswith(_ROTARY):
            return self._rotary_dim(name, shape)
        if n >= 2 and shape[1] == self.n_tokens:
            return 0
        raise _UnclearError(f"{name} is of shape {shape}")

    def _rotary_dim(self, name: str, shape: tuple[int, ...]) -> int | None:
        if len(shape) == 2 and shape[0] == self.n_tokens:
            return None
        if len(shape) == 3 and shape[1] == self.n_tokens:
            return 0
        sizes = {1, *map(len, self.history)}
        if len(shape) == 4 and shape[2] == self.n_tokens and shape[0] == 3 and 3 not in sizes:
            return 1  # (axes, batch, tokens, columns)
        raise _UnclearError(f"{name} is of shape {shape}")

    def _picked(self, value: torch.Tensor, dim: int, name: str) -> torch.Tensor:
        size, now = value.shape[dim], self.history[-1]
        if size in (1, len(now)):
            return value
        for rows in self.history:
            if len(rows) == size:
                places = torch.as_tensor(np.searchsorted(rows, now), device=value.device)
                return value.index_select(dim, places)
        raise _UnclearError(f"{name} has {size} rows")


def _names(layer: nn.Module, count: int) -> list[str]:
    known = [
        name
        for name, parameter in inspect.signature(layer.forward).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    return [known[i] if i < len(known) else f"argument {i}" for i in range(count)]


@contextmanager
def _narrowing(
    narrower: _Narrower | None, departures: Departures, reader: TokenReader | None
) -> Iterator[None]:
    """Let each layer in the block run on the rows that are left, where that is certain to be right."""
    if narrower is None or reader is None:
        yield
        return

    def narrow(layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        left = departures.left
        if not narrower.possible or (len(left) == len(narrower.history[0])):
            return None
        before = list(narrower.history)
        if len(left) < len(narrower.history[-1]):
            narrower.history.append(left)
        try:
            found = narrower.rows_for(layer, args, dict(kwargs))
        except _UnclearError as error:
            if len(before) > 1:
                raise BackboneError(f"a layer's {error}") from None
            narrower.history, narrower.possible = before, False
            return None
        reader.narrow(narrower.history[-1])
        narrower.n_spared += len(narrower.history[0]) - len(left)
        return found

    handles = [layer.register_forward_pre_hook(narrow, with_kwargs=True) for layer in narrower.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
