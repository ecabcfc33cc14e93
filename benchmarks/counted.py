"""What the floor is made of: tasks that are held until they are done, and a graph run by in-degree counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Body = Callable[[int], Awaitable[object]]


class Held:
    """Starts tasks and holds them until they are done."""

    __slots__ = ("_loop", "_tasks")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coro: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        task = self._loop.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class CountedGraph:
    """Runs numbered bodies by in-degree counters; the numbers in `joins` are barriers, which have no body."""

    __slots__ = ("_body", "_done", "_held", "_loop", "_open", "indegree", "joins", "results", "successors")

    def __init__(
        self, body: Body, successors: dict[int, list[int]], indegree: list[int], joins: frozenset[int] = frozenset()
    ) -> None:
        """Prepare a graph whose node `i` runs `body(i)`."""
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._held = Held()
        self._done = self._loop.create_future()
        self._open = len(indegree) - len(joins)
        self.successors = successors
        self.indegree = indegree
        self.joins = joins
        self.results: dict[int, object] = {}

    async def _run(self, node: int) -> None:
        self.results[node] = await self._body(node)
        self._release(node)
        self._open -= 1
        if not self._open:
            self._done.set_result(None)

    def _release(self, node: int) -> None:
        indegree = self.indegree
        for successor in self.successors.get(node, ()):
            indegree[successor] -= 1
            if indegree[successor]:
                continue
            if successor in self.joins:
                self._release(successor)
            else:
                self._held.start(self._run(successor))

    async def run(self) -> None:
        """Start every root and wait until all nodes have run."""
        for node in [node for node, count in enumerate(self.indegree) if not count]:
            self._held.start(self._run(node))
        await self._done
