"""Text of a graph for terminals, in plain ASCII where the ids are.

Rows from the top, lines joining what follows each other. Where lines would cross or say too much, a task names what it
comes after (`<- a, b`); a loop is named where it begins (`-> back to a`). Groups are boxes; a row too long for the page
continues on further lines, in brackets.
"""

from __future__ import annotations

import re
from math import ceil, floor
from typing import TYPE_CHECKING

from ..graph import Graph
from .block import BETWEEN, Block, Bundle, beside, bracketed, framed, joined, shelved
from .layers import Link, arrange, axes, components, longest_path
from .outline import TOP, Edge, Outline
from .text import TIMES, columns, printable, shorten
from .view import View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Joint = tuple[list[int], list[int]]  # places in a row, and in the next, each of which is joined with each

PAGE = 100  # columns
NARROWEST = 40  # columns that a deeply nested group may take at least
LONGEST = 40  # columns of an id
NAMED = 12  # ids in a note; how many more there are is counted
ASCII = str.maketrans({TIMES: "x", "µ": "u", "…": "..."})  # in words of ours
PLAIN = re.compile(r"\w(?:[\w.\-]*\w)?")  # other ids are quoted, so that they cannot be taken for lines


def to_ascii(graph: Graph | View) -> str:
    """Draw a graph as text of about 100 columns; no line ends with a space."""
    outline = Outline(view_of(graph))
    if not outline.ids:
        return "(no tasks)"
    page = _Page(outline)
    for container in outline.containers:
        page.contents[container] = page.content(container)
    return "\n".join(line.rstrip() for line in page.contents[TOP].lines)


