"""SVG and HTML of a graph or a run: shapes and colours for a layout; nothing is fetched from elsewhere.

Elements say by `data-` attributes what they stand for. Labels may be shortened: the full id is the element's title.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from .ascii import to_ascii
from .frame import Size
from .layout import Box, Picture, Route, lay_out
from .outline import Outline
from .paint import (
    CRITICAL,
    EDGE,
    FAINT_EDGE,
    FONT,
    GROUPS,
    JUMP,
    LOOP,
    MEMBER,
    PAPER,
    SIGN,
    SOFT,
    STATES,
    TASK,
    Key,
    Paint,
    classes,
    edge_key,
    legend,
    number,
    opening,
    sign,
    state_key,
    text_width,
    write,
)
from .shapes import LOOP_WIDTH, curve, self_loop
from .text import escape_xml, many, printable, shorten
from .view import Look, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MARGIN = 20.0
NAME_SIZE, TITLE_SIZE, NOTE_SIZE = 13.0, 12.0, 11.0
LONGEST, LONGEST_NOTE, LONGEST_HEADING = 36, 40, 100  # columns
TASK_HEIGHT, TASK_LEAST, TASK_PAD = 34.0, 60.0, 12.0
NOTE_LINE, BAR_LINE = 15.0, 7.0  # how much higher a box is for a note, and for a bar
BAR = 4.0
STACK = 3.0  # how far the cards of a box that stands for many lie apart
SIGN_ROOM = 2 * SIGN + 8
TITLE_PAD, TITLE_BASE = 14.0, 20.0  # of a group's title, from the left and from above
NOTE_HEIGHT = 26.0  # what a group says in which nothing is drawn
HEADING_SIZE, HEADING_HEIGHT = 13.0, 30.0
LEGEND_GAP = 18.0
_SOFT, _NAME = ' class="soft"', ' class="name"'


def to_svg(graph: Graph | View, name: str) -> str:
    """Draw a graph or a run, under a name, as one self-contained SVG element."""
    view = view_of(graph)
    outline = Outline(view)
    picture = lay_out(
        outline,
        lambda node: _size(outline, node),
        lambda group: _title_width(outline, group),
        lambda node: _beside(outline, node),
    )
    if not outline.ids:
        picture = Picture((text_width("no tasks", NAME_SIZE), TASK_HEIGHT), [], [])
    heading = shorten(printable(view.heading), LONGEST_HEADING)
    inner = max(picture.width, text_width(heading, HEADING_SIZE))
    keys, wide, high = legend(list(_keys(view, outline)), max(inner, 360.0))
    top = MARGIN + (HEADING_HEIGHT if heading else 0.0)
    below = top + picture.height + LEGEND_GAP
    end = below + high if keys else below - LEGEND_GAP
    lines = [
        *opening(name, (max(inner, wide) + 2 * MARGIN, end + MARGIN)),
        f'<g class="graph" transform="translate({number(MARGIN)} {number(top)})" font-family="{FONT}">',
        *_graph(outline, picture),
        "</g>",
    ]
    if heading:
        bold = ' class="ink" font-weight="600"'
        words = write(heading, MARGIN, MARGIN + HEADING_SIZE, HEADING_SIZE, PAPER.light.ink, bold)
        lines.append(f'<g class="heading" font-family="{FONT}">{words}</g>')
    if keys:
        lines.append(f'<g class="legend" transform="translate({number(MARGIN)} {number(below)})" font-family="{FONT}">')
        lines += [*keys, "</g>"]
    return "\n".join([*lines, "</svg>"])


def to_html(graph: Graph | View, name: str) -> str:
    """Draw a graph or a run, under a name, for a notebook: a picture that scrolls, and the same as text."""
    return (
        '<div class="graflow-graph">\n'
        f'<div style="max-width:100%;overflow:auto">\n{to_svg(graph, name)}\n</div>\n'
        f"<details><summary>{escape_xml(name)} as text</summary>\n"
        f"<pre>{_escape_lines(to_ascii(graph))}</pre>\n</details>\n</div>"
    )


def _escape_lines(text: str) -> str:
    """Escape a text of several lines."""
    return "\n".join(map(escape_xml, text.split("\n")))


def _graph(outline: Outline, picture: Picture) -> Iterator[str]:
    """Draw boxes and edges, what lies in front last."""
    boxes = {box.id: box for box in picture.boxes}
    tasks = [box for box in picture.boxes if not outline.is_group(box.id)]
    groups = [box for box in picture.boxes if outline.is_group(box.id)]
    for box in groups:
        yield from _group_box(box, outline.look(box.id))
    for route in picture.routes:
        yield from _edge(route, boxes[route.edge.source], outline.view)
    for box in tasks:
        yield from _task(box, outline.look(box.id))
    for box in groups:
        yield from _group_text(box, outline)
    if not outline.ids:
        yield write("no tasks", picture.width / 2, TASK_HEIGHT / 2, NAME_SIZE, SOFT.light.ink, _SOFT, anchor="middle")


# -- sizes ----------------------------------------------------------------------------------------------------


def _size(outline: Outline, node_id: str) -> Size:
    """Give the size of a task's box, or of what a group says in which nothing is drawn."""
    if outline.is_group(node_id):
        return text_width(outline.note(node_id), TITLE_SIZE) + 2 * TITLE_PAD, NOTE_HEIGHT
    look = outline.look(node_id)
    inside = max(text_width(_label(look), NAME_SIZE), text_width(_note(look), NOTE_SIZE))
    width = max(inside + (SIGN_ROOM if _has_sign(look) else 0.0) + 2 * TASK_PAD, TASK_LEAST)
    height = TASK_HEIGHT + (NOTE_LINE if look.note else 0.0) + (BAR_LINE if look.counts else 0.0)
    pile = 2 * STACK if look.is_many else 0.0
    return width + pile, height + pile


