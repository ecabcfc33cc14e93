"""Jumps: what runs instead of a task's successors, and what the task's place in a lap or group means for it."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidTransitionError
from ..graph import Graph
from ..route import Route
from .children import Children
from .commands import Tell
from .state import FIRED, REACHED, BranchEnd, Detached, Instance, Lap, PartOf, Status, Then
from .wishes import Child


class Jumps(Children):
    """Lets other tasks take an instance's place: whatever its end delivered to, theirs delivers to."""

    def _jump(self, instance: Instance, jumps: list[Child]) -> None:
        """Let other tasks run in an instance's place instead of its successors."""
        scope, owner, lap = instance.scope, instance.owner, instance.lap
        scope.results[instance.id] = instance.value
        self._bury(instance, Status.DONE)
        if self.observed:
            self.out.append(Tell("completed", instance.id, scope, instance, instance.value))
        carried = [(instance.id, instance.value)]
        if lap is not None and not self._groups_of(lap, instance.node):
            within = [
                c for c in jumps if c.graph is lap.graph and c.route is not None and c.delay is None and _fits(lap, c)
            ]
            jumps = [c for c in jumps if c not in within]
            then = self._share(lap, len(jumps))
            self._jump_within(lap, instance.node, [n for c in within if c.route for n in c.route.starts], carried)
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
            hub.then, hub.sink, hub.open = then, sink, len(jumps)
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
        lap = instance.lap
        if lap is None:
            return instance.then
        join = self._groups_of(lap, instance.node)[0]
        info = lap.graph.table[join].join
        branches = info.branches if info is not None else ()
        number = instance.node
        last = next((n for n, _ in branches if n == number or number in lap.graph.ancestors(n)), number)
        lap.pending[join] += 1
        return BranchEnd(lap, join, last)

    def _route_for(self, instance: Instance, child: Child) -> Route:
        """Restrict a jump out of a group's branch: within the branch it walks the branch, else nothing after the group."""
        graph: Graph | None = child.graph
        route = child.route
        lap = instance.lap
        if graph is None or route is None:
            message = "a jump without a graph"
            raise InvalidTransitionError(message)
        if lap is None or graph is not lap.graph:
            return route
        groups = self._groups_of(lap, instance.node)
        if not groups:
            return route
        inside = graph.inside(groups[0])
        if all(number in inside for number in route.starts):
            return graph.route(route.starts, frozenset(inside))
        after = graph.below(groups[0]) - set(route.starts)
        return graph.route(route.starts, frozenset(n for n in range(len(graph.table)) if n not in after))

    def _jump_within(self, lap: Lap, source: int, targets: list[int], carried: list[tuple[str, Any]]) -> None:
        """Jump to nodes of the lap's own graph: forward is a delivery, back is a new lap, elsewhere joins this lap."""
        direct = frozenset(lap.route.successors[source])
        ahead: list[int] = []
        for target in targets:
            if target in direct:
                continue
            if lap.pending[target] >= 0 and lap.marks[target] == FIRED:
                self.again(lap, target, list(carried))
                continue
            if lap.pending[target] < 0 or lap.marks[target] >= FIRED:
                self.extend(lap, target)
            lap.marks[target] = REACHED
            if lap.carried is None:
                lap.carried = {}
            lap.carried.setdefault(target, []).extend(carried)
            ahead.append(target)
        kept = direct.intersection(targets)
        if kept:
            lap.values[source] = carried[0][1]
            for target in kept:
                self.deliver(lap, target, *carried[0])
        self.skip_from(lap, source, kept)
        for target in ahead:
            if lap.pending[target] <= 0 and lap.marks[target] == REACHED:
                self.fire(lap, target)


def _fits(lap: Lap, child: Child) -> bool:
    """Say whether the targets of a jump may be walked within a lap that is restricted to some nodes."""
    inside = lap.route.inside
    return inside is None or (child.route is not None and all(n in inside for n in child.route.starts))
