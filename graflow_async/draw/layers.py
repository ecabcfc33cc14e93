"""Layers: which way edges run, what stands in which row, in which order and how far apart; for text and picture alike.

Nodes are numbers from 0, edges successor lists or pairs; no ids, no formats, no units.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SWEEPS = 8  # walks over the rows, each in both directions; further ones change little
STARTS = ((False, False), (True, False), (False, True), (True, True))  # mirrored, and the first walk upwards
SOME_EDGES = 400  # beyond this one beginning has to do
MANY_EDGES = 4000  # beyond this no order is readable, and sorting takes long


def back_edges(successors: Sequence[Sequence[int]]) -> set[tuple[int, int]]:
    """Find edges without which there is no cycle: those to a node on the path of a walk from the roots."""
    entered = {after for row in successors for after in row}
    starts = [n for n in range(len(successors)) if n not in entered] + list(range(len(successors)))
    seen = bytearray(len(successors))
    on_path = bytearray(len(successors))
    found: set[tuple[int, int]] = set()
    for start in starts:
        if seen[start]:
            continue
        seen[start] = on_path[start] = 1
        stack = [(start, iter(successors[start]))]
        while stack:
            number, rest = stack[-1]
            for after in rest:
                if on_path[after]:
                    found.add((number, after))
                elif not seen[after]:
                    seen[after] = on_path[after] = 1
                    stack.append((after, iter(successors[after])))
                    break
            else:
                on_path[number] = 0
                stack.pop()
    return found


def downward_order(successors: Sequence[Sequence[int]]) -> list[int]:
    """Put the nodes of an acyclic graph in an order in which every edge leads on, the lowest numbers first."""
    waiting = [0] * len(successors)
    for row in successors:
        for after in row:
            waiting[after] += 1
    ready = [number for number, count in enumerate(waiting) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        number = heappop(ready)
        order.append(number)
        for after in successors[number]:
            waiting[after] -= 1
            if not waiting[after]:
                heappush(ready, after)
    return order


def longest_path(successors: Sequence[Sequence[int]], least: Sequence[int]) -> list[int]:
    """Give each node of an acyclic graph its row: below everything that leads to it, and not above its `least`."""
    rows = list(least)
    for number in downward_order(successors):
        for after in successors[number]:
            rows[after] = max(rows[after], rows[number] + 1)
    return rows


def lowered(rows: Sequence[int], successors: Sequence[Sequence[int]]) -> list[int]:
    """Move nodes of an acyclic graph down to what follows them where that shortens more edges than it lengthens.

    What nothing leads to stays where it is: a picture begins with what begins.
    """
    entering = [0] * len(rows)
    for row in successors:
        for after in row:
            entering[after] += 1
    found = list(rows)
    for number in reversed(downward_order(successors)):
        if 0 < entering[number] < len(successors[number]):
            found[number] = min(found[after] for after in successors[number]) - 1
    return found


def components(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Split the nodes into sets without an edge between them, each sorted, in order of their first."""
    leader = list(range(count))

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    found: dict[int, list[int]] = {}
    for number in range(count):
        found.setdefault(find(number), []).append(number)
    return list(found.values())


class Link:
    """A piece of an edge between neighbouring rows.

    Attributes:
        upper: the node it leaves.
        lower: the node in the next row that it reaches.
        upper_shift: how far from the axis of `upper` it is attached.
        lower_shift: how far from the axis of `lower` it is attached.
        weight: how much it wants to be straight.
    """

    __slots__ = ("lower", "lower_shift", "upper", "upper_shift", "weight")

    def __init__(
        self, upper: int, lower: int, upper_shift: float = 0.0, lower_shift: float = 0.0, weight: float = 1.0
    ) -> None:
        """Make a link."""
        self.upper = upper
        self.lower = lower
        self.upper_shift = upper_shift
        self.lower_shift = lower_shift
        self.weight = weight


def arrange(rows: list[list[int]], links: Sequence[Link]) -> list[list[int]]:
    """Order each row so that few links cross.

    Rows are sorted by the mean place of the neighbours, downwards and upwards by turns, each time followed by swaps of
    two that stand beside each other; that is tried from several beginnings, and the best order is kept.
    """
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for link in links:
        below.setdefault(link.upper, []).append(link.lower)
        above.setdefault(link.lower, []).append(link.upper)
    best, fewest = rows, _crossings(rows, below)
    for is_mirrored, is_upward in STARTS if len(links) <= SOME_EDGES else STARTS[:1]:
        order = [row[::-1] if is_mirrored else list(row) for row in rows]
        for turn in range(2 * SWEEPS if len(links) <= MANY_EDGES else 2):
            if not fewest:
                return best
            if is_upward == (turn % 2 == 0):
                for row, fixed in zip(order[-2::-1], order[:0:-1], strict=True):
                    _by_mean(row, fixed, below)
            else:
                for row, fixed in zip(order[1:], order, strict=False):
                    _by_mean(row, fixed, above)
            if len(links) <= MANY_EDGES:
                _swap(order, above, below)
            crossings = _crossings(order, below)
            if crossings < fewest:
                best, fewest = [list(row) for row in order], crossings
    return best


