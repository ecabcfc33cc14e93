"""`graflow-async ui`: serve the inbox of open questions, as a page and as an HTTP API."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from .._lazy import lazily
from ..errors import ConfigError
from .failures import DONE, UsageError, guarded
from .loop import drive
from .options import RECORDED_IN, Debug

_server = lazily("graflow_async.ui.server")  # with a web framework behind it

Place = Annotated[
    str, typer.Option("--checkpoint-dir", "--dir", metavar="DIR", help="The directory in which runs are recorded.")
]
Host = Annotated[str, typer.Option(metavar="NAME", help="Where to listen; anything but this machine needs a token.")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port to listen at; 0 for any free one.")]
Token = Annotated[str | None, typer.Option(metavar="TEXT", help="What callers must know (or GRAFLOW_UI_TOKEN).")]
Docs = Annotated[bool, typer.Option("--docs", help="Also serve the description of the API.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui", epilog="Example: graflow-async ui --dir ./checkpoints --port 8765")(ui)


def ui(
    *,
    checkpoint_dir: Place = RECORDED_IN,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token: Token = None,
    docs: Docs = False,
    debug: Debug = False,
) -> int:
    """Serve the open questions of recorded runs, as a page and as an HTTP API, until Ctrl-C."""

    def body() -> int:
        try:
            with suppress(KeyboardInterrupt):  # the way to end it
                drive(
                    _server.serve_folder(
                        checkpoint_dir,
                        host=host,
                        port=port,
                        token=token,
                        docs=docs,
                        on_ready=_tell,
                    )
                )
        except ConfigError as error:
            raise UsageError(str(error)) from error
        return DONE

    return guarded(body, debug=debug)


def _tell(address: str) -> None:
    """Say where the page is."""
    print(f"the inbox is at {address}", flush=True)
