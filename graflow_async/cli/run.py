"""`graflow-async run`: run a workflow, a task or a flow and print its value."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from ..errors import CheckpointError, ConfigError, DefinitionError
from ..keeping import checkpointer_of
from ..keywords import RunOptions
from ..options import check_options
from ..workflow import Workflow
from .failures import UsageError, guarded, tell_how_to_go_on
from .inputs import prepare, read_document, read_pairs
from .options import (
    CheckpointDir,
    Debug,
    Durability,
    DurabilityOption,
    Json,
    Limit,
    MaxConcurrency,
    Progress,
    Target,
    Timeout,
    bounds,
)
from .outcome import answer, carry_out
from .output import prints_on_stderr
from .targets import load

Input = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="An input, as often as needed; its parameter's annotation converts it. @FILE is what is in a file.",
    ),
]
InputsJson = Annotated[
    str | None,
    typer.Option(
        "--inputs",
        "--inputs-json",
        metavar="FILE",
        help="A JSON object of inputs; - reads stdin. --input wins over it.",
    ),
]
Start = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="The task to start from instead of the roots; may be repeated.")
]
RunId = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The id of the run; one is made up if none is given.", show_default=False),
]
_NOT_BEGUN = (CheckpointError, ConfigError)  # where a run could not be recorded, there is nothing to go on with


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: graflow-async run flows.py:etl --input day=2026-01-31 --checkpoint-dir ./checkpoints"
    app.command("run", epilog=example)(run)


def run(
    target: Target,
    *,
    input: Input = None,
    inputs_json: InputsJson = None,
    start: Start = None,
    limit: Limit = None,
    max_concurrency: MaxConcurrency = None,
    timeout: Timeout = None,
    checkpoint_dir: CheckpointDir = None,
    run_id: RunId = None,
    durability: DurabilityOption = None,
    progress: Progress = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Run a workflow, a task or a flow and print its value.

    With --checkpoint-dir the run is recorded, so that `resume` can go on with it after an error, Ctrl-C or a crash.

    Exit codes: 0 done, 1 failed, 2 usage, 3 paused, 130 interrupted by Ctrl-C after a clean cancellation.
    """

    def body() -> int:
        options = _options(checkpoint_dir, run_id, durability)
        options |= bounds(max_concurrency, timeout, limit or ())
        if progress:
            options["progress"] = True
        pairs = read_pairs(input or ())
        document = read_document(inputs_json) if inputs_json is not None else {}
        with prints_on_stderr() if json else nullcontext():
            workflow, options["inputs"] = prepare(load(target), document, pairs)
            report, failure = _execute(workflow, start, options)
        place = workflow.completed(options).get("checkpoint_dir")
        if failure is not None and place is not None and not isinstance(failure, _NOT_BEGUN):
            tell_how_to_go_on(failure, report["run_id"], str(place))
        return answer(report, failure, json=json)

    return guarded(body, debug=debug)


def _options(checkpoint_dir: str | None, run_id: str | None, durability: Durability | None) -> RunOptions:
    """Put together what the run is called and how it is recorded; what is not given is for the workflow to say.

    Raises:
        UsageError: one asks for a journal that another one does not give.
    """
    options: RunOptions = {"run_id": uuid.uuid4().hex if run_id is None else run_id}
    if durability is not None and checkpoint_dir is None:
        raise UsageError("--durability says how a run is recorded: it needs --checkpoint-dir")
    if checkpoint_dir is not None:
        options["checkpoint_dir"] = checkpoint_dir
        options["durability"] = (durability or Durability.PROCESS).value
    return options


def _execute(
    workflow: Workflow, start: list[str] | None, options: RunOptions
) -> tuple[dict[str, Any], BaseException | None]:
    """Run a workflow to its end and report on it.

    Raises:
        UsageError: it cannot start like this.
    """
    try:
        check_options(options)
        if options.get("checkpoint_dir") is not None:
            checkpointer_of(options)
        # A handle that is never opened: it refuses now what makes no sense, before anything has run.
        unrecorded: Any = {k: v for k, v in options.items() if k not in ("checkpoint_dir", "durability")}
        workflow.start(start or None, **unrecorded)
    except DefinitionError as error:
        raise UsageError(str(error)) from error
    report: dict[str, Any] = {"status": "running", "run_id": options.get("run_id"), "workflow": workflow.name}
    failure = carry_out(report, lambda: workflow.run(start or None, **options))
    return report, failure
