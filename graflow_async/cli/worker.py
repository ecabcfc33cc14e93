"""`graflow-async worker`: a worker, with the options of `python -m graflow_async.worker`."""

from __future__ import annotations

import traceback
from typing import Annotated, Any

import typer

from .._lazy import lazily
from .failures import DONE, FAILED, guarded, program
from .options import Debug
from .targets import search_here

_worker = lazily("graflow_async.worker.main")  # the client of Redis is slow to import

Arguments = Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS]", help="See graflow-async worker --help.")]


def register(app: typer.Typer) -> None:
    """Add the command; its options, `--help` among them, are those of the program that it stands for."""
    settings: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}
    app.command("worker", context_settings=settings, add_help_option=False)(worker)


def worker(arguments: Arguments = None, *, debug: Debug = False) -> int:
    """Take tasks of runs from a queue in Redis and run them, until SIGTERM or Ctrl-C."""

    def body() -> int:
        search_here()  # tasks name the modules that they come from
        try:
            _worker.main(arguments or [], program=f"{program.get()} worker")
        except SystemExit as end:
            if debug and end.__cause__ is not None:
                traceback.print_exception(end.__cause__)
            return end.code if isinstance(end.code, int) else DONE if end.code is None else FAILED
        return DONE

    return guarded(body, debug=debug)
