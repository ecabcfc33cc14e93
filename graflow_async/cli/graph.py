"""`graflow-async graph`: draw a workflow without running it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..workflow import Workflow
from .failures import DONE, CommandError, guarded
from .options import Debug, Target
from .output import prints_on_stderr
from .targets import as_workflow, load


class Format(StrEnum):
    """The languages of a drawing."""

    MERMAID = "mermaid"
    DOT = "dot"
    ASCII = "ascii"
    SVG = "svg"


_DRAWINGS = {
    Format.MERMAID: Workflow.to_mermaid,
    Format.DOT: Workflow.to_dot,
    Format.ASCII: Workflow.to_ascii,
    Format.SVG: Workflow.to_svg,
}
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="The language of the drawing.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it instead of stdout.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("graph")(graph)


def graph(
    target: Target,
    *,
    format: FormatOption = Format.ASCII,
    output: Output = None,
    debug: Debug = False,
) -> int:
    """Draw a workflow, a task or a flow; nothing is run."""

    def body() -> int:
        with prints_on_stderr():
            drawing = _DRAWINGS[format](as_workflow(load(target))).rstrip("\n")
        if output is None or output == "-":
            print(drawing, flush=True)
            return DONE
        try:
            Path(output).write_text(f"{drawing}\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {output}: {error.strerror or error}") from error
        return DONE

    return guarded(body, debug=debug)
