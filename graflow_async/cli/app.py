"""The application: which commands there are, what holds for all of them, and how a wrong command line is answered.

A command is a module of this package with `register(app)`; to add one, name it in COMMANDS.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .._version import __version__
from . import dead, doctor, feedback, graph, keygen, resume, run, runs, ui, worker
from .completion import VARIABLE, whole_words
from .failures import COMMAND_NAME, FAILED, INTERRUPTED, USAGE, program, say
from .options import Debug

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (run, resume, runs, feedback, ui, worker, dead, graph, keygen, doctor)

_COMPLETION = ("--install-completion", "--show-completion")
# What the parser raises derives from this class; it is public under its own name only in some releases of typer.
_ParserError = cast("type[Exception]", typer.BadParameter.__base__)


def _show_version(value: bool) -> None:  # noqa: FBT001  # called by typer, by position
    """Print the version and leave."""
    if value:
        print(f"graflow-async {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
]


def _root(context: typer.Context, *, debug: Debug = False, version: Version = False) -> int:
    """Run asyncio-native workflows, record them, go on with them, and look at what they did."""
    del version  # answered while it was parsed
    context.obj = debug
    if context.invoked_subcommand is not None:
        return 0
    print(context.get_help(), end="")
    raise typer.Exit(USAGE)


def make_app() -> typer.Typer:
    """Make the application with every command."""
    app = typer.Typer(
        epilog="Example: graflow-async run flows.py:etl --input day=2026-01-31 --checkpoint-dir ./checkpoints",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for command in COMMANDS:
        command.register(app)
    return app


def call(arguments: Sequence[str], name: str) -> int:
    """Run one command line and give its exit code.

    Args:
        arguments: what follows the program's name.
        name: how the user calls the program.
    """
    if any(word.startswith(_COMPLETION) for word in arguments):
        name = COMMAND_NAME  # a shell completes commands of one word, and would else take that for `python`
    token = program.set(name)
    try:
        return _call(arguments, name)
    finally:
        program.reset(token)


def _call(arguments: Sequence[str], name: str) -> int:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # closed, or replaced by whoever calls
            # A value may hold characters that the terminal cannot show; that is no reason to fail.
            cast("Any", stream).reconfigure(errors="backslashreplace")
    try:
        command = typer.main.get_command(make_app())
        with whole_words():
            code = command.main(list(arguments), prog_name=name, complete_var=VARIABLE, standalone_mode=False)
        sys.stdout.flush()
    except _ParserError as error:
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context is not None else name
        say(f"{cast('Any', error).format_message().rstrip('.')} (see `{path} --help`)")
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has left. The interpreter flushes once more at its end, which must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except SystemExit as end:  # of what typer does about shells
        code = end.code if isinstance(end.code, int | None) else FAILED
    return code if isinstance(code, int) else 0
