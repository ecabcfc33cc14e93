"""A way to Redis that loses requests and answers when it is told to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1 << 16


class Proxy:
    """Passes on what comes through a socket of its own.

    Attributes:
        url: where it listens.
        loses_request, loses_answer: asked for every piece that comes; one that is lost takes its connection with it.
        requests, answers: how many pieces have come.
        lost: how many answers did not get through.
        last: the piece that came from a client last.
        asked: what the answer that is looked at belongs to: the last piece from its client.
        gate: while it is not set, nothing from clients is passed on.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self._target = urlsplit(url).path
        self._socket = directory / "proxy.sock"
        self.url = f"unix://{self._socket}?db=0"
        self.loses_request: Callable[[], bool] = lambda: False
        self.loses_answer: Callable[[], bool] = lambda: False
        self.requests = self.answers = self.lost = 0
        self.last = self.asked = b""
        self.gate = asyncio.Event()
        self.gate.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.gate.set()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Close every connection."""
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            to_server = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        writers, asked = {writer, to_server[1]}, [b""]
        self._open |= writers
        try:
            ways = [
                asyncio.ensure_future(self._pass_requests(reader, to_server[1], asked)),
                asyncio.ensure_future(self._pass_answers(to_server[0], writer, asked)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in writers:
                each.close()
            await asyncio.wait(ways)
            for each in writers:
                with suppress(OSError):
                    await each.wait_closed()
            self._open -= writers

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[bytes]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_MOST):
                self.requests += 1
                self.last = asked[0] = data
                await self.gate.wait()
                if self.loses_request():
                    return
                writer.write(data)
                await writer.drain()

    async def _pass_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[bytes]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_MOST):
                self.answers += 1
                self.asked = asked[0]
                if self.loses_answer():
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()
