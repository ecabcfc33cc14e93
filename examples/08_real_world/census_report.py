"""What the census tells: the report as plain data, as a table for the terminal, and as a chart."""

from __future__ import annotations

import platform
import unicodedata
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from census_graph import ImportGraph, Ranking
    from census_source import Facts, Problem

TOP = 20
LONGEST_LABEL = 48

COLUMN, ROW, HEAD, MARGIN, BAR, VALUE = 7.6, 24, 76, 24, 460, 70
"""Sizes in the chart in pixels: a column of text, a row, the head with the title, the border, a full bar, its value."""


def make_report(
    folder: Path, facts: Mapping[str, Facts], problems: Sequence[Problem], graph: ImportGraph, ranking: Ranking
) -> dict[str, Any]:
    """Put everything together; the same tree gives the same report, in every field.

    Args:
        folder: what was counted.
        facts: what was counted in each file that could be read.
        problems: the files and folders that could not.
        graph: the modules and their imports.
        ranking: how important they are.
    """
    rows: list[dict[str, Any]] = [
        {
            "module": printable(module.name),
            "path": printable(module.path),
            "importance": round(score, 9),
            "imported_by": importers,
            "lines": facts[module.path].lines,
            "functions": facts[module.path].functions,
            "classes": facts[module.path].classes,
            "imports": facts[module.path].imports,
        }
        for module, score, importers in zip(graph.modules, ranking.scores, graph.importers(), strict=True)
    ]
    rows.sort(key=lambda row: (-row["importance"], row["module"], row["path"]))
    listed = sorted((printable(p.path), p.kind, printable(p.detail)) for p in problems)
    return {
        "folder": printable(str(folder)),
        "python": platform.python_version(),
        "totals": {
            "files": len(rows),
            **{name: sum(row[name] for row in rows) for name in ("lines", "functions", "classes", "imports")},
            "problems": len(listed),
        },
        "ranking": {
            "turns": ranking.turns,
            "change": float(f"{ranking.change:.3g}"),
            "converged": ranking.converged,
        },
        "modules": [{"rank": rank, **row} for rank, row in enumerate(rows, 1)],
        "problems": [{"path": path, "kind": kind, "detail": detail} for path, kind, detail in listed],
    }


def printable(text: str) -> str:
    """Escape what no terminal and no XML file should get: control characters, bytes of names that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def make_table(report: Mapping[str, Any]) -> str:
    """Show the most important modules, the totals and the first problems."""
    rows = report["modules"][:TOP]
    labels = [shorten(row["module"]) for row in rows]
    width = max([width_of(label) for label in labels], default=6)
    lines = [f"{'':>3}  {'module' + ' ' * (width - 6)}  {'importance':>10}  {'imported by':>11}  {'lines':>7}"]
    for label, row in zip(labels, rows, strict=True):
        padded = label + " " * (width - width_of(label))
        numbers = f"{row['importance']:>10.4%}  {row['imported_by']:>11,}  {row['lines']:>7,}"
        lines.append(f"{row['rank']:>3}  {padded}  {numbers}")
    lines += ["", totals_line(report)]
    problems = report["problems"]
    lines += [f"  {p['kind']:<11} {p['path']}: {p['detail']}" for p in problems[:TOP]]
    if len(problems) > TOP:
        lines.append(f"  ... and {len(problems) - TOP} more in the report")
    return "\n".join(lines)


def totals_line(report: Mapping[str, Any]) -> str:
    """Say all totals in one line."""
    return ", ".join(f"{count:,} {name}" for name, count in report["totals"].items())


def make_chart(report: Mapping[str, Any]) -> str:
    """Draw the most important modules as bars; every label has a row and a column of its own."""
    rows = report["modules"][:TOP]
    labels = [shorten(row["module"]) for row in rows]
    left = MARGIN + COLUMN * max([width_of(label) for label in labels], default=0) + 12
    title, totals = f"Most important modules of {report['folder']}", totals_line(report)
    words = max(width_of(title) * COLUMN * 1.3, width_of(totals) * COLUMN)
    width, height = max(left + BAR + VALUE, words) + MARGIN, HEAD + ROW * max(len(rows), 1) + MARGIN
    size = {"width": f"{width:.0f}", "height": f"{height:.0f}", "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    style = {"font-family": "DejaVu Sans Mono, Menlo, Consolas, monospace", "font-size": "12", "fill": "#1f2933"}
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size, **style})
    _add(svg, "title", title)
    _add(svg, "rect", width="100%", height="100%", fill="#ffffff")
    _add(svg, "text", title, x=MARGIN, y=34, font_size=15, font_weight="bold")
    _add(svg, "text", totals, x=MARGIN, y=56, fill="#616e7c")
    if not rows:
        _add(svg, "text", "no modules", x=MARGIN, y=HEAD + 16)
    for index, (label, row) in enumerate(zip(labels, rows, strict=True)):
        top, length = HEAD + ROW * index, BAR * row["importance"] / rows[0]["importance"]
        group = ET.SubElement(svg, "g")
        _add(group, "title", f"{row['module']} ({row['path']}): imported by {row['imported_by']:,} modules")
        _add(group, "text", label, x=left - 12, y=top + 16, text_anchor="end")
        _add(group, "rect", x=left, y=top + 4, width=max(length, 1), height=ROW - 8, rx=2, fill="#2f6f9f")
        _add(group, "text", f"{row['importance']:.2%}", x=left + length + 8, y=top + 16, fill="#616e7c")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str | float) -> None:
    """Add an element; the text and the values are escaped when the tree is written."""
    shown = {k.replace("_", "-"): f"{v:.6g}" if isinstance(v, int | float) else v for k, v in attributes.items()}
    ET.SubElement(parent, tag, shown).text = text


def shorten(text: str) -> str:
    """Cut the middle out of a long name: what tells names apart stands at either end."""
    return text if len(text) <= LONGEST_LABEL else f"{text[:23]}…{text[-24:]}"


def width_of(text: str) -> int:
    """Count the columns of a text in a font of fixed width: ideographs take two, accents none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
