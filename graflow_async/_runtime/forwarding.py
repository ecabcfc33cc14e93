"""What belongs to a body that runs elsewhere and is done here on its behalf: maps, workflows, locks, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from .._core.wishes import Child, Wishes
from ..broker import Broker
from ..errors import GraflowRuntimeError
from .calls import Items, MapCall
from .link import Link
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

VERBS = frozenset({"ask", "get", "find", "settle", "post", "letters", "drop", "forget"})


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


async def result_of(link: Link, instance: Instance, task_id: str | None, default: Any, *, is_own: bool) -> Any:
    """Give the latest result of a task; with None the ids of all that have one.

    Args:
        link: the run.
        instance: whose body asks.
        task_id: of the task.
        default: what is given where there is no result.
        is_own: those of the instance's own descendants come first, as in `ctx.get_result`; else as in `ctx.results`.
    """
    results = instance.scope.results
    if task_id is None:
        return list(results)
    return await link.result(instance, task_id, default) if is_own else results.get(task_id, default)


def check_graphs(link: Link, items: Iterable[Any]) -> None:
    """Let executors join those of the run that called graphs have brought along.

    Raises:
        ConfigError: a limit or an executor is unknown.
    """
    for item in items:
        if isinstance(item, Child) and item.graph is not None:
            link.check_graph(item.graph)


def checked(link: Link, wishes: Wishes | None) -> Wishes | None:
    """Do the same for wished graphs, and give the wishes.

    Raises:
        ConfigError: a limit or an executor is unknown.
    """
    if wishes is not None:
        check_graphs(link, (*(wishes.children or ()), *(wishes.jumps or ())))
    return wishes


async def at_broker(broker: Broker, verb: str, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """Do at the run's broker what a body asks for.

    Raises:
        GraflowRuntimeError: brokers have no such verb.
    """
    if verb == "place":
        return getattr(broker, "place", None)
    if verb not in VERBS:
        raise GraflowRuntimeError(f"a broker has no verb {verb!r}")
    return await getattr(broker, verb)(*args, **more)


async def look(broker: Broker, talk: Talk, number: int, run_id: str | None) -> None:
    """Tell a body what changes at the run's broker, once the view is open, until it ends or nobody wants it."""
    async with broker.watch(run_id) as changes:
        talk.tell("seen", number, True)  # noqa: FBT003  # a field
        async for change in changes:
            talk.tell("seen", number, change)


async def leave(lock: AbstractAsyncContextManager[int]) -> None:
    """Give a lock back, in a task of its own."""
    await lock.__aexit__(None, None, None)
