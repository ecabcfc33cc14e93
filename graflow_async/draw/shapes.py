"""Shapes of edges: vertical runs joined by curves, arrow heads, and the loop beside a box that leads to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frame import Run
from .layout import Box
from .paint import number

if TYPE_CHECKING:
    from collections.abc import Sequence

ARROW, ARROW_HALF = 8.0, 4.0
LEAN = 3.0  # an edge that runs less than this sideways is drawn straight
LOOP_HEIGHT, LOOP_WIDTH = 8.0, 32.0


def curve(runs: Sequence[Run], *, has_head: bool) -> tuple[str, str]:
    """Join vertical runs by curves; give the path and its arrow head."""
    x, begin, end = runs[0]
    parts = [f"M{number(x)} {number(begin)}"]
    y = begin
    last_x, last_begin, tip = runs[-1]
    back = (ARROW if last_begin > begin else -ARROW) if has_head else 0.0
    # The line ends where the head begins: at once if the last run has no length.
    last_begin = last_begin if abs(tip - last_begin) > ARROW else tip - back
    for next_x, next_begin, next_end in (*runs[1:-1], (last_x, last_begin, tip - back)):
        if abs(next_x - x) <= LEAN:
            end = next_end
            continue
        if end != y:
            parts.append(f"V{number(end)}")
        middle = (end + next_begin) / 2
        points = (x, middle, next_x, middle, next_x, next_begin)
        parts.append("C" + " ".join(map(number, points)))
        x, y, end = next_x, next_begin, next_end
    if end != y:
        parts.append(f"V{number(end)}")
    half = f"{number(ARROW_HALF)}"
    head = f"M{number(x)} {number(tip)}l-{half} {number(-back)}h{number(2 * ARROW_HALF)}z" if has_head else ""
    return "".join(parts), head


def self_loop(box: Box) -> tuple[str, str]:
    """Lead out of the right side of a box and back; give the path and its arrow head."""
    x, y = box.x + box.width, box.y + box.height / 2
    far, above, below = x + LOOP_WIDTH, y - LOOP_HEIGHT, y + LOOP_HEIGHT
    points = (far, above - LOOP_HEIGHT, far, below + LOOP_HEIGHT, x + ARROW, below)
    path = f"M{number(x)} {number(above)}C" + " ".join(map(number, points))
    half = number(ARROW_HALF)
    return path, f"M{number(x)} {number(below)}l{number(ARROW)} -{half}v{number(2 * ARROW_HALF)}z"
