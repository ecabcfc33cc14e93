"""The log of a run in a file: what `_log` does, and saving, compacting and closing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpointer import Record
from ..errors import CheckpointError
from ..frames import Encoder, read_preamble
from ._disk import Disk, write_all
from ._keys import Keys
from ._log import Appender, Held, write_error
from ._names import encode
from ._reading import Contents, opened, opening, read_contents
from ._rewrite import TEMPORARY, Built, Copy, begin_copy, build, drop, finish, finish_copy
from ._thread import DiskThread, to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHUNK = 1 << 20
_ANY_SIZE = 1 << 62


class FileLog(Appender):
    """The open log of one run; `FileCheckpointer` makes it."""

    __slots__ = ("_base", "_generation", "_key", "_keys", "_on_close", "_rewrites", "_start")

    def __init__(
        self,
        disk: Disk,
        thread: DiskThread,
        held: Held,
        contents: Contents,
        *,
        keys: Callable[[], Keys],
        new_names: Sequence[Path] = (),
        on_close: Callable[[FileLog], None],
    ) -> None:
        """Go on behind what a file contains.

        Args:
            disk: where the file is.
            thread: where waiting for the disk is done.
            held: the open file with its lock.
            contents: what is in it.
            keys: gives the keys that it is read with.
            new_names: directories to be synced together with the first records.
            on_close: called when the log has been closed.
        """
        scan = contents.scan
        encoder = Encoder(contents.key, contents.start, seq=scan.seq, tag=scan.tag)
        super().__init__(disk, thread, held, encoder, scan.end, contents.base, new_names)
        self._key = contents.key
        self._start = contents.start
        self._base = contents.base
        self._keys = keys
        self._on_close = on_close
        self._rewrites = asyncio.Lock()
        self._generation = 0

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        """Copy what was appended so far into a file that stands for itself, and give its path.

        Args:
            name: what the file is called; `-2`, `-3` ... is added to a name that is taken.
            path: where it goes instead; what is there is replaced, and `saved` does not list it.
            upto: only the records numbered below this; None for all.

        Raises:
            ValueError: no record has a number just below `upto` yet, or they have all been compacted away.
            CheckpointWriteError: the storage refused; the log itself goes on if it can.
            CheckpointError: the log is closed, or the path is its own.
        """
        self._check()
        stem = encode(name)
        if upto is None:
            return await to_the_end(self._save(stem, path, self.next_seq, self.size, self._generation))
        if not (self._base < upto or upto == self._base == 0) or upto > self.next_seq:
            raise ValueError(f"there are records {self._base} to {self.next_seq - 1}, and none just below {upto}")
        size = self.size if upto == self.next_seq else None
        return await to_the_end(self._save(stem, path, upto, size, self._generation))

    async def _save(self, stem: str, path: str | None, upto: int, size: int | None, generation: int) -> str:
        async with self._rewrites:
            await self.flush()
            if size is None or generation != self._generation:
                size = await self._size_of(upto)
            if path is None:
                directory = self._held.directory / "checkpoints"
            else:
                directory, stem = Path.cwd() / Path(path).parent, Path(path).name
            begin = partial(begin_copy, self._disk, directory, stem, exact=path is not None, journal=self._held.path)
            try:
                copy = await self._thread.run(begin)
                return str(await self._fill(copy, size))
            except OSError as error:
                if isinstance(error, CheckpointError):
                    raise
                raise write_error(
                    error, f"a checkpoint of run {self.run_id!r} cannot be written to {directory}"
                ) from error

    async def _fill(self, copy: Copy, size: int) -> Path:
        """Copy the first `size` bytes of the journal, and put the copy in its place."""
        try:
            async with opened(self._held.path, self._opener) as journal:
                while size:
                    piece: bytes = await journal.read(min(size, _CHUNK))
                    if not piece:
                        raise CheckpointError(f"{self._held.path} is shorter than it was")  # noqa: TRY301
                    size -= len(piece)
                    await self._thread.run(partial(write_all, self._disk, copy.fd, piece))
            names = (copy.directory,) if copy.exact else (copy.directory, self._held.directory, *self._new_names)
            place = await self._thread.run(partial(finish_copy, self._disk, copy, names))
        except BaseException:
            await self._thread.run(partial(drop, self._disk, copy.fd, copy.path))
            raise
        await self._thread.run(partial(self._disk.close, copy.fd))
        return place

    def _opener(self, _name: str, _flags: int) -> int:
        return self._disk.open(self._held.path)

    async def _read_own(self) -> Contents:
        return await read_contents(self._disk, self._held.path, self._keys, _ANY_SIZE, self.run_id)

    async def _size_of(self, upto: int) -> int:
        """Read how many bytes the records below `upto` take, with what stands before them."""
        contents = await self._read_own()
        ends = [frame.end for frame in contents.scan.frames if contents.base + frame.seq < upto]
        return ends[-1] if ends else len(contents.start)

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        """Put `records` in the place of all records numbered below `upto`, atomically; what came later stays.

        The last of them gets the number `upto - 1`. Records may be appended meanwhile. If the storage refuses, the old
        file stays in use.

        Raises:
            ValueError: there are more records than numbers below `upto`, or no record has that number yet.
            CheckpointWriteError: the storage refused.
            CheckpointError: the log is closed.
        """
        self._check()
        if not len(records) <= upto <= self.next_seq:
            raise ValueError(f"{len(records)} records cannot stand for those below {upto} of {self.next_seq}")
        await to_the_end(self._compact(list(records), upto))

    async def _compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        async with self._rewrites:
            if upto < self._base:
                raise ValueError(f"the records below {self._base} are gone already, and not those below {upto} alone")
            later: list[tuple[int, bytes]] = []
            boundary = self.next_seq
            self._since = []
            try:
                if upto < boundary:
                    await self.flush()
                    later = _between(await self._read_own(), upto, boundary)
                await self._replace(records + later, upto - len(records))
            except OSError as error:
                if isinstance(error, CheckpointError):
                    raise
                raise write_error(error, f"the journal of run {self.run_id!r} cannot be compacted") from error
            finally:
                self._since = None

    async def _replace(self, records: list[tuple[int, bytes]], base: int) -> None:
        """Write a journal that begins with `records`, and go on in it."""
        head = read_preamble(self._start)
        start = opening(head.kid, head.name, base)
        path = self._held.path.with_name("journal" + TEMPORARY)
        built = await self._thread.run(partial(build, self._disk, path, self._key, start, records))
        await self._hold()
        try:
            await self._swap(built, start, base)
        finally:
            self._let_go()

    async def _swap(self, built: Built, start: bytes, base: int) -> None:
        """Go on in another file; nothing else writes meanwhile, but records may still be appended."""
        before = (self._encoder, self._waiting, self._waiting_bytes, self.size)
        since, self._since = self._since or [], []
        frames = [built.encoder.encode(kind, payload) for kind, payload in since]
        self._encoder, self._waiting, self._waiting_bytes = built.encoder, [], 0
        try:
            self._check()
            await self._thread.run(partial(finish, self._disk, built, frames, self._held.path))
        except BaseException:
            if self._usable:
                self._encoder, self._waiting, self._waiting_bytes, self.size = before
                for kind, payload in self._since:
                    frame = self._encoder.encode(kind, payload)
                    self._waiting.append(frame)
                    self._waiting_bytes += len(frame)
                    self.size += len(frame)
            await self._thread.run(partial(drop, self._disk, built.fd, built.path))
            raise
        old, self._fd = self._fd, built.fd
        self._held = self._held._replace(fd=built.fd)
        self._start, self._base = start, base
        self._generation += 1
        self._synced = self._end = built.size + sum(map(len, frames))
        self.size = self._end + self._waiting_bytes
        await self._thread.run(partial(self._disk.close, old))
        try:
            for directory in (self._held.directory, *self._new_names):
                await self._thread.run(partial(self._disk.sync_directory, directory))
            self._new_names = ()
        except OSError as error:
            # The name may still stand for the old file after a power cut: no sync of the new one is worth anything.
            self._fail(error)
            raise

    def _check(self) -> None:
        if not self._usable:
            self._refuse()

    async def aclose(self) -> None:
        """Flush, and give the run's lock back; closing twice is fine.

        Raises:
            CheckpointWriteError: the storage refused what was not written yet; the lock is given back all the same.
        """
        await to_the_end(self._close())

    async def _close(self) -> None:
        async with self._rewrites:
            if self._fd < 0:
                return
            try:
                # Somebody may append or flush while this waits, and is served as well.
                while self._usable and (self._waiting or self._waiters or self._running):
                    await self._join(sync=False)
                while self._running:
                    await self._hold()
                    self._let_go()
            finally:
                self._usable = False
                self._fd = -1
                self._on_close(self)
                with suppress(OSError):
                    await self._thread.run(partial(self._held.release, self._disk))


def _between(contents: Contents, first: int, last: int) -> list[tuple[int, bytes]]:
    """Give what is to be written again of the records numbered from `first` to just below `last`."""
    records: list[Record] = contents.records
    return [(record.kind, record.payload) for record in records if first <= record.seq < last]
