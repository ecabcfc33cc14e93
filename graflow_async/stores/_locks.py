"""Advisory locks by name inside one process: fair, re-entrant, with a time limit on waiting. No values live here."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import LockTimeoutError
from ..store import lock_holder


class _Lock:
    """A lock that somebody has; one that nobody has does not exist."""

    __slots__ = ("depth", "fence", "holder", "waiting")

    def __init__(self, holder: object, fence: int) -> None:
        self.holder = holder
        self.fence = fence
        self.depth = 1
        self.waiting: deque[tuple[object, asyncio.Future[int | None]]] = deque()


class LocalLocks:
    """All locks of a store of this event loop."""

    __slots__ = ("_fence", "_locks")

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}
        self._fence = 0

    def lock(self, key: str, timeout: float | None) -> HeldLock:
        """Make the context manager that holds the lock of that name."""
        return HeldLock(self, key, timeout)

    async def acquire(self, key: str, holder: object, patience: float | None) -> int:
        """Wait up to `patience` seconds for the lock, first come, first served, and give its fencing number.

        Raises:
            LockTimeoutError: it was not free within that time.
        """
        lock = self._locks.get(key)
        if lock is None:
            self._fence += 1
            self._locks[key] = _Lock(holder, self._fence)
            return self._fence
        if lock.holder == holder:
            lock.depth += 1
            return lock.fence
        fence = None if patience is not None and patience <= 0 else await self._wait(key, lock, holder, patience)
        if fence is None:
            raise LockTimeoutError(
                f"the lock on {key!r} was not free within {patience:g} s; hold it for less time, or wait longer"
            )
        return fence

    async def _wait(self, key: str, lock: _Lock, holder: object, patience: float | None) -> int | None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[int | None] = loop.create_future()
        entry = (holder, turn)
        lock.waiting.append(entry)
        timer = None if patience is None else loop.call_later(patience, _give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result() is not None:
                # Cancelled between being handed the lock and waking up: the next one must not wait for it.
                self.release(key, holder)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if entry in lock.waiting:
                lock.waiting.remove(entry)

    def release(self, key: str, holder: object) -> None:
        """Give the lock back, or one level of it, and hand it to whoever waits longest."""
        lock = self._locks.get(key)
        if lock is None or lock.holder != holder:
            raise RuntimeError(f"the lock on {key!r} is released by somebody who does not hold it")
        lock.depth -= 1
        if lock.depth:
            return
        while lock.waiting:
            heir, turn = lock.waiting.popleft()
            if not turn.done():
                self._fence += 1
                lock.holder, lock.depth, lock.fence = heir, 1, self._fence
                turn.set_result(self._fence)
                return
        del self._locks[key]


class HeldLock:
    """The context manager around one holding of a lock."""

    __slots__ = ("_holder", "_key", "_locks", "_timeout")

    def __init__(self, locks: LocalLocks, key: str, timeout: float | None) -> None:
        self._locks = locks
        self._key = key
        self._timeout = timeout
        self._holder: object = None

    async def __aenter__(self) -> int:
        holder = lock_holder.get()
        self._holder = asyncio.current_task() if holder is None else holder
        return await self._locks.acquire(self._key, self._holder, self._timeout)

    async def __aexit__(self, *_: object) -> None:
        self._locks.release(self._key, self._holder)


def _give_up(turn: asyncio.Future[int | None]) -> None:
    if not turn.done():
        turn.set_result(None)
