"""`Fetcher`: addresses to files in a private folder, each address once."""

from __future__ import annotations

import atexit
import os
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

from savs.errors import MediaError
from savs.media.addresses.deadline import Deadline
from savs.media.addresses.download import content_blocks, failures_told, tls_context
from savs.media.addresses.networks import IPAddress, Resolver, is_denied, pinned_addresses, resolve
from savs.media.addresses.policy import Target, UrlPolicy
from savs.media.limits import MediaLimits
from savs.media.packets import VideoLimits
from savs.media.sound_files import AudioLimits

__all__ = ["Fetcher"]

_LIMITS = {"image": MediaLimits, "video": VideoLimits, "audio": AudioLimits}


class Fetcher:
    """Opens addresses of allowed hosts: what ``fetch`` of `savs.as_example` and `savs.read_examples` takes.

    Files lie in a private folder, which is removed when the process ends (not when it is killed) or by
    `close`. An address is asked for once, also if that failed. Safe to call from several threads.

    Parameters
    ----------
    policy : UrlPolicy
    resolver : callable, optional
        Gives the addresses of a host and port; the system's by default.
    denied : callable, optional
        Tells addresses that are not dialled; `savs.media.addresses.networks.is_denied` by default.
    context : ssl.SSLContext, optional
        Checks certificates; by default the system's authorities and the host's name.

    Examples
    --------
    >>> fetch = Fetcher(UrlPolicy(hosts=("images.example.org",)))
    >>> from savs import as_example
    >>> as_example("https://elsewhere.example.org/cat.png", fetch=fetch)
    Traceback (most recent call last):
        ...
    savs.errors.MediaError: the host elsewhere.example.org is not allowed; allow it \
(--allow-host elsewhere.example.org), or give a file
    """

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        resolver: Resolver = resolve,
        denied: Callable[[IPAddress], bool] = is_denied,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self._resolver, self._denied, self._context = resolver, denied, context
        self._lock = threading.Lock()
        self._asked: dict[tuple[Target, str], Future[Path]] = {}
        self._folder: Path | None = None
        self._n_bytes = self._n_files = 0

    def __repr__(self) -> str:
        return f"Fetcher({self.policy!r})"

    def __call__(self, url: str, kind: str) -> Path:
        """Return the file with the content of an address.

        Parameters
        ----------
        url : str
            Its part after ``#`` is left out.
        kind : str
            ``"image"``, ``"video"`` or ``"audio"``: which limit of bytes holds.

        Raises
        ------
        MediaError
            ``url_refused``, ``url_host``, ``url_address``, ``url_certificate``, ``url_redirect``,
            ``url_status``, ``url_encoding``, ``url_too_large``, ``url_timeout``, ``url_too_many`` or
            ``url_failed``.
        """
        key = (self.policy.target(url), kind)
        with self._lock:
            asked = self._asked.get(key)
            mine = asked is None
            if asked is None:
                self._check_room(key[0])
                asked = self._asked[key] = Future()
        if mine:
            self._answer(asked, *key)
        error = asked.exception()
        if isinstance(error, MediaError):
            # Each row notes its own id on its error.
            raise MediaError(error.message, code=error.code)
        return asked.result()

    def close(self) -> None:
        """Remove the files; examples that name them cannot be read any more."""
        with self._lock:
            folder, self._folder, self._n_bytes = self._folder, None, 0
            self._asked.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_room(self, target: Target) -> None:
        full = self._n_bytes >= self.policy.max_total_bytes
        if full or len(self._asked) >= self.policy.max_files:
            limit = f"{self.policy.max_total_bytes} bytes" if full else f"{self.policy.max_files} addresses"
            message = (
                f"the host {target.host} is not asked: more than {limit} in one run; download the files once "
                "and give their paths"
            )
            raise MediaError(message, code="url_too_many")

    def _answer(self, asked: Future[Path], target: Target, kind: str) -> None:
        try:
            asked.set_result(self._fetched(target, kind))
        except MediaError as error:
            asked.set_exception(error)
        except BaseException as error:
            # Interrupted: those who wait must not wait on, and a later call asks again.
            with self._lock:
                self._asked.pop((target, kind), None)
            asked.set_exception(error)
            raise

    def _fetched(self, target: Target, kind: str) -> Path:
        limit = _LIMITS[kind]().max_bytes
        if self.policy.max_bytes is not None:
            limit = min(limit, self.policy.max_bytes)
        deadline = Deadline(self.policy.deadline_s)
        with failures_told(target.host, deadline):
            addresses = pinned_addresses(target, deadline, self._resolver, self._denied)
        with closing(content_blocks(target, addresses, limit, deadline, self._checking())) as blocks:
            return self._written(target, blocks)

    def _checking(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = tls_context()
            return self._context

    def _written(self, target: Target, blocks: Iterator[bytes]) -> Path:
        path = None
        try:
            path = self._new_file()
            with path.open("xb") as file:
                for block in blocks:
                    file.write(block)
                n_bytes = file.tell()
        except BaseException as error:
            if path is not None:
                with suppress(OSError):
                    path.unlink()
            if isinstance(error, OSError):
                message = f"the file of the host {target.host} cannot be stored; make room, or set TMPDIR"
                raise MediaError(message, code="url_failed") from None
            raise
        with self._lock:
            self._n_bytes += n_bytes
        return path

    def _new_file(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="savs-"))
                atexit.register(_remove, self._folder, os.getpid())
            self._n_files += 1
            return self._folder / f"{self._n_files:06d}"


def _remove(folder: Path, owner: int) -> None:
    # A forked child that ends must not take its parent's files away.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
