"""Results that were not recorded (`persist=False`): which of them a run still needs, and how they get back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.events import Repeated
from .._core.run_state import RunState
from .._core.state import FIRED, Batch, Instance, Lap, PartOf, Scope
from .recorded import UNSAVED
from .scheduler import Scheduler

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


class Repetition:
    """Takes the value of a task that runs again because its result was not recorded."""

    is_bulk = False

    def __init__(self, future: asyncio.Future[Any]) -> None:
        """Pass the end on to a future."""
        self.number: int | None = None
        self._future = future

    def deliver(self, index: int, kind: str, value: Any) -> None:  # noqa: ARG002  # one task, one position
        """Take the end."""
        if self._future.done():
            return
        if kind == "value":
            self._future.set_result(value)
        elif kind == "error":
            self._future.set_exception(value)
        else:
            self._future.cancel()


async def run_again(scheduler: Scheduler) -> None:
    """Run the tasks again whose results are needed and were not recorded, one after the other.

    Raises:
        BaseException: what such a task raised.
    """
    state = scheduler.state
    laps = list(_laps(state))
    wanted = {name for scope in (state.root, *state.scopes.values()) for name in _asked_for(scope, laps)}
    for scope in (state.root, *state.scopes.values()):
        for number in _needed(scope, [lap for lap in laps if lap.scope is scope], wanted):
            value = await _repeat(scheduler, scope, number)
            _put(scope, laps, number, value)
    for scope in (state.root, *state.scopes.values()):
        for name in [name for name, value in scope.results.items() if value is UNSAVED]:
            del scope.results[name]
    for lap in laps:
        for number in [number for number, value in lap.values.items() if value is UNSAVED]:
            del lap.values[number]
    for instance in state.live.values():
        for name in [name for name, value in (instance.own or {}).items() if value is UNSAVED]:
            (instance.own or {}).pop(name)


async def _repeat(scheduler: Scheduler, scope: Scope, number: int) -> Any:
    """Run one task again with what it had, outside of the graph: nothing follows from it."""
    graph, results = scope.graph, scope.results
    before = [graph.table[n].id for n in graph.predecessors_of[number]]
    upstream = [(name, results[name]) for name in before if name in results]
    known = {graph.table[n].id: results.get(graph.table[n].id) for n in graph.ancestors(number)}
    future: asyncio.Future[Any] = scheduler.loop.create_future()
    scheduler.submit(Repeated(scope.key, number, upstream, known, Repetition(future)))
    return await future


def _asked_for(scope: Scope, laps: list[Lap]) -> Iterator[str]:
    """Name the parameters of the nodes that have yet to run: they may ask for results by these names."""
    for number, node in enumerate(scope.graph.table):
        if node.task is not None and _is_open(scope, laps, number):
            for parameter in node.task.definition.plan.parameters:
                yield parameter.name


def _needed(scope: Scope, laps: list[Lap], wanted: set[str]) -> list[int]:
    """List the nodes of a scope whose results are needed, those first on which others depend."""
    graph = scope.graph
    found: set[int] = set()
    for number, node in enumerate(graph.table):
        if node.task is None or not _is_lost(scope, laps, number):
            continue
        if (
            node.id in scope.finals
            or node.id in wanted
            or any(_is_open(scope, laps, after) for after in graph.successors_of[number])
        ):
            found.add(number)
    for number in list(found):  # what comes before it is needed to run it
        found.update(n for n in graph.ancestors(number) if _is_lost(scope, laps, n) and graph.table[n].task is not None)
    return sorted(found, key=lambda n: (len(graph.ancestors(n)), n))


def _is_lost(scope: Scope, laps: list[Lap], number: int) -> bool:
    return scope.results.get(scope.graph.table[number].id) is UNSAVED or any(
        lap.graph is scope.graph and lap.values.get(number) is UNSAVED for lap in laps
    )


def _is_open(scope: Scope, laps: list[Lap], number: int) -> bool:
    """Say whether a node (or, for a group, something after it) has yet to use what comes before it."""
    node = scope.graph.table[number]
    for lap in laps:
        if lap.graph is not scope.graph or lap.pending[number] < 0:
            continue
        if lap.marks[number] < FIRED:
            return True
    if node.task is None:
        open_after = any(_is_open(scope, laps, after) for after in scope.graph.successors_of[number])
        return open_after or node.id in scope.finals
    return node.id not in scope.results or any(
        lap.graph is scope.graph and lap.marks[number] == FIRED and number not in lap.values for lap in laps
    )


def _put(scope: Scope, laps: list[Lap], number: int, value: Any) -> None:
    """Put a result where the lost one was."""
    graph = scope.graph
    name = graph.table[number].id
    scope.results[name] = value
    if scope.finals.get(name) is UNSAVED:
        scope.finals[name] = value
    places: list[dict[Any, Any]] = [scope.results, scope.finals]
    for lap in laps:
        if lap.graph is graph:
            places.append(lap.values)
            if number in lap.values:
                lap.values[number] = value
            for target, carried in (lap.carried or {}).items():
                (lap.carried or {})[target] = [(n, value if n == name and v is UNSAVED else v) for n, v in carried]
    for place in places:
        for held in place.values():
            if isinstance(held, dict) and held.get(name) is UNSAVED:  # pyright: ignore[reportUnknownMemberType]  # a group's
                held[name] = value


def _laps(state: RunState) -> Iterator[Lap]:
    """Go through every lap that something alive stands in, each once."""
    seen: set[int] = set()
    items: list[Instance | Batch] = [*state.live.values(), *state.batches.values()]
    stack: list[Lap] = list(state.laps.values())
    for item in items:
        current: Instance | Batch | Scope | None = item
        while current is not None:
            if isinstance(current, Instance) and current.lap is not None:
                stack.append(current.lap)
            current = current.caller if isinstance(current, Scope) else current.owner
    while stack:
        lap = stack.pop()
        if id(lap) in seen:
            continue
        seen.add(id(lap))
        yield lap
        if isinstance(lap.then, PartOf):
            stack.append(lap.then.lap)
