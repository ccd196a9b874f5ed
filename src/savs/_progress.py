"""The progress bar of everything that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    total: int, unit: str, progress: bool, title: str | None = None
) -> Iterator[Callable[[int], object]]:
    """Show a bar on stderr if asked to, stderr is a terminal and it takes longer than two seconds.

    Parameters
    ----------
    total : int
        How much there is to do.
    unit : str
        What is counted, such as ``"example"``.
    progress : bool
        Whether to show it.
    title : str, optional
        Stands before the bar.

    Yields
    ------
    callable
        Told how much more is done.
    """
    from tqdm import tqdm

    shown = None if progress else True
    with tqdm(total=total, desc=title, unit=unit, delay=2, disable=shown, leave=False) as bar:
        yield bar.update
