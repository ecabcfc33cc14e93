"""Who is there: the workers of a queue that are alive, and waiting for one."""

from __future__ import annotations

import asyncio

from .jobs_calls import PATIENCE, Calls
from .jobs_data import WorkerInfo


class Roll:
    """The workers of one queue."""

    def __init__(self, calls: Calls) -> None:
        """Stand ready; nothing is sent yet."""
        self._calls = calls

    async def workers(self) -> list[WorkerInfo]:
        """List the workers that are alive.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return (await self._look(PATIENCE))[1]

    async def wait(self, within: float | None, patience: float | None) -> list[WorkerInfo]:
        """Wait until at least one worker is alive; an empty list after `within` seconds.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        while True:
            last, alive = await self._look(patience)
            left = 3600.0 if until is None else until - loop.time()
            if alive or left <= 0:
                return alive
            command = ["XREAD", "COUNT", 1, None, "STREAMS", self._calls.prefix + "wake", last]
            await self._calls.read(command, left, "waiting for workers", patience)

    async def _look(self, patience: float | None) -> tuple[bytes, list[WorkerInfo]]:
        """Give the id of the last coming, seen at the same instant as who is there."""
        last, *rows = await self._calls.run("roll", [], "listing workers", patience)
        return last, [WorkerInfo(name.decode(), info, left / 1000) for name, left, info in rows]
