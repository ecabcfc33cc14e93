"""How fast something goes, from what has been seen of it lately."""

from __future__ import annotations

from collections import deque

WINDOW = 30.0  # seconds that a rate looks back
_LEAST = 0.2  # seconds below which a rate says nothing
_LONGEST = 100 * 3600.0  # a guess beyond that helps nobody


class Pace:
    """Sees (moment, done) from time to time, and knows the rate of the last WINDOW seconds."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        """Have seen nothing."""
        self._seen: deque[tuple[float, float]] = deque(maxlen=256)

    def see(self, at: float, done: float) -> None:
        """Note how much is done at a moment (seconds on any clock); less than before begins anew."""
        seen = self._seen
        if seen and done < seen[-1][1]:
            seen.clear()
        while len(seen) > 1 and seen[1][0] < at - WINDOW:
            seen.popleft()
        seen.append((at, done))

    @property
    def rate(self) -> float | None:
        """How much is done in a second; None while nobody can say."""
        if not self._seen:
            return None
        (began, first), (at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (at - began) if at - began >= _LEAST else None

    def left(self, total: float | None) -> float | None:
        """Give the seconds until `total` is done; None while nobody can say."""
        pace = self.rate
        if total is None or not pace or pace <= 0:
            return None
        seconds = max(total - self._seen[-1][1], 0.0) / pace
        return seconds if seconds < _LONGEST else None
