"""What belongs to a body that runs elsewhere and is done here on its behalf: maps, workflows, locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from .calls import Items, MapCall
from .link import Link

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager


class ForwardedMap(MapCall):
    """A map whose items are pulled elsewhere: their ends are passed on as they come."""

    def __init__(self, link: Link, parent: Instance, forward: Callable[[int, str, Any], None]) -> None:
        """Begin with no items; `forward` takes the end of one: position, kind and value."""
        super().__init__(link.scheduler, parent, return_exceptions=True)
        self._forward = forward
        self._has_ended = bytearray()

    def start_at(self, first: int, items: Items) -> None:
        """Start items, which stand in the map from position `first` on."""
        self._reach(first)
        self._has_ended.extend(bytes(len(items)))
        self.start(items)

    def refuse(self, first: int, count: int, error: Exception) -> None:
        """Let those of some items fail that could not be started."""
        self._reach(first + count)
        for index in range(first, first + count):
            if not self._has_ended[index]:
                self.deliver(index, "error", error)

    def _reach(self, length: int) -> None:
        missing = length - len(self.results)
        if missing > 0:
            self.results.extend([None] * missing)
        self._has_ended.extend(bytes(max(0, length - len(self._has_ended))))

    def deliver(self, index: int, kind: str, value: Any) -> None:
        """Pass the end of an item on."""
        self.pending -= 1
        self._has_ended[index] = True
        self._forward(index, kind, value)

    def drop(self) -> None:
        """Tell that the items are no longer wanted; where the run has stopped, no end will ever be told."""
        super().drop()
        if self._scheduler.done.done():
            for index in [index for index, has_ended in enumerate(self._has_ended) if not has_ended]:
                self.deliver(index, "cancelled", None)


class SentWorkflow:
    """A workflow that came in a message."""

    def __init__(self, name: str, graph: Any, provided: Any) -> None:
        """Keep its parts."""
        self.name = name
        self.graph = graph
        self.provided = provided


async def leave(lock: AbstractAsyncContextManager[int]) -> None:
    """Give a lock back, in a task of its own."""
    await lock.__aexit__(None, None, None)
