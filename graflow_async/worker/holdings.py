"""The claims that a worker holds at this moment."""

from __future__ import annotations

import asyncio

from .._redis.jobs import Claim, Delivery
from .held import Held


class Holdings:
    """Claims by run, job and fence."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[tuple[str, str, int], Held] = {}
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        """Count them."""
        return len(self._held)

    def all(self) -> list[Held]:
        """List them."""
        return list(self._held.values())

    def add(self, held: Held) -> None:
        """Hold one more."""
        claim = held.claim
        self._held[claim.run, claim.job, claim.fence] = held

    def find(self, about: Claim | Delivery) -> Held | None:
        """Give what is meant; None if it is not held, or not any more."""
        return self._held.get((about.run, about.job, about.fence))

    def let_go(self, held: Held) -> bool:
        """Hold it no more; False if it was not held."""
        claim = held.claim
        if self._held.pop((claim.run, claim.job, claim.fence), None) is None:
            return False
        held.body = None  # the two know each other: let go, so that both are freed at once
        if not self._held:
            self._idle.set()
        return True

    async def gone(self, seconds: float, *others: asyncio.Event) -> None:
        """Wait until nothing is held or another thing happens, but not longer than so many seconds."""
        self._idle.clear()
        if not self._held:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._idle, *others)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