def _title_width(outline: Outline, group: str) -> float:
    """Give the least width of a group's box."""
    look = outline.look(group)
    note = text_width(_note(look), NOTE_SIZE) + 10 if look.note else 0.0
    before = SIGN_ROOM if _has_sign(look) else 0.0
    return before + text_width(_label(look), TITLE_SIZE) + note + 2 * TITLE_PAD


def _beside(outline: Outline, node_id: str) -> float:
    """Give the room beside a box that a loop takes."""
    return LOOP_WIDTH + 4 + (text_width(outline.view.loops[node_id], NOTE_SIZE) if node_id in outline.view.loops else 0)


def _label(look: Look) -> str:
    """Give what is written of a name."""
    return shorten(printable(look.label), LONGEST)


def _note(look: Look) -> str:
    """Give what is written of a note."""
    return shorten(printable(look.note), LONGEST_NOTE)


def _has_sign(look: Look) -> bool:
    """Say whether a state is shown."""
    return bool(look.state) or look.is_faint


# -- boxes ----------------------------------------------------------------------------------------------------


def _paint(look: Look) -> Paint:
    """Give the colours of a task."""
    return STATES[look.state] if _has_sign(look) else TASK


def _kinds(look: Look, *kinds: str) -> str:
    """Write the classes of a task or a group."""
    state = f"is-{look.state or 'open'}" if _has_sign(look) else ""
    return classes(*kinds, state, "critical" if look.is_critical else "")


def _title(look: Look) -> str:
    """Say everything about a box, for whoever points at it."""
    counts = ", ".join(f"{many(count)} {state}" for state, count in look.counts.items())
    lines = [look.label, look.state, look.note, counts, "critical path" if look.is_critical else ""]
    return f"<title>{'&#10;'.join(escape_xml(line) for line in lines if line)}</title>"


def _rect(x: float, y: float, width: float, height: float, radius: float) -> str:
    """Begin a rectangle."""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect class="box" {place} rx="{number(radius)}"'


def _border(look: Look, paint: Paint) -> str:
    """Write how a box is filled and bordered."""
    line, width = (CRITICAL.light.line, "2.4") if look.is_critical else (paint.light.line, "1.2")
    dashes = f' stroke-dasharray="{paint.dashes}"' if paint.dashes else ""
    return f'fill="{paint.light.fill}" stroke="{line}" stroke-width="{width}"{dashes}'


