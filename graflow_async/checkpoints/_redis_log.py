"""The log of a run in Redis: what `_redis_appender` does, and saving, compacting and closing."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from redis import exceptions as faults

from .._redis.link import Link
from ..checkpointer import Record
from ..errors import CheckpointError
from ..frames import Encoder, read_preamble
from ._disk import Disk
from ._keys import Keys, key_of
from ._log import write_error
from ._names import encode
from ._reading import Contents, opening
from ._redis_appender import Appender, Held, Terms
from ._redis_link import writing
from ._redis_run import CALL_BYTES, MARKS, Listing, Stored, read_run
from ._redis_scripts import KEEP, LIST, PUT, RELEASE, SWAP, UNLINK
from ._rewrite import TEMPORARY, build, drop
from ._thread import to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("graflow_async.checkpoint")

_TEMPORARY_FOR = 600_000  # milliseconds that what is being written stays after a crash
_LAST_PATIENCE = 1.0  # seconds: a lease that is not given back ends by itself


class RedisLog(Appender):
    """The open log of one run; `RedisCheckpointer` makes it."""

    __slots__ = ("_file_keys", "_is_closed", "_keys", "_on_close", "_rewrites")

    def __init__(
        self,
        link: Link,
        terms: Terms,
        held: Held,
        listing: Listing,
        *,
        keys: Callable[[], Keys],
        file_keys: Callable[[], Keys],
        on_close: Callable[[RedisLog], None],
    ) -> None:
        """Go on behind what a run has.

        Args:
            link: the way to Redis, entered already; it is left when the log is closed.
            terms: what the checkpointer asks for.
            held: the run.
            listing: signs what listings show.
            keys: gives the keys that the run is read with.
            file_keys: gives the keys that files are signed with; called in a thread.
            on_close: called when the log has been closed.
        """
        super().__init__(link, terms, held, listing)
        self._keys = keys
        self._file_keys = file_keys
        self._on_close = on_close
        self._rewrites = asyncio.Lock()
        self._is_closed = False

    # -- copies -----------------------------------------------------------------------------------------------

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        """Copy what was appended so far into a checkpoint that stands for itself, and give its place.

        Args:
            name: part of the key in Redis that the copy gets; `-2`, `-3` ... is added to a name that is taken.
            path: a file for it instead; what is there is replaced, and `saved` does not list it.
            upto: only the records numbered below this; None for all.

        Raises:
            ValueError: no record has a number just below `upto` yet, or they have all been compacted away.
            CheckpointWriteError: the storage refused; the log itself goes on if it can.
            CheckpointError: the log is closed.
        """
        self._check()
        encode(name)
        upto = self.next_seq if upto is None else upto
        if not (self._base < upto or upto == self._base == 0) or upto > self.next_seq:
            raise ValueError(f"there are records {self._base} to {self.next_seq - 1}, and none just below {upto}")
        return await to_the_end(self._save(name, path, upto))

    async def _save(self, name: str, path: str | None, upto: int) -> str:
        async with self._rewrites:
            await self.flush()
            with writing(f"a checkpoint of run {self.run_id!r} cannot be written"):
                stored = await self._read_own()
                if path is None:
                    return await self._keep(name, stored.data[: _end_of(stored.contents, upto)])
            return await asyncio.to_thread(self._write_file, Path.cwd() / path, stored.contents, upto)

    async def _read_own(self) -> Stored:
        return await read_run(self._link, self._place, self._keys)

    async def _keep(self, name: str, data: bytes) -> str:
        """Put a copy beside the log."""
        temporary = self._place.temporary()
        try:
            count = await self._upload(temporary, 0, _slices(data))
            args = (self._token, temporary, self._place.copy(name), count, self._terms.ttl)
            reply = await self._link.ask(KEEP, (self._place.meta, temporary, self._place.saved), args)
            self._judge(reply)
        except BaseException:
            await self._drop(temporary)
            raise
        return reply[1].decode()

    async def _drop(self, temporary: str) -> None:
        """Remove what came to nothing; where that cannot be done it expires by itself."""
        with suppress(faults.RedisError, OSError):
            await self._link.ask(UNLINK, (temporary,), (), patience=_LAST_PATIENCE)

    async def _upload(self, key: str, index: int, pieces: Iterable[bytes]) -> int:
        """Append pieces to a temporary list; give how many it has then."""
        for piece in pieces:
            reply = await self._link.ask(PUT, (key,), (index, piece, _TEMPORARY_FOR))
            self._judge(reply)
            index += 1
        return index

    def _write_file(self, target: Path, contents: Contents, upto: int) -> str:
        """Write a copy to a file, signed with the keys of files; in a thread."""
        disk, path = Disk(), target.with_name(f"{target.name}.{os.getpid()}{TEMPORARY}")
        keys = self._file_keys()
        start = opening(keys.active, self.run_id, contents.base)
        records = [(record.kind, record.payload) for record in contents.records if record.seq < upto]
        try:
            disk.make_directory(target.parent)
            built = build(disk, path, key_of(keys, keys.active), start, records)
            try:
                disk.rename(path, target)
                disk.sync_directory(target.parent)
            except BaseException:
                drop(disk, built.fd, path)
                raise
            disk.close(built.fd)
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise write_error(error, f"a checkpoint of run {self.run_id!r} cannot be written to {target}") from error
        return str(target)

    # -- compaction -------------------------------------------------------------------------------------------

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        """Put `records` in the place of all records numbered below `upto`, atomically; what came later stays.

        The last of them gets the number `upto - 1`. Records may be appended meanwhile. If the storage refuses, the old
        records stay in use.

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
            self._check()
            if upto < self._base:
                raise ValueError(f"the records below {self._base} are gone already, and not those below {upto} alone")
            later: list[tuple[int, bytes]] = []
            boundary = self.next_seq
            self._since = []
            try:
                with writing(f"the journal of run {self.run_id!r} cannot be compacted"):
                    if upto < boundary:
                        await self.flush()
                        later = _between((await self._read_own()).contents.records, upto, boundary)
                    await self._replace(records + later, upto - len(records))
            finally:
                self._since = None

    async def _replace(self, records: list[tuple[int, bytes]], base: int) -> None:
        """Write the log anew beside the old one, and put it in its place."""
        head = read_preamble(self._start)
        start = opening(head.kid, head.name, base)
        draft = _Draft(self._place.temporary(), start, Encoder(self._key, start), base)
        draft.add_start()
        try:
            for record in records:
                draft.add(*record, self._listing)
                if draft.length >= CALL_BYTES:
                    await self._upload_draft(draft)
            await self._upload_draft(draft)
            async with self._line:
                self._check()
                await self._swap(draft)
        except BaseException:
            await self._drop(draft.key)
            raise
        if self._waiting:
            self._begin()

    async def _upload_draft(self, draft: _Draft) -> None:
        draft.count = await self._upload(draft.key, draft.count, _slices(draft.taken()))

    async def _swap(self, draft: _Draft) -> None:
        """Go on in the new log; nothing else is sent meanwhile, but records may still be appended.

        What was appended since the draft was begun goes into it as well. If it is refused, the old log goes on with
        the same records; if nobody knows whether it was, there is nothing to go on with.
        """
        before = (self._encoder, self._waiting, self._marks, self.size)
        since, self._since = self._since or [], []
        for record in since:
            draft.add(*record, self._listing)
        seq = self.next_seq
        stored = (draft.encoder.seq, draft.encoder.tag)
        terms, place = self._terms, self._place
        # From here on records are made for the new log.
        self._encoder, self._waiting, self._marks = draft.encoder, [], []
        is_undone = True
        try:
            await self._upload_draft(draft)
            fields = [part for field in draft.fields.items() for part in field]
            args = [self._token, self._gen, self._written, draft.count, draft.size, *stored, terms.ttl, *fields]
            is_undone = False
            reply = await self._link.ask(SWAP, (place.meta, place.data, draft.key), args)
            is_undone = reply[0] == b"UNDONE"
            self._judge(reply)
        except BaseException as error:
            if is_undone or isinstance(error, faults.ResponseError):
                self._go_back(before)
            else:
                self._fail(error)
            raise
        self._gen += 1
        self._start, self._base = draft.start, draft.base
        self._written, self._stored, self._confirmed = draft.size, stored, seq
        self.size = draft.size + sum(map(len, self._waiting))
        self._settle()

    def _go_back(self, before: tuple[Encoder, list[bytes], list[tuple[int, str, bytes]], int]) -> None:
        """Make records for the old log again, also those that were made for the new one."""
        self._encoder, self._waiting, self._marks, self.size = before
        for record in self._since or ():
            self._take_in(*record)

    # -- the end ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self._usable:
            self._refuse()

    async def aclose(self) -> None:
        """Flush, and give the run's lock back; closing twice is fine.

        Raises:
            CheckpointWriteError: the storage refused what was not written yet; the lock is given back all the same, or
                ends by itself.
        """
        await to_the_end(self._close())

    async def _close(self) -> None:
        async with self._rewrites:
            if self._is_closed:
                return
            try:
                # Somebody may append while this waits, and is served as well.
                while self._usable and self._confirmed < self.next_seq:
                    await self.flush()
            finally:
                self._is_closed = True
                self._usable = False
                self._on_close(self)
                await self._let_go()

    async def _let_go(self) -> None:
        """End the own tasks and give the lease back."""
        self._renewer.cancel()
        await asyncio.wait([task for task in (self._renewer, self._writer) if task is not None])
        place, terms = self._place, self._terms
        try:
            await self._link.ask(RELEASE, (place.meta,), (self._token,), patience=_LAST_PATIENCE)
            await self._link.ask(LIST, (terms.listed,), (place.member, terms.ttl), patience=_LAST_PATIENCE)
        except (faults.RedisError, OSError) as error:
            logger.warning(
                "run %s: its lock could not be given back and ends by itself in %g s: %s",
                self.run_id, terms.lease, error,
            )  # fmt: skip
        finally:
            await self._link.leave()


