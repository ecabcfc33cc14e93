"""`@flow`: a task written imperatively, which calls other tasks instead of being drawn with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from .compose import run_expression
from .current import open_block, running
from .definition import name_of
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Task[P, R]):
    """A flow. Called with no loop running, a plain `def` flow runs and gives its value; elsewhere a call binds."""

    __slots__ = ()

    def __call__(self, *args: Any, task_id: str | None = None, **kwargs: Any) -> Any:
        """Bind arguments, or run at once where a plain flow is called from plain code.

        Raises:
            BindingError: an argument fits no parameter.
        """
        bound = super().__call__(*args, task_id=task_id, **kwargs)
        if not isinstance(bound, Task) or self.definition.kind == "async":
            return bound
        if running.get() is not None or open_block.get() is not None:
            return bound
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(_value(run_expression(bound)))
        return bound


async def _value(awaitable: Awaitable[Any]) -> Any:
    """Await an awaitable."""
    return await awaitable


class _FlowDecorator(Protocol):
    """What `@flow(...)` gives."""

    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def flow(func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def flow(func: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def flow(*, name: str | None = None, **options: Any) -> _FlowDecorator: ...
def flow(func: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a flow of a function: `@flow`, `@flow(name="Custom Flow", **task options)`.

    Raises:
        DefinitionError: a lambda without a name, or something that cannot be called.
        ConfigError: an option has a value that makes no sense.
    """

    def decorate(func: Any) -> Flow[Any, Any]:
        made: Flow[Any, Any] = Flow(name_of(func) if name is None else name, func, **options)
        made.definition.is_flow = True
        return made

    return decorate if func is None else decorate(func)
