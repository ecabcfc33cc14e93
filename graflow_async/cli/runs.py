"""`graflow-async runs`: the recorded runs of a directory, listed, shown step by step, and what resuming would do.

What they did when is told next door, in `stories`.
"""

from __future__ import annotations

import asyncio
import json as json_format
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .._runtime.history import opening_of
from ..checkpointer import Kind, Record
from ..errors import CheckpointError, GraphChangedError
from ..fingerprint import graph_changes, shape_of
from ..keeping import checkpointer_of
from ..manager import CheckpointManager, RecordedRun
from ..recovery import subject_of
from ..resume import recorded_subject, told
from ..workflow import Workflow
from . import stories
from .failures import DONE, FAILED, describe, guarded, say, spelled, without_password
from .options import RECORDED_IN, Debug, RecordedIn, RecordedTarget, RunOrPath, check_group
from .output import as_json, moment, print_table, prints_on_stderr, short
from .place import check_recorded
from .resume import refuse, workflow_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COLUMNS = ("run", "workflow", "status", "updated", "records", "size")


class Shown(NamedTuple):
    """What is shown of one recorded run: its head, its steps (None if they cannot be told here), and why not."""

    head: dict[str, Any]
    steps: list[dict[str, Any]] | None
    problem: Exception | None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="List recorded runs, show one, when what ran and why, or what resuming it would do.",
        epilog="Example: graflow-async runs list --checkpoint-dir ./checkpoints",
    )
    commands.callback(invoke_without_command=True)(runs)
    commands.command("list", epilog="Example: graflow-async runs list --json")(list_runs)
    commands.command("show", epilog="Example: graflow-async runs show RUN")(show)
    commands.command("plan", epilog="Example: graflow-async runs plan RUN flows.py:etl")(plan)
    stories.register(commands)
    app.add_typer(commands, name="runs")


def runs(
    context: typer.Context, *, checkpoint_dir: RecordedIn = RECORDED_IN, json: Json = False, debug: Debug = False
) -> int:
    """List recorded runs, show one, or see what resuming it would do."""
    if context.invoked_subcommand is None:
        return list_runs(checkpoint_dir=checkpoint_dir, json=json, debug=debug)
    check_group(context)
    return DONE


def list_runs(*, checkpoint_dir: RecordedIn = RECORDED_IN, json: Json = False, debug: Debug = False) -> int:
    """List the recorded runs, the one that was written last first."""

    def body() -> int:
        check_recorded(checkpoint_dir)
        found: list[RecordedRun] = CheckpointManager(checkpoint_dir).list_runs()
        if json:
            print(as_json([run._asdict() for run in found]), flush=True)
        elif found:
            _print_table(found)
        else:
            print(f"no runs are recorded in {without_password(checkpoint_dir)}", flush=True)
        return DONE

    return guarded(body, debug=debug)


