"""Children that a body calls while it runs: handles to single ones, maps over many, child runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._core.events import Called, CancelRequested, HandleDropped
from .._core.state import Instance
from ..errors import BindingError, GraflowRuntimeError, note
from ..task import Task, Unmapped
from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
Items = list[tuple[Task[Any, Any], int]]

_new = object.__new__
GENERATOR_WINDOW = 1000
CHUNK = 256
TIME_SLICE = 0.005


class ChildHandle(Generic[T]):
    """A child that was started with `ctx.submit`: await it, ask it, cancel it, pass it on as an argument."""

    is_bulk = False

    def __init__(self, scheduler: Scheduler, parent: Instance, name: str, failures: list[ChildHandle[Any]]) -> None:
        """Stand for a child that is about to start; a failure nobody looks at ends up in `failures`."""
        self._scheduler = scheduler
        self._parent = parent
        self._name = name
        self._failures = failures
        self._kind = ""
        self._value: Any = None
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[ChildHandle[T]], None]] = []
        self.key = -1
        self.is_seen = False

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

    def cancel(self) -> bool:
        """Cancel the child; False if it has ended already."""
        if self._kind:
            return False
        self._scheduler.submit(CancelRequested(self.key, self))
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
                await self._scheduler.park(self._parent, waiter)
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
        if not self._kind:
            waiter = self._scheduler.loop.create_future()
            self._waiters.append(waiter)
            await self._scheduler.park(instance, waiter)
        return self.result()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the child's value."""
        return self.wait().__await__()

    def __repr__(self) -> str:
        """Show how far the child is."""
        return f"<ChildHandle {self._name} {self._kind or 'pending'}>"


class MapCall:
    """One map: takes the ends of its items and lets the next ones in."""

    is_bulk = True

    def __init__(self, scheduler: Scheduler, parent: Instance, *, return_exceptions: bool) -> None:
        """Begin with no items."""
        self._scheduler = scheduler
        self._parent = parent
        self._return_exceptions = return_exceptions
        self._change: asyncio.Future[None] | None = None
        self.results: list[Any] = []
        self.pending = 0
        self.failure: tuple[int, BaseException] | None = None
        self.on_failure: Callable[[], object] | None = None

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
            self._scheduler.submit(HandleDropped(self))
            if self.on_failure is not None:
                self.on_failure()

    def start(self, tasks: list[tuple[Task[Any, Any], int]]) -> None:
        """Start items."""
        index = len(self.results)
        self.results.extend([None] * len(tasks))
        self.pending += len(tasks)
        self._scheduler.submit(Called(self._parent.key, self, index, tasks=tasks))

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
        scheduler.submit(HandleDropped(call))
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


class Pulls:
    """Zips the arguments of a map, item by item."""

    def __init__(self, task: Task[Any, Any], iterables: tuple[Any, ...], fixed: dict[str, Any]) -> None:
        """Look at the arguments before anything starts.

        Raises:
            BindingError: text or a mapping by position, nothing to map over, or unequal lengths.
        """
        self._task = task
        self._keywords = {**(task.kwargs or {}), **fixed} or None
        self._arguments = [_argument(task, value) for value in iterables]
        mapped = [value for is_mapped, value in self._arguments if is_mapped]
        if not mapped:
            message = f"nothing to map {task!r} over: pass at least one iterable by position"
            raise BindingError(message)
        self.is_async = any(isinstance(value, AsyncIterable) for value in mapped)
        sizes = [len(value) if isinstance(value, Sized) else None for value in mapped]
        known = {size for size in sizes if size is not None}
        if len(known) > 1:
            lengths = [size for size in sizes if size is not None]
            message = f"map over {task!r}: the iterables have lengths {lengths}; they must be equal"
            raise BindingError(message)
        self.is_sized = None not in sizes
        task.definition.plan.check(task.args + (None,) * len(self._arguments), self._keywords)

    def chunks(self, room: list[int], count: Callable[[str, int], int]) -> Iterator[Items]:
        """Give lists of items, each of at most `room[0]`."""
        sources = [iter(cast("Iterable[Any]", v)) if m else None for m, v in self._arguments]
        name = self._task.definition.id
        if len(sources) == 1:
            rows = zip(
                cast("Iterator[Any]", sources[0]), strict=False
            )  # the usual case: one iterable, nothing to compare
            while taken := list(islice(rows, room[0])):
                first = count(name, len(taken))
                yield [(self._bound(values), number) for number, values in enumerate(taken, first)]
            return
        while True:
            chunk: list[tuple[Any, ...]] = []
            while len(chunk) < room[0]:
                values = self._row([next(s, _END) if s is not None else None for s in sources])
                if values is None:
                    break
                chunk.append(values)
            if not chunk:
                return
            first = count(name, len(chunk))
            yield [(self._bound(values), number) for number, values in enumerate(chunk, first)]

    async def achunks(self, count: Callable[[str, int], int]) -> AsyncIterator[Items]:
        """Do the same where an iterable is asynchronous, one item at a time."""
        sources: list[Any] = [_aiter(v) if m else None for m, v in self._arguments]
        try:
            while True:
                values = self._row([await _anext(s) if s is not None else None for s in sources])
                if values is None:
                    return
                yield [(self._bound(values), count(self._task.definition.id, 1))]
        finally:
            for source in sources:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()

    def _row(self, pulled: list[Any]) -> tuple[Any, ...] | None:
        """Put one item's arguments together; None at the common end."""
        ended = [value is _END for (is_mapped, _), value in zip(self._arguments, pulled, strict=True) if is_mapped]
        if any(ended):
            if not all(ended):
                message = f"map over {self._task!r}: one iterable ended before another; they must be equally long"
                raise BindingError(message)
            return None
        return tuple(value if m else fixed for (m, fixed), value in zip(self._arguments, pulled, strict=True))

    def _bound(self, values: tuple[Any, ...]) -> Task[Any, Any]:
        """Bind one item."""
        task = self._task
        bound = cast("Task[Any, Any]", _new(Task))
        bound.definition = task.definition
        bound.args = task.args + values if task.args else values
        bound.kwargs = self._keywords
        bound._id = None  # pyright: ignore[reportPrivateUsage]
        bound._is_method = False  # pyright: ignore[reportPrivateUsage]
        return bound


_END: Any = object()


def _argument(task: Task[Any, Any], value: Any) -> tuple[bool, Any]:
    """Say whether an argument is mapped over, and give what to use."""
    if isinstance(value, Unmapped):
        return False, value.value
    if isinstance(value, (str, bytes, bytearray, Mapping)):
        kind = type(value).__name__  # pyright: ignore[reportUnknownArgumentType]
        message = (
            f"map over {task!r}: a {kind} by position is ambiguous; "
            "repeat it with unmapped(x), or map over its parts with list(x) (a dict: x.items())"
        )
        raise BindingError(message)
    if isinstance(value, (Iterable, AsyncIterable)):
        return True, value  # pyright: ignore[reportUnknownVariableType]
    return False, value


async def _aiter(value: Any) -> AsyncIterator[Any]:
    """Iterate over anything, asynchronously; an async generator is closed when the map ends early."""
    if isinstance(value, AsyncIterable):
        source = aiter(cast("AsyncIterable[Any]", value))
        try:
            async for item in source:
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
    else:
        for item in value:
            yield item


async def _anext(source: AsyncIterator[Any]) -> Any:
    """Give the next item or the end mark."""
    return await anext(source, _END)
