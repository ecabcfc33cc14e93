"""`graflow-async resume`: go on with a recorded run, or from a checkpoint, and print the run's value."""

from __future__ import annotations

import json as json_format
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ..errors import ConfigError, DefinitionError, GraphChangedError, TaskInterruptedError, UnknownRunError
from ..events import Event, RunStarted
from ..keeping import checkpointer_of
from ..keywords import RunOptions
from ..manager import CheckpointManager
from ..options import check_options
from ..workflow import Workflow
from .failures import CommandError, UsageError, guarded, tell_how_to_go_on
from .options import (
    RECORDED_IN,
    Debug,
    DurabilityOption,
    Json,
    Limit,
    MaxConcurrency,
    Progress,
    RecordedIn,
    RecordedTarget,
    RunOrPath,
    Timeout,
    bounds,
)
from .outcome import answer, carry_out
from .output import prints_on_stderr
from .targets import as_workflow, load, search_here

if TYPE_CHECKING:
    from collections.abc import Sequence

AllowChanges = Annotated[
    bool,
    typer.Option(
        "--allow-changes", help="Go on although the workflow has changed: keep what is still valid, run the rest."
    ),
]
Interrupted = Annotated[
    list[str] | None,
    typer.Option(
        metavar="retry|ID=VALUE",
        help="What to do with tasks that must not run twice and had begun: run them again, or take this result (JSON "
        "where it is JSON, else text); may be repeated.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resume", epilog="Example: graflow-async resume RUN --checkpoint-dir ./checkpoints")(resume)


def resume(
    run: RunOrPath,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    allow_changes: AllowChanges = False,
    interrupted: Interrupted = None,
    limit: Limit = None,
    max_concurrency: MaxConcurrency = None,
    timeout: Timeout = None,
    durability: DurabilityOption = None,
    progress: Progress = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Go on with a recorded run, or from a checkpoint, and print the run's value.

    What had completed is not run again; what was in flight starts again, and so do tasks that had failed.

    A run that has completed gives its recorded value.

    Exit codes: 0 done, 1 failed, 2 usage, 3 paused, 130 interrupted by Ctrl-C after a clean cancellation.
    """

    def body() -> int:
        wishes = _interrupted(interrupted or ())
        given = bounds(max_concurrency, timeout, limit or ())
        options = _options(checkpoint_dir, given, durability.value if durability else None)
        with prints_on_stderr() if json else nullcontext():
            workflow = workflow_of(target)
            report: dict[str, Any] = {"status": "running", "run_id": run}
            if workflow is not None:
                report["workflow"] = workflow.name
            options["listeners"] = [partial(_note, report), *_own_listeners(workflow)]
            if progress:
                options["progress"] = True
            manager = CheckpointManager(checkpoint_dir)
            failure = _go_on(manager, report, run, workflow, options, allow_changes=allow_changes, interrupted=wishes)
            if json and "workflow" not in report:  # a run that has completed begins nothing
                report["workflow"] = {kept.run_id: kept.workflow for kept in manager.list_runs()}.get(run)
        if failure is not None and "is_under_way" in report:
            tell_how_to_go_on(failure, report["run_id"], checkpoint_dir)
        report.pop("is_under_way", None)
        return answer(report, failure, json=json)

    return guarded(body, debug=debug)


def workflow_of(target: str | None) -> Workflow | None:
    """Give the workflow that the command line names; else let recorded code find modules of the current folder."""
    if target is not None:
        return as_workflow(load(target))
    search_here()
    return None


def _options(checkpoint_dir: str, given: RunOptions, durability: str | None) -> RunOptions:
    """Put the options together that the command line gives; limits that it does not give stay as they were.

    Raises:
        UsageError: one makes no sense.
    """
    options: RunOptions = {**given, "checkpoint_dir": checkpoint_dir}
    if durability is not None:
        options["durability"] = durability
    try:
        check_options(options)
        checkpointer_of(options)
    except DefinitionError as error:
        raise UsageError(str(error)) from error
    return options


def _interrupted(words: Sequence[str]) -> dict[str, Any] | str | None:
    """Read `--interrupted`.

    Raises:
        UsageError: it is neither `retry` nor `id=value`.
    """
    if not words:
        return None
    if list(words) == ["retry"]:
        return "retry"
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise UsageError(f"--interrupted takes retry, or id=value for each task, not {word!r}")
        try:
            found[name] = json_format.loads(text)
        except (ValueError, RecursionError):
            found[name] = text
    return found


def _own_listeners(workflow: Workflow | None) -> Sequence[Any]:
    """List the listeners that a workflow brings along."""
    return (workflow.completed({}).get("listeners") or ()) if workflow is not None else ()


def _note(report: dict[str, Any], event: Event) -> None:
    """Learn what goes on: from a checkpoint it may be another run, and nobody may have named the workflow."""
    report["run_id"] = event.run_id
    report["is_under_way"] = True
    if isinstance(event, RunStarted):
        report["workflow"] = event.workflow


def _go_on(
    manager: CheckpointManager,
    report: dict[str, Any],
    run: str,
    workflow: Workflow | None,
    options: RunOptions,
    *,
    allow_changes: bool,
    interrupted: dict[str, Any] | str | None,
) -> BaseException | None:
    """Resume, complete the report, and give what the run raised.

    Raises:
        CommandError: the run cannot go on like this; what can be done is said in terms of the command line.
    """

    async def work() -> Any:
        return await manager.resume(run, workflow, allow_changes=allow_changes, interrupted=interrupted, **options)

    failure = carry_out(report, work)
    if failure is not None and "is_under_way" not in report:
        refuse(failure, is_named=workflow is not None)
    return failure


def refuse(error: BaseException, *, is_named: bool) -> NoReturn:
    """Say why a recorded run cannot be used, in terms of the command line.

    Args:
        error: what the library says.
        is_named: whether the command line names the workflow.

    Raises:
        UsageError: there is no such run, or an option makes no sense for it.
        CommandError: it needs an option that was not given.
        BaseException: anything else, as it is.
    """
    if isinstance(error, (UnknownRunError, ConfigError)):
        raise UsageError(str(error)) from error
    if isinstance(error, GraphChangedError) and error.changes:
        changes = "; ".join(error.changes)
        if not is_named:
            raise UsageError(
                f"the code that was recorded cannot be found from here ({changes}): name the workflow as "
                "MODULE:OBJECT, or call this where its module can be imported"
            ) from error
        raise CommandError(
            f"the workflow has changed since the run was recorded: {changes} (--allow-changes keeps what is still "
            "valid and runs the rest; `runs plan` says which)"
        ) from error
    if isinstance(error, TaskInterruptedError):
        names = ", ".join(map(repr, error.task_ids))
        raise CommandError(
            f"{names} had begun when the process died and must not run twice: find out whether the work was done, then "
            "add --interrupted retry, or --interrupted ID=VALUE with the result"
        ) from error
    raise error