def _by_mean(row: list[int], fixed: list[int], neighbours: dict[int, list[int]]) -> None:
    """Sort a row by the mean place of each node's neighbours; a node without any keeps its place."""
    place = {node: index for index, node in enumerate(fixed)}
    stretch = len(fixed) / max(len(row), 1)
    keys: dict[int, float] = {}
    for index, node in enumerate(row):
        near = neighbours.get(node)
        keys[node] = sum(place[other] for other in near) / len(near) if near else index * stretch
    row.sort(key=keys.__getitem__)


def _swap(rows: list[list[int]], above: Mapping[int, list[int]], below: Mapping[int, list[int]]) -> None:
    """Swap neighbours in a row as long as fewer links cross for it."""
    place = {node: index for row in rows for index, node in enumerate(row)}

    def ends(node: int) -> tuple[list[int], list[int]]:
        return sorted(map(place.__getitem__, above.get(node, ()))), sorted(map(place.__getitem__, below.get(node, ())))

    for _ in range(SWEEPS):
        swapped = False
        for row in rows:
            near = {node: ends(node) for node in row}
            for index in range(len(row) - 1):
                left, right = row[index], row[index + 1]
                gain = sum(
                    _passing(one, other) - _passing(other, one)
                    for one, other in zip(near[left], near[right], strict=True)
                )
                if gain > 0:
                    row[index], row[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    swapped = True
        if not swapped:
            break


def _passing(left: Sequence[int], right: Sequence[int]) -> int:
    """Count the links of a node that cross links of its neighbour to the right; both lists are sorted."""
    return sum(bisect_left(right, end) for end in left)


def _crossings(rows: list[list[int]], below: dict[int, list[int]]) -> int:
    """Count how many links cross."""
    count = 0
    for row, lower in pairwise(rows):
        place = {node: index for index, node in enumerate(lower)}
        seen: list[int] = []
        for node in row:
            ends = sorted(place[other] for other in below.get(node, ()))
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def axes(rows: list[list[int]], links: Sequence[Link], gap: Callable[[int, int], float]) -> dict[int, float]:
    """Place the axis of each node: near its neighbours, and in its row at least `gap(left, right)` from the next.

    Rows are settled one after another, downwards and upwards by turns, each as near to what its neighbours want as the
    order and the gaps allow.
    """
    wishes: tuple[dict[int, list[Link]], dict[int, list[Link]]] = ({}, {})
    for link in links:
        wishes[0].setdefault(link.lower, []).append(link)
        wishes[1].setdefault(link.upper, []).append(link)
    gaps = [[gap(left, right) for left, right in pairwise(row)] for row in rows]
    found: dict[int, float] = {}
    for row, spaces in zip(rows, gaps, strict=True):
        start = -sum(spaces) / 2
        for index, node in enumerate(row):
            found[node] = start + sum(spaces[:index])
    turns = [0, 1] * SWEEPS
    for turn in (*turns, 2):
        for index in range(len(rows)) if turn != 1 else reversed(range(len(rows))):
            wanted: list[tuple[float, float]] = []
            for node in rows[index]:
                near: list[tuple[float, float]] = []
                if turn != 1:
                    near += [
                        (found[k.upper] + k.upper_shift - k.lower_shift, k.weight) for k in wishes[0].get(node, ())
                    ]
                if turn != 0:
                    near += [
                        (found[k.lower] + k.lower_shift - k.upper_shift, k.weight) for k in wishes[1].get(node, ())
                    ]
                weight = sum(w for _, w in near)
                wanted.append((sum(x * w for x, w in near) / weight, weight) if near else (found[node], 0.1))
            found.update(zip(rows[index], settle(wanted, gaps[index]), strict=True))
    return found


def settle(wanted: Sequence[tuple[float, float]], gaps: Sequence[float]) -> list[float]:
    """Place points in their order, at least the gaps apart, with the least sum of weighted squares from what is wanted.

    Without the gaps this is isotonic regression: neighbours that would overtake each other share their weighted mean.
    """
    offsets = [0.0]
    for space in gaps:
        offsets.append(offsets[-1] + space)
    blocks: list[tuple[float, float, int]] = []  # sum of weight * place, sum of weights, number of points
    for (place, weight), offset in zip(wanted, offsets, strict=False):
        total, mass, size = (place - offset) * weight, weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / mass:
            before = blocks.pop()
            total, mass, size = total + before[0], mass + before[1], size + before[2]
        blocks.append((total, mass, size))
    places = [total / mass for total, mass, size in blocks for _ in range(size)]
    return [place + offset for place, offset in zip(places, offsets, strict=False)]