def _task(box: Box, look: Look) -> Iterator[str]:
    """Draw the box of a task; one that stands for many looks like a pile of cards."""
    paint = _paint(look)
    border = _border(look, paint)
    pile = 2 * STACK if look.is_many else 0.0
    width, height = box.width - pile, box.height - pile
    yield f'<g {_kinds(look, "task")} data-id="{escape_xml(box.id)}">{_title(look)}'
    yield f"{_rect(box.x, box.y, width, height, 7)} {border}/>"
    if look.is_many:
        for step in (1, 2):
            # Only what looks out from behind the card in front.
            x, y, out = box.x + step * STACK, box.y + step * STACK, STACK
            path = (
                f"M{number(x + 7)} {number(y + height)}H{number(x + width - 7)}"
                f"a7 7 0 0 0 7 -7V{number(y + 7)}a7 7 0 0 0 -{number(out)} -6"
            )
            yield f'<path class="pile" d="{path}" fill="none" stroke="{paint.light.line}" stroke-width="1.2"/>'
    yield from _inside(box.x, box.y, width, height, look, paint)
    yield "</g>"


def _inside(x: float, y: float, width: float, height: float, look: Look, paint: Paint) -> Iterator[str]:
    """Write name and note of a task, beside its sign, above its bar."""
    has_sign = _has_sign(look)
    free = height - (BAR_LINE if look.counts else 0.0)
    base = y + (free - (NOTE_LINE if look.note else 0.0)) / 2 + NAME_SIZE * 0.35
    if has_sign:
        yield sign(look.state, x + TASK_PAD + SIGN - 2, y + free / 2)
    left, anchor = (x + TASK_PAD + SIGN_ROOM - 2, "start") if has_sign else (x + width / 2, "middle")
    yield write(_label(look), left, base, NAME_SIZE, paint.light.ink, _NAME, anchor=anchor)
    if look.note:
        yield write(_note(look), left, base + NOTE_LINE, NOTE_SIZE, SOFT.light.ink, _SOFT, anchor=anchor)
    if look.counts:
        yield from _bar(x + TASK_PAD, y + height - BAR_LINE - 2, width - 2 * TASK_PAD, look)


def _bar(x: float, y: float, width: float, look: Look) -> Iterator[str]:
    """Draw how many of a box are how far, as a bar in parts."""
    whole = sum(look.counts.values())
    for state, count in look.counts.items():
        part = width * count / whole
        place = f'x="{number(x)}" y="{number(y)}" width="{number(max(part, 1.0))}" height="{number(BAR)}"'
        line = STATES[state].light.line
        yield f'<g class="is-{state}"><rect class="bar" {place} fill="{line}"/></g>'
        x += part


def _group_box(box: Box, look: Look) -> Iterator[str]:
    """Draw the box of a group; neighbouring depths differ in shade. A task with children has its own colours."""
    paint = GROUPS[box.depth % 2]
    kind = f"depth{box.depth % 2}"
    if _has_sign(look):
        own = STATES[look.state]
        paint = Paint(paint.light._replace(line=own.light.line), paint.dark, own.dashes)
    yield f'<g {_kinds(look, "group", kind)} data-id="{escape_xml(box.id)}">{_title(look)}'
    yield f"{_rect(box.x, box.y, box.width, box.height, 10)} {_border(look, paint)}/></g>"


