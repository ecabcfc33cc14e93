"""Children that a body calls while it runs: handles to single ones, and maps over many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._core.events import Called, CancelRequested, HandleDropped
from .._core.state import Instance
from .._core.wishes import Child
from ..errors import GraflowRuntimeError, note
from ..task import Task
from .recorded import Handle, RecordedChild, identity_of
from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
Items = list[tuple[Task[Any, Any], int]] | list[Child]
"""Items of a map that start together: tasks with their automatic numbers, or children if handles are to be awaited."""

GENERATOR_WINDOW = 1000
CHUNK = 256
TIME_SLICE = 0.005


class ChildHandle(Handle[T]):
    """A child that was started with `ctx.submit`: await it, ask it, cancel it, pass it on as an argument."""

    is_bulk = False

    def __init__(
        self, scheduler: Scheduler, parent: Instance | None, name: str, failures: list[ChildHandle[Any]]
    ) -> None:
        """Stand for a child that is about to start; a failure nobody looks at ends up in `failures`.

        A journal gives it a `number`. `known_as` is the receiver that the machine knows: another one if the child was
        called in an earlier life of its parent.
        """
        self._scheduler = scheduler
        self._parent = parent
        self._name = name
        self._failures = failures
        self._kind = ""
        self._value: Any = None
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[ChildHandle[T]], None]] = []
        self.key = -1
        self.number: int | None = None
        self.known_as: Any = self
        self.is_seen = False

    @property
    def child(self) -> ChildHandle[T]:
        """This handle."""
        return self

    def deliver(self, index: int, kind: str, value: Any) -> None:  # noqa: ARG002  # one child, one position
        """Take the child's end."""
        self._kind = kind
        self._value = value
        if kind == "error":
            self._failures.append(self)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def done(self) -> bool:
        """Say whether the child has ended."""
        return bool(self._kind)

    def result(self) -> T:
        """Give the child's value.

        Raises:
            BaseException: what the child raised.
            asyncio.CancelledError: it was cancelled.
            GraflowRuntimeError: it has not ended yet.
        """
        if self._kind == "value":
            return self._value
        if self._kind == "error":
            self.is_seen = True
            raise self._value
        if self._kind == "cancelled":
            message = f"child {self._name!r} was cancelled"
            raise asyncio.CancelledError(message)
        message = f"child {self._name!r} has not ended yet; await it"
        raise GraflowRuntimeError(message)

    def exception(self) -> BaseException | None:
        """Give what the child raised, None if it has not failed."""
        if self._kind != "error":
            return None
        self.is_seen = True
        return self._value

    def cancelled(self) -> bool:
        """Say whether the child was cancelled."""
        return self._kind == "cancelled"

    def succeeded(self) -> bool:
        """Say whether the child has ended with a value."""
        return self._kind == "value"

    def cancel(self) -> bool:
        """Cancel the child; False if it has ended already."""
        if self._kind:
            return False
        self._scheduler.submit(CancelRequested(self.key, None if self.known_as.is_bulk else self.known_as))
        if self._scheduler.done.done() and not self._kind:
            self.deliver(0, "cancelled", None)  # the run has stopped where it was: no end will ever be told
        return True

    def add_done_callback(self, callback: Callable[[ChildHandle[T]], None]) -> None:
        """Call back when the child ends (at once if it has)."""
        if self._kind:
            callback(self)
        else:
            self._callbacks.append(callback)

    async def wait(self) -> T:
        """Wait for the child's value; a cancelled wait cancels the child."""
        if not self._kind:
            waiter = self._scheduler.loop.create_future()
            self._waiters.append(waiter)
            try:
                parent = self._parent
                await (waiter if parent is None else self._scheduler.park(parent, waiter, "child", self._name))
            except asyncio.CancelledError:
                self.cancel()
                await self._ended()
                raise
        return self.result()

    async def _ended(self) -> None:
        """Wait for the end of a cancelled child, through further cancellations: it is bounded by `cancel_grace`."""
        while not self._kind:
            waiter = self._scheduler.loop.create_future()
            self._waiters.append(waiter)
            with suppress(asyncio.CancelledError):
                await waiter

    async def shared_by(self, instance: Instance) -> T:
        """Wait for the child's value on behalf of another body, to which the child does not belong."""
        await self.end_for(instance)
        return self.result()

    async def end_for(self, instance: Instance) -> None:
        """Wait for the child's end on behalf of a body, however it ends."""
        if not self._kind:
            waiter = self._scheduler.loop.create_future()
            self._waiters.append(waiter)
            await self._scheduler.park(instance, waiter, "child", self._name)

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the child's value."""
        return self.wait().__await__()

    def __repr__(self) -> str:
        """Show how far the child is."""
        return f"<ChildHandle {self._name} {self._kind or 'pending'}>"


