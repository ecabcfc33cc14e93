"""Reads an SVG drawing back: boxes, texts and the ways of edges, as numbers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import NamedTuple

SVG = "{http://www.w3.org/2000/svg}"
NARROWEST_ADVANCE = 0.6  # of a fixed-width font, in font sizes
STEPS = 16  # pieces into which a curve is cut

Point = tuple[float, float]


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Rect) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def contains(self, other: Rect) -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def has_inside(self, point: Point) -> bool:
        return self.left < point[0] < self.right and self.top < point[1] < self.bottom

    def is_entered(self, points: list[Point], margin: float) -> bool:
        """Say whether a line through some points runs through it, a strip along the border aside."""
        left, top, right, bottom = (
            self.left + margin,
            self.top + margin,
            self.right - margin,
            self.bottom - margin,
        )
        return any(
            (y < bottom or y_2 < bottom)
            and (y > top or y_2 > top)
            and (x < right or x_2 < right)
            and (x > left or x_2 > left)
            for (x, y), (x_2, y_2) in pairwise(points)
        )

    def distance_to_border(self, point: Point) -> float:
        """Say how far a point is from the nearest point of the outline."""
        x, y = point
        if self.left <= x <= self.right and self.top <= y <= self.bottom:
            return min(x - self.left, self.right - x, y - self.top, self.bottom - y)
        dx = max(self.left - x, 0.0, x - self.right)
        dy = max(self.top - y, 0.0, y - self.bottom)
        return (dx * dx + dy * dy) ** 0.5


class Way(NamedTuple):
    """An edge: its ends, the classes it is drawn with, points along its line and the tip of its head, if it has one."""

    source: str
    target: str
    kinds: frozenset[str]
    points: list[Point]
    tip: Point | None


class Label(NamedTuple):
    """A text with the box it may take and whether the drawing fixes its width."""

    owner: str
    text: str
    rect: Rect
    is_fitted: bool


class SvgReader:
    def __init__(self, text: str) -> None:
        self.root = ET.fromstring(text)  # noqa: S314  # the text is ours
        self.width = float(self.root.get("width", "0"))
        self.height = float(self.root.get("height", "0"))
        canvas = next(part for part in self.root.findall(f"{SVG}g") if part.get("class") == "graph")
        shift = re.fullmatch(r"translate\((\S+) (\S+)\)", canvas.get("transform", ""))
        assert shift is not None
        self.shift = float(shift[1]), float(shift[2])
        self.tasks: dict[str, Rect] = {}
        self.groups: dict[str, Rect] = {}
        self.titles: dict[str, str] = {}
        self.told: dict[str, list[str]] = {}
        self.kinds: dict[str, frozenset[str]] = {}
        self.labels: list[Label] = []
        self.ways: list[Way] = []
        for element in canvas:
            kinds = frozenset(element.get("class", "").split())
            owner = element.get("data-id", "")
            self.labels += [self._label(owner, text) for text in element.iter(f"{SVG}text")]
            if "edge" in kinds:
                self.ways.append(_way(element, kinds))
            elif kinds & {"task", "group"}:
                boxes = self.tasks if "task" in kinds else self.groups
                assert owner not in boxes, f"{owner!r} is drawn twice"
                boxes[owner] = _rect(element.find(f"{SVG}rect"))
                self.titles[owner], *self.told[owner] = element.findtext(f"{SVG}title", "").split("\n")
                self.kinds[owner] = kinds

    def box(self, node_id: str) -> Rect:
        return self.tasks.get(node_id) or self.groups[node_id]

    @property
    def canvas(self) -> Rect:
        """The whole, in the coordinates of the boxes."""
        x, y = self.shift
        return Rect(-x, -y, self.width - x, self.height - y)

    def _label(self, owner: str, element: ET.Element) -> Label:
        text = element.text or ""
        x, y, size = (float(element.get(name, "nan")) for name in ("x", "y", "font-size"))
        length = element.get("textLength")
        width = float(length) if length else len(text) * size * NARROWEST_ADVANCE
        left = x - width / 2 if element.get("text-anchor") == "middle" else x
        return Label(owner, text, Rect(left, y - size * 0.8, left + width, y + size * 0.25), length is not None)


def _rect(element: ET.Element | None) -> Rect:
    assert element is not None
    x, y, width, height = (float(element.get(name, "nan")) for name in ("x", "y", "width", "height"))
    return Rect(x, y, x + width, y + height)


def _way(element: ET.Element, kinds: frozenset[str]) -> Way:
    line, *heads = element.findall(f"{SVG}path")
    tip = None
    if heads:
        tip = next(iter(_follow(heads[0].get("d", ""))))
    return Way(
        element.get("data-source", ""), element.get("data-target", ""), kinds, list(_follow(line.get("d", ""))), tip
    )


def _follow(path: str) -> list[Point]:
    """Give points along a path; after the first of an arrow head nothing is of interest."""
    points: list[Point] = []
    for letter, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        n = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", numbers)]
        if letter == "M":
            points.append((n[0], n[1]))
        elif letter == "V":
            points.append((points[-1][0], n[0]))
        elif letter == "C":
            points += _curve(points[-1], (n[0], n[1]), (n[2], n[3]), (n[4], n[5]))
        elif letter in "lhvz":
            break
        else:
            raise AssertionError(f"a path with {letter}: {path}")
    return points


def _curve(a: Point, b: Point, c: Point, d: Point) -> list[Point]:
    found: list[Point] = []
    for step in range(1, STEPS + 1):
        t = step / STEPS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        ends = (a, b, c, d)
        found.append(
            (
                sum(w * p[0] for w, p in zip(weights, ends, strict=True)),
                sum(w * p[1] for w, p in zip(weights, ends, strict=True)),
            )
        )
    return found
