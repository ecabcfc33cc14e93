"""Paint: colours for light and dark, and a sign for each state, so that colour is never the only thing that tells.

Colours stand at the elements for light pages; a style sheet inside the picture changes them where dark is preferred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .text import columns, escape_xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CHARACTER = 0.62  # width of a column in font sizes: the widest of those fonts
SIGN = 7.0  # radius of a sign
LEGEND_SIZE, LEGEND_ROW, LEGEND_APART = 11.0, 22.0, 18.0


class Tone(NamedTuple):
    """Colours of one kind of thing: of its inside, its border, and what is written on it."""

    fill: str
    line: str
    ink: str


class Paint(NamedTuple):
    """The colours of one kind of thing on light and on dark pages, and how its border is dashed ("": it is not)."""

    light: Tone
    dark: Tone
    dashes: str = ""


PAPER = Paint(Tone("#ffffff", "#dfe4ea", "#1b2733"), Tone("#0f151c", "#2b3542", "#e6edf3"))
SOFT = Paint(Tone("#5c6b7a", "#5c6b7a", "#5c6b7a"), Tone("#9fb0c0", "#9fb0c0", "#9fb0c0"))
EDGE = Paint(Tone("none", "#64748b", "#64748b"), Tone("none", "#8da0b5", "#8da0b5"))
FAINT_EDGE = Paint(Tone("none", "#a9b4c0", "#a9b4c0"), Tone("none", "#566475", "#566475"), "2 4")
LOOP = Paint(Tone("none", "#b5482f", "#b5482f"), Tone("none", "#f0876c", "#f0876c"), "6 4")
JUMP = Paint(Tone("none", "#7a4fb0", "#7a4fb0"), Tone("none", "#b795ea", "#b795ea"), "9 3 2 3")
MEMBER = Paint(Tone("none", "#64748b", "#64748b"), Tone("none", "#8da0b5", "#8da0b5"), "2 4")
CRITICAL = Paint(Tone("none", "#1b2733", "#1b2733"), Tone("none", "#e6edf3", "#e6edf3"))
GROUPS = (
    Paint(Tone("#f1f4f8", "#c2ccd8", "#5c6b7a"), Tone("#161e28", "#3a4757", "#9fb0c0")),
    Paint(Tone("#fafbfd", "#c2ccd8", "#5c6b7a"), Tone("#1c2632", "#3a4757", "#9fb0c0")),
)
TASK = Paint(Tone("#eaf2fd", "#4b7bb5", "#1b2733"), Tone("#16263a", "#6f9fd8", "#e6edf3"))
STATES = {
    "completed": Paint(Tone("#e7f5ec", "#23794a", "#12301f"), Tone("#10281b", "#58c287", "#dff5e8")),
    "running": Paint(Tone("#e3effd", "#1d63c8", "#0e2748"), Tone("#10264a", "#6ea8ff", "#deebff")),
    "waiting": Paint(Tone("#fff5d9", "#946200", "#3d2a00"), Tone("#33270a", "#e9bb54", "#fdf0cf"), "5 3"),
    "retrying": Paint(Tone("#ffecdd", "#b84e0b", "#451d04"), Tone("#3a2010", "#ff9f63", "#ffe7d8"), "8 3"),
    "queued": Paint(Tone("#eef3f8", "#50708f", "#1f3042"), Tone("#18232f", "#86a6c5", "#dbe7f2"), "3 3"),
    "failed": Paint(Tone("#fde7e7", "#bf2a2a", "#4a0d0d"), Tone("#3d1416", "#ff8080", "#ffe1e1")),
    "cancelled": Paint(Tone("#f1ebf9", "#6f4a9e", "#2c1745"), Tone("#271d3b", "#bda1e6", "#efe6fb"), "8 3 2 3"),
    "skipped": Paint(Tone("#f6f7f9", "#737f8d", "#5c6b7a"), Tone("#171d25", "#7f8c9b", "#9fb0c0"), "2 3"),
    "": Paint(Tone("#ffffff", "#9aa6b3", "#5c6b7a"), Tone("#121922", "#5b6877", "#9fb0c0"), "2 3"),
}
# Strokes inside a circle of radius 7 around the origin.
SIGNS = {
    "completed": "M-3.2 .2L-1 2.5L3.3-2.3",
    "running": "M-1.7-3L3-0L-1.7 3Z",
    "waiting": "M0-3.6V0L2.6 1.6",
    "retrying": "M3.2-.6A3.3 3.3 0 1 0 2.2 2.4M3.4-3.4V-.4H.4",
    "queued": "M-3 0H-2.9M0 0H.1M3 0H3.1",
    "failed": "M-2.5-2.5L2.5 2.5M2.5-2.5L-2.5 2.5",
    "cancelled": "M-2.3-2.3H2.3V2.3H-2.3Z",
    "skipped": "M-3-2.6L-.4 0L-3 2.6M.4-2.6L3 0L.4 2.6",
    "": "M-2.8 0H2.8",
}
NAMES = {"": "not reached"}


def number(value: float) -> str:
    """Write a number with at most one decimal."""
    text = f"{value:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text."""
    return columns(text) * size * CHARACTER


