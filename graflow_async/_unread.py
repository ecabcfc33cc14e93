"""What a watch has for its reader: a queue that one task at a time waits on. Where changes come from is elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Unread(Generic[T]):
    """What one reader has not read yet. Everything here happens on the reader's loop, but for appending to `items`.

    Attributes:
        items: what is there, the oldest first.
        is_over: whether nothing more comes.
        failure: what the reader gets instead of an end.
    """

    __slots__ = ("_waiter", "failure", "is_over", "items")

    def __init__(self) -> None:
        """Have nothing yet."""
        self.items: deque[T] = deque()
        self.is_over = False
        self.failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def called(self) -> None:
        """Wait for the next `wake`.

        Raises:
            RuntimeError: another task waits.
        """
        if self._waiter is not None:
            raise RuntimeError("another task waits on this watch already; open one watch for each reader")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def arrival(self) -> None:
        """Wait until there is something.

        Raises:
            RuntimeError: another task waits.
            StopAsyncIteration: all is read, and nothing more comes.
        """
        while not self.items:
            if self.failure is not None:
                raise self.failure
            if self.is_over:
                raise StopAsyncIteration
            await self.called()
