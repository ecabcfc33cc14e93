"""SVG and HTML of a graph: shapes and colours for a layout; nothing is fetched from elsewhere.

Elements say by `data-` attributes what they stand for. Labels may be shortened: the full id is the element's title.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from .ascii import to_ascii
from .frame import Run, Size
from .layout import Box, Picture, Route, lay_out
from .outline import Outline
from .text import columns, escape_xml, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARGIN = 20.0
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FONT_SIZE, TITLE_SIZE = 13.0, 12.0
CHARACTER = 0.62  # width of a column in font sizes: the widest of those fonts
LONGEST = 36  # columns of a label
TASK_HEIGHT, TASK_LEAST, TASK_PAD = 34.0, 60.0, 12.0
TITLE_PAD, TITLE_BASE = 14.0, 20.0  # of a group's title, from the left and from above
NOTE_HEIGHT = 26.0  # what a group says in which nothing is drawn
ARROW, ARROW_HALF = 8.0, 4.0
LEAN = 3.0  # an edge that runs less than this sideways is drawn straight
LOOP_HEIGHT, LOOP_WIDTH = 8.0, 32.0
BACKGROUND, INK, SOFT = "#ffffff", "#1b2733", "#5c6b7a"
TASK_FILL, TASK_LINE = "#eaf2fd", "#4b7bb5"
GROUP_FILLS, GROUP_LINE = ("#eef0f3", "#f7f8fa"), "#a3afbd"
EDGE_LINE, LOOP_LINE = "#5c6b7a", "#b5482f"


def to_svg(graph: Graph, name: str) -> str:
    """Draw a graph, under a name, as one self-contained SVG element."""
    outline = Outline(graph)
    picture = lay_out(outline, lambda node_id: _size(outline, node_id), _title_width)
    if not outline.ids:
        picture = Picture((_text_width("no tasks", FONT_SIZE), TASK_HEIGHT), [], [])
    width, height = _number(picture.width + 2 * MARGIN), _number(picture.height + 2 * MARGIN)
    boxes = {box.id: box for box in picture.boxes}
    tasks = [box for box in picture.boxes if not outline.is_group(box.id)]
    groups = [box for box in picture.boxes if outline.is_group(box.id)]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape_xml(name)}">',
        f"<title>{escape_xml(name)}</title>",
        f'<rect class="paper" width="{width}" height="{height}" rx="6" fill="{BACKGROUND}"/>',
        f'<g transform="translate({_number(MARGIN)} {_number(MARGIN)})" font-family="{FONT}">',
        *(line for box in groups for line in _group_box(box)),
        *(line for route in picture.routes for line in _edge(route, boxes[route.edge.source])),
        *(line for box in tasks for line in _task(box)),
        *(line for box in groups for line in _group_text(box, outline)),
    ]
    if not outline.ids:
        lines.append(_text("no tasks", picture.width / 2, TASK_HEIGHT / 2, FONT_SIZE, SOFT))
    return "\n".join([*lines, "</g>", "</svg>"])


def to_html(graph: Graph, name: str) -> str:
    """Draw a graph, under a name, for a notebook: a picture that scrolls, and the same as text."""
    return (
        '<div class="graflow-graph">\n'
        f'<div style="max-width:100%;overflow:auto">\n{to_svg(graph, name)}\n</div>\n'
        f"<details><summary>{escape_xml(name)} as text</summary>\n"
        f"<pre>{_escape_lines(to_ascii(graph))}</pre>\n</details>\n</div>"
    )


def _escape_lines(text: str) -> str:
    """Escape a text of several lines."""
    return "\n".join(map(escape_xml, text.split("\n")))


def _size(outline: Outline, node_id: str) -> Size:
    """Give the size of a task's box, or of what a group says in which nothing is drawn."""
    if outline.is_group(node_id):
        return _text_width(outline.note(node_id), TITLE_SIZE) + 2 * TITLE_PAD, NOTE_HEIGHT
    width = _text_width(_label(node_id), FONT_SIZE) + 2 * TASK_PAD
    return max(width, TASK_LEAST), TASK_HEIGHT


def _title_width(group: str) -> float:
    """Give the least width of a group's box."""
    return _text_width(_label(group), TITLE_SIZE) + 2 * TITLE_PAD


def _label(text: str) -> str:
    """Give what is written of an id."""
    return shorten(printable(text), LONGEST)


def _text_width(text: str, size: float) -> float:
    """Estimate the width of a text."""
    return columns(text) * size * CHARACTER


def _group_box(box: Box) -> Iterator[str]:
    """Draw the box of a group; neighbouring depths differ in shade."""
    yield f'<g class="group" data-id="{escape_xml(box.id)}"><title>{escape_xml(box.id)}</title>'
    yield f'{_rect(box, 10)} fill="{GROUP_FILLS[box.depth % 2]}" stroke="{GROUP_LINE}"/></g>'


