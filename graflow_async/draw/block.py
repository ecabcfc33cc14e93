"""Blocks: rectangles of text, how they are set beside and below each other, framed and joined by lines.

Nothing about graphs; columns of a fixed-width font are the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layers import longest_path
from .text import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BETWEEN = 3  # columns between two blocks
UNIFORM = 30  # blocks in several rows are set in columns unless one is wider than this

Bundle = tuple[list[int], list[int]]  # columns above and columns below of which each is joined with each


class Block:
    """Lines of text with their greatest width; lines from other blocks meet it at the column `axis`."""

    __slots__ = ("axis", "lines", "width")

    def __init__(self, lines: Sequence[str], axis: int | None = None, width: int | None = None) -> None:
        """Take the lines; without an axis it is in the middle."""
        self.lines = list(lines)
        self.width = max(map(columns, self.lines), default=0) if width is None else width
        self.axis = (self.width - 1) // 2 if axis is None else axis

    def led_down(self, height: int) -> Block:
        """Draw a line at the axis from under what is there down to a height."""
        lines = self.lines + [""] * (height - len(self.lines))
        for number in range(len(lines) - 1, 0, -1):
            line = lines[number].ljust(self.axis + 1)
            if line[self.axis] != " ":
                break
            lines[number] = line[: self.axis] + "|" + line[self.axis + 1 :]
        return Block(lines, self.axis)


def padded(line: str, width: int) -> str:
    """Fill a line with spaces."""
    return line + " " * (width - columns(line))


def beside(blocks: Iterable[tuple[int, Block]]) -> list[str]:
    """Set blocks side by side, each from its column on, the leftmost first."""
    placed = list(blocks)
    lines: list[str] = []
    for number in range(max((len(block.lines) for _, block in placed), default=0)):
        line = ""
        for left, block in placed:
            if number < len(block.lines):
                line = padded(line, left) + block.lines[number]
        lines.append(line)
    return lines


def shelved(blocks: Sequence[Block], limit: int) -> Block:
    """Set blocks beside each other, and below when the page is full, then in columns if they are small."""
    if len(blocks) == 1:
        return blocks[0]
    one_line = all(len(block.lines) == 1 for block in blocks)
    widest = max((block.width for block in blocks), default=0)
    in_columns = widest <= UNIFORM and sum(block.width + BETWEEN for block in blocks) - BETWEEN > limit
    cell = widest if in_columns else 0
    shelves: list[list[tuple[int, Block]]] = []
    left = 0
    for block in blocks:
        if not shelves or left + block.width > limit:
            shelves.append([])
            left = 0
        shelves[-1].append((left, block))
        left += max(block.width, cell) + BETWEEN
    lines: list[str] = []
    for shelf in shelves:
        if lines and not one_line:
            lines.append("")
        lines += beside(shelf)
    return Block(lines)


def framed(title: str, lines: Sequence[str]) -> Block:
    """Put a box with a title around lines."""
    width = max(columns(title) + 4, *map(columns, lines))
    top = f"+-- {title} {'-' * (width - columns(title) - 2)}+"
    return Block([top, *(f"| {padded(line, width)} |" for line in lines), f"+{'-' * (width + 2)}+"])


def bracketed(block: Block) -> Block:
    """Put brackets around the lines of a block, so that they read as one row."""
    return Block([f"[ {padded(line, block.width)} ]" for line in block.lines])


def joined(bundles: Sequence[Bundle]) -> list[str]:
    """Draw the lines between two rows; bundles come from left to right, above and below alike.

    A bundle that is not just one column needs a level where its line runs sideways. Of two that overlap, the one that
    starts inside the other's reach turns aside first: so no two lines meet.
    """
    under: list[list[int]] = [[] for _ in bundles]
    for number, (above, below) in enumerate(bundles):
        for other in range(number):
            other_above, other_below = bundles[other]
            if max(other_above[-1], other_below[-1]) + 1 < min(above[0], below[0]):
                continue
            upper, lower = (number, other) if above[0] <= other_below[-1] + 1 else (other, number)
            under[upper].append(lower)
    straight = [above == below and len(above) == 1 for above, below in bundles]
    levels = [
        0 if is_straight else level
        for is_straight, level in zip(straight, longest_path(under, [1] * len(bundles)), strict=True)
    ]
    lines = [_marks((column, "|") for above, _ in bundles for column in above)]
    levelled = list(zip(bundles, levels, strict=True))
    for level in range(1, max(levels, default=0) + 1):
        lines.append(_level(levelled, level))
        ended = {column for (above, _), own in levelled if own == level for column in above}
        if any(own == level + 1 and ended.intersection(below) for (_, below), own in levelled):
            lines.append(_level(levelled, level + 0.5))  # else a corner would stand right on another
    lines.append(_marks((column, "v") for _, below in bundles for column in below))
    return lines


def _level(bundles: Iterable[tuple[Bundle, int]], level: float) -> str:
    """Draw the lines at a level: sideways those whose own it is, the others on their way to theirs or from it."""
    marks: list[tuple[int, str]] = []
    for (above, below), own in bundles:
        if own == level:
            ends = {*above, *below}
            marks += [(column, "+" if column in ends else "-") for column in range(min(ends), max(ends) + 1)]
        else:
            marks += [(column, "|") for column in (above if own > level else below)]
    return _marks(marks)


def _marks(marks: Iterable[tuple[int, str]]) -> str:
    """Write characters at their columns."""
    line: list[str] = []
    for column, mark in marks:
        line += " " * (column + 1 - len(line))
        line[column] = mark
    return "".join(line)
