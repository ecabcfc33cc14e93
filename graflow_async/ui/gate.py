"""What every request passes first and every response last: the host, the origin, and the headers of safety."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from .access import Access
from .problems import SAFE_HEADERS, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Gate:
    """The outermost ring of the application."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Stand before `app`."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE_HEADERS)
            await send(message)

        connection = HTTPConnection(scope)
        try:
            self._access.check_host(connection)
            # Pages may be reached by links of other sites; nothing else may be asked for from there.
            if scope["method"] not in ("GET", "HEAD") or _is_api(scope):
                self._access.check_origin(connection)
        except Problem as problem:
            await problem.response()(scope, receive, send_safely)
            return
        await self._app(scope, receive, send_safely)


def _is_api(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.startswith("/api/")
