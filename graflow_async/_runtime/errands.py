"""What is to be done at a broker, one after the other for each question, several at once for different ones."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

AT_ONCE = 32


class Errands:
    """A queue of calls, and the task that carries them out while there are any."""

    def __init__(
        self,
        new_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        before: Callable[[], Awaitable[Any]],
    ) -> None:
        """Carry out in tasks that `new_task` makes; `before` is awaited first, each time there is something to do."""
        self._new_task = new_task
        self._before = before
        self._waiting: deque[tuple[str, Callable[[], Awaitable[None]]]] = deque()
        self.task: asyncio.Task[None] | None = None

    def add(self, subject: str, call: Callable[[], Awaitable[None]]) -> None:
        """Have something done, after what was to be done about the same subject before."""
        self._waiting.append((subject, call))
        if self.task is None:
            self.task = self._new_task(self._run())

    async def _run(self) -> None:
        waiting = self._waiting
        try:
            await self._before()
            while waiting:
                batch: dict[str, Callable[[], Awaitable[None]]] = {}
                while waiting and len(batch) < AT_ONCE and waiting[0][0] not in batch:
                    subject, call = waiting.popleft()
                    batch[subject] = call
                await asyncio.gather(*(call() for call in batch.values()))
        finally:
            self.task = None
