"""Layout: where the boxes of tasks and groups stand and which way edges run, in units of the caller's sizes.

Each container is laid out for itself, inner ones first, in rows from the top; in the one around it, it is a box among
others. An edge that crosses the border of a group does so at a *port*: a node without size, in the first or last row.
What is long passes the rows between through *bends*, nodes without size too, so that no edge runs through a box.
No colours, no formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layers import Link, arrange, axes, components, longest_path
from .outline import TOP, Edge, Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

WIDEST = 1400.0  # a row wider than this continues in the next
PAD = 16.0  # between the border of a group and what lies in it
TITLE = 30.0  # height of a group's title
APART = 28.0  # between two boxes in a row
BEND_APART = 12.0  # between an edge and its neighbour in a row
SHELF = 22.0  # between parts of a container that have no edge between them
GAP, WIDEST_GAP = 38.0, 96.0  # between two rows: the farther edges run sideways, the more
LANE = 12.0  # from the axis of a box to where edges that lead up are attached
LOOP = 34.0  # beside a box that leads to itself

Size = tuple[float, float]
Run = tuple[float, float, float]  # x, y where it begins, y where it ends, as the edge is followed
Port = tuple[str, bool]  # the id inside a group that an edge really joins, and whether it crosses the upper border


class Box:
    """A task or a group with its place: left, top, width and height; `depth` counts the groups around it."""

    __slots__ = ("depth", "height", "id", "width", "x", "y")

    def __init__(self, node_id: str, x: float, y: float, size: Size, depth: int) -> None:
        """Make a box."""
        self.id = node_id
        self.x = x
        self.y = y
        self.width, self.height = size
        self.depth = depth


class Route:
    """The way of an edge: vertical runs from source to target, to be joined by curves; none from a box to itself."""

    __slots__ = ("edge", "runs")

    def __init__(self, edge: Edge, runs: list[Run]) -> None:
        """Make a route."""
        self.edge = edge
        self.runs = runs


class Picture:
    """A finished layout: its size, its boxes (groups before what lies in them) and the routes of its edges."""

    __slots__ = ("boxes", "height", "routes", "width")

    def __init__(self, size: Size, boxes: list[Box], routes: list[Route]) -> None:
        """Make a picture."""
        self.width, self.height = size
        self.boxes = boxes
        self.routes = routes


class _Item:
    """Something in a row of a container: a child, a port or a bend; `x` is its axis, `y` its upper border."""

    __slots__ = ("child", "height", "port", "row", "side", "width", "x", "y")

    def __init__(self, child: str = "", port: Port | None = None, size: Size = (0.0, 0.0), side: float = 0.0) -> None:
        self.child = child
        self.port = port
        self.width, self.height = size
        self.side = side  # what it keeps free on both sides
        self.row = 0
        self.x = 0.0
        self.y = 0.0


class _Wire:
    """A connection between two items of a container; edges that run alike share it. `path` has its bends too."""

    __slots__ = ("lower", "lower_shift", "path", "runs", "upper", "upper_shift")

    def __init__(self, upper: int, lower: int, upper_shift: float, lower_shift: float) -> None:
        self.upper = upper
        self.lower = lower
        self.upper_shift = upper_shift
        self.lower_shift = lower_shift
        self.path: list[int] = []
        self.runs: list[Run] = []  # from the upper to the lower end


WireKey = tuple[str, Port] | tuple[Port | str, Port | str, bool, bool]


class _Frame:
    """A container laid out for itself, with places from its own left upper corner."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.places: dict[str, tuple[float, float]] = {}
        self.ports: dict[Port, float] = {}
        self.wires: dict[WireKey, _Wire] = {}


def lay_out(outline: Outline, size_of: Callable[[str], Size], title_width: Callable[[str], float]) -> Picture:
    """Lay out a graph.

    Args:
        outline: the graph as it is drawn.
        size_of: gives width and height of a task's box, and of a group's in which nothing is drawn.
        title_width: gives the least width of a group's box.
    """
    crossing = _crossing(outline)
    frames: dict[str | None, _Frame] = {}
    for container in outline.containers:
        sizes: dict[str, Size] = {}
        for child in outline.children[container]:
            frame = frames.get(child)
            sizes[child] = frame.size if frame else size_of(child)
        ports = crossing.get(container, {})
        if container is not TOP and not sizes:
            width, height = size_of(container)
            frames[container] = _Frame((max(width, title_width(container)), height))
            continue
        builder = _Builder(outline, container, sizes, frames, ports)
        frames[container] = builder.build(0.0 if container is TOP else title_width(container))
    corners: dict[str | None, tuple[float, float]] = {TOP: (0.0, 0.0)}
    boxes: list[Box] = []
    for container in reversed(outline.containers):
        left, top = corners[container]
        for child, (x, y) in frames[container].places.items():
            corners[child] = (left + x, top + y)
    ...
