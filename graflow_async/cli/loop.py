"""The event loop of a command: Ctrl-C and SIGTERM cancel cleanly, a second Ctrl-C leaves at once, no end hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_NOTICE_AFTER = 0.5  # seconds of cancelling before the user is told what is going on
_LAST_GRACE = 2.0  # seconds for what user code left on the loop to end when it is cancelled


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    Unlike `asyncio.run` this does not wait for ever for a task that ignores its cancellation.

    Raises:
        KeyboardInterrupt: Ctrl-C; the work was cancelled and has ended, unless Ctrl-C was pressed twice.
        asyncio.CancelledError: SIGTERM; the work was cancelled and has ended.
        BaseException: what the work raised.
    """
    runner = asyncio.Runner()
    loop = runner.get_loop()
    has_ended = asyncio.Event()
    try:
        return runner.run(_watch(work, has_ended))
    finally:
        left = asyncio.all_tasks(loop)
        if left and has_ended.is_set():
            for task in left:
                task.cancel()
            _, left = loop.run_until_complete(asyncio.wait(left, timeout=_LAST_GRACE))
        if left:
            # Closing the loop would wait for these; as they are meant to be dropped, nobody needs to hear of it.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        else:
            runner.close()


async def _watch(work: Coroutine[Any, Any, T], has_ended: asyncio.Event) -> T:
    """Await the work and say when it has ended; when this task is cancelled, cancel the work first."""
    loop, watcher = asyncio.get_running_loop(), asyncio.current_task()
    task = loop.create_task(work)
    task.add_done_callback(lambda _: has_ended.set())
    if watcher is not None:
        loop.add_signal_handler(signal.SIGTERM, watcher.cancel)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        _, pending = await asyncio.wait({task}, timeout=_NOTICE_AFTER)
        if pending:
            print("cancelling the run; Ctrl-C again leaves at once", file=sys.stderr, flush=True)
    return await task
