"""Lets time pass on a real loop without waiting for it, so that long patience may come to its end at once."""

from __future__ import annotations

import asyncio


class Skipping:
    """The clock of the running loop, which can be moved on; make it before anybody has asked that clock.

    Timers of uvloop have a clock of their own: there what has such a bound takes as long as it says.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._skipped = 0.0
        self._real = loop.time
        loop.time = self._time

    def _time(self) -> float:
        return self._real() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let so many seconds pass: what is due by then is done in the loop's next turn."""
        self._skipped += seconds
