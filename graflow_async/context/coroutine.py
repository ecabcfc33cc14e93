"""The context of async tasks: verbs that wait are coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from .._lazy import lazily
from .._runtime.calls import ChildHandle, Handle
from .._runtime.link import child_of
from ..builder import build_graph
from ..channel import Channel, TypedChannel
from ..compose import Chain, Expression, Group
from ..current import caller
from ..errors import GraflowRuntimeError
from ..graph import Graph
from ..options import check_child_options
from ..task import Mapped, Task, is_mapped, is_task
from .asking import AskingContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from os import PathLike
    from typing import Literal

_pulls = lazily("graflow_async._runtime.pulls")
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M")


class TaskExecutionContext(AskingContext):
    """What an async task sees of its run."""

    @property
    def channel(self) -> Channel:
        """The channel that all tasks of the run share."""
        return self._link.channel(self._instance.scope)

    def get_channel(self, name: str | None = None) -> Channel:
        """Give a channel of the run by name; without a name the one that all tasks share."""
        return self._link.channel(self._instance.scope, name or "default")

    def get_typed_channel(self, model: type[M], name: str | None = None) -> TypedChannel[M]:
        """Give a channel whose values are checked against a TypedDict, dataclass or pydantic model.

        Raises:
            ValueError: it is no such model.
        """
        return self.get_channel(name).typed(model)

    async def get_result(self, task_id: str, default: Any = None) -> Any:
        """Give the latest result of a task, this task's own descendants first."""
        return await self._link.result(self._instance, task_id, default)

    # -- children ---------------------------------------------------------------------------------------------

    @overload
    def submit(self, task: Task[..., R], *args: Any, **kwargs: Any) -> ChildHandle[R]: ...
    @overload
    def submit(self, task: Mapped[R]) -> ChildHandle[list[R]]: ...
    @overload
    def submit(self, task: Expression) -> ChildHandle[Any]: ...
    def submit(self, task: Expression, *args: Any, **kwargs: Any) -> ChildHandle[Any]:
        """Start a child now; a handle among the arguments is awaited first.

        Raises:
            BindingError: an argument fits no parameter.
        """
        label = label_of(task)
        self.refuse_late(f"start {label!r}")
        if args or kwargs:
            if not is_task(task):
                raise TypeError(f"only a task takes arguments, not {task!r}")
            task = task.bind(args, kwargs)
        if is_task(task) and task.definition.is_flow:
            task = as_child_run(task)
        if self.failures is None:
            self.failures = []
        child = child_of(task, self.count)
        if child.task is not None:
            if child.number:
                label = f"{label}_{child.number}"
            else:
                self.claim(child.task.id, child.task, by_function=True)
            self._link.check(child.task.definition)
            if _takes_handles(child.task):
                child = _pulls.awaiting(child.task, child.number)
        elif child.graph is not None:
            self._link.check_graph(child.graph)
        return self._link.start(self._instance, child, label, self.failures)

    @overload
    async def call(self, expression: Task[..., R], *args: Any, **kwargs: Any) -> R: ...
    @overload
    async def call(self, expression: Mapped[R]) -> list[R]: ...
    @overload
    async def call(self, expression: Expression) -> Any: ...
    async def call(self, expression: Expression, *args: Any, **kwargs: Any) -> Any:
        """Run a child and give its value; a flow runs as a child run.

        Raises:
            BaseException: what the child raised.
        """
        target: Any = expression
        if isinstance(expression, Mapped):
            return await self._map(target)
        if isinstance(expression, Task) and target.definition.is_flow:
            return await self.run_workflow(target.bind(args, kwargs) if args or kwargs else target)
        return await self.submit(target, *args, **kwargs)

    @overload
    async def map(
        self,
        task: Task[..., R],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: Literal[False] = False,
        **fixed: Any,
    ) -> list[R]: ...
    @overload
    async def map(
        self,
        task: Task[..., R],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: bool,
        **fixed: Any,
    ) -> list[R | BaseException]: ...
    async def map(
        self,
        task: Task[..., Any],
        *iterables: Any,
        max_concurrency: int | None = None,
        return_exceptions: bool = False,
        **fixed: Any,
    ) -> list[Any]:
        """Run a task once for each element and give the results in input order.

        Iterables (also generators and async iterators, pulled as slots free up) are zipped; scalars and
        `unmapped(x)` are repeated. One failure cancels the rest, unless `return_exceptions` puts it in place.

        Raises:
            BindingError: nothing to map over, text or a mapping by position, or unequal lengths.
            BaseException: what an item raised.
        """
        mapped: Mapped[Any] = Mapped(
            task, iterables, fixed, max_concurrency=max_concurrency, return_exceptions=return_exceptions
        )
        return await self._map(mapped)

    async def as_completed(self, handles: Iterable[ChildHandle[R]]) -> AsyncIterator[ChildHandle[R]]:
        """Go through handles in the order in which their children end."""
        ended: deque[ChildHandle[R]] = deque()
        waiting = list(handles)
        wake: list[asyncio.Future[None]] = []

        def note_end(handle: ChildHandle[R]) -> None:
            ended.append(handle)
            if wake and not wake[0].done():
                wake[0].set_result(None)

        for handle in waiting:
            handle.add_done_callback(note_end)
        for _ in waiting:
            if not ended:
                wake[:] = [asyncio.get_running_loop().create_future()]
                await self._link.scheduler.park(self._instance, wake[0], "child", "the next of several")
            yield ended.popleft()

    async def run_workflow(
        self,
        workflow: Any,
        *,
        inputs: Mapping[str, Any] | None = None,
        start_node: Any = None,
        timeout: float | None = None,
        **others: Any,
    ) -> Any:
        """Run a workflow (or a task) as a child run: its own results and channel, this run's limits and events.

        Args:
            workflow: a workflow, a task, a flow, or any expression.
            inputs: what its channel starts with, by parameter name.
            start_node: an id, a task, or a list; without it every root starts.
            timeout: seconds; past them the child run is cancelled and awaited, and TaskTimeoutError is raised here.
            others: options of the whole run, which a child run cannot have for itself, and what nobody knows.

        Raises:
            ConfigError: an option that a child run does not have, or a value that makes no sense.
            TypeError: neither a workflow nor an expression.
            BaseException: what the child run raised.
        """
        check_child_options(inputs, timeout, others)
        self.refuse_late("start a child run")
        if is_task(workflow) and _takes_handles(workflow):
            workflow = await _pulls.with_values(workflow, self._instance)
        if isinstance(workflow, Expression):
            workflow = OneTask(workflow)
        elif not isinstance(getattr(workflow, "graph", None), Graph):
            raise TypeError(f"run_workflow runs a workflow or a task, not {type(workflow).__name__} {workflow!r}")
        self.refuse_late(f"run {workflow.name!r}")
        self._runs += 1
        if self.failures is None:
            self.failures = []
        return await self._link.run_workflow(
            self._instance, workflow, start_node, inputs or {}, timeout, self._runs, self.failures
        )

    @overload
    async def step(self, key: str, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def step(self, key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def step(self, key: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a plain function, sync (in a thread) or async, once: later calls with this key give the same value."""
        steps = self._instance.steps
        if steps is None:
            steps = self._instance.steps = {}
        if key in steps:
            return steps[key]
        memory = self._link.memory
        since = 0 if memory is None else memory.position(self._instance)
        if inspect.iscoroutinefunction(fn):
            value = await fn(*args, **kwargs)
        else:
            value = await self._link.threads().submit(partial(copy_context().run, fn, *args, **kwargs))
            if inspect.isawaitable(value):
                value = await value
        if memory is not None:
            await memory.keep(self._instance, key, value, since)
        steps[key] = value
        return value

    async def sleep(self, seconds: float) -> None:
        """Wait, holding no slot; with a journal the end stays where it is, whatever happens to the process."""
        self._sleeps += 1
        await self._link.sleep(self._instance, seconds, self._sleeps)

    @overload
    def checkpoint(
        self, metadata: Mapping[str, Any] | None = None, path: str | PathLike[str] | None = None
    ) -> None: ...
    @overload
    def checkpoint(
        self,
        metadata: Mapping[str, Any] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        deferred: Literal[True],
    ) -> None: ...
    @overload
    def checkpoint(
        self,
        metadata: Mapping[str, Any] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        deferred: Literal[False],
    ) -> Awaitable[tuple[str, dict[str, Any]]]: ...
    def checkpoint(
        self,
        metadata: Mapping[str, Any] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        deferred: bool = True,
    ) -> Awaitable[tuple[str, dict[str, Any]]] | None:
        """Take a named checkpoint of the whole run: a file that stands for itself, to be resumed from or copied.

        Args:
            metadata: kept with it, as JSON.
            path: where it goes; None for a place next to the journal.
            deferred: take it once this task has returned (its work is part of it); otherwise now, and the call is to be
                awaited: it gives the place and what was noted. This task then starts over when that is resumed.

        Raises:
            ConfigError: the run keeps no journal.
        """
        memory = self.require_memory()
        place = None if path is None else str(path)
        if deferred:
            return memory.save_after(self._instance, place, metadata)
        return memory.save(self._instance, place, metadata)

    # -- for definitions that are called ----------------------------------------------------------------------

    def call_blocking(self, expression: Expression) -> Any:
        """Refuse: an async task awaits its children."""
        raise GraflowRuntimeError(f"await {expression!r} instead")

    async def _map(self, mapped: Mapped[Any]) -> list[Any]:
        """Run a map as children."""
        if not is_task(mapped.task):
            raise TypeError(f"only a task can be mapped, not {mapped.task!r}; decorate a function with @task")
        self.refuse_late(f"start {label_of(mapped)!r}")
        if mapped.task.definition.is_flow:
            mapped = mapped.over(as_child_run(mapped.task))
        return await self._link.map(self._instance, mapped, self.count_many)


def as_child_run(flow: Task[..., Any]) -> Task[..., Any]:
    """Make the task that runs a flow as a child run, for where children are started otherwise."""

    async def run_flow(ctx: TaskExecutionContext, *args: Any, **kwargs: Any) -> Any:
        return await ctx.call(flow, *args, **kwargs)

    made: Task[..., Any] = Task(flow.definition.id, run_flow, inject_context=True)
    return made.bind((), {})


def _takes_handles(task: Task[..., Any]) -> bool:
    """Say whether there are handles of children among the arguments that a task is bound to."""
    return any(isinstance(value, Handle) for value in (*task.args, *(task.kwargs or {}).values()))


class OneTask:
    """An expression as a workflow of its own."""

    def __init__(self, expression: Expression) -> None:
        """Build its graph."""
        self.graph: Graph = build_graph([expression])
        self.name = self.graph.nodes[0]
        self.provided: Mapping[str | type, Any] = {}


def label_of(expression: Expression) -> str:
    """Name an expression in a line of text, without its arguments: they may be large."""
    if is_task(expression):
        return expression.given_id() or expression.definition.id
    if is_mapped(expression):
        return f"{label_of(expression.task)}.map()"
    if isinstance(expression, Chain):
        return f"a chain from {label_of(expression.leftmost)}"
    if isinstance(expression, Group):
        return expression.name or f"a group of {len(expression)}"
    return type(expression).__name__


@overload
def current_context() -> TaskExecutionContext: ...
@overload
def current_context(default: R) -> TaskExecutionContext | R: ...
def current_context(default: Any = ...) -> Any:
    """Give the context of the running task, from any depth.

    Raises:
        GraflowRuntimeError: no task is running here and no default was given.
    """
    context = caller()
    if context is not None:
        return context
    if default is ...:
        raise GraflowRuntimeError("no task is running here; current_context() works inside tasks only")
    return default
