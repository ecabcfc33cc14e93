"""Frames: one container laid out for itself, its children in rows from the top.

An edge crosses the border of a group at a *port*, a node without size in the first or the last row. An edge over
several rows passes those between through *bends*, without size too, so that no edge runs through a box; long edges from
one box share their bends. Parts without an edge between them stand beside each other.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from .layers import Link, arrange, axes, components, longest_path, lowered
from .outline import TOP, Edge, Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDEST = 1200.0  # a row wider than this continues in the next
PAD = 16.0  # between the border of a group and what lies in it
TITLE = 30.0  # height of a group's title
APART = 28.0  # between two boxes in a row
EDGE_APART, BEND_APART = 18.0, 12.0  # between an edge and a box, and between two edges
SHELF = 24.0  # between parts that stand below each other
GAP, WIDEST_GAP, SLOPE = 38.0, 96.0, 0.07  # between two rows: the farther edges run sideways, the more
LANE = 12.0  # from the axis of a box to where edges of another kind are attached
STRAIGHT = 8.0  # how much more than at its ends an edge wants to be straight between its bends
ASIDE = 0.001  # how much edges that lead up or only show membership want to be straight: the others come first
UNIFORM = 260.0  # parts in several rows are set in columns unless one is wider than this

Size = tuple[float, float]
Run = tuple[float, float, float]  # x, y where it begins, y where it ends
Port = tuple[str, bool]  # the id inside a group that an edge really joins; whether it crosses the upper border
Wired = Edge | Port  # what a wire belongs to: an edge at home in the container, or a port of it


class Frame:
    """A container laid out, in units from its left upper corner.

    Attributes:
        size: its width and height.
        places: child -> its left upper corner.
        ports: port -> its x.
        runs: edge or port -> the vertical runs of its wire, from the upper to the lower end.
    """

    __slots__ = ("places", "ports", "runs", "size")

    def __init__(self, size: Size) -> None:
        """Make a frame with nothing in it."""
        self.size = size
        self.places: dict[str, tuple[float, float]] = {}
        self.ports: dict[Port, float] = {}
        self.runs: dict[Wired, list[Run]] = {}


class _Item:
    """A child, a port or a bend: `x` its axis, `y` its upper border, `top` and `bottom` those of its row."""

    __slots__ = ("bottom", "height", "row", "side", "top", "width", "x", "y")

    def __init__(self, size: Size = (0.0, 0.0), side: float = 0.0) -> None:
        self.width, self.height = size
        self.side = side  # what it keeps free beside itself
        self.row = 0
        self.x = self.y = self.top = self.bottom = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2 - self.side

    @property
    def right(self) -> float:
        return self.x + self.width / 2 + self.side


class _Wire:
    """A connection of two items, by number, with the distances from their axes; `path` goes through its bends."""

    __slots__ = ("is_main", "kind", "lower", "lower_shift", "path", "upper", "upper_shift")

    def __init__(
        self, upper: tuple[int, float], lower: tuple[int, float], kind: object = None, *, is_main: bool = True
    ) -> None:
        self.upper, self.upper_shift = upper
        self.lower, self.lower_shift = lower
        self.kind = kind  # only wires of one kind share bends
        self.is_main = is_main
        self.path: list[int] = []


class Builder:
    """Builds the frame of one container from those of the groups in it."""

    def __init__(
        self,
        outline: Outline,
        container: str | None,
        frames: Mapping[str | None, Frame],
        size_of: Callable[[str], Size],
        loop_width: Callable[[str], float],
        ports: Mapping[Port, str],
    ) -> None:
        """Take the children with their sizes, the edges at home here and the ports with the children they lead to."""
        edges = outline.inner[container]
        loops = {edge.source for edge in edges if edge.source == edge.target}
        self.is_top = container is TOP
        self.frames = frames
        self.ports = ports
        self.items: list[_Item] = []
        self.numbers: dict[str | Port, int] = {}
        for child in outline.children[container]:
            self.numbers[child] = len(self.items)
            size = frames[child].size if child in frames else size_of(child)
            self.items.append(_Item(size, loop_width(child) if child in loops else 0.0))
        for port in ports:
            self.numbers[port] = len(self.items)
            self.items.append(_Item())
        self.wires: dict[Wired, _Wire] = {}
        for edge in edges:
            if edge.source != edge.target:
                self._connect(edge)
        for port, child in ports.items():
            outer, inner = (self.numbers[port], 0.0), self._attached(child, port, 0.0)
            self.wires[port] = _Wire(outer, inner) if port[1] else _Wire(inner, outer)

    def _connect(self, edge: Edge) -> None:
        """Make the wire of an edge at home here."""
        lane = LANE if edge.is_upward else -LANE if edge.is_member else 0.0
        tail = self._attached(edge.tail, (edge.source, edge.is_upward), lane)
        head = self._attached(edge.head, (edge.target, not edge.is_upward), lane)
        kind = edge.is_upward, edge.is_loop, edge.is_member
        upper, lower = (head, tail) if edge.is_upward else (tail, head)
        self.wires[edge] = _Wire(upper, lower, kind, is_main=not any(kind))

    def _attached(self, child: str, port: Port, lane: float) -> tuple[int, float]:
        """Say where an edge joins a child: at its axis or lane, or at the port that leads on to what lies in it."""
        number = self.numbers[child]
        item = self.items[number]
        if port[0] != child:
            return number, self.frames[child].ports[port] - item.width / 2
        frame = self.frames.get(child)
        taken = [x - item.width / 2 for (_, is_above), x in frame.ports.items() if is_above == port[1]] if frame else []
        lanes = (lane + sign * step * LANE for step in range(int(item.width / 4 / LANE) + 1) for sign in (1, -1))
        # An edge of a group beside one of a task in it would pass for the same edge.
        return number, next((x for x in lanes if all(abs(x - other) >= LANE for other in taken)), lane)

    def build(self, least: float) -> Frame:
        """Lay out the container, at least so wide."""
        pairs = [(wire.upper, wire.lower) for wire in self.wires.values()]
        # Ports have to end at the border, so what has any stays in one piece.
        parts = [list(range(len(self.items)))] if self.ports else components(len(self.items), pairs)
        part_of = {number: index for index, part in enumerate(parts) for number in part}
        wires: list[list[_Wire]] = [[] for _ in parts]
        for wire in self.wires.values():
            wires[part_of[wire.upper]].append(wire)
        sizes = [self._build_part(part, inside) for part, inside in zip(parts, wires, strict=True)]
        width, height = self._shelve(parts, sizes)
        if self.is_top:
            return self._finish((width, height), 0.0, 0.0)
        above = 0.0 if any(is_above for _, is_above in self.ports) else TITLE
        below = 0.0 if any(not is_above for _, is_above in self.ports) else PAD
        outer = max(width + 2 * PAD, least)
        return self._finish((outer, height + above + below), (outer - width) / 2, above)

    def _build_part(self, part: list[int], wires: list[_Wire]) -> Size:
        """Lay out a connected part with its upper left corner at the origin; give its size."""
        self._find_rows(part, wires)
        part.extend(self._add_bends(wires))
        rows: list[list[int]] = [[] for _ in range(max((self.items[n].row for n in part), default=-1) + 1)]
        for number in part:
            rows[self.items[number].row].append(number)
        links = self._links(wires)
        rows = arrange(rows, links)
        for number, x in axes(rows, links, self._gap).items():
            self.items[number].x = x
        height = self._stack(rows, links)
        left = min((self.items[number].left for number in part), default=0.0)
        right = max((self.items[number].right for number in part), default=0.0)
        self._move(part, -left, 0.0)
        return right - left, height

    def _find_rows(self, part: list[int], wires: Sequence[_Wire]) -> None:
        """Give each item its row by the longest path to it; rows too wide are broken."""
        local = {number: index for index, number in enumerate(part)}
        successors: list[list[int]] = [[] for _ in part]
        for wire in wires:
            successors[local[wire.upper]].append(local[wire.lower])
        upper = {self.numbers[port] for port in self.ports if port[1]}
        lower = {self.numbers[port] for port in self.ports if not port[1]}
        least = [1 if upper and number not in upper else 0 for number in part]
        rows = lowered(longest_path(successors, least), successors)
        last = 1 + max(rows, default=-1)
        members: list[list[int]] = [[] for _ in range(last + 1)]
        for number, row in zip(part, rows, strict=True):
            members[last if number in lower else row].append(number)
        row = 0
        for numbers in members:
            if not numbers:
                continue
            width = sum(self.items[number].width + APART for number in numbers)
            each = ceil(len(numbers) / ceil(max(width, 1.0) / WIDEST))
            for index, number in enumerate(numbers):
                self.items[number].row = row + index // each
            row += (len(numbers) - 1) // each + 1

    def _add_bends(self, wires: Sequence[_Wire]) -> list[int]:
        """Lead long wires through the rows between; those with a common end and kind stay together."""
        long = [wire for wire in wires if self.items[wire.lower].row - self.items[wire.upper].row > 1]
        together: dict[object, int] = {}
        for wire in long:
            for end in ((wire.upper, wire.upper_shift, wire.kind, 0), (wire.lower, wire.lower_shift, wire.kind, 1)):
                together[end] = together.get(end, 0) + 1
        bends: dict[tuple[object, int], int] = {}
        first = len(self.items)
        for wire in wires:
            above, below = self.items[wire.upper].row, self.items[wire.lower].row
            one: object = (wire.upper, wire.upper_shift, wire.kind, 0)
            other: object = (wire.lower, wire.lower_shift, wire.kind, 1)
            bundle = one if together.get(one, 0) >= together.get(other, 0) else other
            wire.path = [wire.upper]
            for row in range(above + 1, below):
                number = bends.setdefault((bundle, row), len(self.items))
                if number == len(self.items):
                    self.items.append(_Item())
                    self.items[number].row = row
                wire.path.append(number)
            wire.path.append(wire.lower)
        return list(range(first, len(self.items)))

    def _links(self, wires: Sequence[_Wire]) -> list[Link]:
        """Cut the wires into pieces between neighbouring rows; the more of them share a piece, the straighter it is."""
        links: dict[tuple[int, int, float, float], Link] = {}
        for wire in wires:
            last = len(wire.path) - 2
            for index, (upper, lower) in enumerate(pairwise(wire.path)):
                upper_shift = wire.upper_shift if index == 0 else 0.0
                lower_shift = wire.lower_shift if index == last else 0.0
                importance = 1.0 if wire.is_main else ASIDE
                key = upper, lower, upper_shift, lower_shift
                link = links.setdefault(key, Link(upper, lower, upper_shift, lower_shift, importance))
                if 0 < index < last:
                    link.weight += STRAIGHT * importance
        return list(links.values())

    def _gap(self, left: int, right: int) -> float:
        """Say how far the axes of neighbours in a row are apart at least."""
        one, other = self.items[left], self.items[right]
        points = (not one.width) + (not other.width)
        apart = (APART, EDGE_APART, BEND_APART)[points]
        return one.width / 2 + one.side + apart + other.side + other.width / 2

    def _stack(self, rows: Sequence[Sequence[int]], links: Sequence[Link]) -> float:
        """Put the rows below each other; give their height."""
        sideways = [0.0] * len(rows)
        for link in links:
            upper, lower = self.items[link.upper], self.items[link.lower]
            distance = abs(upper.x + link.upper_shift - lower.x - link.lower_shift)
            sideways[upper.row] = max(sideways[upper.row], distance)
        y = 0.0
        for index, row in enumerate(rows):
            height = max((self.items[number].height for number in row), default=0.0)
            for number in row:
                item = self.items[number]
                item.top, item.bottom = y, y + height
                item.y = y + (height - item.height) / 2
            y += height
            if index < len(rows) - 1:
                y += min(GAP + SLOPE * sideways[index], WIDEST_GAP)
        return y

    def _shelve(self, parts: Sequence[Sequence[int]], sizes: Sequence[Size]) -> Size:
        """Set parts beside each other, and below when the row is full; give the size of it all."""
        widest = max((width for width, _ in sizes), default=0.0)
        in_columns = widest <= UNIFORM and sum(width + APART for width, _ in sizes) > WIDEST
        x = y = shelf = whole = 0.0
        for part, (width, height) in zip(parts, sizes, strict=True):
            cell = widest if in_columns else width
            if x and x + cell > WIDEST:
                x, y, shelf = 0.0, y + shelf + SHELF, 0.0
            self._move(part, x + (cell - width) / 2, y)
            whole = max(whole, x + cell)
            shelf = max(shelf, height)
            x += cell + APART
        return whole, y + shelf

    def _move(self, part: Sequence[int], x: float, y: float) -> None:
        """Move items together."""
        for number in part:
            item = self.items[number]
            item.x += x
            item.y += y
            item.top += y
            item.bottom += y

    def _finish(self, size: Size, left: float, top: float) -> Frame:
        """Read the frame off the items, moved into place."""
        self._move(range(len(self.items)), left, top)
        frame = Frame(size)
        for name, number in self.numbers.items():
            item = self.items[number]
            if isinstance(name, str):
                frame.places[name] = item.x - item.width / 2, item.y
            else:
                frame.ports[name] = item.x
        for wired, wire in self.wires.items():
            upper, lower = self.items[wire.upper], self.items[wire.lower]
            runs = [(upper.x + wire.upper_shift, upper.y + upper.height, upper.bottom)]
            runs += [(bend.x, bend.top, bend.bottom) for bend in map(self.items.__getitem__, wire.path[1:-1])]
            frame.runs[wired] = [*runs, (lower.x + wire.lower_shift, lower.top, lower.y)]
        return frame
