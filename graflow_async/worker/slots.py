"""How much a worker does at once; bodies that wait for the rest of their run do not count, lest they wait for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from .._core.state import Instance

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


class Slots:
    """So many things at once. Who comes back from a wait goes on at once: it may be one more for a while."""

    def __init__(self, count: int) -> None:
        """Have `count` slots."""
        self.free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> None:
        """Take a slot, be there one or not."""
        self.free -= 1

    def leave(self) -> None:
        """Give a slot back."""
        self.free += 1
        while self.free > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self) -> None:
        """Wait until there is one, in the order of coming; the caller is to take it at once."""
        while self.free <= 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter


class Seat:
    """The slots that one body holds: none before it has them, none while it waits."""

    __slots__ = ("_is_seated", "_slots", "_waits")

    def __init__(self, *slots: Slots) -> None:
        """Take a slot of each kind."""
        self._slots = list(slots)
        self._waits = 0
        self._is_seated = True
        for kind in slots:
            kind.take()

    def add(self, slots: Slots) -> None:
        """Take a slot of one more kind."""
        slots.take()
        self._slots.append(slots)

    def rest(self) -> None:
        """Begin to wait; waits may overlap."""
        self._waits += 1
        if self._waits == 1 and self._is_seated:
            for kind in self._slots:
                kind.leave()

    def resume(self) -> None:
        """End a wait."""
        self._waits -= 1
        if self._waits == 0 and self._is_seated:
            for kind in self._slots:
                kind.take()

    def leave(self) -> None:
        """Give everything back for good."""
        if self._is_seated and self._waits == 0:
            for kind in self._slots:
                kind.leave()
        self._is_seated = False


class Rest:
    """A block in which a body waits for others; inside of it its run's limits do not count it, either."""

    __slots__ = ("_inner", "_seat")

    def __init__(self, seat: Seat, inner: AbstractAsyncContextManager[None]) -> None:
        """Stand before the block."""
        self._seat = seat
        self._inner = inner

    async def __aenter__(self) -> None:
        """Get up."""
        await self._inner.__aenter__()
        self._seat.rest()

    async def __aexit__(self, *_: object) -> None:
        """Sit down again."""
        self._seat.resume()
        await self._inner.__aexit__(None, None, None)


def let_rest(link: Any, instance: Instance, seat: Seat) -> None:
    """See to it that a body gives its seat back while it waits."""
    scheduler = link.scheduler
    parked = scheduler.parked if instance.gates else _nothing
    instance.gates = instance.gates or ("worker",)  # type: ignore[assignment]  # only asked whether there are any

    def rest(instance: Instance, *_: str) -> Rest:
        return Rest(seat, parked(instance))

    async def park(instance: Instance, future: asyncio.Future[Any], *_: str) -> Any:
        if future.done():
            return await future
        async with rest(instance):
            return await future

    scheduler.parked, scheduler.park = rest, park


def _nothing(_: Instance) -> AbstractAsyncContextManager[None]:
    """Give a block that the run need not know of: the body holds no slots of it."""
    return nullcontext()
