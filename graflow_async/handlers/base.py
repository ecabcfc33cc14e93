"""What a handler is, and how all handlers of a run are told."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..feedback import FeedbackRequest, FeedbackResponse
from .delivery import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

logger = logging.getLogger("graflow_async.feedback")

METHODS = ("on_request_created", "on_response_received", "on_request_timeout")


class FeedbackHandler:
    """A handler that does nothing yet: override what is of interest, with plain methods or coroutines.

    Plain methods are called in a thread and may block; one that never returns keeps the program from ending.
    """

    def on_request_created(self, request: FeedbackRequest) -> Awaitable[None] | None:
        """Hear of a question that was asked, or opened again."""

    def on_response_received(self, request: FeedbackRequest, response: FeedbackResponse) -> Awaitable[None] | None:
        """Hear of the answer that counts."""

    def on_request_timeout(self, request: FeedbackRequest) -> Awaitable[None] | None:
        """Hear that nobody answered in time."""


def check_handlers(handlers: Iterable[Any]) -> list[Any]:
    """List handlers if they are some.

    Raises:
        ConfigError: one of them has none of the methods.
    """
    found = list(handlers)
    for handler in found:
        if isinstance(handler, type) or not any(callable(getattr(handler, name, None)) for name in METHODS):
            what = f"the class {handler.__name__}" if isinstance(handler, type) else f"a {type(handler).__name__}"
            raise ConfigError(f"a handler is an object with some of the methods {', '.join(METHODS)}, not {what}")
    return found


async def notify(handlers: Iterable[Any], method: str, *args: Any) -> None:
    """Tell all handlers at once and wait until each has heard; what they raise goes to the log.

    Args:
        handlers: objects with some of the methods of `FeedbackHandler`.
        method: which one to call; a handler without it is left out.
        args: what to tell.
    """
    await asyncio.gather(*(_tell(handler, method, args) for handler in handlers))


async def _tell(handler: Any, method: str, args: tuple[Any, ...]) -> None:
    """Call one handler."""
    name = type(handler).__qualname__  # its repr is the user's, and may hold what no log should
    try:
        call: Any = getattr(handler, method, None)
        if call is None or getattr(call, "__func__", None) is getattr(FeedbackHandler, method, None):
            return  # what does nothing needs no thread
        if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__):
            await call(*args)
            return
        result = await asyncio.to_thread(call, *args)
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            raise
        logger.exception("handler %s let a cancellation out of %s", name, method)
    except DeliveryError as error:
        logger.warning("handler %s could not tell of %s: %s", name, method, error)
    except Exception:
        logger.exception("handler %s failed in %s", name, method)
