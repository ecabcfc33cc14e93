"""A clock that stands still until it is told to move, for runs on any event loop: `wf.run(clock=FakeClock())`."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING

from ..policy import require_number
from .loop import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

_TURNS = 50  # of the loop, in which what a timer has woken comes to rest


class _Timer:
    """A timer of a fake clock."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class FakeClock:
    """Time that passes only in `advance` and `jump`.

    It covers what the runtime waits for: `ctx.sleep`, timeouts of tasks and runs, pauses between attempts, rates,
    delays of children, deadlines of questions. It does not cover `asyncio.sleep` and `asyncio.timeout` in a task; on a
    `VirtualLoop` (`run_sync`, `@pytest.mark.graflow`) those take no time either, and no clock needs to be given.
    """

    def __init__(self, start: float = EPOCH) -> None:
        """Stop at a moment.

        Args:
            start: the wall clock's time, in seconds since the epoch.
        """
        self._start = start
        self._passed = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def time(self) -> float:
        """Give the wall clock, in seconds since the epoch."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Give the seconds that have passed since the beginning."""
        return self._passed

    def call_later(self, delay: float, callback: Callable[[], None]) -> _Timer:
        """Call back once so many seconds have passed; what is due already is called when the loop turns."""
        timer = _Timer(callback)
        if delay <= 0:
            asyncio.get_running_loop().call_soon(_fire, timer)
        else:
            heapq.heappush(self._timers, (self._passed + delay, next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass: each timer on the way fires at its moment, and what it wakes may go on first.

        Threads are not waited for.

        Raises:
            ConfigError: time does not go back.
        """
        require_number("seconds", seconds)
        until = self._passed + seconds
        await _settle()
        while (due := self._next()) is not None and due <= until:
            await self._move(due)
        self._passed = until
        await _settle()

    async def jump(self) -> float:
        """Go to the next timer and give the seconds that passed; none pass if nobody waits."""
        await _settle()
        before, due = self._passed, self._next()
        if due is not None:
            await self._move(due)
        return self._passed - before

    async def _move(self, due: float) -> None:
        """Fire the timers of one moment."""
        self._passed = max(self._passed, due)
        while self._timers and self._timers[0][0] <= self._passed:
            _fire(heapq.heappop(self._timers)[2])
        await _settle()

    def _next(self) -> float | None:
        """Give when the next timer is due."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None


def _fire(timer: _Timer) -> None:
    callback, timer.callback = timer.callback, None
    if callback is not None:
        callback()


async def _settle() -> None:
    """Let what is ready go on until it waits for something else."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