class _Draft:
    """A log that is being written beside the old one.

    Attributes:
        key: of the temporary list.
        start: the bytes of its preamble.
        encoder: makes its records.
        base: what the number of a record is ahead of its number within it.
        count: entries of the list so far.
        size: bytes so far, those that wait included.
        length: bytes that wait.
        fields: what listings show of it.
    """

    __slots__ = ("_parts", "base", "count", "encoder", "fields", "key", "length", "size", "start")

    def __init__(self, key: str, start: bytes, encoder: Encoder, base: int) -> None:
        """Begin with nothing."""
        self.key = key
        self.start = start
        self.encoder = encoder
        self.base = base
        self.count = self.size = self.length = 0
        self.fields: dict[str, bytes] = {}
        self._parts: list[bytes] = []

    def add_start(self) -> None:
        """Add the preamble."""
        self._put(self.start)

    def add(self, kind: int, payload: bytes, listing: Listing) -> None:
        """Add a record."""
        if not self.encoder.seq:
            self.fields["header"] = listing.seal(kind, payload)
        if kind in MARKS:
            self.fields["last"] = listing.seal(kind, payload)
        self._put(self.encoder.encode(kind, payload))

    def _put(self, part: bytes) -> None:
        self._parts.append(part)
        self.length += len(part)
        self.size += len(part)

    def taken(self) -> bytes:
        """Give what waits, and forget it."""
        data, self._parts, self.length = b"".join(self._parts), [], 0
        return data


class Opening(NamedTuple):
    """What opening a run gives: its log and its records."""

    log: RedisLog
    records: list[Record]


def _end_of(contents: Contents, upto: int) -> int:
    """Say behind how many bytes the records below `upto` end."""
    ends = [frame.end for frame in contents.scan.frames if contents.base + frame.seq < upto]
    return ends[-1] if ends else len(contents.start)


def _between(records: list[Record], first: int, last: int) -> list[tuple[int, bytes]]:
    """Give what is to be written again of the records numbered from `first` to just below `last`."""
    return [(record.kind, record.payload) for record in records if first <= record.seq < last]


def _slices(data: bytes) -> list[bytes]:
    """Cut bytes into what goes with one request each."""
    return [data[at : at + CALL_BYTES] for at in range(0, len(data), CALL_BYTES)]
