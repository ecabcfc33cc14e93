"""How a graph is walked: edges are delivered or skipped, joins count, loops and jumps open new laps."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..graph import Graph
from ..route import Route
from .commands import SetTimer, Tell
from .groups import Groups
from .run_state import RunState
from .state import (
    FIRED,
    REACHED,
    SKIPPED,
    UNTOUCHED,
    Awaited,
    BranchEnd,
    Instance,
    Lap,
    Owner,
    PartOf,
    Position,
    Scope,
    Status,
    Then,
    new_instance,
)

RUNNING = Status.RUNNING


class Walk(Groups):
    """Moves through laps.

    What is complete (a join, as (lap, number), or an owner whose last child has ended) waits in `agenda` until the
    event at hand has been worked in, so that deep families close one after the other and not inside each other.
    """

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        super().__init__(state)
        self.agenda: deque[Any] = deque()

    # -- laps -------------------------------------------------------------------------------------------------

    def open_lap(
        self,
        graph: Graph,
        route: Route,
        owner: Owner,
        scope: Scope,
        *,
        key: int = -1,
        parent: Instance | None = None,
        then: Then = None,
        sink: dict[str, Any] | None = None,
        upstream: list[tuple[str, Any]] | None = None,
        delay: float | None = None,
    ) -> Lap:
        """Begin a walk at the starts of a route; a start that another start leads to waits for it."""
        lap = Lap(graph, route, owner, scope, parent)
        lap.key = key
        if key >= 0:
            self.state.laps[key] = lap
        lap.then = Awaited(then.handle, then.base - key) if isinstance(then, Position) else then
        lap.is_simple = then is None and owner is scope
        lap.sink = sink
        if upstream:
            lap.carried = {number: list(upstream) for number in route.entries}
        if then is not None:
            lap.open += 1  # held until every start has been looked at
        for number in route.entries:
            if lap.pending[number] == 0 and lap.marks[number] < FIRED:
                self.fire(lap, number, delay)
            elif lap.marks[number] == UNTOUCHED:
                lap.marks[number] = REACHED
        if then is not None:
            self.leave_lap(lap)
        return lap

    def again(self, lap: Lap, target: int, carried: list[tuple[str, Any]]) -> None:
        """Open a new lap of the same graph at a place: a loop or a jump has come back."""
        then: Then = None
        if lap.then is not None:
            whole = lap.then.lap if isinstance(lap.then, PartOf) else lap
            whole.open += 1
            then = PartOf(whole)
        route = lap.graph.route((target,), lap.route.inside)
        self.open_lap(
            lap.graph, route, lap.owner, lap.scope, parent=lap.parent, then=then, sink=lap.sink, upstream=carried
        )

    def fire(self, lap: Lap, number: int, delay: float | None = None) -> None:
        """Start a node: make its instance, or let its group be judged."""
        scope, owner = lap.scope, lap.owner
        if scope.stop is not None:
            return
        if not lap.is_simple:
            if self.is_dead(lap, number):
                lap.marks[number] = SKIPPED
                self.skip_from(lap, number)
                return
            if lap.then is not None:
                lap.open += 1
        lap.marks[number] = FIRED
        node = lap.graph.table[number]
        task = node.task
        owner.open += 1
        if task is None:
            self.agenda.append((lap, number))
            return
        state = self.state
        key = state.next_key
        state.next_key = key + 1
        instance = new_instance(key, task, node.id, owner, scope, lap.parent, node.kind)
        instance.lap = lap
        instance.node = number
        state.live[key] = instance
        if node.is_plain:
            gates = state.base
            if not gates and delay is None and state.max_steps is None and not self.observed:  # nothing to ask for
                state.steps += 1
                instance.status = RUNNING
                self.out.append(instance)
                return
        else:
            gates = self.gates_for(task, node.kind, tuple(self.group_gate(lap, join) for join in node.bounds))
        if gates:
            instance.gates = gates
        if delay is None:
            self.begin(instance)
        else:
            self.begin_later(instance, delay)

    def begin_later(self, instance: Instance, delay: float) -> None:
        """Start an instance after `delay` seconds."""
        instance.status = Status.DELAYED
        if self.observed:
            self.out.append(
                Tell("waiting", instance.id, instance.scope, instance, ("sleep", f"its delay of {delay} s"))
            )
        self.state.timers[instance.key] = instance
        self.out.append(SetTimer(instance.key, delay))
        if instance.scope.stop is not None:
            self.cancel(instance)  # made after the run was stopped

    def is_dead(self, lap: Lap, number: int) -> bool:
        """Say whether a node lies in something that is being cancelled, so that it must not start any more."""
        owner = lap.owner
        if lap.failure is not None:
            return True
        if lap.is_late:
            return False
        if isinstance(owner, Instance) and (
            owner.doomed or (owner.outcome is not None and owner.outcome.error is not None)
        ):
            return True
        place: Lap | None = lap
        numbers = list(lap.graph.table[number].groups)
        while place is not None:
            while numbers:
                group = numbers.pop()
                if place.groups is not None and group in place.groups and place.groups[group].passed is not None:
                    return True
                numbers.extend(place.graph.table[group].groups)
            then, place = place.then, None
            if isinstance(then, BranchEnd):
                place, numbers = then.lap, [then.join]
            elif isinstance(then, PartOf):
                place = then.lap
        return False

    # -- edges ------------------------------------------------------------------------------------------------

    def deliver_from(self, lap: Lap, number: int, node_id: str, value: Any) -> None:
        """Deliver a value along every edge out of a node."""
        lap.values[number] = value
        route, pending = lap.route, lap.pending
        successors = route.successors[number]
        for target in successors:
            if pending[target] == 1 and lap.marks[target] < FIRED:  # the usual case, without a call
                pending[target] = 0
                self.fire(lap, target)
            else:
                self.deliver(lap, target, node_id, value)
        loops = route.loops
        if loops is not None and number in loops:
            for target in loops[number]:
                self._close_loop(lap, target, (node_id, value))
        elif not successors and lap.sink is not None:
            lap.sink[node_id] = value

    def deliver(self, lap: Lap, target: int, source_id: str, value: Any) -> None:
        """Deliver along one edge; the target starts with its last open edge."""
        if lap.marks[target] >= FIRED:
            self.again(lap, target, [(source_id, value)])
            return
        left = lap.pending[target] - 1
        lap.pending[target] = left
        if left <= 0:
            self.fire(lap, target)
            return
        lap.marks[target] = REACHED
        if lap.graph.eager and target in lap.graph.eager:
            self.judge(lap, target)

    def skip_from(self, lap: Lap, number: int, kept: frozenset[int] = frozenset()) -> None:
        """Skip every edge out of a node but those to `kept`; what has nothing left to wait for is skipped, too."""
        stack = [number]
        while stack:
            source = stack.pop()
            for target in lap.route.successors[source]:
                if source == number and target in kept:
                    continue
                if self._skip_edge(lap, target):
                    stack.append(target)
            loops = lap.route.loops
            if loops is not None and source in loops:
                for target in loops[source]:
                    self._close_loop(lap, target, None)

    def _skip_edge(self, lap: Lap, target: int) -> bool:
        """Resolve one edge as skipped; say whether its target is skipped by it."""
        if lap.marks[target] >= FIRED:
            return False
        left = lap.pending[target] - 1
        lap.pending[target] = left
        if left > 0:
            return False
        entered = lap.groups is not None and target in lap.groups and bool(lap.groups[target].failed)
        if lap.marks[target] == REACHED or entered:
            self.fire(lap, target)
            return False
        lap.marks[target] = SKIPPED
        if self.observed:
            self.out.append(Tell("skipped", lap.graph.table[target].id, lap.scope))
        return True

    def _close_loop(self, lap: Lap, target: int, carried: tuple[str, Any] | None) -> None:
        """Resolve one edge that closes a loop; with the last one a new lap begins if any delivered."""
        if lap.loop_pending is None or lap.again is None:
            lap.loop_pending = dict(lap.route.loops_expected)
            lap.again = {}
        lap.loop_pending[target] -= 1
        if carried is not None:
            lap.again.setdefault(target, []).append(carried)
        if lap.loop_pending[target] == 0 and target in lap.again:
            self.again(lap, target, lap.again.pop(target))

    def extend(self, lap: Lap, place: int, target: int) -> None:
        """Take a node that this lap does not reach (or has skipped) into the lap, with what lies behind its place."""
        if lap.pending[target] < 0:
            old, new = lap.route, lap.graph.route((*lap.route.starts, place), lap.route.inside)
            lap.route = new
            for number, expected in enumerate(new.expected):
                before = old.expected[number]
                if before < 0 <= expected:
                    lap.pending[number] = expected
                elif expected > before:
                    self._expect(lap, number, expected - before)
            if lap.loop_pending is not None:
                for number, count in new.loops_expected.items():
                    more = count - old.loops_expected.get(number, 0)
                    lap.loop_pending[number] = lap.loop_pending.get(number, 0) + more
        elif lap.marks[target] == SKIPPED:
            self._expect(lap, target, 0)

    def _expect(self, lap: Lap, number: int, edges: int) -> None:
        """Wait for more edges into a node; one that was skipped comes back, and so do those behind it."""
        stack = [(number, edges)]
        while stack:
            target, more = stack.pop()
            if lap.marks[target] == SKIPPED:
                lap.marks[target] = UNTOUCHED
                lap.pending[target] = more
                stack.extend((after, 1) for after in lap.route.successors[target])
            elif lap.marks[target] < FIRED:
                lap.pending[target] += more
