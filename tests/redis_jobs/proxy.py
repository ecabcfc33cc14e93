"""A unix socket in front of a Redis that carries commands out and then, when told to, keeps the answer to itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Proxy:
    """Stands between one client and a server.

    Attributes:
        url: where the client connects to.
        lost: answers that were kept back so far.
    """

    def __init__(self, server: Path, place: Path, loses: Callable[[bytes], bool]) -> None:
        """Ask `loses` about each piece that the client sends: is its answer lost, and the connection with it."""
        self.url = f"unix://{place}?db=0"
        self.lost = 0
        self._server = str(server)
        self._place = str(place)
        self._loses = loses
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._server)
            writers.append(far_writer)
            await self._carry(reader, writer, far_reader, far_writer)
        finally:
            for one in writers:
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()
            self._tasks.discard(task)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        near, far = asyncio.ensure_future(reader.read(1 << 16)), asyncio.ensure_future(far_reader.read(1 << 16))
        is_lost = False
        try:
            while True:
                await asyncio.wait([near, far], return_when=asyncio.FIRST_COMPLETED)
                if near.done():
                    data = near.result()
                    if not data:
                        return
                    is_lost = is_lost or self._loses(data)
                    far_writer.write(data)
                    near = asyncio.ensure_future(reader.read(1 << 16))
                if far.done():
                    data = far.result()
                    # The command has been carried out; nobody hears of it.
                    if not data or is_lost:
                        self.lost += is_lost
                        return
                    writer.write(data)
                    far = asyncio.ensure_future(far_reader.read(1 << 16))
        except OSError:
            return
        finally:
            near.cancel()
            far.cancel()
            await asyncio.gather(near, far, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._listener = await asyncio.start_unix_server(self._serve, self._place)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is left after the client was closed."""
        assert self._listener is not None
        self._listener.close()
        # The client has gone, so its connections end by themselves.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()
