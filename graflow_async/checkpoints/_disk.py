"""The file system as checkpoints use it: nothing else here opens, writes, syncs, renames or locks a file.

So a test can put another disk in its place (`graflow_async.testing.faults`) and can kill the process at named points.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import time
from typing import TYPE_CHECKING

from ..errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
# A FIFO would block whoever opens it for reading, and a link could point anywhere.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Disk:
    """The real file system. Every method is one operation that may fail on its own with OSError."""

    __slots__ = ()

    # The two that every record needs are the functions themselves, not methods around them.
    clock = staticmethod(time.perf_counter)
    write = staticmethod(os.write)

    def make_directory(self, path: Path) -> None:
        """Make a directory that only the owner may use, and those above it, unless it exists."""
        # mkdir would make those above with whatever mode the process gives to new directories.
        for directory in (*reversed(path.parents), path):
            if not directory.is_dir():
                directory.mkdir(DIRECTORY_MODE, exist_ok=True)

    def create(self, path: Path) -> int:
        """Open a new file for appending; one that exists is an error."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _CAREFUL, FILE_MODE)

    def open(self, path: Path, *, write: bool = False) -> int:
        """Open a regular file that exists, for reading or for appending.

        Raises:
            CheckpointError: it is something else, such as a link, a FIFO or a directory.
        """
        return _open_regular(path, os.O_RDWR | os.O_APPEND if write else os.O_RDONLY)

    def open_lock(self, path: Path) -> int:
        """Open a lock file, which is made if it is missing.

        Raises:
            CheckpointError: there is something else of that name.
        """
        return _open_regular(path, os.O_RDWR | os.O_CREAT)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off behind its first `size` bytes."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Wait until what was written to a file survives a power cut."""
        _sync(fd)

    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or directory another name at once; a file of that name is replaced."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is missing is fine."""
        path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory with all that is in it, following no links."""
        shutil.rmtree(path)

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Take the lock of an open file without waiting, and say whether it was to be had."""
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, fd: int) -> None:
        """Give the lock of an open file back, also for descriptors that were inherited or copied from this one."""
        fcntl.flock(fd, fcntl.LOCK_UN)

    def stamp(self, path: Path, nanoseconds: int) -> None:
        """Set when a file was written."""
        os.utime(path, ns=(nanoseconds, nanoseconds))


def _open_regular(path: Path, flags: int) -> int:
    try:
        fd = os.open(path, flags | _CAREFUL, FILE_MODE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise CheckpointError(f"{path} is not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise CheckpointError(f"{path} is not a regular file")
    return fd


def _sync(fd: int) -> None:
    # macOS has no fdatasync, and its fsync stops at the drive's own cache.
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        fcntl.fcntl(fd, full)
    else:
        os.fdatasync(fd)


class _CrashOrder:
    """The order to die at the count-th pass of one point."""

    __slots__ = ("left", "name")

    def __init__(self, name: str, left: int) -> None:
        self.name = name
        self.left = left


def _read_order(text: str) -> _CrashOrder | None:
    name, _, count = text.rpartition(":")
    return _CrashOrder(name, int(count)) if name and count.isdecimal() else None


# Read once: a process that was not started to die at a point pays one comparison for each.
_ORDER = _read_order(os.environ.get("GRAFLOW_CRASH", ""))

CRASH_POINTS = (
    "log.before_write",
    "log.mid_write",
    "log.after_write",
    "sync.before",
    "sync.after",
    "compact.tmp",
    "compact.before_rename",
    "compact.after_rename",
    "save.before_rename",
    "open.truncate",
)
"""Where a process that was started with GRAFLOW_CRASH="name:count" kills itself at the count-th pass."""


def crash_point(name: str) -> None:
    """Do nothing, unless this process was started to die here."""
    if _ORDER is not None and _ORDER.name == name:
        _ORDER.left -= 1
        if _ORDER.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    """Write all of `data`, however short the single writes are.

    Raises:
        OSError: the disk refused; part of the data may be in the file.
    """
    finish(disk, fd, data, disk.write(fd, data))


def finish(disk: Disk, fd: int, data: bytes, written: int) -> None:
    """Write what a short write has left.

    Raises:
        OSError: the disk refused; part of the data may be in the file.
    """
    while written < len(data):
        more = disk.write(fd, memoryview(data)[written:])
        if more <= 0:
            raise OSError(errno.EIO, "the disk takes no more bytes and does not say why")
        written += more


def write_records(disk: Disk, fd: int, data: bytes) -> None:
    """Write records at the end of a log.

    Raises:
        OSError: the disk refused; part of the data may be in the file.
    """
    if _ORDER is None:
        written = disk.write(fd, data)
        if written < len(data):
            finish(disk, fd, data, written)
        return
    crash_point("log.before_write")
    half = len(data) // 2
    write_all(disk, fd, data[:half])
    crash_point("log.mid_write")
    write_all(disk, fd, data[half:])
    crash_point("log.after_write")


def sync_records(disk: Disk, fd: int) -> float:
    """Sync a log, and give the seconds that it took.

    Raises:
        OSError: the disk refused; what was written since the last success may be lost, whatever a second try says.
    """
    crash_point("sync.before")
    start = disk.clock()
    disk.sync(fd)
    took = disk.clock() - start
    crash_point("sync.after")
    return took
