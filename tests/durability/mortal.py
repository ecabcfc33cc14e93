"""A checkpointer whose runs die: after a given number of facts nothing is kept any more, and the run is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graflow_async import MemoryCheckpointer
from graflow_async.testing import crashes

if TYPE_CHECKING:
    from collections.abc import Callable


class MortalCheckpointer(crashes.MortalCheckpointer):
    """Gives every run that is begun or taken over a life of so many facts; None for ever.

    Attributes:
        facts: of a life that begins now.
        lives: how many there were.
        objects: definitions as they are; they need not be pickled, since no log leaves the process.
    """

    def __init__(self, facts: int | None) -> None:
        super().__init__(MemoryCheckpointer(keep_code=True), self._born)
        self.facts = facts
        self.lives = 0

    def _born(self) -> Callable[[int], bool]:
        self.lives += 1
        left = self.facts

        def is_kept(kind: int) -> bool:
            nonlocal left
            if left is None or kind not in crashes.FACTS:
                return True
            left -= 1
            return left >= 0

        return is_kept
