"""The chart: horizontal bars of the ratios to the floor, each with its bar to hold. Plain SVG, no dependency."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.plan import OURS
from benchmarks.results import RATIO, Measure
from benchmarks.table import ratio

WIDTH = 780
LEFT = 170
RIGHT = 110
TOP = 78
ROW = 26
BAR = 14
CUT = 3.0
FONT = 12
COLORS = {"ok": "#2da44e", "missed": "#cf222e", "": "#57606a"}


def _text(x: float, y: float, words: str, anchor: str = "start", color: str = "#24292f", size: int = FONT) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{escape(words)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" {extra}/>'


def _bar(row: Measure, y: float, scale: float) -> list[str]:
    value = row.value or 0.0
    shown = min(value, CUT)
    color = COLORS[row.verdict]
    middle = y + ROW / 2
    name = f"{row.key} {row.size:,}" if row.size > 1 else row.key
    width = max(shown * scale, 1)
    parts = [
        _text(LEFT - 8, middle + 4, name, "end"),
        f'<rect x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{width:.1f}" height="{BAR}" fill="{color}"/>',
    ]
    end = LEFT + shown * scale
    if value > CUT:
        parts.append(_text(end - 4, middle + 4, "»", "end", "#ffffff"))
    if row.must is not None and row.must <= CUT:
        mark = LEFT + row.must * scale
        parts.append(_line(mark, y + 2, mark, y + ROW - 2, "#1f2328", 'stroke-width="2.5"'))
        end = max(end, mark)
    words = ratio(value) if row.must is None else f"{ratio(value)} (must {ratio(row.must)})"
    parts.append(_text(end + 6, middle + 4, words))
    return parts


def draw(rows: list[Measure], title: str) -> str:
    """Return the SVG text of a chart of every row that is a ratio; bars above 3 are cut and say their value."""
    shown = [row for row in rows if row.kind == RATIO and row.value is not None]
    largest = max([1.0, *(min(row.value or 0.0, CUT) for row in shown), *(min(row.must or 0.0, CUT) for row in shown)])
    scale = (WIDTH - LEFT - RIGHT - 30) / largest
    bottom = TOP + ROW * len(shown)
    one = LEFT + scale
    height = bottom + 24
    subtitle = f"Bars: time of {OURS} / time of raw asyncio; shorter is better. Black mark: what a release must hold."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        f'<g font-family="sans-serif"><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 24, title, size=15),
        _text(16, 44, subtitle),
        _text(one, TOP - 8, "1x = raw asyncio", "middle", "#57606a", 11),
        _line(one, TOP, one, bottom, "#8c959f", 'stroke-dasharray="4 3"'),
    ]
    for index, row in enumerate(shown):
        parts += _bar(row, TOP + ROW * index, scale)
    if not shown:
        parts.append(_text(16, bottom + 12, "Nothing was measured."))
    return "\n".join([*parts, "</g>", "</svg>", ""])
