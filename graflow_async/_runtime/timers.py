"""The machine's timers on a clock."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ..protocols import Clock, TimerHandle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class LoopClock:
    """Time as the event loop has it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the clock of `loop`; one in virtual time has a wall clock, too: its method `wall_time`."""
        self._loop = loop
        self._wall_time: Callable[[], float] = getattr(loop, "wall_time", time.time)

    def time(self) -> float:
        """Give the wall clock, in seconds since the epoch."""
        return self._wall_time()

    def monotonic(self) -> float:
        """Give the loop's clock, in seconds."""
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Call back on the loop after `delay` seconds."""
        return self._loop.call_later(delay, callback)


class Timers:
    """Sets and forgets the timers that the machine asks for."""

    def __init__(self, clock: Clock, on_due: Callable[[Any], None]) -> None:
        """Call `on_due(token)` when a timer is due."""
        self._clock = clock
        self._on_due = on_due
        self._handles: dict[Any, TimerHandle] = {}

    def set(self, token: Any, delay: float) -> None:
        """Start a timer of `delay` seconds."""
        self._handles[token] = self._clock.call_later(delay, partial(self._due, token))

    def drop(self, token: Any) -> None:
        """Forget a timer."""
        handle = self._handles.pop(token, None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        """Forget all timers."""
        for token in list(self._handles):
            self.drop(token)

    def _due(self, token: Any) -> None:
        """Pass a timer on."""
        del self._handles[token]
        self._on_due(token)
