"""Running a user's coroutine on somebody else's asyncio task, in a context of its own.

The first step is taken directly: a body that never suspends costs no task and no switch. If it suspends, the rest
is driven step by step, each step inside the body's own contextvars copy, so that what a body sets never reaches the
next one.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from ..current import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextvars import Context


def first_step(body: Any, coro: Coroutine[Any, Any, Any]) -> Any:
    """Begin a coroutine as the body of an instance; to be called inside the context of the body.

    Raises:
        StopIteration: the coroutine has returned; the value is in it.
    """
    running.set(body)
    return coro.send(None)


class Returned:
    """What a step gives when the coroutine at hand has returned, instead of a future to wait for.

    Attributes:
        value: what it returned.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Have nothing yet."""
        self.value: Any = None


def new_step(returned: Returned) -> Callable[[Any], Any]:
    """Make a function that begins the coroutine it is given, or sends a value to the one that has suspended.

    It gives `returned` when the coroutine has returned, else what to wait for. After an exception of a coroutine it is
    of no use any more.
    """
    stepper: Any = _stepper(returned)
    step: Callable[[Any], Any] = stepper.send
    step(None)
    return step


@types.coroutine
def _stepper(returned: Returned) -> Generator[Any, Any, None]:
    """Run the coroutines that are sent in, one after the other.

    A coroutine that is sent to directly returns by raising StopIteration, which costs more than all the rest of a short
    body; delegated to it returns without.
    """
    while True:
        returned.value = yield from (yield returned)


@types.coroutine
def drive(coro: Coroutine[Any, Any, Any], context: Context, future: Any) -> Generator[Any, Any, Any]:
    """Take the remaining steps of a coroutine whose first step gave `future`, all of them inside `context`."""
    send, throw, run = coro.send, coro.throw, context.run
    while True:
        try:
            value = yield future
        except BaseException as error:  # noqa: BLE001  # whatever is thrown in belongs to the body, cancellation first
            try:
                future = run(throw, error)
            except StopIteration as stop:
                return stop.value
        else:
            try:
                future = run(send, value)
            except StopIteration as stop:
                return stop.value


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    """Await anything that can be awaited."""
    return await awaitable
