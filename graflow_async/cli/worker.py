"""`graflow-async worker`: a worker, with the options of `python -m graflow_async.worker`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .._lazy import lazily
from .failures import DONE, FAILED

_worker = lazily("graflow_async.worker.main")  # the client of Redis is slow to import

Arguments = Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS]", help="See graflow-async worker --help.")]


def register(app: typer.Typer) -> None:
    """Add the command; its options, `--help` among them, are those of the program that it stands for."""
    settings: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}
    app.command("worker", context_settings=settings, add_help_option=False)(worker)


def worker(arguments: Arguments = None) -> int:
    """Take tasks of runs from a queue in Redis and run them, until SIGTERM or Ctrl-C."""
    try:
        _worker.main(arguments or [])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE if end.code is None else FAILED
    return DONE
