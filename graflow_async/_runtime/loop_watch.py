"""The loop watched from outside: a thread looks now and then whether one callback holds a loop, and where it stands.

The loop itself does nothing for it. One thread serves all runs that are watched, and ends with the last of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import selectors
import sys
import threading
import warnings
from asyncio import events as asyncio_events
from itertools import accumulate, chain, islice, repeat, takewhile
from operator import itemgetter, truth
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core.state import Instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

logger = logging.getLogger("graflow_async.run")

LOOKS = 4
"""How often it is looked within the threshold: a process that did not get to look was itself kept from running."""
STUCK_AFTER = 10
"""How many thresholds a callback may take before it is logged although it has not ended."""

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
_IDLE = (f"{Path(asyncio.__file__).parent}{os.sep}", selectors.__file__)
_NOT_THE_USERS = (_PACKAGE, f"{Path(os.__file__).parent}{os.sep}", "<frozen ")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LISTENERS = str(Path(__file__).with_name("listeners.py"))
_CALLBACK: CodeType = asyncio_events.Handle._run.__code__


class LoopBlockedWarning(RuntimeWarning):
    """A callback held the event loop: whatever else runs there had to wait. The line is that of the callback."""


class Block(NamedTuple):
    """One time for which the loop was held.

    Attributes:
        seconds: how long.
        file, line, function: the innermost place in code of the user's, as it was when the threshold had passed.
        instance: whose body did it; None if that is not known.
    """

    seconds: float
    file: str
    line: int
    function: str
    instance: Instance | None


class LoopWatch:
    """Watches one loop for one run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threshold: float, report: Callable[[Block], None]) -> None:
        """Watch the loop of this thread; `report` is called on it after a callback that took `threshold` seconds."""
        self.threshold = threshold
        self._loop = loop
        self._thread = threading.get_ident()
        self._report = report
        self._callback: FrameType | None = None
        self._since = 0.0
        self._looks = 0
        # The block that was found last, and since when; it is taken out by whoever reports it.
        self._found: list[tuple[Block, float]] = []
        self._is_told = False
        self._is_logged = False
        self._ping: list[bool] | None = None
        self._names_callbacks = isinstance(loop, asyncio.BaseEventLoop)
        _watchdog.add(self)

    def close(self) -> None:
        """Stop watching; a block that has not been reported yet is."""
        _watchdog.remove(self)
        self._callback = None
        self._over(self._found)

    def look(self, now: float) -> None:
        """Look at what the loop does; called by the thread of the watchdog."""
        is_late = self._is_late()
        # Also when it has only just been asked: what does not let the loop answer has held it since then.
        stack = _stack_of(self._thread) if self._ping is not None else []
        if not self._is_same(stack) or not is_late or not stack:
            self._since, self._looks, self._is_told, self._is_logged = now, 0, False, False
            return
        self._looks += 1
        held = now - self._since
        if held < self.threshold or self._looks < LOOKS - 1:
            return
        if not self._is_told:
            self._is_told = True
            self._tell(_place_of(stack))
        elif held > self.threshold * STUCK_AFTER and not self._is_logged:
            self._is_logged = True
            at = _place_of(stack)
            logger.warning("%s:%s (%s) has held the event loop for %.1f s", at.file, at.line, at.function, held)

    def _tell(self, place: Block) -> None:
        """Let the loop report the block as soon as it is over."""
        found = [(place, self._since)]
        try:
            self._loop.call_soon_threadsafe(self._over, found)
        except RuntimeError:
            logger.debug("the loop is closed: nobody hears that it was held at %s:%s", place.file, place.line)
        else:
            self._found = found

    def _over(self, found: list[tuple[Block, float]]) -> None:
        """Report a block that has just ended, on the loop; once, though the loop may be quicker than who found it."""
        while found:
            place, since = found.pop()
            self._report(place._replace(seconds=monotonic() - since))

    def _is_late(self) -> bool:
        """Say whether the loop has not called back since the last look; one that is idle is not asked."""
        if self._ping is not None and not self._ping:
            return True
        self._ping = None
        innermost = sys._current_frames().get(self._thread)  # pyright: ignore[reportPrivateUsage]  # documented
        if innermost is not None and not innermost.f_code.co_filename.startswith(_IDLE):
            ping = self._ping = list[bool]()
            try:
                self._loop.call_soon_threadsafe(ping.append, True)  # noqa: FBT003
            except RuntimeError:
                self._ping = None  # the loop is closed
        return False

    def _is_same(self, stack: list[FrameType]) -> bool:
        """Say whether the loop is in the callback in which it was at the last look; remember in which it is."""
        if not self._names_callbacks:
            return True
        frame = next((frame for frame in stack if frame.f_code is _CALLBACK), None)
        # Compared by identity and kept until the next look: a frame of another call may lie where this one did.
        known, self._callback = self._callback, frame
        return frame is not None and frame is known