class _Page:
    """What has been set so far, and which edges are told in words instead of lines."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.contents: dict[str | None, Block] = {}
        self.incoming: dict[str, list[Edge]] = {}
        self.back: dict[str, list[str]] = {}
        self.also: dict[str, list[str]] = {}
        self.told: set[Edge] = set()
        for edge in outline.edges:
            if edge.is_member:
                self.also.setdefault(edge.target, []).append(edge.source)
            elif edge.is_loop and not (edge.source == edge.target and edge.source in outline.view.loops):
                self.back.setdefault(edge.source, []).append(edge.target)
            elif edge.source != edge.target:
                self.incoming.setdefault(edge.target, []).append(edge)
                if edge.is_upward or not edge.is_direct:
                    self.told.add(edge)

    def content(self, container: str | None) -> Block:
        """Set what lies in a container."""
        children = self.outline.children[container]
        depth = 0 if container is None else len(self.outline.path[container])
        limit = max(PAGE - 4 * depth, NARROWEST)
        numbers = {child: number for number, child in enumerate(children)}
        edges = [e for e in self.outline.inner[container] if not (e.is_upward or e.is_loop or e.is_member)]
        parts = components(len(children), [(numbers[edge.tail], numbers[edge.head]) for edge in edges])
        part_of = {children[number]: index for index, part in enumerate(parts) for number in part}
        inside: list[list[Edge]] = [[] for _ in parts]
        for edge in edges:
            inside[part_of[edge.tail]].append(edge)
        blocks = [
            _Part(self, [children[number] for number in part], own, limit).set()
            for part, own in zip(parts, inside, strict=True)
        ]
        return shelved(blocks, limit)

    def block(self, node_id: str, limit: int) -> Block:
        """Set a task or a group with its notes."""
        before = [edge.source for edge in self.incoming.get(node_id, ()) if edge in self.told]
        notes = [("<-", self.names(before)), ("-> back to", self.names(self.back.get(node_id, ())))]
        label = _shown(self.outline.look(node_id).label)
        said = (self.outline.look(node_id).words, self.outline.view.loops.get(node_id, ""))
        words = ", ".join(part for part in said if part).translate(ASCII)
        label = f"{label}: {words}" if words else label
        if self.outline.is_group(node_id):
            notes.append(("also", self.names(self.also.get(node_id, ()))))
            lines = [line for lead, ids in notes for line in _note(lead, ids, limit - 4)]
            content = self.contents[node_id].lines or ([] if lines else [f"({self.outline.note(node_id)})"])
            return framed(label, [*lines, *content])
        width = columns(label)
        room = max(limit - width - 1, NARROWEST)
        lines = [line for lead, ids in notes for line in _note(lead, ids, room)]
        if not lines:
            return Block([label])
        if columns("  ".join(lines)) <= room:
            lines = ["  ".join(lines)]
        first, *rest = (" " + line for line in lines)
        return Block([label + first, *(" " * width + line for line in rest)], axis=(width - 1) // 2)

    def names(self, ids: Iterable[str]) -> list[str]:
        """Give the names of some tasks and groups, each once."""
        return [_shown(self.outline.look(node_id).label) for node_id in dict.fromkeys(ids)]


class _Part:
    """A part of a container that hangs together, set in rows."""

    def __init__(self, page: _Page, children: list[str], edges: list[Edge], limit: int) -> None:
        self.page = page
        self.children = children
        self.limit = limit
        numbers = {child: number for number, child in enumerate(children)}
        self.edges = [(numbers[edge.tail], numbers[edge.head], edge) for edge in edges]
        successors: list[list[int]] = [[] for _ in children]
        for tail, head, _ in self.edges:
            successors[tail].append(head)
        row_of = longest_path(successors, [0] * len(children))
        rows: list[list[int]] = [[] for _ in range(max(row_of) + 1)]
        for number, row in enumerate(row_of):
            rows[row].append(number)
        self.neighbours: list[list[tuple[int, int]]] = [[] for _ in rows]  # direct edges from each row to the next
        near: list[Link] = []
        for tail, head, edge in self.edges:
            if row_of[head] == row_of[tail] + 1:
                near.append(Link(tail, head))
                if edge.is_direct:
                    self.neighbours[row_of[tail]].append((tail, head))
        self.rows = arrange(rows, near)
        self.broken: set[int] = set()

    def set(self) -> Block:
        """Choose lines and words for the edges, break rows that are too long, and put it all together."""
        while True:
            drawn = [self._draw(row) for row in range(len(self.rows) - 1)]
            self._tell_others(drawn)
            blocks = [self.page.block(child, self.limit) for child in self.children]
            long = {
                row
                for row, members in enumerate(self.rows)
                if sum(blocks[number].width + BETWEEN for number in members) - BETWEEN > self.limit and len(members) > 1
            }
            if long <= self.broken:
                break
            self.broken |= long
        joints = [
            [(self._whole(row, tails), self._whole(row + 1, heads)) for tails, heads in found]
            for row, found in enumerate(drawn)
        ]
        for row in self.broken:
            blocks.append(bracketed(shelved([blocks[number] for number in self.rows[row]], self.limit - 4)))
            self.rows[row] = [len(blocks) - 1]
        return _stack(blocks, self.rows, joints, self.limit)

    def _whole(self, row: int, places: list[int]) -> list[int]:
        """Give the places in a row as it is set: one that is broken has only one."""
        return [0] if row in self.broken else places

    def _draw(self, row: int) -> list[Joint]:
        """Choose what lines join in two rows: all of some places above with all of some below, none crossing."""
        upper, lower = self.rows[row], self.rows[row + 1]
        above = {number: place for place, number in enumerate(upper)}
        below = {number: place + len(upper) for place, number in enumerate(lower)}
        pairs = {(above[tail], below[head]) for tail, head in self.neighbours[row]}
        found: list[Joint] = []
        for part in components(len(upper) + len(lower), list(pairs)):
            tails = [place for place in part if place < len(upper)]
            heads = [place for place in part if place >= len(upper)]
            if not tails or not heads or any((tail, head) not in pairs for tail in tails for head in heads):
                continue
            if not found or (found[-1][0][-1] < tails[0] and found[-1][1][-1] < heads[0] - len(upper)):
                found.append((tails, [place - len(upper) for place in heads]))
        if self.broken & {row, row + 1}:
            # Lines cannot lead into brackets, only to all that is in them.
            return [joint for joint in found if len(joint[0]) == len(upper) and len(joint[1]) == len(lower)]
        return found

    def _tell_others(self, drawn: Sequence[Sequence[Joint]]) -> None:
        """Leave to words what no line says."""
        said = {
            (self.rows[row][tail], self.rows[row + 1][head])
            for row, found in enumerate(drawn)
            for tails, heads in found
            for tail in tails
            for head in heads
        }
        for tail, head, edge in self.edges:
            if edge.is_direct and (tail, head) in said:
                self.page.told.discard(edge)
            else:
                self.page.told.add(edge)


def _stack(blocks: Sequence[Block], rows: Sequence[list[int]], joints: Sequence[Sequence[Joint]], limit: int) -> Block:
    """Set rows of blocks below each other, with lines between them."""
    links = [
        Link(rows[row][tail], rows[row + 1][head])
        for row, found in enumerate(joints)
        for tails, heads in found
        for tail in tails
        for head in heads
    ]

    places = _places(blocks, rows, links, limit)
    lines: list[str] = []
    for row, members in enumerate(rows):
        found = joints[row] if row < len(joints) else ()
        height = max(len(blocks[number].lines) for number in members)
        leading = {members[tail] for tails, _ in found for tail in tails}
        tall: list[tuple[int, Block]] = []
        for number in members:
            block = blocks[number]
            tall.append((places[number] - block.axis, block.led_down(height) if number in leading else block))
        lines += beside(tall)
        if row < len(joints):
            bundles: list[Bundle] = [
                ([places[members[tail]] for tail in tails], [places[rows[row + 1][head]] for head in heads])
                for tails, heads in found
            ]
            lines += joined(bundles) if bundles else [""]
    return Block(lines, axis=places[rows[0][0]] if len(rows[0]) == 1 else None)


def _places(blocks: Sequence[Block], rows: Sequence[list[int]], links: Sequence[Link], limit: int) -> dict[int, int]:
    """Choose the column of each axis: near to what follows each other, on a page of the limit if every row fits it."""

    def gap(left: int, right: int) -> int:
        return blocks[left].width - blocks[left].axis + BETWEEN + blocks[right].axis

    wanted = axes([list(row) for row in rows], links, gap)
    begins = [floor(wanted[row[0]]) - blocks[row[0]].axis for row in rows]
    ends = [ceil(wanted[row[-1]]) - blocks[row[-1]].axis + blocks[row[-1]].width for row in rows]
    first, last = min(begins), max(ends)
    page = max(limit, *(sum(blocks[number].width + BETWEEN for number in row) - BETWEEN for row in rows))
    if last - first > page:
        # Rows have wandered sideways or are drawn out: keep to a page around the middle of most.
        first = (sum(begins) + sum(ends)) // (2 * len(rows)) - page // 2
        last = first + page
    found: dict[int, int] = {}
    for row in rows:
        least = first + blocks[row[0]].axis
        for number, after in zip(row, [*row[1:], -1], strict=True):
            found[number] = max(floor(round(wanted[number], 3) + 0.5), least)
            least = found[number] + (gap(number, after) if after >= 0 else 0)
        most = last - blocks[row[-1]].width + blocks[row[-1]].axis
        for number, before in zip(reversed(row), [*row[-2::-1], -1], strict=True):
            found[number] = min(found[number], most)
            most = found[number] - (gap(before, number) if before >= 0 else 0)
    start = min(found[row[0]] - blocks[row[0]].axis for row in rows)
    return {number: place - start for number, place in found.items()}


def _note(lead: str, names: Sequence[str], width: int) -> list[str]:
    """Write a note about some tasks, on as many lines as it takes."""
    if not names:
        return []
    words = [f"{name}," for name in names[:NAMED]]
    if len(names) > NAMED:
        words.append(f"and {len(names) - NAMED} more")
    words[-1] = words[-1].removesuffix(",")
    lines = [lead]
    for word in words:
        if columns(lines[-1]) + 1 + columns(word) > width and lines[-1] != lead:
            lines.append(" " * len(lead))
        lines[-1] += f" {word}"
    return lines


def _shown(node_id: str) -> str:
    """Write an id, quoted if it could be taken for lines or words of the drawing."""
    text = shorten(printable(node_id), LONGEST, "...")
    if (PLAIN.fullmatch(text) and text != "v") or ("..." in text and PLAIN.fullmatch(text.replace("...", ""))):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
