"""`@flow`: a task written imperatively, which calls other tasks instead of being drawn with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from ._lazy import lazily
from .compose import run_expression
from .current import is_on_loop, open_block, running
from .definition import name_of
from .task import Task, is_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Unpack

    from .keywords import TaskOptions

_keywords = lazily("graflow_async.keywords")  # for its types

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Flow(Task[P, R_co]):
    """A flow. Called with no loop running, a plain `def` flow runs and gives its value; elsewhere a call binds.

    Its type is that of a plain `def` flow; an `async def` flow passes for the task that it is.
    """

    __slots__ = ()

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Any, task_id: str, **kwargs: Any) -> Any: ...
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # a task's call binds, a flow's call runs
        self, *args: Any, task_id: str | None = None, **kwargs: Any
    ) -> Any:
        """Bind arguments, or run at once where a plain flow is called from plain code.

        Raises:
            BindingError: an argument fits no parameter.
        """
        bind: Any = super().__call__
        bound = bind(*args, task_id=task_id, **kwargs)
        if not is_task(bound) or self.definition.kind == "async":
            return bound
        if running.get() is not None or open_block.get() is not None:
            return bound
        return bound if is_on_loop() else asyncio.run(_value(run_expression(bound)))


async def _value(awaitable: Awaitable[Any]) -> Any:
    """Await an awaitable."""
    return await awaitable


class _FlowDecorator(Protocol):
    """What `@flow(...)` gives."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # the first that fits counts: a coroutine is no value
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(  # pyright: ignore[reportOverlappingOverload]  # the first that fits counts: a coroutine is no value
    func: Callable[P, Coroutine[Any, Any, R]], /
) -> Task[P, R]: ...
@overload
def flow(func: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(*, name: str | None = None, **options: Unpack[TaskOptions]) -> _FlowDecorator: ...
def flow(func: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a flow of a function: `@flow`, `@flow(name="Custom Flow", **task options)`.

    Raises:
        DefinitionError: a lambda without a name, or something that cannot be called.
        ConfigError: an option has a value that makes no sense.
    """
    make = cast("Callable[..., Flow[Any, Any]]", Flow)

    def decorate(func: Any) -> Flow[Any, Any]:
        made = make(name_of(func) if name is None else name, func, **options)
        made.definition.is_flow = True
        return made

    return decorate if func is None else decorate(func)