def _stack_of(thread: int) -> list[FrameType]:
    """Give the frames of a thread, the innermost first; none if it has ended.

    All of it is one call of C code, so that the thread does not go on meanwhile: the way from a coroutine's frame to
    its caller's leads nowhere once it has suspended, and Python 3.11 follows it all the same.
    """
    innermost = islice(map(itemgetter(thread), iter(sys._current_frames, None)), 1)  # pyright: ignore[reportPrivateUsage]  # documented
    steps: Any = accumulate(chain(innermost, repeat("f_back")), getattr)
    try:
        return list(takewhile(truth, steps))
    except KeyError:
        return []


def warn(block: Block) -> None:
    """Warn of a callback that held the loop, at its line."""
    whose = f"task {block.instance.id!r}" if block.instance is not None else f"{block.function}()"
    message = (
        f"{whose} held the event loop for {block.seconds:.2f} s at {block.file}:{block.line} ({block.function}); "
        "nothing else on the loop went on meanwhile: await instead, or let a plain def task do it in a thread"
    )
    try:
        warnings.warn_explicit(message, LoopBlockedWarning, block.file, block.line)
    except LoopBlockedWarning:
        logger.exception("a warning is an error here, and nobody is there to take it")


class _Watchdog:
    """The thread that looks, while there is anything to look at."""

    def __init__(self) -> None:
        """Have nothing to look at; in a process that was forked there is no thread either, whatever its parent had."""
        self._changed = threading.Condition()
        self._watches: list[LoopWatch] = []
        self._thread: threading.Thread | None = None

    def add(self, watch: LoopWatch) -> None:
        """Look at one more loop."""
        with self._changed:
            is_shortest = all(watch.threshold < other.threshold for other in self._watches)
            self._watches.append(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="graflow-loop-watch", daemon=True)
                self._thread.start()
            elif is_shortest:
                self._changed.notify()

    def remove(self, watch: LoopWatch) -> None:
        """Look at one loop less; without any the thread ends."""
        with self._changed:
            if watch in self._watches:
                self._watches.remove(watch)
            if not self._watches:
                self._changed.notify()

    def _work(self) -> None:
        """Look, as often as the shortest threshold asks for."""
        with self._changed:
            while self._watches:
                self._changed.wait(min(watch.threshold for watch in self._watches) / LOOKS)
                now = monotonic()
                for watch in self._watches:
                    watch.look(now)
            self._thread = None


_watchdog = _Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchdog.__init__)


def _place_of(stack: list[FrameType]) -> Block:
    """Find whose fault it is: the innermost line of the user's, and the instance whose body it belongs to."""
    users: FrameType | None = None
    instance: Instance | None = None
    for frame in stack:
        code = frame.f_code
        if code is _CALLBACK:
            break
        if users is None and _is_users(code.co_filename):
            users = frame
        if code.co_filename == _LISTENERS:
            break  # a listener holds the loop: no task's fault
        if code.co_filename.startswith(_PACKAGE) and "instance" in code.co_varnames:
            found = frame.f_locals.get("instance")
            if isinstance(found, Instance):
                instance = found
                break
    at = users or stack[0]
    return Block(0.0, at.f_code.co_filename, at.f_lineno, at.f_code.co_qualname, instance)


def _is_users(file: str) -> bool:
    """Say whether a file is the user's own: not Python's, not this package's, and not installed."""
    return not file.startswith(_NOT_THE_USERS) and not any(part in file for part in _INSTALLED)
