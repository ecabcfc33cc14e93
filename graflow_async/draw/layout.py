"""Layout: where the boxes of tasks and groups stand and which way edges run, in units of the caller's sizes.

Each container is laid out for itself, inner ones first (`frame`); in the one around it, it is a box among others. What
lies in a frame counts from its own left upper corner; here the frames are put together. No colours, no formats.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from .frame import TITLE, Builder, Frame, Port, Run, Size
from .outline import TOP, Edge, Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Corner = tuple[float, float]


class Box:
    """A task or a group with its place: left, top, width and height; `depth` counts the groups around it."""

    __slots__ = ("depth", "height", "id", "width", "x", "y")

    def __init__(self, node_id: str, corner: Corner, size: Size, depth: int) -> None:
        """Make a box."""
        self.id = node_id
        self.x, self.y = corner
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


def lay_out(
    outline: Outline,
    size_of: Callable[[str], Size],
    title_width: Callable[[str], float],
    loop_width: Callable[[str], float],
) -> Picture:
    """Lay out a graph.

    Args:
        outline: the graph as it is drawn.
        size_of: gives width and height of a task's box; of a group's, those of what it says where nothing is drawn.
        title_width: gives the least width of a group's box.
        loop_width: gives the room beside a box that leads to itself.
    """
    ports = _ports(outline)
    frames: dict[str | None, Frame] = {}
    for container in outline.containers:
        if container is not None and not outline.children[container]:
            width, height = size_of(container)
            frames[container] = Frame((max(width, title_width(container)), height + TITLE))
            continue
        builder = Builder(outline, container, frames, size_of, loop_width, ports.get(container, {}))
        frames[container] = builder.build(title_width(container) if container is not None else 0.0)
    corners: dict[str | None, Corner] = {TOP: (0.0, 0.0)}
    boxes: list[Box] = []
    for container in reversed(outline.containers):
        left, top = corners[container]
        for child, (x, y) in frames[container].places.items():
            corners[child] = (left + x, top + y)
            size = frames[child].size if outline.is_group(child) else size_of(child)
            boxes.append(Box(child, corners[child], size, len(outline.path[child]) - 1))
    routes = [Route(edge, list(_runs(outline, edge, frames, corners))) for edge in outline.edges]
    return Picture(frames[TOP].size, boxes, routes)


def _inside(outline: Outline, node_id: str, home: str | None) -> tuple[str, ...]:
    """List the containers around an id that lie within another, from outside to inside."""
    path = outline.path[node_id]
    return tuple(container for container in path[path.index(home) + 1 :] if container is not None)


def _ports(outline: Outline) -> dict[str | None, dict[Port, str]]:
    """Find where edges cross the borders of groups: group -> port -> the child that the edge comes from or leads to."""
    found: dict[str | None, dict[Port, str]] = {}
    for edge in outline.edges:
        for end, is_above in ((edge.source, edge.is_upward), (edge.target, not edge.is_upward)):
            around = _inside(outline, end, edge.home)
            for group, child in pairwise((*around, end)):
                found.setdefault(group, {})[end, is_above] = child
    return found


def _runs(
    outline: Outline, edge: Edge, frames: Mapping[str | None, Frame], corners: Mapping[str | None, Corner]
) -> Iterator[Run]:
    """Follow an edge from its source out of the groups around it, and into those around its target."""
    if edge.source == edge.target:
        return
    leaving = [(group, (edge.source, edge.is_upward)) for group in _inside(outline, edge.source, edge.home)]
    entering = [(group, (edge.target, not edge.is_upward)) for group in _inside(outline, edge.target, edge.home)]
    for container, wire in (*reversed(leaving), (edge.home, edge), *entering):
        left, top = corners[container]
        runs = frames[container].runs[wire]
        for x, begin, end in reversed(runs) if edge.is_upward else runs:
            yield (left + x, top + end, top + begin) if edge.is_upward else (left + x, top + begin, top + end)