def show(
    run: RunOrPath,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show a recorded run: what it is, how it stands, and every step (a body that returned) with its time."""

    def body() -> int:
        check_recorded(checkpoint_dir)
        try:
            with prints_on_stderr():
                shown = asyncio.run(_look(checkpoint_dir, run, workflow_of(target)))
        except CheckpointError as error:
            refuse(error, is_named=target is not None)
        if json:
            problem = None if shown.problem is None else describe(shown.problem)
            print(as_json({**shown.head, "steps": shown.steps, "problem": problem}), flush=True)
        else:
            _print_run(shown)
        if shown.problem is None:
            return DONE
        say(f"the steps cannot be told: {describe(shown.problem)}")
        return FAILED

    return guarded(body, debug=debug)


def plan(
    run: RunOrPath,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Say what resuming a run would keep, what is stale because the workflow has changed, and what would run."""

    def body() -> int:
        check_recorded(checkpoint_dir)
        try:
            with prints_on_stderr():
                found = CheckpointManager(checkpoint_dir).plan(run, workflow_of(target))
        except CheckpointError as error:
            refuse(error, is_named=target is not None)
        if json:
            print(as_json(found._asdict()), flush=True)
            return DONE
        lines = [
            *_named("changed", found.changes),
            *_named("kept", found.kept),
            *_named("stale", [f"{name}: {why}" for name, why in found.stale.items()]),
            *_named("to run", found.to_run),
        ]
        print("\n".join(map(spelled, lines)) or "nothing to do", flush=True)
        return DONE

    return guarded(body, debug=debug)


async def _look(directory: str, source: str, workflow: Workflow | None) -> Shown:
    """Read a recorded run, or a checkpoint.

    Raises:
        CheckpointError: there is no such run, or it cannot be read.
    """
    checkpointer, _ = checkpointer_of({"checkpoint_dir": directory})
    try:
        records = await checkpointer.read(source)
        opening = opening_of(records)
        header = opening.header
        listed = {run.run_id: run for run in await CheckpointManager(checkpointer=checkpointer).list_runs()}
        saved = await checkpointer.saved(source) if source in listed else []
    finally:
        await checkpointer.aclose()
    head = _head(header, records, listed.get(source))
    head["checkpoints"] = saved
    try:
        subject = subject_of(workflow) if workflow is not None else recorded_subject(opening, None)
        changes = graph_changes(opening.shape, shape_of(subject.graph))
        if changes:
            raise GraphChangedError(f"the workflow has changed: {'; '.join(changes)}", changes)
        history = await told(records, opening, subject, None)
    except CheckpointError as error:
        return Shown(head, None, error)
    steps = [
        {
            "step": s.number,
            "task_id": s.task_id,
            "turn": s.turn,
            "at": s.at,
            "after": round(s.at - header["created_at"], 6),
        }
        for s in history.steps
    ]
    return Shown(head, steps, None)


def _head(header: Mapping[str, Any], records: list[Record], listed: RecordedRun | None) -> dict[str, Any]:
    """Describe a run by its header, and by the list where it stands there; a checkpoint by its records alone."""
    ends = [json_format.loads(record.payload) for record in records if record.kind == Kind.FINISHED]
    return {
        "run_id": header["run_id"],
        "workflow": header["workflow"],
        "status": listed.status if listed is not None else "checkpoint",
        "created_at": header["created_at"],
        "updated_at": listed.updated_at if listed is not None else None,
        "ended_at": ends[-1]["at"]
        if ends and listed is not None and listed.status not in ("running", "interrupted")
        else None,
        "resumed": sum(record.kind == Kind.RESUMED for record in records),
        "records": len(records),
        "size": listed.size if listed is not None else sum(len(record.payload) for record in records),
        "forked_from": list(header.get("forked_from", ())),
        "version": header["version"],
        "python": header["python"],
    }


# -- for people -----------------------------------------------------------------------------------------------


def _print_table(found: Iterable[RecordedRun]) -> None:
    """Print a line for each run, under a line with the names of the columns."""
    rows = [
        (run.run_id, short(run.workflow), run.status, moment(run.updated_at), str(run.records), _size(run.size))
        for run in found
    ]
    print_table([_COLUMNS, *rows], numbers=(4, 5))


def _print_run(shown: Shown) -> None:
    """Print the head, a name and a value to a line, then the steps."""
    head = shown.head
    lines = [
        ("run", head["run_id"]),
        ("workflow", head["workflow"]),
        ("status", head["status"]),
        ("created", moment(head["created_at"])),
        ("updated", moment(head["updated_at"]) if head["updated_at"] is not None else ""),
        ("resumed", f"{head['resumed']} times" if head["resumed"] else ""),
        ("forked from", ", ".join(head["forked_from"])),
        ("recorded", f"{head['records']} records, {_size(head['size'])}"),
        ("written by", f"graflow-async {head['version']}, Python {head['python']}"),
        *(("checkpoint", path) for path in head["checkpoints"]),
    ]
    for name, value in lines:
        if value:
            print(spelled(f"{name:<12} {value}"))
    steps = shown.steps
    if steps is None:
        return
    print(f"{len(steps)} steps" if len(steps) != 1 else "1 step", end=":\n" if steps else "\n")
    width = max((len(step["task_id"]) for step in steps), default=0)
    for step in steps:
        turn = f"turn {step['turn']}"
        when = f"{moment(step['at'])}  +{step['after']:.3f} s"
        print(spelled(f"{step['step']:>6}  {step['task_id']:<{width}}  {turn:<8}  {when}"))


def _named(name: str, items: list[str]) -> list[str]:
    """Give a line for each item under a common name."""
    return [f"{name:<8} {item}" for item in items]


def _size(size: int) -> str:
    """Write a number of bytes."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / (1024 * 1024):.1f} MiB"
