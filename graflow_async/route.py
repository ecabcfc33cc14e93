"""Routes: which edges of a graph count when it is walked from given start nodes, and which of them close a loop.

Edges are sorted by a depth-first walk from the starts in edge order, with a group as one place (its *fork*): an edge
that leads back to a place on the current path is a *loop edge*. What remains is acyclic, so that joins simply count: an
incoming edge is delivered or skipped exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNREACHED = -1


class Plot:
    """A graph as a walk needs it. A *place* is a node by its number, or a group by the number of its join plus `size`.

    Attributes:
        size: number of nodes.
        targets: for each node the places that its edges lead to.
        forks: for each group (by place) the places that its branches begin with.
        entries: for each group (by place) the nodes that it begins with.
        successors: for each node the nodes after it.
    """

    __slots__ = ("entries", "forks", "size", "successors", "targets")

    def __init__(
        self,
        targets: list[tuple[int, ...]],
        forks: dict[int, tuple[int, ...]],
        entries: dict[int, tuple[int, ...]],
        successors: list[tuple[int, ...]],
    ) -> None:
        """Keep the tables of the builder."""
        self.size = len(targets)
        self.targets = targets
        self.forks = forks
        self.entries = entries
        self.successors = successors

    def nodes_at(self, place: int) -> tuple[int, ...]:
        """List the nodes that a place begins with."""
        return (place,) if place < self.size else self.entries[place]

    def after(self, place: int) -> tuple[int, ...]:
        """List the places that follow a place."""
        return self.targets[place] if place < self.size else self.forks[place]


class Route:
    """The part of a graph that lies before some start places.

    Attributes:
        starts: the start places.
        entries: the nodes that these begin with.
        successors: for each node the nodes after it by edges that do not close a loop.
        loops: for a node the places that it leads back to; None where no edge closes a loop.
        expected: for each node how many of its incoming edges will be resolved; -1 for a node that is not reached.
        loops_expected: for a place how many edges lead back to it.
        inside: the nodes it was restricted to; None for all.
    """

    __slots__ = ("entries", "expected", "inside", "loops", "loops_expected", "starts", "successors")

    def __init__(
        self,
        starts: tuple[int, ...],
        entries: tuple[int, ...],
        successors: Sequence[tuple[int, ...]],
        expected: list[int],
        loops: dict[int, tuple[int, ...]] | None,
        inside: frozenset[int] | None,
    ) -> None:
        """Keep the tables of `make_route`."""
        self.starts = starts
        self.entries = entries
        self.successors = successors
        self.expected = expected
        self.loops = loops
        self.inside = inside
        self.loops_expected: dict[int, int] = {}
        for targets in (loops or {}).values():
            for target in targets:
                self.loops_expected[target] = self.loops_expected.get(target, 0) + 1


def make_route(plot: Plot, starts: tuple[int, ...], inside: frozenset[int] | None = None) -> Route:
    """Walk a graph depth first from start places and sort its edges."""
    loops, reached = _sort_edges(plot, starts, inside)
    entries = tuple(dict.fromkeys(n for place in starts for n in plot.nodes_at(place)))
    successors: Sequence[tuple[int, ...]] = plot.successors
    if loops or inside is not None:
        back = {n: {e for place in places for e in plot.nodes_at(place)} for n, places in loops.items()}
        successors = [
            tuple(s for s in row if s not in back.get(n, ()) and (inside is None or s in inside))
            for n, row in enumerate(successors)
        ]
    expected = [UNREACHED] * plot.size
    for number in entries:
        expected[number] = 0
    for number in reached:
        for after in successors[number]:
            expected[after] = max(expected[after], 0) + 1
    return Route(starts, entries, successors, expected, {n: tuple(t) for n, t in loops.items()} or None, inside)


def _sort_edges(
    plot: Plot, starts: tuple[int, ...], inside: frozenset[int] | None
) -> tuple[dict[int, list[int]], list[int]]:
    """Find the edges that close a loop, and the nodes that are reached."""
    seen = bytearray(2 * plot.size)
    on_path = bytearray(2 * plot.size)
    loops: dict[int, list[int]] = {}
    reached: list[int] = []
    for start in starts:
        if seen[start]:
            continue
        stack = [(start, iter(plot.after(start)))]
        while stack:
            place, rest = stack[-1]
            if not seen[place]:
                seen[place] = on_path[place] = 1
                if place < plot.size:
                    reached.append(place)
            for after in rest:
                if inside is not None and not any(n in inside for n in plot.nodes_at(after)):
                    continue
                if after >= plot.size and place < plot.size and any(on_path[n] for n in plot.nodes_at(after)):
                    loops.setdefault(place, []).append(after)  # back into a group that was entered past its fork
                    continue
                if not seen[after]:
                    stack.append((after, iter(plot.after(after))))
                    break
                if on_path[after] and place < plot.size:
                    loops.setdefault(place, []).append(after)
            else:
                on_path[place] = 0
                stack.pop()
    return loops, reached


def strongly_connected(graph: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Find the sets of nodes on a common cycle (Tarjan 1972, without recursion), each sorted."""
    index = [UNREACHED] * len(graph)
    low = [0] * len(graph)
    on_stack = bytearray(len(graph))
    stack: list[int] = []
    found: list[list[int]] = []
    counter = 0
    for root in range(len(graph)):
        if index[root] != UNREACHED:
            continue
        work = [(root, iter(graph[root]))]
        while work:
            number, rest = work[-1]
            if index[number] == UNREACHED:
                index[number] = low[number] = counter
                counter += 1
                stack.append(number)
                on_stack[number] = 1
            descend = next((s for s in rest if _look(number, s, index, low, on_stack)), None)
            if descend is not None:
                work.append((descend, iter(graph[descend])))
                continue
            work.pop()
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[number])
            if low[number] == index[number]:
                component = [stack.pop()]
                while component[-1] != number:
                    component.append(stack.pop())
                for member in component:
                    on_stack[member] = 0
                if len(component) > 1 or number in graph[number]:
                    found.append(sorted(component))
    return sorted(found)


def _look(number: int, after: int, index: list[int], low: list[int], on_stack: bytearray) -> bool:
    """Take note of an edge; say whether its target has to be visited first."""
    if index[after] == UNREACHED:
        return True
    if on_stack[after]:
        low[number] = min(low[number], index[after])
    return False
