"""The languages in which commands draw, and where a drawing goes: of a workflow, of a recorded run, of its timeline."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._lazy import lazily
from ..graph import Graph
from ..recorded_story import RecordedStory
from .failures import CommandError, UsageError

if TYPE_CHECKING:
    from ..draw import View

draw = lazily("graflow_async.draw")
_view_module = lazily("graflow_async.draw.view")


class Language(StrEnum):
    """The languages of a graph."""

    MERMAID = "mermaid"
    DOT = "dot"
    ASCII = "ascii"
    SVG = "svg"


class Chart(StrEnum):
    """The languages of a timeline."""

    TEXT = "text"
    SVG = "svg"
    HTML = "html"


LanguageOption = Annotated[Language, typer.Option("--format", "-f", help="The language of the drawing.")]
ChartOption = Annotated[Chart, typer.Option("--format", "-f", help="Text, a picture, or a page for a browser.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it instead of stdout.")
]


def drawn(graph: Graph | View, name: str, language: Language) -> str:
    """Draw a graph, or a run."""
    if language is Language.MERMAID:
        return draw.to_mermaid(graph)
    if language is Language.ASCII:
        return draw.to_ascii(graph)
    return draw.to_dot(graph, name) if language is Language.DOT else draw.to_svg(graph, name)


def drawn_run(told: RecordedStory, language: Language) -> str:
    """Draw the graph that a recorded run really was."""
    return drawn(_view(told), told.history.header["workflow"], language)


def run_data(told: RecordedStory) -> dict[str, Any]:
    """Give the graph that a recorded run really was as JSON has it."""
    header = told.history.header
    return {"run_id": header["run_id"], "workflow": header["workflow"], **graph_data(_view(told))}


def graph_data(graph: Graph | View) -> dict[str, Any]:
    """Give a graph as JSON has it; of a run, how far each node is, and which edges were taken."""
    view = _view_module.view_of(graph)
    return {
        "nodes": [_node_data(view, key) for key in view.nodes],
        "edges": [_edge_data(view, edge) for edge in view.edges],
        "cycles": view.cycles,
    }


def _node_data(view: View, key: str) -> dict[str, Any]:
    look, branches = view.looks[key], view.groups.get(key)
    found: dict[str, Any] = {
        "id": key,
        "label": look.label,
        "kind": "group" if branches is not None else "map" if look.is_many else "task",
        "branches": branches or (),
        "note": look.note,
    }
    if view.is_run:
        found |= {"state": look.state, "counts": look.counts, "critical": look.is_critical, "loop": view.loops.get(key)}
    return found


def _edge_data(view: View, edge: tuple[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"source": edge[0], "target": edge[1]}
    if view.is_run:
        found |= {"taken": edge not in view.faint, "jump": edge in view.jumps}
    return found


def _view(told: RecordedStory) -> View:
    return draw.ran(told.history.decoder.graph, told.timeline(), critical=told.critical_path(), heading=_heading(told))


def drawn_timeline(told: RecordedStory, chart: Chart) -> str:
    """Draw the timeline of a recorded run, as a picture or as a page."""
    charted = draw.timeline_svg if chart is Chart.SVG else draw.timeline_html
    return charted(told.timeline(), critical=told.critical_path(), heading=_heading(told))


def _heading(told: RecordedStory) -> str:
    return f"{told.history.header['workflow']}, run {told.history.header['run_id']}"


def check_one_format(language: Language, *, json: bool) -> None:
    """Refuse two formats at once.

    Raises:
        UsageError: there are two.
    """
    if json and language is not Language.ASCII:
        raise UsageError("--json is a format of its own: leave --format out")


def deliver(drawing: str, output: str | None) -> None:
    """Print a drawing, or write it to a file.

    Raises:
        CommandError: the file cannot be written.
    """
    drawing = drawing.rstrip("\n")
    if output is None or output == "-":
        print(drawing, flush=True)
        return
    try:
        Path(output).write_text(f"{drawing}\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from error
