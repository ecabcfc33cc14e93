"""A clock on which short times end when a test says so, for orders that would else be a matter of speed."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

SHORT = 1.0  # seconds


class HeldClock:
    """The usual clock, but what waits for less than a second waits until `let_go`."""

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.AbstractEventLoop, list[Any]]] = []
        self._is_free = False

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._is_free or not 0 < delay < SHORT:
            return loop.call_later(delay, callback)
        timer = [callback]
        self._held.append((loop, timer))
        return SimpleNamespace(cancel=timer.clear)

    def let_go(self) -> None:
        """Let time pass from now on; from any thread."""
        self._is_free = True
        while self._held:
            loop, timer = self._held.pop(0)
            loop.call_soon_threadsafe(_fire, timer)


def _fire(timer: list[Any]) -> None:
    if timer:
        timer.pop()()