def _group_text(box: Box, outline: Outline) -> Iterator[str]:
    """Write the title of a group, readable where an edge crosses it, and what it says if nothing is drawn in it."""
    look = outline.look(box.id)
    x, y, label, note = box.x + TITLE_PAD, box.y + TITLE_BASE, _label(look), _note(look)
    fill = GROUPS[box.depth % 2].light.fill
    place = f'x="{number(x - 3)}" y="{number(y - TITLE_SIZE - 1)}"'
    size = f'width="{number(_title_width(outline, box.id) - 2 * TITLE_PAD + 6)}" height="{number(TITLE_SIZE + 5)}"'
    yield f'<g {_kinds(look, "group-title", f"depth{box.depth % 2}")} data-id="{escape_xml(box.id)}">'
    yield f'<rect class="under" {place} {size} rx="4" fill="{fill}"/>'
    if _has_sign(look):
        yield sign(look.state, x + SIGN - 1, y - TITLE_SIZE * 0.35)
        x += SIGN_ROOM
    yield write(label, x, y, TITLE_SIZE, SOFT.light.ink, f'{_NAME} font-weight="600"')
    if note:
        yield write(note, x + text_width(label, TITLE_SIZE) + 10, y, NOTE_SIZE, SOFT.light.ink, _SOFT)
    if not outline.children[box.id]:
        middle, base = box.x + box.width / 2, box.y + box.height - NOTE_HEIGHT / 2 + TITLE_SIZE * 0.35
        yield write(outline.note(box.id), middle, base, TITLE_SIZE, SOFT.light.ink, _SOFT, anchor="middle")
    yield "</g>"


# -- edges and what they mean ---------------------------------------------------------------------------------


def _edge(route: Route, box: Box, view: View) -> Iterator[str]:
    """Draw an edge with its arrow head; `box` is where it begins."""
    edge = route.edge
    ends = edge.source, edge.target
    kind, paint = _edge_kind(route, view)
    is_critical = not kind and all(_is_critical(view, end) for end in ends)
    dashes = f' stroke-dasharray="{paint.dashes}"' if paint.dashes else ""
    source, target = (escape_xml(view.looks[end].label) for end in ends)
    ids = f'data-source="{escape_xml(ends[0])}" data-target="{escape_xml(ends[1])}"'
    path, head = curve(route.runs, has_head=not edge.is_member) if route.runs else self_loop(box)
    line, width = (CRITICAL.light.line, "2.4") if is_critical else (paint.light.line, "1.4")
    yield f"<g {classes('edge', kind, 'critical' if is_critical else '')} {ids}><title>{source} → {target}</title>"
    yield f'<path d="{path}" fill="none" stroke="{line}" stroke-width="{width}"{dashes}/>'
    if head:
        yield f'<path class="head" d="{head}" fill="{line}"/>'
    if edge.source == edge.target and edge.source in view.loops:
        x, y = box.x + box.width + LOOP_WIDTH - 2, box.y + box.height / 2 + NOTE_SIZE * 0.35
        yield write(view.loops[edge.source], x, y, NOTE_SIZE, line)
    yield "</g>"


def _is_critical(view: View, node: str) -> bool:
    """Say whether a task lies on the critical path, or any of a group."""
    stack = [node]
    while stack:
        inner = stack.pop()
        if view.looks[inner].is_critical:
            return True
        stack += [member for branch in view.groups.get(inner, ()) for member in branch]
    return False


def _edge_kind(route: Route, view: View) -> tuple[str, Paint]:
    """Say what kind of edge it is; "" for a plain one."""
    edge = route.edge
    ends = edge.source, edge.target
    if edge.is_member:
        return "member", MEMBER
    if ends in view.jumps:
        return "jump", JUMP
    if ends in view.faint:
        return "faint", FAINT_EDGE
    return ("loop", LOOP) if edge.is_loop else ("", EDGE)


def _keys(view: View, outline: Outline) -> Iterator[Key]:
    """Explain what a picture of a run shows; a declared graph explains itself."""
    if not view.is_run:
        return
    looks = list(view.looks.values())
    shown = {look.state for look in looks if _has_sign(look)} | {state for look in looks for state in look.counts}
    yield from (state_key(state) for state in STATES if state in shown)
    if any(look.is_critical for look in looks):
        yield edge_key("critical path", "critical", CRITICAL, 2.4)
    if any(edge.is_loop and (edge.source, edge.target) not in view.faint for edge in outline.edges):
        yield edge_key("loop", "loop", LOOP)
    if view.jumps:
        yield edge_key("jump", "jump", JUMP)
    if view.faint:
        yield edge_key("not taken", "faint", FAINT_EDGE)
