"""How a view of a directory hears that something changed there: from inotify, else from the package watchfiles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from .._lazy import lazily
from ..errors import ConfigError, StoreError
from ._inotify import Inotify, Listener, is_available, of_loop

if TYPE_CHECKING:
    from pathlib import Path

watchfiles = lazily("watchfiles")

NEEDS = "watching a directory on this system needs one more package: pip install watchfiles"


class Signals(Protocol):
    """Tells one listener of one view's directories."""

    async def begin(self) -> None:
        """Be ready to add directories."""
        ...

    def add(self, path: Path) -> int:
        """Listen to a directory from now on, and give its number; another one of the same name has another number.

        Raises:
            OSError: there is no such directory.
        """
        ...

    def remove(self, number: int) -> None:
        """Stop listening to a directory."""
        ...

    async def aclose(self) -> None:
        """Stop listening altogether, once all directories are removed."""
        ...


def signals_of(root: Path, listener: Listener) -> Signals:
    """Choose how a listener hears of the directory `root` and those directly in it."""
    return _FromInotify(listener) if is_available() else FromWatchfiles(root, listener)


class _FromInotify:
    """Tells which name came or went where."""

    __slots__ = ("_inotify", "_listener")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._inotify: Inotify | None = None

    async def begin(self) -> None:
        """Do nothing: the descriptor is opened with the first directory."""

    def add(self, path: Path) -> int:
        """Listen to a directory, and give its number."""
        if self._inotify is None or not self._inotify.is_open:
            self._inotify = of_loop(asyncio.get_running_loop())
        return self._inotify.add(path, self._listener)

    def remove(self, number: int) -> None:
        """Stop listening to a directory."""
        if self._inotify is not None:
            self._inotify.remove(number, self._listener)

    async def aclose(self) -> None:
        """Do nothing: the descriptor is closed with the last directory."""


class FromWatchfiles:
    """Tells that something has changed, not what: the listener looks at everything again."""

    __slots__ = ("_failure", "_listener", "_root", "_stop", "_task")

    def __init__(self, root: Path, listener: Listener) -> None:
        """Name the directory, which has to exist when this begins."""
        self._root = root
        self._listener = listener
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def begin(self) -> None:
        """Start watching.

        Raises:
            ConfigError: the package is missing.
        """
        try:
            changes: Any = watchfiles.awatch(self._root, stop_event=self._stop, debounce=50, step=10, watch_filter=None)
        except ImportError as error:
            raise ConfigError(NEEDS) from error
        self._task = asyncio.get_running_loop().create_task(self._follow(changes))
        # Its first step goes as far as watching, before it waits.
        await asyncio.sleep(0)

    async def _follow(self, changes: Any) -> None:
        try:
            async for _ in changes:
                self._listener.lost()
        except Exception as error:  # noqa: BLE001  # whatever it is, the reader is to have it
            self._failure = error
            self._listener.lost()

    def add(self, path: Path) -> int:
        """Give a number for a directory; the one above it is being watched already.

        Raises:
            StoreError: nothing is watched any more.
        """
        if self._failure is not None:
            raise StoreError(f"{self._root} cannot be watched: {self._failure}") from self._failure
        return path.stat().st_ino

    def remove(self, number: int) -> None:
        """Do nothing: the directory above it stays watched."""

    async def aclose(self) -> None:
        """Stop watching, and wait until the thread in which the package waits is done."""
        if self._task is not None:
            self._stop.set()
            await asyncio.wait([self._task])
