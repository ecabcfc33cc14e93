"""Jumps: what runs instead of a task's successors, and what the task's place in a lap or group means for it."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidTransitionError
from ..graph import Graph
from ..route import Route
from .children import Children
from .state import (
    FIRED,
    REACHED,
    Awaited,
    BranchEnd,
    Detached,
    Instance,
    Lap,
    PartOf,
    Position,
    Status,
    Then,
)
from .wishes import Child


class Jumps(Children):
    """Lets other tasks take an instance's place: whatever its end delivered to, theirs delivers to."""

    def _jump(self, instance: Instance, jumps: list[Child]) -> None:
        """Let other tasks run in an instance's place instead of its successors."""
        scope, owner, lap = instance.scope, instance.owner, instance.lap
        scope.results[instance.id] = instance.value
        self._bury(instance, Status.DONE)
        if self.observed:
            self.told_end("completed", instance, instance.value)
        carried = [(instance.id, instance.value)]
        if lap is not None and not self._groups_of(lap, instance.node):
            within = [
                c for c in jumps if c.graph is lap.graph and c.route is not None and c.delay is None and _fits(lap, c)
            ]
            jumps = [c for c in jumps if c not in within]
            then = self._share(lap, len(jumps))
            self._jump_within(lap, instance.node, [p for c in within if c.route for p in c.route.starts], carried)
        else:
            then = self._place_of(instance)
        if lap is not None and self._groups_of(lap, instance.node):
            self.skip_from(lap, instance.node)
        self._jump_out(instance, jumps, then, carried)
        if lap is not None:
            self.leave_lap(lap)
        self.leave(owner)

    def _jump_out(self, instance: Instance, jumps: list[Child], then: Then, carried: list[tuple[str, Any]]) -> None:
        """Start what an instance jumped to outside of its own lap; several are waited for together."""
        scope, owner = instance.scope, instance.owner
        sink: dict[str, Any] | None = {} if then is not None else (scope.finals if owner is scope else None)
        if isinstance(then, Detached):
            sink = None
        if isinstance(then, PartOf):
            sink = then.lap.sink
        elif len(jumps) > 1 and then is not None and not isinstance(then, Detached):
            hub = Lap(scope.graph, scope.graph.route(()), owner, scope, instance.parent)
            hub.then = Awaited(then.handle, then.base - hub.key) if isinstance(then, Position) else then
            hub.sink, hub.open = sink, len(jumps)
            then = PartOf(hub)
        for child in jumps:
            if child.task is not None:
                self._new_task(instance.parent, owner, child, then, carried)
            elif child.graph is not None and child.route is not None:
                route = self._route_for(instance, child)
                self.open_lap(
                    child.graph,
                    route,
                    owner,
                    scope,
                    parent=instance.parent,
                    then=None if isinstance(then, Detached) else then,
                    sink=sink,
                    upstream=carried,
                    delay=child.delay,
                )

    def _groups_of(self, lap: Lap, number: int) -> list[int]:
        """List the groups whose branch a node is part of, in this lap."""
        return [g for g in lap.graph.table[number].groups if lap.route.expected[g] >= 0]

    def _share(self, lap: Lap, count: int) -> Then:
        """Let a lap that somebody waits for also wait for `count` more ends."""
        if lap.then is None:
            return None
        whole = lap.then.lap if isinstance(lap.then, PartOf) else lap
        whole.open += count
        return PartOf(whole)

    def _place_of(self, instance: Instance) -> Then:
        """Give what an instance's end delivers to, as seen by what takes its place."""
        lap, then = instance.lap, instance.then
        if lap is None:
            return Position(then.handle, then.base + instance.key) if isinstance(then, Awaited) else then
        join = self._groups_of(lap, instance.node)[0]
        branch = lap.graph.branch_of(join, instance.node)
        last = branch[0] if branch is not None else instance.node
        lap.pending[join] += 1
        if lap.then is not None:
            lap.open += 1
        return BranchEnd(lap, join, last)

    def _route_for(self, instance: Instance, child: Child) -> Route:
        """Restrict a jump out of a branch: within the branch it walks the branch, else nothing after the group."""
        graph: Graph | None = child.graph
        route = child.route
        if graph is None or route is None:
            message = "a jump without a graph"
            raise InvalidTransitionError(message)
        found = self._enclosing(instance)
        if found is None or found[0].graph is not graph:
            return route
        join = found[1]
        inside = graph.inside(join)
        if all(number in inside for number in route.entries):
            return graph.route(route.starts, frozenset(inside))
        after = graph.below(join) - set(route.entries)
        return graph.route(route.starts, frozenset(n for n in range(len(graph.table)) if n not in after))

    def _enclosing(self, instance: Instance) -> tuple[Lap, int] | None:
        """Find the group that an instance's end is part of, directly or through the ends of laps."""
        lap, then = instance.lap, instance.then
        if lap is not None:
            groups = self._groups_of(lap, instance.node)
            if groups:
                return lap, groups[0]
            then = lap.then
        while isinstance(then, PartOf):
            then = then.lap.then
        return (then.lap, then.join) if isinstance(then, BranchEnd) else None

    def _jump_within(self, lap: Lap, source: int, places: list[int], carried: list[tuple[str, Any]]) -> None:
        """Jump to places of the lap's own graph: forward is a delivery, back is a new lap, elsewhere joins this lap."""
        direct = frozenset(lap.route.successors[source])
        kept: set[int] = set()
        ahead: list[int] = []
        for place in places:
            nodes = lap.graph.plot.nodes_at(place)
            if direct.issuperset(nodes):
                kept.update(nodes)
            elif self._is_behind(lap, place):
                self.again(lap, place, list(carried))
            else:
                self._reach(lap, place, carried)
                ahead.extend(nodes)
        if kept:
            lap.values[source] = carried[0][1]
            for target in kept:
                self.deliver(lap, target, *carried[0])
        self.skip_from(lap, source, frozenset(kept))
        for target in ahead:
            if lap.pending[target] <= 0 and lap.marks[target] == REACHED:
                self.fire(lap, target)

    def _is_behind(self, lap: Lap, place: int) -> bool:
        """Say whether a place (or, where this pass does not reach it, something after it) has started in this pass."""
        nodes = lap.graph.plot.nodes_at(place)
        if any(lap.marks[n] == FIRED for n in nodes):
            return True
        if all(lap.pending[n] >= 0 and lap.marks[n] < FIRED for n in nodes):
            return False
        inside = lap.route.inside
        return any(lap.marks[m] == FIRED for n in nodes for m in lap.graph.below(n) if inside is None or m in inside)

    def _reach(self, lap: Lap, place: int, carried: list[tuple[str, Any]]) -> None:
        """Let a jump count as a delivery to a place ahead, taking the place into this pass if it is not part of it."""
        for target in lap.graph.plot.nodes_at(place):
            if lap.pending[target] < 0 or lap.marks[target] >= FIRED:
                self.extend(lap, place, target)
            lap.marks[target] = REACHED
            if lap.carried is None:
                lap.carried = {}
            lap.carried.setdefault(target, []).extend(carried)


def _fits(lap: Lap, child: Child) -> bool:
    """Say whether the targets of a jump may be walked within a lap that is restricted to some nodes."""
    inside = lap.route.inside
    return inside is None or (child.route is not None and all(n in inside for n in child.route.entries))
