"""From the bytes of a file to its records; every reader of journals and saved checkpoints goes through here."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..checkpointer import Record
from ..errors import CheckpointCorruptError, CheckpointError, SecurityError
from ..frames import Scan, preamble, read_preamble, scan
from ._disk import Disk
from ._keys import PURPOSE, Keys, key_of
from ._thread import in_thread_if

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LARGE = 256 * 1024


class Contents(NamedTuple):
    """A file that was read and found in order.

    Attributes:
        name: what the file says it belongs to.
        start: the bytes of its preamble.
        key: what its records are signed with.
        base: what the number of a record is ahead of its number within the file.
        scan: its frames, and where they end.
    """

    name: str
    start: bytes
    key: bytes
    base: int
    scan: Scan

    @property
    def records(self) -> list[Record]:
        """The records with their numbers in the run."""
        base = self.base
        return [Record(base + seq, kind, payload) for seq, kind, payload, _ in self.scan.frames]


def opening(kid: str, run_id: str, base: int = 0) -> bytes:
    """Make the preamble of a journal whose first record has the number `base`.

    A file numbers its frames from 0. A compacted journal begins with a later record, and says so in its purpose: that
    is signed like everything else, so only a writer with the key can make a journal that begins late.
    """
    return preamble(kid, run_id, f"{PURPOSE}:{base}" if base else PURPOSE)


def parse(data: bytes, keys: Callable[[], Keys], run_id: str | None = None) -> Contents:
    """Check the bytes of a file and take them apart.

    Args:
        data: the whole file.
        keys: gives the keys; asked only for a file that is one of ours.
        run_id: the run that the file must belong to; None if any will do.

    Raises:
        CheckpointError: it is not a file of ours, is damaged, or was signed with another key.
    """
    head = read_preamble(data)
    start = data[: head.end]
    purpose, colon, number = head.purpose.partition(":")
    # Only the one way of writing a number that `opening` has: nothing that int() might take besides.
    if purpose != PURPOSE or (colon and not (number.isascii() and number.isdigit() and number[0] != "0")):
        raise CheckpointError(f"the file is for {head.purpose!r} and not the journal of a run")
    if len(number) > 18:
        raise CheckpointCorruptError(f"the file says that it begins with record {number}, which no run has reached")
    if run_id is not None and head.name != run_id:
        raise CheckpointError(f"the file belongs to run {head.name!r} and not to run {run_id!r}")
    key = key_of(keys(), head.kid)
    return Contents(head.name, start, key, int(number or 0), scan(data, key, start))


async def read_contents(
    disk: Disk, path: Path, keys: Callable[[], Keys], most: int, run_id: str | None = None
) -> Contents:
    """Read a file as `parse` does, with the disk and long checks off the loop.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it cannot be read.
    """
    data = await read_bytes(disk, path, most)
    try:
        return await in_thread_if(len(data) > _LARGE, partial(parse, data, keys, run_id))
    except CheckpointError as error:
        error.add_note(f"in the file {path}")
        raise


def opened(path: Path, opener: Callable[[str, int], int]) -> Any:
    """Open a file for reading in threads, as an asynchronous context manager; `opener` gives the descriptor."""
    import aiofiles

    return aiofiles.open(path, "rb", buffering=0, opener=opener)


async def read_bytes(disk: Disk, path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it is no regular file, or too large, or cannot be read.
    """

    def opener(_name: str, _flags: int) -> int:
        fd = disk.open(path)
        if os.fstat(fd).st_size > most:
            disk.close(fd)
            raise CheckpointError(f"{path} has more than {most} bytes; raise max_bytes to read it")
        return fd

    try:
        async with opened(path, opener) as file:
            return await file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        if isinstance(error, (CheckpointError, SecurityError)):
            raise
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