class MapCall:
    """One map: takes the ends of its items and lets the next ones in."""

    is_bulk = True

    def __init__(
        self, scheduler: Scheduler, parent: Instance, *, return_exceptions: bool, total: int | None = None
    ) -> None:
        """Begin with no items; there will be `total` if that is known."""
        self._scheduler = scheduler
        self.parent = parent
        self.total = total
        self._return_exceptions = return_exceptions
        self._change: asyncio.Future[None] | None = None
        self.results: list[Any] = []
        self.pending = 0
        self.failure: tuple[int, BaseException] | None = None
        self.on_failure: Callable[[], object] | None = None
        self.number: int | None = None
        self._adopted: list[RecordedChild] = []

    def deliver(self, index: int, kind: str, value: Any) -> None:
        """Take the end of an item."""
        self.pending -= 1
        if kind == "value":
            self.results[index] = value
        elif kind == "error":
            self._failed(index, value)
        elif self._return_exceptions:
            self.results[index] = asyncio.CancelledError()
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _failed(self, index: int, error: BaseException) -> None:
        if self._return_exceptions and isinstance(error, Exception):
            self.results[index] = error
        elif self.failure is None:
            self.failure = (index, error)
            self.drop()
            if self.on_failure is not None:
                self.on_failure()

    def start(self, items: Items) -> None:
        """Start items."""
        index = len(self.results)
        self.results.extend([None] * len(items))
        self.pending += len(items)
        recorded = self._scheduler.recorded
        if recorded is None or not recorded.knows(self.parent.key):
            self._call(items, index)
            return
        for position, item in enumerate(items):  # called in an earlier life, perhaps
            child = item if isinstance(item, Child) else Child(*item)
            found = recorded.claim(self.parent.key, *identity_of(child))
            if found is None:
                self._call([item], index + position)  # pyright: ignore[reportArgumentType]  # of the same kind as before
            else:
                self._adopted.append(found)
                found.give_to(self, index + position)

    def _call(self, items: Items, index: int) -> None:
        key = self.parent.key
        if items and items[0].__class__ is Child:
            event = Called(key, self, index, children=cast("list[Child]", items))
        else:
            event = Called(key, self, index, tasks=cast("list[tuple[Task[Any, Any], int]]", items))
        try:
            self._scheduler.submit(event)
        except BaseException:
            self.pending -= len(items)
            raise

    def drop(self) -> None:
        """Tell that the items are no longer wanted."""
        self._scheduler.submit(HandleDropped(self))
        for child in self._adopted:
            if not child.kind:
                self._scheduler.submit(CancelRequested(child.key))
        if self._scheduler.done.done():
            self.pending = 0  # the run has stopped where it was: no end will ever be told

    async def until(self, pending: int) -> None:
        """Wait until at most `pending` items have not ended, or one has failed."""
        while self.pending > pending and (self.failure is None or pending == 0):
            self._change = self._scheduler.loop.create_future()
            await self._change


async def run_map(
    scheduler: Scheduler, pulls: AsyncIterator[Items] | Iterator[Items], call: MapCall, room: list[int], name: str
) -> list[Any]:
    """Run a map: pull items as slots free up, wait for the last one, give the results in input order.

    `room[0]` tells the puller how many items it may give.
    """
    try:
        if isinstance(pulls, AsyncIterator):
            await _feed_in_a_task(scheduler, pulls, call, room)
        else:
            await _feed(scheduler, pulls, call, room)
        await call.until(0)
    except BaseException:
        call.drop()
        await _settled(call)
        raise
    if call.failure is not None:
        index, error = call.failure
        note(error, f"graflow_async: raised by item {index} of the map over {name!r}")
        raise error
    return call.results


async def _feed(
    scheduler: Scheduler, pulls: AsyncIterator[Items] | Iterator[Items], call: MapCall, room: list[int]
) -> None:
    """Start items while there are any, at most `room[0]` (as it is now) at once, until one fails."""
    bound = room[0]
    until = scheduler.loop.time() + TIME_SLICE
    while call.failure is None:
        room[0] = min(bound - call.pending, CHUNK)
        items = await anext(pulls, None) if isinstance(pulls, AsyncIterator) else next(pulls, None)
        if items is None:
            return
        call.start(items)
        if call.pending >= bound:
            await call.until(bound - 1)
            until = scheduler.loop.time() + TIME_SLICE
        elif scheduler.loop.time() > until:
            await asyncio.sleep(0)
            until = scheduler.loop.time() + TIME_SLICE


async def _feed_in_a_task(scheduler: Scheduler, pulls: AsyncIterator[Items], call: MapCall, room: list[int]) -> None:
    """Feed from an asynchronous source, which may wait for ever: a failing item must not wait with it."""
    feeder = scheduler.loop.create_task(_feed(scheduler, pulls, call, room))
    call.on_failure = feeder.cancel
    try:
        await asyncio.shield(feeder)
    except asyncio.CancelledError:
        if call.failure is None or not feeder.done():
            raise
    finally:
        call.on_failure = None
        if not feeder.done():
            feeder.cancel()
            await asyncio.wait((feeder,))


async def _settled(call: MapCall) -> None:
    """Wait for cancelled items, through further cancellations: each of them is bounded by `cancel_grace`."""
    while call.pending:
        try:
            await call.until(0)
        except asyncio.CancelledError:
            if not call.pending:
                raise
