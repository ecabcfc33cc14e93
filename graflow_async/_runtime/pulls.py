"""The arguments of called children: zipped item by item for a map, and the handles among them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sized
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from .._core.state import Instance
from .._core.wishes import Child
from ..errors import BindingError
from ..task import Task, Unmapped
from .calls import ChildHandle, Handle, Items

if TYPE_CHECKING:
    from collections.abc import Callable

_new = object.__new__
_END: Any = object()


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
        self.size = max(known) if self.is_sized else None
        task.definition.plan.check(task.args + (None,) * len(self._arguments), self._keywords)
        repeated = [value for is_mapped, value in self._arguments if not is_mapped]
        self._awaits_all = has_handle((*task.args, *(self._keywords or {}).values(), *repeated))

    async def settle(self, instance: Instance) -> None:
        """Wait for handles that are the same for every item, and put their values in their place.

        If one has failed they stay: no item runs then, and each fails with what the handle raised.
        """
        if not self._awaits_all:
            return
        keywords = self._keywords or {}
        repeated = [value for is_mapped, value in self._arguments if not is_mapped]
        given = map(_handle, (*self._task.args, *keywords.values(), *repeated))
        handles = [handle for handle in given if handle is not None]
        for handle in handles:
            await handle.end_for(instance)
        if not all(handle.succeeded() for handle in handles):
            return
        self._task = rebound(self._task, tuple(map(_value_of, self._task.args)), self._task.kwargs)
        self._keywords = {name: _value_of(value) for name, value in keywords.items()} or None
        self._arguments = [(is_mapped, v if is_mapped else _value_of(v)) for is_mapped, v in self._arguments]
        self._awaits_all = False

    def chunks(self, room: list[int], count: Callable[[str, int], int]) -> Iterator[Items]:
        """Give lists of items, each of at most `room[0]`."""
        sources = [iter(cast("Iterable[Any]", v)) if m else None for m, v in self._arguments]
        if len(sources) == 1:
            rows = zip(cast("Iterator[Any]", sources[0]), strict=False)  # the usual case: nothing to compare
            while taken := list(islice(rows, room[0])):
                yield self._items(taken, count)
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
            yield self._items(chunk, count)

    async def achunks(self, count: Callable[[str, int], int]) -> AsyncIterator[Items]:
        """Do the same where an iterable is asynchronous, one item at a time."""
        sources: list[Any] = [_aiter(v) if m else None for m, v in self._arguments]
        try:
            while True:
                values = self._row([await _anext(s) if s is not None else None for s in sources])
                if values is None:
                    return
                yield self._items([values], count)
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

    def _items(self, rows: list[tuple[Any, ...]], count: Callable[[str, int], int]) -> Items:
        """Bind items; handles among their arguments are looked for by type, for all of them at once."""
        task = self._task
        definition, args, keywords = task.definition, task.args, self._keywords
        number = count(definition.id, len(rows)) - 1
        if self._awaits_all or _is_handle_among(rows):
            return [awaiting(rebound(task, args + row, keywords), n) for n, row in enumerate(rows, number + 1)]
        items: list[tuple[Task[Any, Any], int]] = []
        for row in rows:
            bound = cast("Task[Any, Any]", _new(Task))
            bound.definition = definition
            bound.args = args + row if args else row
            bound.kwargs = keywords
            bound._id = None  # pyright: ignore[reportPrivateUsage]
            bound._is_method = False  # pyright: ignore[reportPrivateUsage]
            number += 1
            items.append((bound, number))
        return items


def has_handle(values: Iterable[Any]) -> bool:
    """Say whether one of some values stands for a child."""
    return any(isinstance(value, Handle) for value in values)


def rebound(
    task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, task_id: str | None = None
) -> Task[Any, Any]:
    """Give a task with other arguments in the place of its own."""
    bound = cast("Task[Any, Any]", _new(Task))
    bound.definition = task.definition
    bound.args = args
    bound.kwargs = kwargs
    bound._id = task_id  # pyright: ignore[reportPrivateUsage]
    bound._is_method = False  # pyright: ignore[reportPrivateUsage]
    return bound


def awaiting(task: Task[Any, Any], number: int) -> Child:
    """Make the child of a task; handles among its arguments are awaited before it is called."""
    args, kwargs = task.args, task.kwargs
    if not has_handle((*args, *(kwargs or {}).values())):
        return Child(task, number)
    named = {name: _child_of(value) for name, value in kwargs.items()} if kwargs else None
    child = Child(rebound(task, tuple(map(_child_of, args)), named, task.given_id()), number)
    child.awaits_arguments = True
    return child


async def with_values(task: Task[Any, Any], instance: Instance) -> Task[Any, Any]:
    """Await the handles among the arguments of a task on behalf of a body, and give the task with their values.

    Raises:
        BaseException: what a handle's child raised.
    """
    args, kwargs = task.args, task.kwargs or {}
    if not has_handle((*args, *kwargs.values())):
        return task
    given = [await _shared(value, instance) for value in args]
    named = {name: await _shared(value, instance) for name, value in kwargs.items()}
    return rebound(task, tuple(given), named or None, task.given_id())


def _is_handle_among(rows: list[tuple[Any, ...]]) -> bool:
    """Say whether there is a handle among the arguments of items: one look at each type, not at each argument."""
    for kind in set(map(type, chain.from_iterable(rows))):  # noqa: SIM110  # any() would cost more than the look itself
        if issubclass(kind, Handle):
            return True
    return False


def _handle(value: Any) -> ChildHandle[Any] | None:
    """Give the handle, as the loop knows it, that a value is; None for every other value."""
    given = value
    return given.child if isinstance(value, Handle) else None


def _child_of(value: Any) -> Any:
    """Give a handle as the loop knows it; everything else as it is."""
    return _handle(value) or value


def _value_of(value: Any) -> Any:
    """Give the value of a handle whose child has one; everything else as it is."""
    handle = _handle(value)
    return value if handle is None else handle.result()


async def _shared(value: Any, instance: Instance) -> Any:
    """Await a handle on behalf of a body; give everything else as it is."""
    handle = _handle(value)
    return value if handle is None else await handle.shared_by(instance)


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
