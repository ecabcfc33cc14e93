"""`graflow-async graph`: draw a workflow without running it."""

from __future__ import annotations

from typing import Annotated

import typer

from .drawings import Language, LanguageOption, Output, check_one_format, deliver, drawn, graph_data
from .failures import DONE, guarded
from .options import Debug, Target
from .output import as_json, prints_on_stderr
from .targets import as_workflow, load

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object: workflow, nodes, edges, cycles.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("graph", epilog="Example: graflow-async graph flows.py:etl -f svg -o etl.svg")(graph)


def graph(
    target: Target,
    *,
    format: LanguageOption = Language.ASCII,
    output: Output = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Draw a workflow, a task or a flow; nothing is run."""

    def body() -> int:
        check_one_format(format, json=json)
        with prints_on_stderr():
            workflow = as_workflow(load(target))
            found = workflow.graph
            if json:
                drawing = as_json({"workflow": workflow.name, **graph_data(found)})
            else:
                drawing = drawn(found, workflow.name, format)
        deliver(drawing, output)
        return DONE

    return guarded(body, debug=debug)
