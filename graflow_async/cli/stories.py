"""`graflow-async runs timeline`, `runs graph` and `runs explain`: what a recorded run did, when, and why then."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import CheckpointError, ConfigError
from ..explanation import Explanation
from ..keeping import checkpointer_of
from ..recorded_story import RecordedStory, recorded_story
from ..recovery import subject_of
from ..story import Span, Wait
from ..workflow import Workflow
from .drawings import (
    Chart,
    ChartOption,
    Language,
    LanguageOption,
    Output,
    check_one_format,
    deliver,
    drawn_run,
    drawn_timeline,
    run_data,
)
from .failures import DONE, UsageError, guarded, spelled
from .loop import drive
from .options import RECORDED_IN, Debug, RecordedIn, RecordedTarget, RunOrPath
from .output import as_json, moment, print_table, prints_on_stderr
from .place import check_recorded
from .resume import refuse, workflow_of

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TaskOrKey = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="The id of a task, or the number of an instance in the timeline.", show_default=False
    ),
]
_COLUMNS = ("", "instance", "task", "turn", "attempt", "ready", "waited", "ran", "status")


def register(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("timeline", epilog="Example: graflow-async runs timeline RUN -f html -o run.html")(timeline)
    commands.command("graph", epilog="Example: graflow-async runs graph RUN -f svg -o run.svg")(graph)
    commands.command("explain", epilog="Example: graflow-async runs explain RUN load")(explain)


def timeline(
    run: RunOrPath,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    format: ChartOption = Chart.TEXT,
    output: Output = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show what a recorded run did when: each attempt of each task, what it waited for, and the critical path (*)."""

    def body() -> int:
        if json and format is not Chart.TEXT:
            raise UsageError("--json is a format of its own: leave --format out")
        if output is not None and format is Chart.TEXT:
            raise UsageError("--output is for drawings: say --format svg or --format html")
        told = _told(checkpoint_dir, run, target)
        if format is not Chart.TEXT:
            deliver(drawn_timeline(told, format), output)
        elif json:
            print(as_json(_timeline_data(told)), flush=True)
        else:
            _print_timeline(told)
        return DONE

    return guarded(body, debug=debug)


def graph(
    run: RunOrPath,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    format: LanguageOption = Language.ASCII,
    output: Output = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Draw the graph that a recorded run really was: how far each task is, children, loops and jumps included."""

    def body() -> int:
        check_one_format(format, json=json)
        told = _told(checkpoint_dir, run, target)
        deliver(as_json(run_data(told)) if json else drawn_run(told, format), output)
        return DONE

    return guarded(body, debug=debug)


def explain(
    run: RunOrPath,
    task: TaskOrKey,
    target: RecordedTarget = None,
    *,
    checkpoint_dir: RecordedIn = RECORDED_IN,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Say why a task of a recorded run ran when it did: what it waited for, and who was to blame."""

    def body() -> int:
        told = _told(checkpoint_dir, run, target)
        try:
            found = _explained(told, task)
        except ConfigError as error:
            raise UsageError(str(error)) from error
        if json:
            print(as_json(_explanation_data(found)), flush=True)
            return DONE
        print(spelled(str(found)))
        for line in _caveats(told):
            print(line)
        return DONE

    return guarded(body, debug=debug)


def _told(directory: str, source: str, target: str | None) -> RecordedStory:
    """Read the story of a recorded run.

    Raises:
        UsageError: there is no such run.
    """
    check_recorded(directory)
    try:
        with prints_on_stderr():
            return drive(_read(directory, source, workflow_of(target)))
    except CheckpointError as error:
        refuse(error, is_named=target is not None)


async def _read(directory: str, source: str, workflow: Workflow | None) -> RecordedStory:
    checkpointer, _ = checkpointer_of({"checkpoint_dir": directory})
    try:
        records = await checkpointer.read(source)
    finally:
        await checkpointer.aclose()
    return await recorded_story(records, None if workflow is None else subject_of(workflow))


def _explained(told: RecordedStory, task: str) -> Explanation:
    """Explain a task by its id; a number that is no id is that of an instance.

    Raises:
        ConfigError: there is no such task.
    """
    try:
        return told.explain(task)
    except ConfigError:
        if not task.isdecimal() or not any(span.key == int(task) for span in told.timeline()):
            raise
        return told.explain(int(task))


# -- what is printed ------------------------------------------------------------------------------------------


def _caveats(told: RecordedStory) -> list[str]:
    """Say what the journal does not know."""
    lines: list[str] = []
    if told.since is not None:
        lines.append(
            f"what happened before {moment(told.since)} is not known: the log had grown long and was put together then"
        )
    if told.story.lost:
        lines.append(f"{told.story.lost} older spans are left out")
    return lines


def _print_timeline(told: RecordedStory) -> None:
    """Print a line for each span, under the names of the columns; then what is not known."""
    spans = told.timeline()
    critical = {id(span) for span in told.critical_path()}
    began = min((span.queued_at for span in spans), default=0.0)
    rows = [
        (
            "*" if id(span) in critical else "",
            str(span.key) if span.key else "",
            span.task_id,
            str(span.turn),
            str(span.attempt),
            f"+{span.queued_at - began:.3f}",
            _waited(span),
            "" if span.seconds is None else f"{span.seconds:.3f}",
            span.status if span.error is None else f"{span.status}: {span.error}",
        )
        for span in spans
    ]
    if rows:
        print_table([_COLUMNS, *rows], numbers=(1, 3, 4, 5, 6, 7))
        print("seconds; * determined when the run ended; a body counts as running from when it might begin")
    else:
        print("nothing has run")
    for line in _caveats(told):
        print(line)


def _waited(span: Span) -> str:
    """Give how long an attempt waited before it might begin."""
    admitted = span.admitted_at
    return "" if admitted is None else f"{admitted - span.queued_at:.3f}"


def _timeline_data(told: RecordedStory) -> dict[str, Any]:
    critical = {id(span) for span in told.critical_path()}
    return {
        "run_id": told.history.header["run_id"],
        "workflow": told.history.header["workflow"],
        "began_at": told.story.began_at,
        "ended_at": told.story.ended_at,
        "known_since": told.since,
        "spans": [{**_span_data(span), "critical": id(span) in critical} for span in told.timeline()],
    }


def _span_data(span: Span) -> dict[str, Any]:
    return {
        "task_id": span.task_id,
        "instance": span.key,
        "turn": span.turn,
        "attempt": span.attempt,
        "parent": span.parent,
        "cause": span.cause,
        "queued_at": span.queued_at,
        "admitted_at": span.admitted_at,
        "started_at": span.started_at,
        "finished_at": span.finished_at,
        "status": span.status,
        "error": span.error,
        "waits": [_wait_data(wait) for wait in span.waits],
    }


def _wait_data(wait: Wait) -> dict[str, Any]:
    return {"kind": wait.kind, "about": wait.about, "since": wait.since, "until": wait.until, "by": wait.by}


def _explanation_data(found: Explanation) -> dict[str, Any]:
    return {
        "task_id": found.task_id,
        "instance": found.key,
        "status": found.status,
        "text": str(found),
        "parts": [
            {"kind": part.kind, "seconds": part.seconds, "about": part.about, "text": part.text} for part in found.parts
        ],
        "spans": [_span_data(span) for span in found.spans],
    }
