"""SVG of a timeline: a row for each task, a bar for each attempt, waits hatched by kind, the critical path joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..story import Span
from .paint import (
    CRITICAL,
    FONT,
    PAPER,
    SIGN,
    SOFT,
    STATES,
    Key,
    Tone,
    classes,
    legend,
    number,
    opening,
    sign,
    state_key,
    text_width,
    write,
)
from .text import columns, duration, escape_xml, printable, shorten
from .timeline import BINS, STICKING_OUT, Bar, Chart, Row, chart, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MARGIN = 20.0
CHART = 760.0  # width of what is drawn in time
ROW, BAR, WAIT = 24.0, 14.0, 8.0
AXIS, HEADING = 26.0, 30.0
LABEL_SIZE, NOTE_SIZE = 12.0, 11.0
LONGEST_LABEL, LONGEST_NOTE = 34, 40  # columns
INDENT = 14.0
LEAST = 1.5  # width of a bar
GAP = 12.0

# What waiting looks like: a colour for light and one for dark pages, and the strokes of a tile of 6 by 6.
WAITS = {
    "input": (Tone("#e9eef4", "#64748b", "#64748b"), Tone("#1b2531", "#8da0b5", "#8da0b5"), "M1 1h.1M4 4h.1"),
    "limit": (
        Tone("#fff1cc", "#a06a00", "#a06a00"),
        Tone("#33270a", "#e9bb54", "#e9bb54"),
        "M0 6L6 0M-1 1L1-1M5 7L7 5",
    ),
    "retry": (
        Tone("#ffe3cf", "#b84e0b", "#b84e0b"),
        Tone("#3a2010", "#ff9f63", "#ff9f63"),
        "M0 0L6 6M5-1L7 1M-1 5L1 7",
    ),
    "person": (Tone("#f3e3f6", "#8a3a97", "#8a3a97"), Tone("#331a38", "#dd9be8", "#dd9be8"), "M0 6L6 0M0 0L6 6"),
    "event": (Tone("#dff3f6", "#0f7285", "#0f7285"), Tone("#0d2a30", "#63cadb", "#63cadb"), "M0 1.5H6M0 4.5H6"),
    "child": (Tone("#e6f4ea", "#3c8c5e", "#3c8c5e"), Tone("#12291c", "#6fcf97", "#6fcf97"), "M1.5 0V6M4.5 0V6"),
    "sleep": (Tone("#eceafb", "#5b50b5", "#5b50b5"), Tone("#1f1b3d", "#a79ef5", "#a79ef5"), "M0 3Q1.5 0 3 3T6 3"),
    "worker": (Tone("#e7ecf1", "#44566a", "#44566a"), Tone("#1a2430", "#9db1c7", "#9db1c7"), "M0 3H6M3 0V6"),
    "loop": (
        Tone("#fbdada", "#bf2a2a", "#bf2a2a"),
        Tone("#3d1416", "#ff8080", "#ff8080"),
        "M0 4.5L1.5 1.5L4.5 4.5L6 1.5",
    ),
}
UNKNOWN_WAIT = "input"


def timeline_svg(
    spans: Sequence[Span], *, critical: Iterable[Span] = (), heading: str = "", now: float | None = None
) -> str:
    """Draw the timeline of a run as one self-contained SVG element.

    Args:
        spans: the attempts, as `run.timeline()` gives them.
        critical: those that are marked as the critical path, as `run.critical_path()` gives them.
        heading: a line above the chart.
        now: until when to draw what has not ended, in seconds since the epoch.
    """
    drawn = chart(spans, critical, now)
    sheet = _Sheet(drawn)
    name = heading or "timeline"
    title = shorten(printable(", ".join(part for part in (heading, drawn.summary) if part)), 120)
    keys, wide, high = legend(list(_keys(drawn)), sheet.width)
    inner = max(sheet.width, wide, text_width(title, 13.0))
    below = MARGIN + HEADING + AXIS + ROW * len(drawn.rows) + GAP
    size = inner + 2 * MARGIN, below + high + MARGIN
    lines = [
        *opening(name, size, _rules(), f"<defs>{''.join(_patterns(drawn))}</defs>"),
        f'<g class="heading" font-family="{FONT}">',
        write(title, MARGIN, MARGIN + 13, 13.0, PAPER.light.ink, ' class="ink" font-weight="600"'),
        "</g>",
        f'<g class="timeline" transform="translate({number(MARGIN)} {number(MARGIN + HEADING)})" font-family="{FONT}">',
        *sheet.lines(),
        "</g>",
        f'<g class="legend" transform="translate({number(MARGIN)} {number(below)})" font-family="{FONT}">',
        *keys,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines)


class _Sheet:
    """The places of a chart."""

    def __init__(self, drawn: Chart) -> None:
        self.drawn = drawn
        self.labels = [shorten(printable(row.label), LONGEST_LABEL) for row in drawn.rows]
        self.notes = [shorten(printable(row.note), LONGEST_NOTE) for row in drawn.rows]
        wide = (
            self.label_left(row) + text_width(label, LABEL_SIZE)
            for row, label in zip(drawn.rows, self.labels, strict=True)
        )
        self.left = max(wide, default=0.0) + GAP
        self.notes_left = self.left + CHART + GAP
        self.width = self.notes_left + max((columns(note) for note in self.notes), default=0) * NOTE_SIZE * 0.62
        self.tops = {id(row): AXIS + ROW * place for place, row in enumerate(drawn.rows)}

    def label_left(self, row: Row) -> float:
        """Say where the label of a row begins."""
        return INDENT * row.depth + 2 * SIGN + 8

    def x(self, seconds: float) -> float:
        """Say where a moment is."""
        whole = self.drawn.seconds
        return self.left + (CHART * seconds / whole if whole > 0 else 0.0)

    def lines(self) -> Iterator[str]:
        """Draw everything."""
        yield from self.axis()
        for place, row in enumerate(self.drawn.rows):
            yield from self.row(row, place)
        yield from self.path()

    def axis(self) -> Iterator[str]:
        """Draw a line for each round moment, and every other row on a shade."""
        bottom = AXIS + ROW * len(self.drawn.rows)
        for place in range(1, len(self.drawn.rows), 2):
            y = number(AXIS + ROW * place)
            whole = f'x="0" y="{y}" width="{number(self.width)}" height="{number(ROW)}"'
            yield f'<rect class="shade" {whole} fill="#f5f7fa"/>'
        for moment in ticks(self.drawn.seconds):
            x = number(self.x(moment))
            yield f'<path class="grid" d="M{x} {number(AXIS - 6)}V{number(bottom)}" stroke="{PAPER.light.line}"/>'
            words = duration(moment) if moment else "0"
            yield write(words, self.x(moment), AXIS - 11, NOTE_SIZE, SOFT.light.ink, ' class="soft"', anchor="middle")

    def row(self, row: Row, place: int) -> Iterator[str]:
        """Draw one row."""
        top = self.tops[id(row)]
        middle = top + ROW / 2
        weight = ' font-weight="600"' if row.is_critical else ""
        yield f"<g {classes('row', f'is-{row.state}', 'critical' if row.is_critical else '')}>"
        yield f"<title>{'&#10;'.join(map(escape_xml, row.words.splitlines()))}</title>"
        yield sign(row.state, INDENT * row.depth + SIGN, middle)
        base = middle + LABEL_SIZE * 0.35
        yield write(
            self.labels[place], self.label_left(row), base, LABEL_SIZE, PAPER.light.ink, f' class="ink"{weight}'
        )
        if any(row.load):
            yield self.load(row, top)
        for bar in row.bars:
            yield self.bar(bar, middle, thin=bool(row.load))
        for wait in row.waits:
            yield self.wait(wait, middle)
        yield write(self.notes[place], self.notes_left, base, NOTE_SIZE, SOFT.light.ink, ' class="soft"')
        yield "</g>"

    def span(self, bar: Bar, top: float, height: float) -> str:
        """Write the place of a bar; one that is too short to be seen is a bit longer."""
        begin, end = self.x(bar.begin), self.x(bar.end)
        width = min(max(end - begin, LEAST), self.left + CHART + LEAST - begin)
        return f'x="{number(begin)}" y="{number(top)}" width="{number(width)}" height="{number(height)}"'

    def bar(self, bar: Bar, middle: float, *, thin: bool) -> str:
        """Draw an attempt; a thin one where it is one of many in its row."""
        paint = STATES.get(bar.status, STATES["completed"])
        if bar.status == "queued":
            line = f'fill="{paint.light.line}" fill-opacity="0.6"'
            return f'<g class="is-queued">{_title(bar)}<rect class="bar" {self.span(bar, middle - 1, 2)} {line}/></g>'
        if thin:
            return self.thin(bar, middle)
        line = f'stroke="{CRITICAL.light.line}" stroke-width="2"' if bar.is_critical else f'stroke="{paint.light.line}"'
        place = self.span(bar, middle - BAR / 2, BAR)
        kinds = classes("attempt", f"is-{bar.status}", "critical" if bar.is_critical else "")
        dashes = f' stroke-dasharray="{paint.dashes}"' if paint.dashes and not bar.is_critical else ""
        # The inside is the stronger colour: a bar is small, and nothing is written on it.
        inside = f'fill="{paint.light.line}" fill-opacity="{0.85 if bar.status != "retrying" else 0.4}"'
        return f'<g {kinds}>{_title(bar)}<rect class="bar" {place} rx="2.5" {inside} {line}{dashes}/></g>'

    def thin(self, bar: Bar, middle: float) -> str:
        """Draw one of many attempts in a row: in a lane for the critical path, and in one for what went wrong."""
        parts = [f"<g {classes('attempt', f'is-{bar.status}')}>{_title(bar)}"]
        if bar.is_critical:
            place = self.span(bar, middle + BAR / 2 - 2, 3)
            parts.append(f'<g class="on-path"><rect class="bar" {place} fill="{CRITICAL.light.line}"/></g>')
        if bar.status in STICKING_OUT:
            line = STATES[bar.status].light.line
            parts.append(f'<rect class="bar" {self.span(bar, middle - 1, 3)} fill="{line}"/>')
        return "".join([*parts, "</g>"])

    def wait(self, wait: Bar, middle: float) -> str:
        """Draw a wait."""
        kind = wait.status if wait.status in WAITS else UNKNOWN_WAIT
        place = self.span(wait, middle - WAIT / 2, WAIT)
        line = f'fill="url(#graflow-wait-{kind})" stroke="{WAITS[kind][0].line}" stroke-width="0.8"'
        return f'<g class="wait wait-{kind}">{_title(wait)}<rect {place} rx="1.5" {line}/></g>'

    def load(self, row: Row, top: float) -> str:
        """Draw how many ran at once, as steps."""
        most = max(row.load)
        base, high, step = top + ROW - 4, ROW - 8, CHART / BINS
        first = next(place for place, count in enumerate(row.load) if count)
        last = BINS - next(place for place, count in enumerate(reversed(row.load)) if count)
        parts = [f"M{number(self.left + first * step)} {number(base)}"]
        before = 0
        for place, count in enumerate(row.load[:last]):
            if count != before:
                parts.append(f"H{number(self.left + place * step)}V{number(base - high * count / most)}")
                before = count
        parts.append(f"H{number(self.left + last * step)}V{number(base)}Z")
        state = max(row.counts, key=lambda state: row.counts[state])
        line = STATES[state].light.line
        fill = f'fill="{line}" fill-opacity="0.4" stroke="{line}" stroke-width="1"'
        return f'<g class="load is-{state}"><path class="bar" d="{"".join(parts)}" {fill}/></g>'

    def path(self) -> Iterator[str]:
        """Join the bars of the critical path: each with the last one that had ended when it began."""
        parts: list[str] = []
        for row, bar, before_row, before in self.drawn.joints():
            x, y = self.x(min(before.end, bar.begin)), self.tops[id(before_row)] + ROW / 2
            next_y = self.tops[id(row)] + ROW / 2
            parts.append(f"M{number(x)} {number(y)}V{number(next_y)}H{number(self.x(bar.begin))}")
        if parts:
            line = f'fill="none" stroke="{CRITICAL.light.line}" stroke-width="1.6"'
            yield f'<g class="edge critical"><path d="{"".join(parts)}" {line}/></g>'


def _title(bar: Bar) -> str:
    """Say everything about a bar, for whoever points at it."""
    return f"<title>{'&#10;'.join(map(escape_xml, bar.words.splitlines()))}</title>"


def _wait_kinds(drawn: Chart) -> list[str]:
    """List the kinds of waits that a chart has."""
    found = {wait.status if wait.status in WAITS else UNKNOWN_WAIT for row in drawn.rows for wait in row.waits}
    return [kind for kind in WAITS if kind in found]


def _patterns(drawn: Chart) -> Iterator[str]:
    """Make the hatchings of the waits that are there."""
    for kind in _wait_kinds(drawn):
        light, _, strokes = WAITS[kind]
        yield (
            f'<pattern id="graflow-wait-{kind}" class="wait-{kind}" width="6" height="6" '
            f'patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="{light.fill}"/>'
            f'<path d="{strokes}" fill="none" stroke="{light.line}" stroke-linecap="round"/></pattern>'
        )


def _rules() -> Iterator[str]:
    """Write the rules for dark pages that only timelines need."""
    yield f".graflow .shade{{fill:#141c26}}.graflow .grid{{stroke:{PAPER.dark.line}}}"
    yield ".graflow .attempt>.bar{stroke:none}"
    yield f".graflow .attempt.critical>.bar{{stroke:{CRITICAL.dark.line}}}"
    yield f".graflow .on-path>.bar{{fill:{CRITICAL.dark.line}}}"
    for kind, (_, dark, _) in WAITS.items():
        yield f".graflow .wait-{kind} rect{{stroke:{dark.line}}}.graflow .wait-{kind} path{{stroke:{dark.line}}}"
        yield f".graflow pattern.wait-{kind} rect{{fill:{dark.fill};stroke:none}}"


def _keys(drawn: Chart) -> Iterator[Key]:
    """Explain what is there."""
    shown = {bar.status for row in drawn.rows for bar in row.bars} | {row.state for row in drawn.rows}
    yield from (state_key(state) for state in STATES if state in shown)
    if drawn.path:
        line = f'<path d="M0 0H26" fill="none" stroke="{CRITICAL.light.line}" stroke-width="2.4"/>'
        yield Key("critical path", f'<g class="edge critical">{line}</g>', 26.0)
    for kind in _wait_kinds(drawn):
        rect = f'<rect y="-5" width="26" height="10" rx="1.5" fill="url(#graflow-wait-{kind})"'
        mark = f'{rect} stroke="{WAITS[kind][0].line}" stroke-width="0.8"/>'
        yield Key(f"waits: {kind}", f'<g class="wait wait-{kind}">{mark}</g>', 26.0)
