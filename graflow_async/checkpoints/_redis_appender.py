"""The open log of a run in Redis: appending, group commit, and keeping the lease. Rewriting is in `_redis_log`."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from redis import exceptions as faults

from .._redis.link import Link
from ..errors import CheckpointError, CheckpointWriteError
from ..frames import Encoder
from ._redis_link import writing
from ._redis_run import CALL_BYTES, MARKS, Listing, Place
from ._redis_scripts import APPEND, LIST, RENEW

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("graflow_async.checkpoint")

_TAG_SIZE = 16
_WAIT_AT_ONCE = 0.5  # seconds for which Redis is asked to wait for replicas; then it is asked again
_TOUCH = 4  # times within its life in which everything of a run that is held gets a new one


class Terms(NamedTuple):
    """What a checkpointer asks for.

    Attributes:
        prefix: what all keys begin with.
        listed: the key of the list of runs.
        expire_after: seconds that a run stays after its last sign of life.
        lease: seconds that a run stays locked after the last sign of life of its holder.
        wait_replicas: how many replicas must have what was flushed with `sync`.
    """

    prefix: str
    listed: str
    expire_after: float
    lease: float
    wait_replicas: int

    @property
    def ttl(self) -> int:
        """Milliseconds until a run expires."""
        return int(self.expire_after * 1000)

    @property
    def lease_ms(self) -> int:
        """Milliseconds until a lease ends."""
        return int(self.lease * 1000)


class Held(NamedTuple):
    """A run whose lease was taken.

    Attributes:
        place: where it is.
        token: the proof that it was taken by this log and nobody since.
        start: the bytes of its preamble.
        key: what its records are signed with.
        base: what the number of a record is ahead of its number within the log.
        gen: how often it was compacted, from 1.
        size: bytes so far.
        seq: number of the next record, within the log.
        tag: of the last record; None if there is none.
    """

    place: Place
    token: str
    start: bytes
    key: bytes
    base: int
    gen: int
    size: int
    seq: int
    tag: bytes | None


class Appender:
    """Appends records to one run.

    At most one batch is under way at a time; what is appended meanwhile makes up the next one. A batch says behind how
    many bytes it goes, so that one which is sent twice is there once.

    Attributes:
        run_id: of the run.
        next_seq: the number that the next record gets.
        size: bytes so far, those that still wait included.
    """

    __slots__ = (
        "_base", "_confirmed", "_encoder", "_failure", "_gen", "_in_sync", "_key", "_line", "_link", "_listing",
        "_marks", "_place", "_renewer", "_since", "_start", "_stored", "_syncers", "_terms", "_token", "_usable",
        "_waiters", "_waiting", "_writer", "_written", "next_seq", "run_id", "size",
    )  # fmt: skip

    def __init__(self, link: Link, terms: Terms, held: Held, listing: Listing) -> None:
        """Go on behind what a run has; the lease is kept from now on."""
        self.run_id = held.place.run_id
        self.next_seq = held.base + held.seq
        self.size = held.size
        self._link = link
        self._terms = terms
        self._place = held.place
        self._token = held.token
        self._start = held.start
        self._key = held.key
        self._base = held.base
        self._gen = held.gen
        self._listing = listing
        self._encoder = Encoder(held.key, held.start, seq=held.seq, tag=held.tag)
        # What Redis has: bytes, records, and the number of the next record.
        self._written = held.size
        self._stored = (held.seq, self._encoder.tag)
        self._confirmed = self.next_seq
        self._in_sync = -1
        self._waiting: list[bytes] = []
        # (number of the record, field, value) of what listings show
        self._marks: list[tuple[int, str, bytes]] = []
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._syncers: list[asyncio.Future[None]] = []
        self._since: list[tuple[int, bytes]] | None = None
        # Held by who changes what is in Redis.
        self._line = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._usable = True
        self._renewer = asyncio.get_running_loop().create_task(self._keep_lease())

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; it waits for `push` or `flush`.

        Raises:
            CheckpointWriteError: the storage has refused before.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        self._take_in(kind, payload)
        self.next_seq += 1
        if self._since is not None:
            self._since.append((kind, payload))

    def _take_in(self, kind: int, payload: bytes) -> None:
        """Let a record wait, with what listings show of it."""
        seq = self._encoder.seq
        frame = self._encoder.encode(kind, payload)
        self._waiting.append(frame)
        self.size += len(frame)
        if not seq:
            self._marks.append((seq, "header", self._listing.seal(kind, payload)))
        if kind in MARKS:
            self._marks.append((seq, "last", self._listing.seal(kind, payload)))

    def push(self, *, sync: bool = False) -> bool:
        """Send what waits on its way, and say whether everything is in Redis already.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        if self._has_all(sync=sync):
            return True
        self._begin()
        return False

    async def flush(self, *, sync: bool = False) -> None:
        """Wait until Redis has everything appended so far.

        What that survives is up to Redis: its death, too, only with `appendonly yes` and `appendfsync always`. With
        `sync` and `wait_replicas` it waits for so many replicas, too.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
            CheckpointError: the log is closed.
        """
        if not self._usable:
            self._refuse()
        if self._has_all(sync=sync):
            return
        # A future for each: one that several tasks await would be cancelled for all of them with the first.
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if sync and self._terms.wait_replicas:
            self._syncers.append(waiter)
        else:
            self._waiters.append((self.next_seq, waiter))
        self._begin()
        await waiter

    def _has_all(self, *, sync: bool) -> bool:
        if sync and self._terms.wait_replicas and self._in_sync != self.next_seq:
            return False
        return self._confirmed == self.next_seq

    def _begin(self) -> None:
        # The task begins with the next turn of the loop: what is appended in this one goes with it.
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Send what waits until nothing does."""
        try:
            while self._usable and (self._waiting or self._waiters or self._syncers):
                async with self._line:
                    if self._waiting and self._usable:
                        await self._send()
                    self._settle()
                    if self._syncers and not self._waiting and self._usable:
                        await self._sync()
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, CheckpointWriteError):
                raise
        finally:
            self._writer = None

    async def _send(self) -> None:
        """Send a batch: as many records as go with one request, or one that needs several."""
        waiting, count, length = self._waiting, 0, 0
        for frame in waiting:
            if count and length + len(frame) > CALL_BYTES:
                break
            count += 1
            length += len(frame)
        frames = waiting[:count]
        del waiting[:count]
        data = frames[0] if count == 1 else b"".join(frames)
        seq = self._stored[0] + count
        fields: list[Any] = []
        while self._marks and self._marks[0][0] < seq:
            fields.extend(self._marks.pop(0)[1:])
        # A reader takes what there is of a record that needs several requests for one that a crash cut off.
        last = (length - 1) // CALL_BYTES * CALL_BYTES
        for at in range(0, last, CALL_BYTES):
            await self._append(data[at : at + CALL_BYTES], self._stored, [])
        stored = (seq, frames[-1][-_TAG_SIZE:])
        await self._append(data[last:] if last else data, stored, fields)
        self._stored = stored
        self._confirmed += count

    async def _append(self, piece: bytes, stored: tuple[int, bytes], fields: list[Any]) -> None:
        terms, place = self._terms, self._place
        args = [self._token, self._gen, self._written, piece, *stored, terms.lease_ms, terms.ttl, *fields]
        with writing(f"run {self.run_id!r} cannot be recorded any more"):
            self._judge(await self._link.ask(APPEND, (place.meta, place.data), args))
        self._written += len(piece)

    async def _sync(self) -> None:
        """Wait for the replicas, on the connection of a write: those before it are known to them as well then."""
        syncers, self._syncers = self._syncers, []
        covered, wanted, terms = self._confirmed, self._terms.wait_replicas, self._terms
        keys, args = self._place.all, (self._token, terms.lease_ms, terms.ttl, "0")

        async def write_and_wait(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                ask: Any = pipe
                # In full: a pipeline cannot repeat a script that Redis does not know.
                ask.eval(RENEW.text, len(keys), *keys, *args)
                ask.wait(wanted, at_once)
                return await ask.execute()

        at_once = max(1, int(min(_WAIT_AT_ONCE, self._link.patience / 2) * 1000))
        now = asyncio.get_running_loop().time
        deadline, reached = now() + self._link.patience, 0
        try:
            while reached < wanted:
                with writing(f"run {self.run_id!r} cannot be recorded any more"):
                    reply, reached = await self._link.until_answered(write_and_wait)
                self._judge(reply)
                if reached < wanted and now() >= deadline:
                    raise CheckpointWriteError(  # noqa: TRY301  # who waits is put back below
                        errno.EIO,
                        f"run {self.run_id!r} cannot be recorded any more: {reached} replicas of Redis have its "
                        f"records, and wait_replicas={wanted}",
                    )
        except BaseException:
            self._syncers[:0] = syncers
            raise
        self._in_sync = covered
        _wake(syncers, None)

    def _judge(self, reply: list[Any]) -> None:
        """Read the answer to a request of the holder.

        Raises:
            CheckpointWriteError: the run is somebody else's by now, or not what it was.
        """
        word = reply[0]
        if word == b"OK":
            return
        if word == b"FENCED":
            by = reply[1].decode("utf-8", "replace")
            why = f"its lease has ended, and {by} has taken it over; nothing was written since"
            raise CheckpointWriteError(errno.EBUSY, f"run {self.run_id!r} was lost: {why}")
        if word == b"GONE":
            why = "it is gone from Redis (restarted without its data, flushed, or deleted)"
        else:
            why = f"Redis has lost some of its records (of {self._written} bytes it knows {reply[-1]!r})"
        raise CheckpointWriteError(
            errno.EIO, f"run {self.run_id!r} cannot be recorded any more: {why}; a log with a hole is never written"
        )

    def _settle(self) -> None:
        """Tell those who wait for records that Redis has them."""
        waiters = self._waiters
        while waiters and waiters[0][0] <= self._confirmed:
            waiter = waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, error: BaseException) -> None:
        """Let nothing be appended any more: what was sent may be there or not."""
        if self._failure is None:
            self._failure = error
        self._usable = False
        self._waiting.clear()
        waiters = [waiter for _, waiter in self._waiters] + self._syncers
        self._waiters.clear()
        self._syncers.clear()
        _wake(waiters, self)

    def _refuse(self) -> NoReturn:
        raise self.refusal() from self._failure

    def refusal(self) -> CheckpointError:
        """Make the error that says why nothing can be appended any more."""
        failure = self._failure
        if failure is None:
            return CheckpointError(f"the log of run {self.run_id!r} is closed; open the run again to go on with it")
        if isinstance(failure, CheckpointWriteError):
            return CheckpointWriteError(*failure.args)
        return CheckpointWriteError(
            errno.EIO, f"run {self.run_id!r} cannot be recorded any more: {type(failure).__name__}: {failure}"
        )

    async def _keep_lease(self) -> None:
        """Give signs of life, for as long as the log is open."""
        terms = self._terms
        every = min(terms.lease, terms.expire_after) / 3
        now = asyncio.get_running_loop().time
        touched = now()
        while self._usable:
            await asyncio.sleep(every)
            is_time = now() - touched >= terms.expire_after / _TOUCH
            args = (self._token, terms.lease_ms, terms.ttl, "1" if is_time else "0")
            try:
                self._judge(await self._link.ask(RENEW, self._place.all, args, patience=every))
                await self._link.ask(LIST, (terms.listed,), (self._place.member, terms.ttl), patience=every)
            except CheckpointWriteError as error:
                logger.error("run %s: %s", self.run_id, error)  # noqa: TRY400  # whoever writes next gets the trace
                self._fail(error)
            except (faults.RedisError, OSError) as error:
                # Whoever writes meanwhile tells more, and as long as nobody else takes the run nothing is lost.
                logger.warning("run %s: the lease could not be renewed: %s", self.run_id, error)
            else:
                touched = now() if is_time else touched


def _wake(waiters: list[asyncio.Future[None]], failed: Appender | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if failed is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failed.refusal())
