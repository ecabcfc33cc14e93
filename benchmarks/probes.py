"""What every side shares: the count of bodies that ran, the loop's heartbeat, the memory of this process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

Sample = dict[str, float]
"""One measurement: `seconds` of the run, and what else a scenario reports (`build`, `lag`, `gap`, `body`, `kept`)."""


class Tally:
    """Counts the bodies that ran, so that no side is fast by leaving work out."""

    __slots__ = ("ran",)

    def __init__(self) -> None:
        """Start at zero."""
        self.ran = 0

    def expect(self, count: int) -> None:
        """Check that exactly `count` bodies ran.

        Raises:
            RuntimeError: Another number of bodies ran; the sample is worthless.
        """
        if self.ran != count:
            raise RuntimeError(f"{self.ran} bodies ran, {count} were asked for")


class Heartbeat:
    """A timer on the running loop that remembers how late it ever was.

    `period` is in seconds. The interval that is open at `stop` counts too: a loop that is blocked until
    the very end of a run would look healthy otherwise.
    """

    __slots__ = ("_due", "_handle", "_loop", "_period", "worst")

    def __init__(self, period: float = 0.001) -> None:
        """Start beating on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._period = period
        self.worst = 0.0
        self._due = time.perf_counter() + period
        self._handle = self._loop.call_later(period, self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.worst = max(self.worst, now - self._due)
        self._due = now + self._period
        self._handle = self._loop.call_later(self._period, self._beat)

    def stop(self) -> float:
        """Stop beating and return the largest lateness, in seconds."""
        self._handle.cancel()
        self.worst = max(self.worst, time.perf_counter() - self._due)
        return self.worst


def memory_bytes() -> tuple[int, int]:
    """Return resident and peak resident memory of this process, in bytes.

    Read from the process itself: the peak that a parent sees for its child may be the parent's own.

    Raises:
        RuntimeError: The system has no `/proc`.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError("memory is read from /proc, which this system does not have")
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024
