"""What a test may not leave behind, and what it may not do: the guards that conftest.py puts around every test.

Each guard compares the process before and after and gives its complaints as text; only conftest.py fails tests.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.aids import warm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

JOIN_SECONDS = 30.0
OWN_THREADS = "graflow"
DESCRIPTOR_FOLDERS = (Path("/proc/self/fd"), Path("/dev/fd"))


class BlockingCallError(AssertionError):
    """A thread that runs an event loop was about to sleep."""


class AsyncioErrors(logging.Handler):
    """Keeps what any loop's default handler reports: exceptions never retrieved, tasks destroyed while pending."""

    def __init__(self, logger: str = "asyncio") -> None:
        """Start without reports."""
        super().__init__(logging.ERROR)
        self.logger = logging.getLogger(logger)
        self.reports: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of the report and the exception it came with."""
        text = record.getMessage().splitlines()[0]
        error = record.exc_info[1] if record.exc_info else None
        self.reports.append(f"asyncio reported: {text}" + (f" ({error!r})" if error is not None else ""))

    def __enter__(self) -> Self:
        """Listen to the log."""
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.logger.removeHandler(self)


class SleepGuard:
    """Stands in for `time.sleep`: refuses on a thread whose loop is running, and remembers that it did."""

    def __init__(self) -> None:
        """Remember the function that really sleeps."""
        self.real_sleep: Callable[[float], None] = time.sleep
        self.reports: list[str] = []

    def sleep(self, seconds: float) -> None:
        """Sleep, unless that would stop a loop.

        Raises:
            BlockingCallError: a loop runs on this thread.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.real_sleep(seconds)
            return
        caller = sys._getframe(1)
        place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        # Kept as well as raised: whoever calls may well catch what a task raises.
        self.reports.append(f"time.sleep({seconds!r}) held the loop at {place}")
        raise BlockingCallError(self.reports[-1])

    def __enter__(self) -> Self:
        """Put the guard in the place of `time.sleep`."""
        time.sleep = self.sleep
        return self

    def __exit__(self, *_: object) -> None:
        """Put the real function back."""
        time.sleep = self.real_sleep


def pending_tasks(before: Collection[asyncio.Task[Any]]) -> list[str]:
    """Complain about tasks of the running loop that are new since `before` and not done."""
    new = asyncio.all_tasks() - set(before) - {asyncio.current_task()}
    return [f"still pending: {task!r}" for task in sorted(new, key=lambda task: task.get_name())]


def stray_threads(before: Collection[threading.Thread], seconds: float | None = None) -> list[str]:
    """Complain about threads that are new since `before` and do not end within `seconds` (JOIN_SECONDS) altogether.

    Daemon threads are the business of those who made them, unless they bear our name.
    """
    deadline = time.monotonic() + (JOIN_SECONDS if seconds is None else seconds)
    complaints: list[str] = []
    for thread in threading.enumerate():
        if thread in before or (thread.daemon and not thread.name.startswith(OWN_THREADS)):
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            complaints.append(f"still running: {thread!r}")
    return complaints


def open_descriptors() -> dict[int, str]:
    """Give this process's open file descriptors and what each one is."""
    folder = next(folder for folder in DESCRIPTOR_FOLDERS if folder.is_dir())
    found: dict[int, str] = {}
    # Twice around every test: a path for each descriptor would cost more than many a test.
    for name in os.listdir(folder):  # noqa: PTH208
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue  # the descriptor that the listing itself used
        except OSError:
            found[int(name)] = "unknown"  # not a link on this system
    for number in (*_lasting_descriptors(), *warm.descriptors()):
        found.pop(number, None)
    return found


def _lasting_descriptors() -> Iterator[int]:
    """Yield what multiprocessing opens once and keeps for the life of the process."""
    for module, owner, names in (
        ("multiprocessing.resource_tracker", "_resource_tracker", ("_fd",)),
        ("multiprocessing.forkserver", "_forkserver", ("_forkserver_alive_fd",)),
    ):
        keeper = getattr(sys.modules.get(module), owner, None)
        yield from (number for name in names if (number := getattr(keeper, name, None)) is not None)


def new_descriptors(before: dict[int, str]) -> list[str]:
    """Complain when more descriptors are open than in `before`, naming the new ones."""
    after = open_descriptors()
    if len(after) <= len(before):
        return []
    gc.collect()
    after = open_descriptors()
    if len(after) <= len(before):
        return []
    new = [f"{number} -> {target}" for number, target in sorted(after.items()) if before.get(number) != target]
    return [f"{len(after) - len(before)} more open descriptors: {', '.join(new)}"]
