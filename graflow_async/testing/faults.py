"""Disks that fail, lose power or are slow, to be given to `FileCheckpointer(disk=...)`; they work on real files.

Faults are addressed by the number of the operation, never by time, so a test can let the first operation fail, then the
second, and so on until none fires.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Literal

from ..checkpoints._disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

Fault = Literal["ENOSPC", "EIO", "EINTR", "short", "crash"]


class FaultyDisk(Disk):
    """A disk whose n-th operation fails.

    Attributes:
        operations: the names of all operations so far.
        fired: how often something failed on purpose.
    """

    def __init__(self, at: int = 0, fault: Fault = "EIO", *, sticky: bool = False) -> None:
        """Choose the fault.

        Args:
            at: number of the operation, from 1; 0 for none, to count only.
            fault: the error; "short" lets a write put only its first half down (and is nothing elsewhere), "crash"
                lets it put half down and fails with everything from then on, so that nobody can clean up either.
            sticky: whether all operations of the same name fail from then on.
        """
        self.operations: list[str] = []
        self.fired = 0
        self._at = at
        self._fault: Fault = fault
        self._sticky = sticky
        self._name = ""

    def count(self, name: str) -> int:
        """Say how often an operation was asked for."""
        return self.operations.count(name)

    def _step(self, name: str) -> bool:
        """Count an operation, fail if it is its turn, and say whether a write is to be cut short."""
        self.operations.append(name)
        number = len(self.operations)
        if not self._at or number < self._at:
            return False
        if number == self._at:
            self._name = "write" if self._fault == "short" else name
        elif self._fault != "crash" and not (self._sticky and name == self._name):
            return False
        if self._fault == "short" and name != "write":
            return False
        self.fired += 1
        if name == "write" and (self._fault == "short" or (self._fault == "crash" and number == self._at)):
            return True
        code = errno.EIO if self._fault == "crash" else getattr(errno, self._fault)
        raise OSError(code, f"{os.strerror(code)} (operation {number}, {name}, fails on purpose)")

    def make_directory(self, path: Path) -> None:
        """Make a directory, or fail."""
        self._step("make_directory")
        super().make_directory(path)

    def create(self, path: Path) -> int:
        """Open a new file, or fail."""
        self._step("create")
        return super().create(path)

    def open(self, path: Path, *, write: bool = False) -> int:
        """Open a file, or fail."""
        self._step("open")
        return super().open(path, write=write)

    def open_lock(self, path: Path) -> int:
        """Open a lock file, or fail."""
        self._step("open_lock")
        return super().open_lock(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write, or write half, or fail."""
        if not self._step("write"):
            return super().write(fd, data)
        written = super().write(fd, memoryview(data)[: (len(data) + 1) // 2])
        if self._fault == "crash":
            raise OSError(errno.EIO, "the disk is gone (on purpose)")
        return written

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off, or fail."""
        self._step("truncate")
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        """Sync a file, or fail."""
        self._step("sync")
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        """Sync a directory, or fail."""
        self._step("sync_directory")
        super().sync_directory(path)

    def rename(self, old: Path, new: Path) -> None:
        """Rename, or fail."""
        self._step("rename")
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a file, or fail."""
        self._step("unlink")
        super().unlink(path)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory, or fail."""
        self._step("remove_tree")
        super().remove_tree(path)

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Take a lock, or fail."""
        self._step("lock")
        return super().lock(fd, shared=shared)

    def stamp(self, path: Path, nanoseconds: int) -> None:
        """Set when a file was written, or fail."""
        self._step("stamp")
        super().stamp(path, nanoseconds)


class PowerLossDisk(Disk):
    """A disk that can be put back to what a power cut would have left of it: what was synced, and nothing else.

    A file's bytes survive once the file was synced, its name once its directory was. Both are taken by the letter,
    stricter than most file systems are.
    """

    def __init__(self) -> None:
        """Begin with a disk on which nothing has been written yet."""
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self._mutex = threading.Lock()

    def create(self, path: Path) -> int:
        """Open a new file, of which nothing is safe."""
        fd = super().create(path)
        with self._mutex:
            # Numbers of removed files are used again.
            self._bytes[os.fstat(fd).st_ino] = b""
        return fd

    def sync(self, fd: int) -> None:
        """Make what is in a file safe."""
        status = os.fstat(fd)
        content = os.pread(fd, status.st_size, 0)
        with self._mutex:
            self._bytes[status.st_ino] = content

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory safe."""
        names = {entry.name: entry.lstat().st_ino for entry in path.iterdir()}
        with self._mutex:
            self._names[path] = names

    def cut_power(self, directory: Path, *, keep: float = 0.0, zeros: bool = False) -> None:
        """Put `directory` back to what is safe; nobody may have a file in it open for writing afterwards.

        Args:
            directory: where the checkpointer keeps its runs.
            keep: which part, from 0 to 1, of the bytes that were not synced got to the disk by chance; more than 0
                also keeps all names.
            zeros: whether the rest of them is there as zeros, as when a file has grown and its data has not come.
        """
        for entry in sorted(directory.rglob("*"), key=lambda path: len(path.parts), reverse=True):
            parent = self._names.get(entry.parent, {})
            status = entry.lstat()
            if not keep and parent.get(entry.name) != status.st_ino:
                if entry.is_dir():
                    super().remove_tree(entry)
                else:
                    entry.unlink()
            elif entry.is_file() and entry.name != "lock":
                self._put_back(entry, self._bytes.get(status.st_ino, b""), keep, zeros=zeros)

    @staticmethod
    def _put_back(file: Path, safe: bytes, keep: float, *, zeros: bool) -> None:
        content = file.read_bytes()
        loose = content[len(safe) :] if content.startswith(safe) else b""
        kept = loose[: int(len(loose) * keep)]
        file.write_bytes(safe + kept + (bytes(len(loose) - len(kept)) if zeros else b""))


class SlowDisk(Disk):
    """A disk whose syncs and writes take a given time of the thread that asks for them.

    Attributes:
        syncs: how many there were.
    """

    def __init__(self, sync_seconds: float = 0.0, write_seconds: float = 0.0) -> None:
        """Choose how long a sync and a write take."""
        self.syncs = 0
        self._sync_seconds = sync_seconds
        self._write_seconds = write_seconds
        self._never = threading.Event()

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write after a while."""
        self._never.wait(self._write_seconds)
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        """Sync after a while."""
        self.syncs += 1
        self._never.wait(self._sync_seconds)
        super().sync(fd)