def _group_text(box: Box, outline: Outline) -> Iterator[str]:
    """Write the title of a group, readable where an edge crosses it, and what it says if nothing is drawn in it."""
    x, y, label = box.x + TITLE_PAD, box.y + TITLE_BASE, _label(box.id)
    place = f'x="{_number(x - 2)}" y="{_number(y - TITLE_SIZE)}"'
    size = f'width="{_number(_text_width(label, TITLE_SIZE) + 4)}" height="{_number(TITLE_SIZE + 4)}"'
    yield f'<g class="group-title" data-id="{escape_xml(box.id)}">'
    yield f'<rect class="paper" {place} {size} fill="{GROUP_FILLS[box.depth % 2]}"/>'
    yield _text(label, x, y, TITLE_SIZE, SOFT, ' font-weight="600"', anchor="start")
    if not outline.children[box.id]:
        note = outline.note(box.id)
        yield _text(note, box.x + box.width / 2, box.y + box.height - NOTE_HEIGHT / 2, TITLE_SIZE, SOFT)
    yield "</g>"


def _task(box: Box) -> Iterator[str]:
    """Draw the box of a task."""
    yield f'<g class="task" data-id="{escape_xml(box.id)}"><title>{escape_xml(box.id)}</title>'
    yield f'{_rect(box, 6)} fill="{TASK_FILL}" stroke="{TASK_LINE}" stroke-width="1.2"/>'
    yield _text(_label(box.id), box.x + box.width / 2, box.y + box.height / 2, FONT_SIZE, INK)
    yield "</g>"


def _rect(box: Box, radius: int) -> str:
    """Begin a rectangle."""
    place = f'x="{_number(box.x)}" y="{_number(box.y)}"'
    return f'<rect {place} width="{_number(box.width)}" height="{_number(box.height)}" rx="{radius}"'


def _text(text: str, x: float, y: float, size: float, ink: str, more: str = "", anchor: str = "middle") -> str:
    """Write a text at a place; one that fonts disagree on is fitted to its estimated width."""
    base = y if anchor == "start" else y + size * 0.35
    if not text.isascii():
        more += f' textLength="{_number(_text_width(text, size))}" lengthAdjust="spacingAndGlyphs"'
    place = f'x="{_number(x)}" y="{_number(base)}" font-size="{_number(size)}" text-anchor="{anchor}"'
    return f'<text {place} fill="{ink}"{more}>{escape_xml(text)}</text>'


def _edge(route: Route, box: Box) -> Iterator[str]:
    """Draw an edge with its arrow head; `box` is where it begins."""
    edge = route.edge
    line = LOOP_LINE if edge.is_loop else EDGE_LINE
    dashes = ' stroke-dasharray="6 4"' if edge.is_loop else ' stroke-dasharray="2 4"' if edge.is_member else ""
    kind = "edge member" if edge.is_member else "edge loop" if edge.is_loop else "edge"
    source, target = escape_xml(edge.source), escape_xml(edge.target)
    path, head = _curve(route.runs, has_head=not edge.is_member) if route.runs else _self_loop(box)
    yield f'<g class="{kind}" data-source="{source}" data-target="{target}"><title>{source} → {target}</title>'
    yield f'<path d="{path}" fill="none" stroke="{line}" stroke-width="1.4"{dashes}/>'
    yield f'<path class="head" d="{head}" fill="{line}"/></g>' if head else "</g>"


def _curve(runs: Sequence[Run], *, has_head: bool) -> tuple[str, str]:
    """Join vertical runs by curves; give the path and its arrow head."""
    x, begin, end = runs[0]
    parts = [f"M{_number(x)} {_number(begin)}"]
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
            parts.append(f"V{_number(end)}")
        middle = (end + next_begin) / 2
        points = (x, middle, next_x, middle, next_x, next_begin)
        parts.append("C" + " ".join(map(_number, points)))
        x, y, end = next_x, next_begin, next_end
    if end != y:
        parts.append(f"V{_number(end)}")
    half = f"{_number(ARROW_HALF)}"
    head = f"M{_number(x)} {_number(tip)}l-{half} {_number(-back)}h{_number(2 * ARROW_HALF)}z" if has_head else ""
    return "".join(parts), head


def _self_loop(box: Box) -> tuple[str, str]:
    """Lead out of the right side of a box and back; give the path and its arrow head."""
    x, y = box.x + box.width, box.y + box.height / 2
    far, above, below = x + LOOP_WIDTH, y - LOOP_HEIGHT, y + LOOP_HEIGHT
    points = (far, above - LOOP_HEIGHT, far, below + LOOP_HEIGHT, x + ARROW, below)
    path = f"M{_number(x)} {_number(above)}C" + " ".join(map(_number, points))
    half = _number(ARROW_HALF)
    return path, f"M{_number(x)} {_number(below)}l{_number(ARROW)} -{half}v{_number(2 * ARROW_HALF)}z"


def _number(value: float) -> str:
    """Write a number with at most one decimal."""
    text = f"{value:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")
