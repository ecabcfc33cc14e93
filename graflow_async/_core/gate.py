"""Gates: how many may run, or start, at once."""

from __future__ import annotations

from collections import deque
from typing import Any


class Gate:
    """A bound on how many run at once, or (`per` set) on how many start within `per` seconds.

    Attributes:
        name: of the limit, for timers and messages.
        free: slots left.
        waiting: instances and batches that wait for a slot, first come first served.
    """

    __slots__ = ("free", "name", "per", "size", "waiting")

    def __init__(self, name: str, size: int, per: float | None = None) -> None:
        """Start with every slot free."""
        self.name = name
        self.size = size
        self.free = size
        self.per = per
        self.waiting: deque[Any] = deque()
