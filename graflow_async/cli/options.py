"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from ..keywords import RunOptions
from ..options import DEFAULT_DIRECTORY
from ..policy import Rate
from .completion import run_ids, targets
from .failures import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Durability(StrEnum):
    """What a finished task survives before what comes after it starts."""

    PROCESS = "process"
    FSYNC = "fsync"
    ASYNC = "async"
    EXIT = "exit"


def _or_root(context: typer.Context, value: bool) -> bool:  # noqa: FBT001  # called by typer, by position
    """Let `--debug` hold wherever it stands, before the command or after it."""
    return value or bool(context.find_root().obj)


class _Misplaced(typer.BadParameter):
    """An option stands where it would be lost."""

    def format_message(self) -> str:
        """Say so without further words."""
        return self.message


def check_group(context: typer.Context) -> None:
    """Refuse options between a group and its command: they would be lost.

    Raises:
        typer.BadParameter: there are some.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name != "debug" and source is not None and source.name == "COMMANDLINE":
            option = parameter.opts[0]
            command = f"{context.info_name} {context.invoked_subcommand}"
            raise _Misplaced(f"{option} stands after the command: {command} ... {option}", context)


def bounds(max_concurrency: int | None, timeout: float | None, limits: Sequence[str]) -> RunOptions:
    """Give the bounds of a run that the command line names; for others the workflow's or the recorded ones count.

    Raises:
        UsageError: a limit is not written as NAME=N or NAME=N/SECONDS.
    """
    found: RunOptions = {}
    if max_concurrency is not None:
        found["max_concurrency"] = max_concurrency
    if timeout is not None:
        found["timeout"] = timeout
    if limits:
        found["limits"] = dict(map(_limit, limits))
    return found


def _limit(word: str) -> tuple[str, int | Rate]:
    name, _, bound = word.partition("=")
    count, slash, seconds = bound.partition("/")
    try:
        if name:
            return name, Rate(int(count), float(seconds)) if slash else int(count)
    except (ValueError, ConfigError):
        pass
    raise UsageError(f"--limit takes NAME=N or NAME=N/SECONDS, not {word!r}")


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:OBJECT",
        help="A dotted module or the path of a .py file, then a Workflow, a task, a flow or a function that makes one.",
        show_default=False,
        autocompletion=targets,
    ),
]
RecordedTarget = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:OBJECT",
        help="The workflow as it is today; without it the one that was recorded with the run is used.",
        show_default=False,
        autocompletion=targets,
    ),
]
RunOrPath = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The id of a recorded run, or the path of a checkpoint.",
        show_default=False,
        autocompletion=run_ids,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", callback=_or_root, help="Show the traceback of an error.")]
CheckpointDir = Annotated[
    str | None,
    typer.Option(metavar="DIR|URL", help="Record the run in this directory, or Redis.", show_default=False),
]
RecordedIn = Annotated[
    str,
    typer.Option("--checkpoint-dir", metavar="DIR|URL", help="The directory, or Redis, in which runs are recorded."),
]
RECORDED_IN = DEFAULT_DIRECTORY
DurabilityOption = Annotated[
    Durability | None,
    typer.Option(
        "--durability",
        help="What a finished task survives: a kill (process, the default), a power cut (fsync), or nothing yet "
        "(async; exit writes only at the end).",
        show_default=False,
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N[/SECONDS]",
        help="How many tasks that name this limit run at once, or begin in so many seconds; may be repeated.",
    ),
]
MaxConcurrency = Annotated[int | None, typer.Option(metavar="N", help="The most tasks that run at once.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="The longest that the run may take.")]
Progress = Annotated[
    bool, typer.Option("--progress", help="Show on stderr what runs, waits and why, if that is a terminal.")
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object: status, value or error, run_id, workflow, seconds. Prints go to stderr."
    ),
]
