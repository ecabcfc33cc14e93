"""How a command fails: exit codes, and one line on stderr instead of a traceback."""

from __future__ import annotations

import asyncio
import shlex
import sys
import traceback
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from .._redis.urls import shown
from ..errors import GraflowError, ParallelGroupError
from ..feedback_errors import WorkflowPausedError

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_NAME = "graflow-async"
program = ContextVar("program", default=COMMAND_NAME)  # how the user calls it
DONE, FAILED, USAGE, PAUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
_NOTE = "graflow_async: task "
_GO_ON = "graflow-async: resume it with: "
_MOST = 2000  # characters of a line; some libraries put whole documents into their messages


class CommandError(Exception):
    """The command cannot be done; the message says all that a user needs.

    Attributes:
        code: the exit code.
    """

    code = FAILED


class UsageError(CommandError):
    """The command line asks for something that is not there or makes no sense."""

    code = USAGE


def guarded(body: Callable[[], int], *, debug: bool) -> int:
    """Run the body of a command and give its exit code; what it raises becomes one line.

    Args:
        body: does the work and gives the exit code.
        debug: show the traceback before the line.
    """
    try:
        return body()
    except KeyboardInterrupt as error:
        return _told(error, "interrupted", INTERRUPTED, debug=debug)
    except asyncio.CancelledError as error:
        return _told(error, "terminated", TERMINATED, debug=debug)
    except BrokenPipeError:
        raise
    except CommandError as error:
        return _told(error, str(error), error.code, debug=debug)
    except WorkflowPausedError as error:
        return _told(error, describe_pause(error), PAUSED, debug=debug, word="paused")
    except BaseException as error:  # noqa: BLE001  # a user's code may raise anything, SystemExit too
        return _told(error, describe(error), FAILED, debug=debug)


def describe(error: BaseException) -> str:
    """Say in one line what an exception says, and which task raised it."""
    text = str(error)
    if not isinstance(error, GraflowError) and not _asks_for_extra(error):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, ParallelGroupError):
        members = [f"{name}: {describe(failure)}" for name, failure in error.failed.items()]
        text = "; ".join([error.message, *members])
    elif isinstance(error, BaseExceptionGroup):
        text = "; ".join([text, *map(describe, cast("BaseExceptionGroup[BaseException]", error).exceptions)])
    notes = cast("list[Any]", getattr(cast("BaseException", error), "__notes__", []))
    places = [note for note in notes if isinstance(note, str) and note.startswith(_NOTE)]
    if places:
        text += f" ({places[0].removeprefix('graflow_async: ')})"
    return text


def _asks_for_extra(error: BaseException) -> bool:
    """Say whether it is the library that misses a package, with a sentence that says what to install."""
    return isinstance(error, ModuleNotFoundError) and "[" in str(error).partition("pip install ")[2]


def describe_pause(error: WorkflowPausedError) -> str:
    """Say what a paused run waits for."""
    why = f": {error.reason}" if error.reason else ""
    waiting = f"; open questions: {', '.join(map(repr, error.request_ids))}" if error.request_ids else ""
    return f"run {error.run_id}{why}{waiting}"


def resume_command(run_id: str, directory: str) -> str:
    """Give the command that goes on with a run."""
    return f"{program.get()} resume {shlex.quote(run_id)} --checkpoint-dir {shlex.quote(without_password(directory))}"


def without_password(place: str) -> str:
    """Give a place as it may stand in a log."""
    return shown(place)


def tell_how_to_go_on(error: BaseException, run_id: str, directory: str) -> None:
    """Let the line that tells of an error end with the command that goes on with the run."""
    error.add_note(f"{_GO_ON}{resume_command(run_id, directory)}")


def say(text: str, word: str = "error") -> None:
    """Print one line on stderr, whatever is in the text: line breaks become spaces, control characters are spelled."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    line = spelled(line)
    if len(line) > _MOST:
        line = f"{line[:_MOST]}... (--debug shows all of it)"
    print(f"{word}: {line}", file=sys.stderr)


def spelled(text: str) -> str:
    """Spell control characters: texts come from whoever wrote the tasks or recorded the run."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _told(error: BaseException, text: str, code: int, *, debug: bool, word: str = "error") -> int:
    """Tell the user of an error and give the exit code."""
    sys.stdout.flush()
    notes = cast("list[Any]", getattr(error, "__notes__", []))
    text += "".join(
        f"; {note.removeprefix('graflow-async: ')}"
        for note in notes
        if isinstance(note, str) and note.startswith(_GO_ON)
    )
    if debug:
        traceback.print_exception(error)
    say(text, word)
    return code
