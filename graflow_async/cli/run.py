"""`graflow-async run`: run a workflow, a task or a flow and print its value."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from ..errors import DefinitionError, GraflowWorkflowCanceledError
from ..options import RunOptions
from ..workflow import Workflow
from .failures import DONE, UsageError, guarded
from .inputs import prepare, read_document, read_pairs
from .loop import drive
from .options import Debug, Target
from .output import as_json, for_people, prints_on_stderr
from .targets import load

Input = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="An input, as often as needed. JSON where it is JSON, else text; an annotated parameter converts it.",
    ),
]
InputsJson = Annotated[
    str | None, typer.Option(metavar="FILE", help="A JSON object of inputs; - reads stdin. --input wins over it.")
]
Start = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="The task to start from instead of the roots; may be repeated.")
]
MaxConcurrency = Annotated[int | None, typer.Option(metavar="N", help="The most tasks that run at once.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="The longest that the run may take.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object: status, value or error, run_id, workflow, seconds. Prints go to stderr."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    target: Target,
    *,
    input: Input = None,
    inputs_json: InputsJson = None,
    start: Start = None,
    max_concurrency: MaxConcurrency = None,
    timeout: Timeout = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Run a workflow, a task or a flow and print its value.

    Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted by Ctrl-C after a clean cancellation.
    """
    options: RunOptions = {"run_id": uuid.uuid4().hex, "max_concurrency": max_concurrency, "timeout": timeout}

    def body() -> int:
        pairs = read_pairs(input or ())
        document = read_document(inputs_json) if inputs_json is not None else {}
        with prints_on_stderr() if json else nullcontext():
            workflow, options["inputs"] = prepare(load(target), document, pairs)
            report, error = _execute(workflow, start, options)
        if json:
            print(as_json(report), flush=True)
        if error is not None:
            raise error
        if not json:
            print(for_people(report["value"]), flush=True)
        return DONE

    return guarded(body, debug=debug)


def _execute(
    workflow: Workflow, start: list[str] | None, options: RunOptions
) -> tuple[dict[str, Any], BaseException | None]:
    """Run a workflow to its end and report on it.

    Raises:
        UsageError: it cannot start like this.
    """
    try:
        # A handle that is never opened: it refuses now what makes no sense, before anything has run.
        workflow.start(start or None, **options)
    except DefinitionError as error:
        raise UsageError(str(error)) from error
    report: dict[str, Any] = {"status": "completed", "run_id": options.get("run_id"), "workflow": workflow.name}
    began = time.perf_counter()
    failure: BaseException | None = None
    try:
        report["value"] = drive(workflow.run(start or None, **options))
    except BaseException as error:  # noqa: BLE001  # reported as it is, then raised by the caller
        stopped = isinstance(error, (KeyboardInterrupt, asyncio.CancelledError, GraflowWorkflowCanceledError))
        report["status"] = "cancelled" if stopped else "failed"
        report["error"] = {"type": type(error).__name__, "message": str(error)}
        failure = error
    report["seconds"] = round(time.perf_counter() - began, 6)
    return report, failure
