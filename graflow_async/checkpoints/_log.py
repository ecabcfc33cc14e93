"""The open log of a file: appending, handing to the operating system, and group commit. Rewriting is in `_rewrite`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ..errors import CheckpointError, CheckpointWriteError
from ..frames import Encoder
from ._disk import Disk, sync_records, write_records
from ._lock import RunLock
from ._thread import DiskThread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger("graflow_async.checkpoint")

QUICK_BYTES = 64 * 1024
"""What is written on the loop: a copy of that size into the page cache takes microseconds."""
SLOW_SECONDS = 0.005
"""A write on the loop that took longer is the last one there; a sync is the last one there for a while."""
FAST_SYNC_SECONDS = 0.001
FAST_SYNCS = 4
"""So many quick syncs in a row bring syncing to the loop; after each slow one there it takes eight times as many."""


class Held(NamedTuple):
    """A run's journal, opened and locked.

    Attributes:
        run_id: of the run.
        directory: of the run.
        path: of the journal.
        lock: of the run.
        fd: of the journal, for appending.
    """

    run_id: str
    directory: Path
    path: Path
    lock: RunLock
    fd: int

    def release(self, disk: Disk) -> None:
        """Close the journal and give the lock back; call it in a thread."""
        try:
            disk.close(self.fd)
        finally:
            self.lock.release()


class Appender:
    """Appends records to one file.

    At most one job of a log is in the thread at a time. While it writes, nothing may be written here, or records would
    change places; while it only syncs, they may.

    Attributes:
        run_id: of the run.
        next_seq: the number that the next record gets.
        size: bytes so far, those that still wait included.
    """

    __slots__ = (
        "_alone", "_disk", "_encoder", "_end", "_failure", "_fast_syncs", "_fd", "_held", "_holders", "_new_names",
        "_quick", "_running", "_scheduled", "_since", "_sync_here", "_synced", "_syncs_to_trust", "_thread",
        "_usable", "_waiters", "_waiting", "_waiting_bytes", "_want_sync", "_writing", "next_seq", "run_id", "size",
    )  # fmt: skip

    def __init__(
        self,
        disk: Disk,
        thread: DiskThread,
        held: Held,
        encoder: Encoder,
        end: int,
        base: int,
        new_names: Sequence[Path],
    ) -> None:
        """Go on behind the `end` of a file.

        Args:
            disk: where the file is.
            thread: where waiting for the disk is done.
            held: the open file with its lock.
            encoder: makes the next record of the file.
            end: bytes of whole records and what is before them.
            base: what the number of a record is ahead of its number within the file.
            new_names: directories to be synced together with the first records.
        """
        self.run_id = held.run_id
        self.next_seq = base + encoder.seq
        self.size = end
        self._disk = disk
        self._thread = thread
        self._held = held
        self._fd = held.fd
        self._encoder = encoder
        self._end = end
        # Nobody knows what the process before this one has synced.
        self._synced = 0
        self._new_names = tuple(new_names)
        self._waiting: list[bytes] = []
        self._waiting_bytes: int = 0
        self._quick = True
        self._sync_here = False
        self._syncs_to_trust = FAST_SYNCS
        self._fast_syncs = 0
        self._alone = False
        self._running = False
        self._writing = False
        self._scheduled = False
        self._waiters: list[asyncio.Future[None]] = []
        self._want_sync = False
        self._holders: list[asyncio.Future[None]] = []
        self._since: list[tuple[int, bytes]] | None = None
        self._failure: OSError | None = None
        self._usable = True

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; it waits for `push` or `flush`.

        Raises:
            CheckpointWriteError: the storage has refused before.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        frame = self._encoder.encode(kind, payload)
        self._waiting.append(frame)
        length = len(frame)
        self._waiting_bytes += length
        self.size += length
        self.next_seq += 1
        if self._since is not None:
            self._since.append((kind, payload))

    def push(self, *, sync: bool = False) -> bool:
        """Write (with `sync` also sync) what waits now, if that is quick, and say whether it was done.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        if sync:
            return self._sync_here and not self._running and not self._waiters and self.push() and self._synced_now()
        if self._writing:
            return False
        waiting = self._waiting
        if not waiting:
            return True
        if not self._quick or self._waiting_bytes > QUICK_BYTES:
            return False
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        clock = self._disk.clock
        start = clock()
        try:
            write_records(self._disk, self._fd, data)
        except OSError as error:
            _cut(self._disk, self._fd, self._end)
            self._fail(error)
            self._refuse()
        took = clock() - start
        waiting.clear()
        self._waiting_bytes = 0
        self._end += len(data)
        if took > SLOW_SECONDS:
            self._quick = False
            logger.info(
                "run %s: a write of %d bytes took %.1f ms; from now on a thread writes",
                self.run_id,
                len(data),
                took * 1e3,
            )
        return True

    async def flush(self, *, sync: bool = False) -> None:
        """Wait until everything appended so far survives the death of the process, with `sync` a power cut.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        if sync:
            if self._synced >= self.size or (self._sync_here and self._sync_alone()):
                return
        elif self.push():
            return
        await self._join(sync=sync)

    async def _join(self, *, sync: bool) -> None:
        """Wait for the next commit, which begins in the next turn of the loop unless one is under way."""
        loop = asyncio.get_running_loop()
        # A future for each: one that several tasks await would be cancelled for all of them with the first.
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        if sync:
            self._want_sync = True
        if not self._running and not self._scheduled:
            # Not at once: whoever flushes in the same turn shares this commit.
            self._scheduled = True
            loop.call_soon(self._commit)
        await waiter

    def _commit(self) -> None:
        self._scheduled = False
        if self._running or not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        self._alone = len(waiters) == 1
        sync, self._want_sync = self._want_sync, False
        try:
            pushed = self.push()
        except CheckpointError:
            self._settle(waiters)
            return
        if not pushed or (sync and self._synced < self._end and not self._sync_here):
            self._begin(waiters, sync=sync)
            return
        if sync and self._synced < self._end:
            self._sync_on_loop()
        self._settle(waiters)

    def _begin(self, waiters: list[asyncio.Future[None]], *, sync: bool) -> None:
        """Give the thread what waits, and the sync."""
        frames, self._waiting = self._waiting, []
        length, self._waiting_bytes = self._waiting_bytes, 0
        self._running = True
        self._writing = bool(frames)
        names = self._new_names if sync else ()
        call = partial(_store, self._disk, self._fd, frames, self._end, names, sync=sync)
        self._thread.submit(call, partial(self._stored, waiters, length, self._end + length, sync))

    def _stored(
        self,
        waiters: list[asyncio.Future[None]],
        length: int,
        covered: int,
        sync: bool,  # noqa: FBT001  # given by partial
        took: float | None,
        error: BaseException | None,
    ) -> None:
        """Take note of what the thread has done."""
        self._running = self._writing = False
        if error is not None:
            self._fail(error)
        else:
            self._end += length
            if sync:
                self._synced = covered
                self._new_names = ()
                self._judge_sync(took or 0.0)
        self._settle(waiters)
        self._next()

    def _judge_sync(self, took: float) -> None:
        # To a thread and back costs more than a sync into the cache of a drive that keeps it through a power cut.
        self._fast_syncs = self._fast_syncs + 1 if took < FAST_SYNC_SECONDS else 0
        self._sync_here = self._fast_syncs >= self._syncs_to_trust

    def _sync_on_loop(self) -> None:
        try:
            took = sync_records(self._disk, self._fd)
        except OSError as error:
            self._fail(error)
            return
        self._synced = self._end
        if took > SLOW_SECONDS:
            self._sync_here = False
            self._fast_syncs = 0
            self._syncs_to_trust *= 8
            logger.info(
                "run %s: a sync took %.1f ms; a thread does the next %d at least",
                self.run_id, took * 1e3, self._syncs_to_trust,
            )  # fmt: skip

    def _synced_now(self) -> bool:
        """Sync what was written, at once; there is nobody to share it with."""
        if self._synced < self._end:
            self._sync_on_loop()
            if not self._usable:
                self._refuse()
        return True

    def _sync_alone(self) -> bool:
        """Sync at once for somebody who was alone in the last commit, and say whether that was done.

        A turn of the loop, in which others could join, costs half as much as a quick sync. A second flush in the same
        turn waits for the others all the same, so a crowd costs two syncs at most, and the loop gets its turns.
        """
        if not self._alone or self._running or self._waiters or not self.push():
            return False
        self._alone = False
        asyncio.get_running_loop().call_soon(self._be_alone)
        return self._synced_now()

    def _be_alone(self) -> None:
        # Nobody joined since the sync of this turn.
        self._alone = not self._waiters

    def _settle(self, waiters: list[asyncio.Future[None]]) -> None:
        """Tell those who wait for a commit that it is through, or why it is not."""
        for waiter in waiters:
            if waiter.done():
                continue
            if self._usable:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._refusal())

    def _next(self) -> None:
        """Let in who wants the file for itself, then the next commit."""
        while self._holders:
            holder = self._holders.pop(0)
            if not holder.done():
                self._running = self._writing = True
                holder.set_result(None)
                return
        self._commit()

    async def _hold(self) -> None:
        """Wait until no job is under way, and let none begin and nothing be written until `_let_go`."""
        if not self._running:
            self._running = self._writing = True
            return
        holder: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holders.append(holder)
        try:
            await holder
        except asyncio.CancelledError:
            if holder.done() and not holder.cancelled():
                self._let_go()
            raise

    def _let_go(self) -> None:
        self._running = self._writing = False
        self._next()

    def _fail(self, error: BaseException) -> None:
        # A second fsync would succeed without having written what the first one lost (Linux marks such pages clean),
        # so a log that failed once stays failed, whatever the operation was.
        if self._failure is None:
            self._failure = error if isinstance(error, OSError) else OSError(0, f"{type(error).__name__}: {error}")
        self._usable = False
        self._waiting.clear()
        self._waiting_bytes = 0

    def _refuse(self) -> NoReturn:
        raise self._refusal() from self._failure

    def _refusal(self) -> CheckpointError:
        if self._failure is None:
            return CheckpointError(f"the log of run {self.run_id!r} is closed; open the run again to go on with it")
        return write_error(self._failure, f"run {self.run_id!r} cannot be recorded any more in {self._held.path}")


def write_error(error: OSError, what: str) -> CheckpointWriteError:
    """Make the error that says `what` the storage refused, with the number that it gave."""
    return CheckpointWriteError(error.errno or 0, f"{what}: {error.strerror or error}")


def _store(disk: Disk, fd: int, frames: list[bytes], end: int, new_names: Sequence[Path], *, sync: bool) -> float:
    """Write and sync in the thread, and give the seconds that the sync took."""
    if frames:
        try:
            write_records(disk, fd, b"".join(frames))
        except OSError:
            _cut(disk, fd, end)
            raise
    if not sync:
        return 0.0
    took = sync_records(disk, fd)
    for directory in new_names:
        disk.sync_directory(directory)
    return took


def _cut(disk: Disk, fd: int, end: int) -> None:
    # Should this fail too, the next reader finds a torn tail, which it cuts.
    with suppress(OSError):
        disk.truncate(fd, end)
