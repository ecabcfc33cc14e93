"""Routes: which edges of a graph count when it is walked from given start nodes, and which of them close a loop.

Edges are sorted by a depth-first walk from the starts in edge order: one that leads back to a node on the current path is a
*loop edge*. What remains is acyclic, so that joins can simply count: an incoming edge is delivered or skipped exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNREACHED = -1


class Route:
    """The part of a graph that lies before some start nodes.

    Attributes:
        starts: numbers of the start nodes.
        successors: for each node the nodes after it by edges that do not close a loop.
        loops: for a node the nodes that it leads back to; None where no edge closes a loop.
        expected: for each node how many of its incoming edges will be resolved; -1 for a node that is not reached.
        loops_expected: the same for edges that close a loop.
        inside: the nodes it was restricted to; None for all.
    """

    __slots__ = ("expected", "inside", "loops", "loops_expected", "starts", "successors")

    def __init__(
        self,
        starts: tuple[int, ...],
        successors: Sequence[tuple[int, ...]],
        expected: list[int],
        loops: dict[int, tuple[int, ...]] | None,
        inside: frozenset[int] | None,
    ) -> None:
        """Keep the tables of `make_route`."""
        self.starts = starts
        self.successors = successors
        self.expected = expected
        self.loops = loops
        self.inside = inside
        self.loops_expected: dict[int, int] = {}
        if loops:
            for targets in loops.values():
                for target in targets:
                    self.loops_expected[target] = self.loops_expected.get(target, 0) + 1


def make_route(
    graph: Sequence[tuple[int, ...]], starts: tuple[int, ...], inside: frozenset[int] | None = None
) -> Route:
    """Walk `graph` (successors by number) depth first from `starts` and sort its edges."""
    if inside is not None:
        graph = [tuple(s for s in row if s in inside) for row in graph]
    expected = [UNREACHED] * len(graph)
    on_path = bytearray(len(graph))
    loops: dict[int, list[int]] = {}
    for start in starts:
        if expected[start] != UNREACHED:
            continue
        expected[start] = 0
        on_path[start] = 1
        stack = [(start, iter(graph[start]))]
        while stack:
            number, rest = stack[-1]
            for after in rest:
                if expected[after] == UNREACHED:
                    expected[after] = 1
                    on_path[after] = 1
                    stack.append((after, iter(graph[after])))
                    break
                if on_path[after]:
                    loops.setdefault(number, []).append(after)
                else:
                    expected[after] += 1
            else:
                on_path[number] = 0
                stack.pop()
    if not loops:
        return Route(starts, graph, expected, None, inside)
    forward = [tuple(s for s in row if s not in loops.get(n, ())) for n, row in enumerate(graph)]
    return Route(starts, forward, expected, {n: tuple(targets) for n, targets in loops.items()}, inside)


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
