"""Serving the web inbox on its own; a server that others can reach does not start without a token."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from ..brokering import FEEDBACK_FOLDER
from ..brokers.file import FileBroker
from ..codec.keys import ENV_NAME
from ..errors import ConfigError
from .access import HINT, is_loopback
from .app import Source, create_app
from .site import Streams
from .tokens import SecretKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOST = "127.0.0.1"
PORT = 8080
TOKEN_ENV = "GRAFLOW_UI_TOKEN"  # noqa: S105  # the name of a variable
SECONDS_TO_END = 5  # that open requests have when the server ends


async def serve(
    source: Source,
    *,
    host: str = HOST,
    port: int = PORT,
    token: str | None = None,
    secret_keys: SecretKeys | None = None,
    allowed_hosts: Sequence[str] | None = None,
    title: str = "Inbox",
    docs: bool = False,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve the web inbox until the task is cancelled or the process is told to end.

    On an address of this machine alone no token is needed.

    Args:
        source: where the questions are: a broker, an Inbox or a FeedbackManager.
        host: name or address to listen at.
        port: to listen at; 0 for any free one.
        token: of the operator, who may do everything: at least 32 bytes of random text.
        secret_keys: with these, tokens for single questions are taken as well.
        allowed_hosts: names that a request may be for; None for any with a token, else those of this machine.
        title: what the page is called.
        docs: whether the description of the API is served, at `api/openapi.json`.
        on_ready: is called with the address of the page when it can be opened.

    Raises:
        ConfigError: others could reach the address and there is no token, or a token or a key is weak.
        OSError: the address cannot be had.
    """
    family, address = await _address(host, port)
    is_local = is_loopback(address[0])
    if token is None and not is_local:
        raise ConfigError(
            f"other machines may reach {host}, so the web inbox does not start there without a token: give one "
            f"(token=, --token or GRAFLOW_UI_TOKEN), or listen at {HOST}; {HINT}"
        )
    app = create_app(
        source,
        token=token,
        secret_keys=secret_keys,
        allowed_hosts=allowed_hosts,
        trust_loopback=is_local and token is None,
        title=title,
        docs=docs,
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        url = _url(family, listener.getsockname())
        server = _Server(config, app.state.site.streams, lambda: on_ready(url) if on_ready is not None else None)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="graflow-ui-server")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


async def serve_folder(
    folder: str | os.PathLike[str],
    *,
    host: str = HOST,
    port: int = PORT,
    token: str | None = None,
    allowed_hosts: Sequence[str] | None = None,
    docs: bool = False,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve the inbox of the runs that are recorded in a checkpoint directory.

    Tokens for single questions are taken if `GRAFLOW_SECRET_KEY` is set.

    Args:
        folder: the checkpoint directory.
        host: name or address to listen at.
        port: to listen at; 0 for any free one.
        token: of the operator; None for that of `GRAFLOW_UI_TOKEN`, if it is set.
        allowed_hosts: names that a request may be for.
        docs: whether the description of the API is served.
        on_ready: is called with the address of the page when it can be opened.

    Raises:
        ConfigError: others could reach the address and there is no token, or a token or a key is weak.
        OSError: the address cannot be had.
    """
    broker = FileBroker(Path(folder) / FEEDBACK_FOLDER)
    try:
        await serve(
            broker,
            host=host,
            port=port,
            token=token or os.environ.get(TOKEN_ENV) or None,
            secret_keys=os.environ.get(ENV_NAME) or None,
            allowed_hosts=allowed_hosts,
            docs=docs,
            on_ready=on_ready,
        )
    finally:
        await broker.aclose()


class _Server(uvicorn.Server):
    """Ends the streams of changes first when it ends: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, streams: Streams, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._streams = streams
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.close()
        await super().shutdown(sockets)


async def _address(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Look up where to listen.

    Raises:
        ConfigError: there is no such name.
    """
    try:
        flags = socket.AI_PASSIVE | socket.AI_NUMERICHOST  # of an address: nothing to look up, so it takes no time
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (socket.gaierror, UnicodeError) as error:
            raise ConfigError(f"there is no address {host!r} to listen at: {error}") from error
    # Where a name has both kinds of address, more programs try the older one first.
    family, _, _, _, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    return family, address


def _url(family: socket.AddressFamily, address: Any) -> str:
    host = f"[{address[0]}]" if family is socket.AF_INET6 else address[0]
    return f"http://{host}:{address[1]}/"
