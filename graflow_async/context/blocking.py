"""The context of sync tasks: the same names, blocking. A task that waits here holds no thread slot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from .._core.state import Instance
from .._lazy import lazily
from .._runtime.calls import ChildHandle, Handle
from .._runtime.link import Link
from ..channel import Channel, SyncChannel, SyncTypedChannel
from ..compose import Expression
from ..task import Mapped, Task, is_mapped
from .asking_blocking import BlockingAskingContext
from .coroutine import TaskExecutionContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from os import PathLike
    from typing import Literal

_far = lazily("graflow_async._runtime.far_link")
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M")


class SyncHandle(Handle[R]):
    """A child that a sync task started: ask it, wait for its `result()`, cancel it."""

    def __init__(self, context: SyncTaskExecutionContext, handle: ChildHandle[R]) -> None:
        """Wait for `handle` through the context of its parent."""
        self._context = context
        self.handle = handle

    @property
    def child(self) -> ChildHandle[R]:
        """The handle as the loop knows it."""
        return self.handle

    def result(self) -> R:
        """Wait for the child's value.

        Raises:
            BaseException: what the child raised.
        """
        return self._context.wait_for(self.handle)

    def done(self) -> bool:
        """Say whether the child has ended."""
        return self.handle.done()

    def cancel(self) -> bool:
        """Cancel the child; False if it has ended already."""
        return self._context.block(_cancel, self.handle)

    def cancelled(self) -> bool:
        """Say whether the child was cancelled."""
        return self.handle.cancelled()


class SyncTaskExecutionContext(BlockingAskingContext):
    """What a sync task sees of its run."""

    def __init__(self, link: Link, instance: Instance) -> None:
        """See the run through `link`, as `instance`."""
        super().__init__(link, instance)
        self._async = TaskExecutionContext(link, instance)
        self._async.count = self.count
        self._async.count_many = self.count_many
        self._async.face = self
        self._async.claim = self.claim

    def block(self, function: Callable[..., Awaitable[R]], /, *args: Any) -> R:
        """Run a coroutine function on the run's loop and wait for its value.

        Raises:
            GraflowRuntimeError: this task runs on the loop itself (executor="inline").
        """
        return self._link.portals.block(self._instance, self, _run, function, args)

    @property
    def results(self) -> Mapping[str, Any]:
        """Task id -> latest result, of the whole run."""
        link: Any = self._link
        return _far.FarResults(partial(self.block, link.found)) if link.is_far else super().results

    @property
    def channel(self) -> SyncChannel:
        """The channel that all tasks of the run share."""
        return self.get_channel()

    def get_channel(self, name: str | None = None) -> SyncChannel:
        """Give a channel of the run by name; without a name the one that all tasks share."""
        channel: Channel = self._link.channel(self._instance.scope, name or "default")
        return SyncChannel(channel, self.block)

    def get_typed_channel(self, model: type[M], name: str | None = None) -> SyncTypedChannel[M]:
        """Give a channel whose values are checked against a TypedDict, dataclass or pydantic model.

        Raises:
            ValueError: it is no such model.
        """
        return self.get_channel(name).typed(model)

    def get_result(self, task_id: str, default: Any = None) -> Any:
        """Give the latest result of a task, this task's own descendants first."""
        if self._link.is_far:
            return self.block(self._async.get_result, task_id, default)
        own = self._instance.own
        if own is not None and task_id in own:
            return own[task_id]
        return self._instance.scope.results.get(task_id, default)

    @overload
    def submit(self, task: Task[..., R], *args: Any, **kwargs: Any) -> SyncHandle[R]: ...
    @overload
    def submit(self, task: Mapped[R]) -> SyncHandle[list[R]]: ...
    @overload
    def submit(self, task: Expression) -> SyncHandle[Any]: ...
    def submit(self, task: Expression, *args: Any, **kwargs: Any) -> SyncHandle[Any]:
        """Start a child now.

        Raises:
            BindingError: an argument fits no parameter.
        """
        return SyncHandle(self, self.block(self._submit, task, args, kwargs))

    @overload
    def call(self, task: Task[..., R], *args: Any, **kwargs: Any) -> R: ...
    @overload
    def call(self, task: Mapped[R]) -> list[R]: ...
    @overload
    def call(self, task: Expression) -> Any: ...
    def call(self, task: Expression, *args: Any, **kwargs: Any) -> Any:
        """Run a child and give its value.

        Raises:
            BaseException: what the child raised.
        """
        if is_mapped(task):
            task = task.over(task.task, tuple(self._in_thread(value) for value in task.iterables))
        return self.block(self._call, task, args, kwargs)

    @overload
    def map(
        self,
        task: Task[..., R],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: Literal[False] = False,
        **fixed: Any,
    ) -> list[R]: ...
    @overload
    def map(
        self,
        task: Task[..., R],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: bool,
        **fixed: Any,
    ) -> list[R | BaseException]: ...
    def map(
        self,
        task: Task[..., Any],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: bool = False,
        **fixed: Any,
    ) -> list[Any]:
        """Run a task once for each element and give the results in input order (see TaskExecutionContext.map).

        Raises:
            BindingError: nothing to map over, text or a mapping by position, or unequal lengths.
            BaseException: what an item raised.
        """
        options = {"max_concurrency": max_concurrency, "return_exceptions": return_exceptions, **fixed}
        sources = tuple(self._in_thread(value) for value in iterables)
        return self.block(self._map, task, sources, options)

    def as_completed(self, handles: Iterable[SyncHandle[R]]) -> Iterator[SyncHandle[R]]:
        """Go through handles in the order in which their children end."""
        by_handle = {id(h.handle): h for h in handles}
        waiting = self._async.as_completed([h.handle for h in by_handle.values()])
        for _ in range(len(by_handle)):
            handle: ChildHandle[R] = self.block(anext, waiting)
            yield by_handle[id(handle)]

    def run_workflow(
        self,
        workflow: Any,
        *,
        inputs: Mapping[str, Any] | None = None,
        start_node: Any = None,
        timeout: float | None = None,
        **others: Any,
    ) -> Any:
        """Run a workflow (or a task) as a child run: its own results and channel, this run's limits and events.

        `timeout` is in seconds; past it the child run is cancelled and awaited, and TaskTimeoutError is raised here.

        Raises:
            ConfigError: an option that a child run does not have, or a value that makes no sense.
            TypeError: neither a workflow nor an expression.
            BaseException: what the child run raised.
        """
        options = {"inputs": inputs, "start_node": start_node, "timeout": timeout, **others}
        return self.block(self._child_run, workflow, options)

    @overload
    def step(self, key: str, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def step(self, key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    def step(self, key: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a plain function, sync or async, once: later calls with this key give the same value."""
        return self.block(self._step, key, fn, args, kwargs)

    def sleep(self, seconds: float) -> None:
        """Wait, holding no slot."""
        self.block(self._async.sleep, seconds)

    def checkpoint(
        self,
        metadata: Mapping[str, Any] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        deferred: bool = True,
    ) -> tuple[str, dict[str, Any]] | None:
        """Take a named checkpoint of the whole run: a file that stands for itself, to be resumed from or copied.

        Args:
            metadata: kept with it, as JSON.
            path: where it goes; None for a place next to the journal.
            deferred: take it once this task has returned (its work is part of it); otherwise now, and give its place
                and what was noted about it. This task then starts over when that is resumed.

        Raises:
            ConfigError: the run keeps no journal.
        """
        memory = self.require_memory()
        place = None if path is None else str(path)
        if deferred:
            memory.save_after(self._instance, place, metadata)
            return None
        return self.block(memory.save, self._instance, place, metadata)

    def wait_for(self, handle: ChildHandle[R]) -> R:
        """Wait for a child's value.

        Raises:
            BaseException: what the child raised.
        """
        return self.block(handle.wait)

    # -- for definitions that are called, and for the runtime --------------------------------------------------

    def call_blocking(self, expression: Expression) -> Any:
        """Run an expression as a child and wait for its value."""
        return self.call(expression)

    def unawaited_failure(self) -> BaseException | None:
        """Give what a called child raised that nobody looked at."""
        return self._async.unawaited_failure()

    async def _submit(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildHandle[Any]:
        return self._async.submit(task, *args, **kwargs)

    def _in_thread(self, value: Any) -> Any:
        """Let an iterator that a sync task made be pulled in a thread: on the loop it could block everything."""
        if not isinstance(value, Iterator):
            return value
        return _pulled(cast("Iterator[Any]", value), self._link)

    async def _call(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._async.call(task, *args, **kwargs)

    async def _map(self, task: Any, iterables: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
        return await self._async.map(task, *iterables, **options)

    async def _child_run(self, workflow: Any, options: dict[str, Any]) -> Any:
        return await self._async.run_workflow(workflow, **options)

    async def _step(self, key: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._async.step(key, fn, *args, **kwargs)


class FlowContext(SyncTaskExecutionContext):
    """The context of a plain `def` flow, in which calling a task runs it."""

    calls_run = True


async def _run(function: Callable[..., Awaitable[R]], args: tuple[Any, ...]) -> R:
    """Await what a function gives, whatever kind of awaitable it is."""
    return await function(*args)


async def _cancel(handle: ChildHandle[Any]) -> bool:
    """Cancel a child on the loop."""
    return handle.cancel()


async def _pulled(iterator: Iterator[Any], link: Link) -> AsyncIterator[Any]:
    """Iterate in a thread, one element at a time, in the contextvars of the sync task."""
    context = copy_context()
    try:
        while True:
            value = await link.threads().submit(partial(context.run, next, iterator, _END))
            if value is _END:
                return
            yield value
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


_END: Any = object()
