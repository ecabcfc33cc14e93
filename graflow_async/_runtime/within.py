"""Calling a function in a block that somebody has put around it."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from ..compose import Expression
from ..errors import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

logger = logging.getLogger("graflow_async.run")


def loaded(loads: Callable[[bytes], Any], data: bytes, task_id: str) -> Any:
    """Give what makes the block around a task that came from elsewhere; None if it cannot be loaded here."""
    try:
        return loads(data)
    except Exception as error:  # noqa: BLE001  # of unpickling: it may need what is not installed here
        logger.warning("what is around task %r cannot be loaded here: %s", task_id, text_of(error))
        return None


def within(around: Callable[[], AbstractContextManager[Any]], func: Any, *, is_async: bool) -> Callable[..., Any]:
    """Give a function that calls `func` in a block; what a plain one gives to be awaited is awaited in another."""
    if is_async:

        async def call(*args: Any, **kwargs: Any) -> Any:
            with around():
                return await func(*args, **kwargs)

        return call

    def call_plain(*args: Any, **kwargs: Any) -> Any:
        with around():
            value = func(*args, **kwargs)
        if inspect.isawaitable(value) and not isinstance(value, Expression):
            return _awaited(around, value)
        return value

    return call_plain


async def _awaited(around: Callable[[], AbstractContextManager[Any]], value: Awaitable[Any]) -> Any:
    with around():
        return await value
