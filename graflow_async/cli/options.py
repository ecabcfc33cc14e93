"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def _or_root(context: typer.Context, value: bool) -> bool:  # noqa: FBT001  # called by typer, by position
    """Let `--debug` hold wherever it stands, before the command or after it."""
    return value or bool(context.find_root().obj)


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:OBJECT",
        help="A dotted module or the path of a .py file, then a Workflow, a task, a flow or a function that makes one.",
        show_default=False,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", callback=_or_root, help="Show the traceback of an error.")]
