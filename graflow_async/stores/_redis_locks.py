"""Advisory locks in Redis: leases with a fencing number, renewed while they are held, queued for where they are not.

Inside this process the tasks wait for each other first, so that one of them at a time deals with Redis.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from .._redis.names import KEEP_FOR
from ..errors import LockTimeoutError, StoreError
from ..store import lock_holder
from ._locks import LocalLocks
from ._redis_calls import Calls
from ._redis_feed import Feed
from ._redis_values import Names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")

logger = logging.getLogger("graflow_async.store")

_ROUNDING = 0.001  # seconds; a loop may wake up that much too early


class _Lease:
    """A lock that this process has, or wants.

    Attributes:
        key: its name.
        token: who has it or wants it, unique to this one wish.
        turn: the number that the locks of this process gave.
        fence: the fencing number.
        depth: how often its holder has entered it.
        is_lost: whether somebody else may have it.
        wake: set when Redis may have given it.
        is_unwanted: whether nobody waits for it any more.
    """

    __slots__ = ("depth", "fence", "is_lost", "is_unwanted", "key", "token", "turn", "wake")

    def __init__(self, key: str, token: str, turn: int) -> None:
        self.key = key
        self.token = token
        self.turn = turn
        self.fence = 0
        self.depth = 1
        self.is_lost = False
        self.is_unwanted = False
        self.wake = asyncio.Event()


class RedisLocks:
    """All locks of a store."""

    __slots__ = (
        "_calls",
        "_count",
        "_errands",
        "_feed",
        "_held",
        "_keeper",
        "_lease",
        "_local",
        "_names",
        "_wanted",
        "_work",
    )

    def __init__(self, calls: Calls, feed: Feed, names: Names, lease: float) -> None:
        """Hold locks for `lease` seconds at a time."""
        self._calls = calls
        self._feed = feed
        self._names = names
        self._lease = lease
        self._local = LocalLocks()
        self._held: dict[str, _Lease] = {}
        self._wanted: dict[str, _Lease] = {}
        self._count = 0
        self._keeper: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._errands: set[asyncio.Task[Any]] = set()

    async def acquire(self, key: str, holder: object, patience: float | None) -> int:
        """Wait up to `patience` seconds for the lock and give its fencing number.

        Raises:
            LockTimeoutError: it was not free within that time.
            StoreUnavailableError: Redis was away for too long.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        turn = await self._local.acquire(key, holder, patience)
        held = self._held.get(key)
        if held is not None and held.turn == turn:
            held.depth += 1
            return held.fence
        self._count += 1
        lease = _Lease(key, f"{self._calls.name}:{self._count}", turn)
        taking = self._run(self._take(lease, None if patience is None else begun + patience))
        try:
            is_taken = await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._run(self._abandon(lease, holder, taking))
            raise
        except BaseException:
            self._local.release(key, holder)
            raise
        if not is_taken:
            self._local.release(key, holder)
            raise LockTimeoutError(
                f"the lock on {key!r} was not free within {patience:g} s; hold it for less time, or wait longer"
            )
        return lease.fence

    async def release(self, key: str, holder: object) -> None:
        """Give the lock back, or one level of it.

        Raises:
            StoreError: it was lost meanwhile.
            StoreUnavailableError: Redis was away for too long; it will be free when the lease ends.
        """
        lease = self._held.get(key)
        if lease is None or lease.depth > 1:
            if lease is not None:
                lease.depth -= 1
            self._local.release(key, holder)
            return
        await asyncio.shield(self._run(self._give_back(lease, holder)))

    async def aclose(self) -> None:
        """Give back all locks, and end all waiting for one."""
        for lease in self._wanted.values():
            lease.is_unwanted = True
            lease.wake.set()
        for lease in list(self._held.values()):
            self._run(self._drop(lease))
        while self._errands:
            await asyncio.wait(self._errands)
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    # Taking and giving back; each in a task of its own, so that a command on its way is never left behind

    async def _take(self, lease: _Lease, deadline: float | None) -> bool:
        """Get a lock until a moment on the loop's clock, and say whether that succeeded."""
        loop = asyncio.get_running_loop()
        self._wanted[lease.token] = lease
        may_wait = False
        try:
            while not lease.is_unwanted:
                lease.wake.clear()
                is_held, number = await self._send("lock_take", lease, int(may_wait))
                if is_held:
                    lease.fence = number
                    self._hold(lease)
                    return True
                if deadline is not None and loop.time() >= deadline:
                    break
                if not may_wait:
                    may_wait = True
                    await self._feed.join(self._names.inbox(self._calls.name), self._hear, self._rejoin)
                    continue
                # Whoever waits gives a sign of life from time to time, and looks when the holder's lease ends.
                wait = min(self._lease / 3, number / 1_000_000 + _ROUNDING)
                await _wait_for(lease.wake, wait if deadline is None else min(wait, deadline - loop.time()))
            if may_wait:
                await self._send("lock_drop", lease)
            if lease.is_unwanted:
                raise StoreError(f"the store was closed while the lock on {lease.key!r} was waited for")
            return False
        finally:
            del self._wanted[lease.token]

    async def _abandon(self, lease: _Lease, holder: object, taking: asyncio.Task[bool]) -> None:
        lease.is_unwanted = True
        lease.wake.set()
        try:
            await asyncio.wait([taking])
            if not taking.cancelled() and taking.exception() is None and taking.result():
                await self._drop(lease)
        finally:
            self._local.release(lease.key, holder)

    async def _give_back(self, lease: _Lease, holder: object) -> None:
        try:
            await self._drop(lease)
        finally:
            self._local.release(lease.key, holder)
        if lease.is_lost:
            raise StoreError(
                f"the lock on {lease.key!r} was lost while it was held: its lease of {self._lease:g} s was not renewed "
                f"in time, or Redis forgot it; another may have been inside (the fencing number was {lease.fence})"
            )

    async def _drop(self, lease: _Lease) -> None:
        if self._held.get(lease.key) is lease:
            del self._held[lease.key]
        is_again = False

        def noting(again: bool) -> None:  # noqa: FBT001  # as `patiently` calls it
            nonlocal is_again
            is_again = again

        was_held = await self._send("lock_drop", lease, noting=noting)
        # An answer that was lost may have been that of giving it back.
        if not was_held and not is_again:
            lease.is_lost = True

    async def _send(self, name: str, lease: _Lease, *more: Any, noting: Any = None) -> Any:
        args = [lease.token, round(self._lease * 1_000_000), self._names.inbox(), KEEP_FOR * 1000, *more]
        what = f"the lock on {lease.key!r}"
        return await self._calls.run(what, name, self._names.lock(lease.key), args, noting)

    # While locks are held

    def _hold(self, lease: _Lease) -> None:
        self._held[lease.key] = lease
        self._work.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Renew the leases of the locks that are held."""
        while True:
            if not self._held:
                self._work.clear()
                await self._work.wait()
            await asyncio.sleep(self._lease / 3)
            await asyncio.gather(*(self._renew(lease) for lease in self._held.values()))

    async def _renew(self, lease: _Lease) -> None:
        try:
            is_held = await self._send("lock_keep", lease)
        except StoreError as error:
            logger.warning("the lock on %r could not be renewed, and may be lost: %s", lease.key, error)
            return
        if not is_held and self._held.get(lease.key) is lease and not lease.is_lost:
            lease.is_lost = True
            logger.warning("the lock on %r was lost while it was held", lease.key)

    async def _hear(self, _: str, token: bytes) -> None:
        lease = self._wanted.get(token.decode())
        if lease is not None:
            lease.wake.set()

    async def _rejoin(self, _: str) -> None:
        for lease in self._wanted.values():
            lease.wake.set()

    def _run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Whoever waits for it gets it; this is for those who were cancelled.
            logger.debug("a lock: %s", task.exception())


class HeldRedisLock:
    """The context manager around one holding of a lock."""

    __slots__ = ("_find", "_holder", "_key", "_locks", "_timeout")

    def __init__(self, find: Callable[[], Awaitable[RedisLocks]], key: str, timeout: float | None) -> None:
        """Hold the lock of that name among those that `find` gives on entering."""
        self._find = find
        self._locks: RedisLocks | None = None
        self._key = key
        self._timeout = timeout
        self._holder: object = None

    async def __aenter__(self) -> int:
        holder = lock_holder.get()
        self._holder = asyncio.current_task() if holder is None else holder
        self._locks = await self._find()
        return await self._locks.acquire(self._key, self._holder, self._timeout)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._locks is None:
            raise RuntimeError(f"the lock on {self._key!r} is left without having been entered")
        try:
            await self._locks.release(self._key, self._holder)
        except StoreError as error:
            if kind is None:
                raise
            logger.warning("leaving the lock on %r after an error: %s", self._key, error)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or until the time is up."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
