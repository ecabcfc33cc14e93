"""Files written from beginning to end: compacted journals and saved checkpoints. All of it runs in the thread.

Everything is written beside its place, synced, and then renamed, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..errors import CheckpointError
from ..frames import Encoder
from ._disk import Disk, crash_point, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

TEMPORARY = ".tmp"
CHECKPOINT = ".ckpt"
# Records are encoded and written in pieces of about this size.
_PIECE = 1 << 20


class Built(NamedTuple):
    """A file that is written and not yet in its place."""

    path: Path
    fd: int
    encoder: Encoder
    size: int


def build(disk: Disk, path: Path, key: bytes, start: bytes, records: Iterable[tuple[int, bytes]]) -> Built:
    """Write a new journal to `path` and sync it.

    Raises:
        OSError: the disk refused; nothing is left of the file.
    """
    disk.unlink(path)
    fd = disk.create(path)
    encoder = Encoder(key, start)
    size = 0
    try:
        piece, length = [start], len(start)
        for kind, payload in records:
            piece.append(frame := encoder.encode(kind, payload))
            length += len(frame)
            if length >= _PIECE:
                write_all(disk, fd, b"".join(piece))
                size += length
                piece, length = [], 0
        write_all(disk, fd, b"".join(piece))
        size += length
        crash_point("compact.tmp")
        disk.sync(fd)
    except BaseException:
        drop(disk, fd, path)
        raise
    return Built(path, fd, encoder, size)


def finish(disk: Disk, built: Built, frames: list[bytes], target: Path) -> None:
    """Write what came meanwhile, sync, and put the new journal in its place.

    Raises:
        OSError: the disk refused, and the old journal is still in its place.
    """
    if frames:
        write_all(disk, built.fd, b"".join(frames))
        disk.sync(built.fd)
    crash_point("compact.before_rename")
    disk.rename(built.path, target)
    crash_point("compact.after_rename")


def drop(disk: Disk, fd: int, path: Path) -> None:
    """Close and remove what came to nothing."""
    disk.close(fd)
    with suppress(OSError):
        disk.unlink(path)


class Copy(NamedTuple):
    """A checkpoint that is being written.

    Attributes:
        path: where it is being written.
        fd: for writing there.
        directory: where it will be.
        stem: its name without number and ending, or, if `exact`, its whole name.
        exact: whether it replaces what has its name.
    """

    path: Path
    fd: int
    directory: Path
    stem: str
    exact: bool


def begin_copy(disk: Disk, directory: Path, stem: str, *, exact: bool, journal: Path) -> Copy:
    """Make the file that a checkpoint is written to.

    Raises:
        CheckpointError: it would replace the journal itself.
        OSError: the disk refused.
    """
    target = directory / stem
    if exact and target.exists() and target.samefile(journal):
        raise CheckpointError(f"{target} is the journal of this very run; save the checkpoint elsewhere")
    disk.make_directory(directory)
    path = directory / f"{stem}.{os.getpid()}{TEMPORARY}"
    disk.unlink(path)
    return Copy(path, disk.create(path), directory, stem, exact)


def finish_copy(disk: Disk, copy: Copy, names: Sequence[Path]) -> Path:
    """Sync a checkpoint, put it in its place, sync the directories `names`, and say where it is.

    Raises:
        OSError: the disk refused; the caller drops the copy.
    """
    disk.sync(copy.fd)
    if copy.exact:
        target = copy.directory / copy.stem
    else:
        target = _free_place(copy.directory, copy.stem)
        # File systems keep times in steps of milliseconds, and the order of creation must not depend on that.
        newest = max((stamp for stamp, _ in listing(copy.directory)), default=0)
        disk.stamp(copy.path, max(time.time_ns(), newest + 1000))
    crash_point("save.before_rename")
    disk.rename(copy.path, target)
    for directory in names:
        disk.sync_directory(directory)
    return target


def listing(directory: Path) -> list[tuple[int, str]]:
    """List the checkpoints in a directory with their times, oldest first; a missing directory has none."""
    try:
        with os.scandir(directory) as entries:
            return sorted(
                (entry.stat(follow_symlinks=False).st_mtime_ns, entry.path)
                for entry in entries
                if entry.name.endswith(CHECKPOINT) and entry.is_file(follow_symlinks=False)
            )
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_leftovers(disk: Disk, *directories: Path) -> None:
    """Remove what was being written when a process died."""
    for directory in directories:
        try:
            found = list(directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path in found:
            if path.name.endswith(TEMPORARY):
                disk.unlink(path)


def _free_place(directory: Path, stem: str) -> Path:
    path = directory / (stem + CHECKPOINT)
    number = 1
    while os.path.lexists(path):
        number += 1
        path = directory / f"{stem}-{number}{CHECKPOINT}"
    return path
