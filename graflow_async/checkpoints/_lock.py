"""Who has a run: an operating system lock on a file of its own, and a register inside this process."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from .._holders import holder_of, this_process
from ..errors import RunLockedError
from ._disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

# Locks of the system belong to an open file, on some network file systems to a process: there, and for a descriptor
# that was duplicated, taking the lock a second time succeeds. So this process remembers what it holds.
_held: dict[tuple[int, int], int] = {}
_guard = threading.Lock()
# Somebody who only looks holds a shared lock for an instant; whoever is in earnest looks again that often.
_TRIES = 100


class RunLock:
    """The lock of one run, taken; a lock file is never removed, except with its whole directory."""

    __slots__ = ("_disk", "_fd", "_key")

    def __init__(self, disk: Disk, fd: int, key: tuple[int, int]) -> None:
        """Keep what `take` took."""
        self._disk = disk
        self._fd = fd
        self._key = key

    def release(self) -> None:
        """Give the lock back; doing it twice is fine."""
        with _guard:
            if _held.get(self._key) != self._fd or self._fd < 0:
                return
            del _held[self._key]
            fd, self._fd = self._fd, -1
            try:
                # A child process may have inherited the descriptor: closing ours would not be enough.
                with suppress(OSError):
                    self._disk.unlock(fd)
            finally:
                self._disk.close(fd)


def take(disk: Disk, path: Path, run_id: str) -> RunLock:
    """Take the lock of a run; call it in a thread.

    Raises:
        RunLockedError: somebody has it.
        FileNotFoundError: the run was deleted meanwhile.
        OSError: the file system refused.
    """
    with _guard:
        fd = disk.open_lock(path)
        try:
            status = os.fstat(fd)
            key = (status.st_dev, status.st_ino)
            if key in _held or not _lock(disk, fd):
                raise RunLockedError(  # noqa: TRY301  # the descriptor is closed below
                    f"run {run_id!r} is in use by {holder_of(fd)}; wait until it has ended, or stop it there"
                )
            # Whoever deletes a run holds its lock: the file that was opened may be gone by the time it is locked.
            now = path.lstat()
            if (now.st_dev, now.st_ino) != key:
                raise FileNotFoundError(path)  # noqa: TRY301
            disk.truncate(fd, 0)
            disk.write(fd, this_process())
        except BaseException:
            disk.close(fd)
            raise
        _held[key] = fd
        return RunLock(disk, fd, key)


def is_held(disk: Disk, path: Path) -> bool:
    """Say whether somebody has the lock file at `path`; call it in a thread."""
    with _guard:
        try:
            fd = disk.open(path)
        except FileNotFoundError:
            return False
        try:
            status = os.fstat(fd)
            return (status.st_dev, status.st_ino) in _held or not disk.lock(fd, shared=True)
        finally:
            disk.close(fd)


def _lock(disk: Disk, fd: int) -> bool:
    for _ in range(_TRIES):
        if disk.lock(fd):
            return True
        # A shared lock can be had as long as nobody has the whole one: then only lookers are in the way.
        if not disk.lock(fd, shared=True):
            return False
        disk.unlock(fd)
    return False


def _forget() -> None:
    """Drop in a forked child what only its parent holds; the parent's lock stays."""
    global _guard  # noqa: PLW0603  # another thread of the parent may have held it
    _guard = threading.Lock()
    for fd in _held.values():
        with suppress(OSError):
            os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
