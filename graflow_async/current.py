"""What is running here and now, found through context variables: the open workflow block and the running task.

Only the variables and the ports behind them live here, so that definitions can be awaited without knowing the runtime.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager


class Block(Protocol):
    """An open `with workflow(...)` block, which collects what is defined inside it."""

    def add_task(self, task: Any) -> None:
        """Take a task that was just made."""
        ...

    def add_expression(self, expression: Any, operands: tuple[Any, ...]) -> None:
        """Take an expression that was just made from `operands`."""
        ...


class Caller(Protocol):
    """A running task, as seen by the definitions that it calls."""

    def call(self, expression: Any) -> Awaitable[Any]:
        """Run a bound task (or any expression) as a child and give its value."""
        ...

    def call_blocking(self, expression: Any) -> Any:
        """Do the same from a worker thread."""
        ...

    @property
    def calls_run(self) -> bool:
        """Whether calling a task runs it, as in a plain `def` flow."""
        ...

    def count(self, name: str) -> int:
        """Give the next number for an automatic id made of `name`."""
        ...


class AnyContext(Protocol):
    """What tells the type of a context from every other: it can ask for another turn."""

    @property
    def cycle_count(self) -> int:
        """Number of this turn."""
        ...

    @property
    def next_iteration(self) -> Callable[..., None]:
        """Ask for another turn."""
        ...


class Body(Protocol):
    """What is set while a body runs: a task's instance, which makes its context when somebody asks for it."""

    face: Any
    scope: Any


open_block: ContextVar[Block | None] = ContextVar("graflow_block", default=None)
running: ContextVar[Body | None] = ContextVar("graflow_running", default=None)
# Looked up once: these are called for each task, and a method of something imported is slow to find.
get_block, get_running, set_running = open_block.get, running.get, running.set


def is_on_loop() -> bool:
    """Say whether an event loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def caller() -> Any:
    """Give the context of the running task; None where no task is running.

    It is made at first use: most bodies never ask for it.
    """
    body = running.get()
    if body is None:
        return None
    face = body.face
    return face if face is not None else body.scope.services.context_for(body)


def waiting() -> AbstractAsyncContextManager[None]:
    """Let the running task, if there is one, hold no slot while the block waits for somebody else."""
    parent = caller()
    return nullcontext() if parent is None else parent.parked()
