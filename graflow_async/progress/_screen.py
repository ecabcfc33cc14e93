"""Screen: the picture of all runs that are shown in one terminal, drawn by one thread while there are any."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from .._lazy import lazily
from ._above import Redirection, real
from ._shown import Showing

if TYPE_CHECKING:
    from ._drawing import Picture

logger = logging.getLogger("graflow_async.progress")
_drawing = lazily("graflow_async.progress._drawing")

FIRST = 0.2  # seconds that a run may take without being drawn at all
TICK = 0.125  # seconds between two pictures
SHARE = 40  # how much more time lies between two pictures than the latest has cost
_LAST = 1.0  # seconds that a run, and the interpreter, wait at their end for the picture to go


class _Farewell:
    """A run that has ended: the line that stays of it, and who waits until it stands there."""

    __slots__ = ("gone", "line", "loop")

    def __init__(self, line: str, loop: asyncio.AbstractEventLoop, gone: asyncio.Future[None]) -> None:
        self.line = line
        self.loop = loop
        self.gone = gone

    def tell(self) -> None:
        """Let go on who waits; nobody does where the loop is closed, or takes no calls from threads."""
        with suppress(Exception):
            self.loop.call_soon_threadsafe(self.settle)

    def settle(self) -> None:
        """Let go on who waits, on the loop."""
        if not self.gone.done():
            self.gone.set_result(None)


class Screen:
    """What stands in one terminal.

    `add` and `remove` never wait for the terminal: a loop calls them.

    Attributes:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        """Draw nothing yet."""
        self.stream = stream
        self._lock = threading.Lock()
        self._views: list[Showing] = []
        self._farewells: list[_Farewell] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_leaving = False
        self._is_broken = False
        self._picture: Picture | None = None
        self._redirection: Redirection | None = None

    @property
    def is_free(self) -> bool:
        """Whether no run is shown."""
        return self._thread is None

    def add(self, view: Showing) -> None:
        """Show a run from now on."""
        with self._lock:
            self._views.append(view)
            if self._thread is None:
                self._wake.clear()
                atexit.register(self._leave)
                self._thread = threading.Thread(target=self._work, name="graflow-progress", daemon=True)
                self._thread.start()

    def remove(self, view: Showing, line: str) -> asyncio.Future[None]:
        """Show a run no more, but the line.

        Returns:
            A future that is done when the line stands there, or a moment later where the terminal takes nothing.
        """
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        with self._lock:
            if view not in self._views:
                gone.set_result(None)
                return gone
            self._views.remove(view)
            farewell = _Farewell(line, loop, gone)
            self._farewells.append(farewell)
        timer = loop.call_later(_LAST, farewell.settle)
        gone.add_done_callback(lambda _: timer.cancel())
        self._wake.set()
        return gone

    # -- in the thread that draws -----------------------------------------------------------------------------

    def _work(self) -> None:
        """Draw until no run is left."""
        due = time.monotonic() + FIRST
        while True:
            self._wake.wait(max(due - time.monotonic(), 0.0))
            with self._lock:
                self._wake.clear()
                lost = [view for view in self._views if self._is_leaving or view.is_lost]
                self._views = [view for view in self._views if view not in lost]
                views, farewells, self._farewells = list(self._views), self._farewells, []
            began = time.thread_time()
            is_due = time.monotonic() >= due
            self._show(views, [farewell.line for farewell in farewells], lost, is_due=is_due)
            if is_due:
                due = time.monotonic() + max(TICK, (time.thread_time() - began) * SHARE)
            for farewell in farewells:
                farewell.tell()
            with self._lock:
                if not (self._views or self._farewells):
                    self._thread = None
                    break
        if not self._is_leaving:
            atexit.unregister(self._leave)

    def _show(self, views: list[Showing], lines: list[str], lost: list[Showing], *, is_due: bool) -> None:
        """Draw the runs that go on, and what stays of those that have ended; a picture that fails is the last one."""
        try:
            lines += [view.farewell("interrupted") for view in lost]
            if not views:
                self._close()
            if lines:
                self._say("".join(f"{line}\n" for line in lines))
            if views and is_due and not self._is_broken:
                self._open().draw([view.shown() for view in views])
        except RuntimeError as error:
            # A copy of what the loop was changing at that moment; there will be another look.
            logger.debug("the progress of runs was not drawn this time: %s", error)
        except Exception:
            self._is_broken = True
            with suppress(Exception):
                self._close()
            logger.warning("the progress of runs cannot be drawn and is not shown any more", exc_info=True)

    def _open(self) -> Picture:
        """Give the picture, made when it is first drawn."""
        picture = self._picture
        if picture is None:
            picture = self._picture = _drawing.Picture(self.stream)
            self._redirection = Redirection(self.stream, picture.write_above)
        return picture

    def _close(self) -> None:
        """Take the picture away, and put back what it has changed."""
        picture, self._picture = self._picture, None
        redirection, self._redirection = self._redirection, None
        try:
            if picture is not None:
                picture.close()
        finally:
            if redirection is not None:
                redirection.end()

    def _say(self, text: str) -> None:
        """Write lines that stay."""
        if self._picture is not None:
            self._picture.write_above(text)
        else:
            self.stream.write(text)
            self.stream.flush()

    def _leave(self) -> None:
        """Give the terminal back as it was: the interpreter ends, and runs were left as they are."""
        thread = self._thread
        self._is_leaving = True
        self._wake.set()
        if thread is not None:
            thread.join(_LAST)


class _Current:
    """The screen that is in use, if any: standard streams can be led around only once."""

    screen: Screen | None = None
    lock = threading.Lock()


def screen_for(stream: TextIO) -> Screen | None:
    """Give the screen of a terminal; None while runs are shown in another one."""
    stream = real(stream)
    with _Current.lock:
        current = _Current.screen
        if current is not None and current.stream is stream:
            return current
        if current is not None and not current.is_free:
            return None
        made = _Current.screen = Screen(stream)
        return made