def write(text: str, x: float, y: float, size: float, ink: str, more: str = "", *, anchor: str = "start") -> str:
    """Write a text on a base line; one that fonts disagree on is fitted to its estimated width."""
    if not text.isascii():
        more += f' textLength="{number(text_width(text, size))}" lengthAdjust="spacingAndGlyphs"'
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}" text-anchor="{anchor}"'
    return f'<text {place} fill="{ink}"{more}>{escape_xml(text)}</text>'


def sign(state: str, x: float, y: float) -> str:
    """Draw the sign of a state."""
    paint = STATES[state]
    return (
        f'<g class="sign" transform="translate({number(x)} {number(y)})"><circle r="{number(SIGN)}" '
        f'fill="{paint.light.line}"/><path d="{SIGNS[state]}" fill="none" stroke="{PAPER.light.fill}" '
        f'stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/></g>'
    )


def style(more: Iterable[str] = ()) -> str:
    """Give the style sheet for dark pages; every rule is about pictures of ours."""
    return f"<style>@media (prefers-color-scheme:dark){{{''.join((*_rules(), *more))}}}</style>"


def _rules() -> Iterator[str]:
    """Write the rules."""
    yield f".graflow .paper{{fill:{PAPER.dark.fill}}}"
    yield f".graflow .ink{{fill:{PAPER.dark.ink}}}.graflow .soft{{fill:{SOFT.dark.ink}}}"
    yield f".graflow .sign path{{stroke:{PAPER.dark.fill}}}"
    kinds = {f"depth{depth}": paint for depth, paint in enumerate(GROUPS)}
    kinds |= {"task": TASK, **{f"is-{state or 'open'}": paint for state, paint in STATES.items()}}
    for name, paint in kinds.items():
        head, dark = f".graflow .{name}>", paint.dark
        yield f"{head}.box{{fill:{dark.fill};stroke:{dark.line}}}{head}.name{{fill:{dark.ink}}}"
        yield f"{head}.sign circle,{head}.bar{{fill:{dark.line}}}"
    for depth, paint in enumerate(GROUPS):
        head = f".graflow .depth{depth}>"
        yield f"{head}.box,{head}.under{{fill:{paint.dark.fill}}}{head}.name{{fill:{paint.dark.ink}}}"
    edges = {"edge": EDGE, "member": MEMBER, "faint": FAINT_EDGE, "loop": LOOP, "jump": JUMP, "critical": CRITICAL}
    for name, paint in edges.items():
        head = f".graflow .edge.{name}>" if name != "edge" else ".graflow .edge>"
        yield f"{head}path{{stroke:{paint.dark.line}}}{head}.head,{head}text{{fill:{paint.dark.line};stroke:none}}"
    yield f".graflow .critical>.box{{stroke:{CRITICAL.dark.line}}}"


def opening(name: str, size: tuple[float, float], rules: Iterable[str] = (), defs: str = "") -> list[str]:
    """Begin a picture: its element, its name, its style sheet and its paper."""
    width, height = map(number, size)
    room = f'width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="graflow" {room} viewBox="0 0 {width} {height}"'
    return [
        f'{head} role="img" aria-label="{escape_xml(name)}">',
        f"<title>{escape_xml(name)}</title>",
        style(rules) + defs,
        f'<rect class="paper" {room} rx="6" fill="{PAPER.light.fill}"/>',
    ]


class Key(NamedTuple):
    """One entry of a legend: its words, and how its mark is drawn at the origin, and how wide that is."""

    words: str
    mark: str
    width: float = 2 * SIGN


def state_key(state: str) -> Key:
    """Give the entry of a state."""
    return Key(NAMES.get(state, state), f'<g class="is-{state or "open"}">{sign(state, SIGN, 0)}</g>')


def edge_key(words: str, kind: str, paint: Paint, width: float = 1.4) -> Key:
    """Give the entry of a kind of edge."""
    dashes = f' stroke-dasharray="{paint.dashes}"' if paint.dashes else ""
    line = f'<path d="M0 0H26" fill="none" stroke="{paint.light.line}" stroke-width="{number(width)}"{dashes}/>'
    return Key(words, f'<g class="edge {kind}">{line}</g>', 26.0)


def legend(keys: Sequence[Key], room: float) -> tuple[list[str], float, float]:
    """Set entries in rows; give the lines, and the width and height that they take."""
    lines: list[str] = []
    x, y, widest = 0.0, LEGEND_ROW / 2, 0.0
    for key in keys:
        width = key.width + 6 + text_width(key.words, LEGEND_SIZE)
        if x and x + width > room:
            x, y = 0.0, y + LEGEND_ROW
        lines.append(f'<g transform="translate({number(x)} {number(y)})">{key.mark}')
        words = write(key.words, key.width + 6, LEGEND_SIZE * 0.35, LEGEND_SIZE, SOFT.light.ink, ' class="soft"')
        lines.append(f"{words}</g>")
        widest = max(widest, x + width)
        x += width + LEGEND_APART
    return lines, widest, y + LEGEND_ROW / 2 if keys else 0.0


def classes(*names: str) -> str:
    """Write a class attribute, without empty names."""
    return f'class="{" ".join(name for name in names if name)}"'
