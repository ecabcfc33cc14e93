"""The web inbox as a program: `python -m graflow_async.ui --dir ./checkpoints`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from ..errors import GraflowError
from .server import HOST, PORT, TOKEN_ENV, serve_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "python -m graflow_async.ui"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and give its exit code: 0 ended as told, 1 failed, 2 usage."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Serve the inbox of open questions.")
    parser.add_argument("--dir", required=True, help="the checkpoint directory of the runs")
    parser.add_argument("--host", default=HOST, help=f"address to listen at (default {HOST})")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen at, 0 for a free one (default {PORT})")
    parser.add_argument("--token", help=f"token of the operator; better set {TOKEN_ENV}, which others cannot see")
    parser.add_argument("--allow-host", action="append", metavar="NAME", help="a host name that requests may be for")
    parser.add_argument("--docs", action="store_true", help="serve api/openapi.json")
    given = parser.parse_args(arguments)
    if not 0 <= given.port < 65536:
        parser.error(f"there is no port {given.port}")
    try:
        asyncio.run(
            serve_folder(
                given.dir,
                host=given.host,
                port=given.port,
                token=given.token,
                allowed_hosts=given.allow_host,
                docs=given.docs,
                on_ready=_announce,
            )
        )
    except KeyboardInterrupt:
        return 0
    except (GraflowError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _announce(url: str) -> None:
    sys.stderr.write(f"the inbox is at {url}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
