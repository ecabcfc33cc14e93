"""News of directories from the Linux kernel: one descriptor for each event loop, whoever watches there.

A process may have few of these descriptors (often 128), so all watches of a loop share one.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from .._lazy import lazily

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

ctypes = lazily("ctypes")

_HEAD = struct.Struct("iIII")
_MOVED_TO, _CREATE, _DELETE = 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_OVERFLOW, _IGNORED, _ONLY_DIRECTORIES = 0x4000, 0x8000, 0x01000000
_WANTED = _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLY_DIRECTORIES
_AT_ONCE = 1 << 16
"""Bytes of news that are read in one turn of the loop."""


class Listener(Protocol):
    """Whoever is told what happens in directories; all calls come on the loop and must return at once."""

    def changed(self, number: int, name: str) -> None:
        """Hear that a name came, or went, in the directory that was added under a number."""
        ...

    def gone(self, number: int) -> None:
        """Hear that a directory was moved or removed; its number is void."""
        ...

    def lost(self) -> None:
        """Hear that news were lost: anything may have changed."""
        ...


def is_available() -> bool:
    """Say whether this system has inotify."""
    return hasattr(_libc(), "inotify_init1")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


class Inotify:
    """The directories that are watched on one loop. All methods are for that loop's thread."""

    __slots__ = ("__weakref__", "_fd", "_libc", "_listeners", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the descriptor.

        Raises:
            OSError: the system gives none.
        """
        self._libc = _libc()
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error("inotify_init1", "fs.inotify.max_user_instances")
        # Weakly: the loop holds this through its reader, and a loop that was dropped must be able to go.
        self._loop = weakref.ref(loop)
        self._listeners: dict[int, list[Listener]] = {}
        loop.add_reader(self._fd, self._read)

    def add(self, path: Path, listener: Listener) -> int:
        """Tell a listener of what happens in a directory from now on, and give the directory's number.

        Raises:
            OSError: there is no such directory, or no room for one more.
        """
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _WANTED)
        if number < 0:
            error = _error(os.fspath(path), "fs.inotify.max_user_watches")
            self._close_if_idle()
            raise error
        self._listeners.setdefault(number, []).append(listener)
        return number

    def remove(self, number: int, listener: Listener) -> None:
        """Tell a listener nothing more of a directory; the last one that goes closes the descriptor."""
        listeners = self._listeners.get(number)
        if listeners is not None and listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[number]
                # Fails if the directory is gone, which takes its watch along.
                self._libc.inotify_rm_watch(self._fd, number)
        self._close_if_idle()

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is open."""
        return self._fd >= 0

    def _close_if_idle(self) -> None:
        if not self._listeners and self._fd >= 0:
            loop = self._loop()
            if loop is not None and not loop.is_closed():
                loop.remove_reader(self._fd)
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # Of a loop that was closed while somebody watched on it.
        with suppress(AttributeError, OSError):
            self._close()

    def _read(self) -> None:
        try:
            news = os.read(self._fd, _AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        for number, mask, name in _parts(news):
            if mask & _OVERFLOW:
                for listener in {id(one): one for group in self._listeners.values() for one in group}.values():
                    listener.lost()
            elif mask & (_IGNORED | _MOVE_SELF):
                if mask & _MOVE_SELF and number in self._listeners:
                    self._libc.inotify_rm_watch(self._fd, number)
                for listener in self._listeners.pop(number, ()):
                    listener.gone(number)
            elif name:
                for listener in self._listeners.get(number, ()):
                    listener.changed(number, name)


def _parts(news: bytes) -> Iterator[tuple[int, int, str]]:
    start = 0
    while start < len(news):
        number, mask, _, length = _HEAD.unpack_from(news, start)
        start += _HEAD.size
        yield number, mask, os.fsdecode(news[start : start + length].rstrip(b"\0"))
        start += length


def _error(what: str, limit: str) -> OSError:
    number = ctypes.get_errno()
    hint = f"; the system's limit is {limit}" if number in {errno.EMFILE, errno.ENOSPC} else ""
    return OSError(number, os.strerror(number) + hint, what)


# Weakly on both sides: those who listen know their loop, and would keep it alive from here.
_LOOPS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Inotify]] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def of_loop(loop: asyncio.AbstractEventLoop) -> Inotify:
    """Give the descriptor of the running loop, opened if need be.

    Raises:
        OSError: the system gives none.
    """
    with _LOCK:
        known = _LOOPS.get(loop)
        found = None if known is None else known()
        if found is None or not found.is_open:
            found = Inotify(loop)
            _LOOPS[loop] = weakref.ref(found)
        return found
