"""How the thread of a sync task has something done on the event loop, and waits for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from ..errors import GraflowRuntimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Portals:
    """The waits of one run's threads."""

    def __init__(self, refuse_late: Callable[[Instance, Any, str], None]) -> None:
        """Serve from the running loop; `refuse_late` raises for an attempt that is over."""
        self._refuse_late = refuse_late
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._open: dict[int, set[asyncio.Task[Any]]] = {}

    def block(
        self, instance: Instance, face: Any, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> Any:
        """Run a coroutine function on the loop for a sync task and give its value to the task's thread.

        Raises:
            GraflowRuntimeError: it would block the loop itself.
        """
        if threading.get_ident() == self._thread:
            message = (
                f"task {instance.id!r} runs on the event loop itself, where a blocking verb would stop everything; "
                "make it `async def`, or let it run in a thread (executor='thread')"
            )
            raise GraflowRuntimeError(message)
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        context = copy_context()
        self._loop.call_soon_threadsafe(partial(self._start, instance, face, function, args, answer), context=context)
        try:
            return answer.result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None

    def close(self, key: int) -> None:
        """Cancel what the thread of an instance waits for."""
        for task in self._open.get(key, ()):
            task.cancel()

    def _start(
        self,
        instance: Instance,
        face: Any,
        function: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        answer: concurrent.futures.Future[Any],
    ) -> None:
        """Start a coroutine for a thread; runs on the loop, in a copy of the thread's context."""
        if instance.doomed:
            answer.cancel()
            return
        try:
            self._refuse_late(instance, face, "use the run")
        except GraflowRuntimeError as error:
            answer.set_exception(error)
            return
        task = self._loop.create_task(function(*args))
        tasks = self._open.setdefault(instance.key, set())
        tasks.add(task)

        def ended(done: asyncio.Task[Any]) -> None:
            tasks.discard(done)
            if not tasks:
                self._open.pop(instance.key, None)
            if done.cancelled():
                answer.cancel()
            elif (error := done.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(done.result())

        task.add_done_callback(ended)
