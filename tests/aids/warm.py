"""Programs of this interpreter that start warm: a process that has imported the library forks for each of them.

To a test it is a process like any other, with streams, signals and an exit code of its own; what it does not do is to
start the interpreter, which would be most of the time. What an interpreter reads when it starts (its own variables, the
locale, where to crash) cannot change in a fork, and whatever asks for that gets an interpreter of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = Path(__file__).with_name("warm_server.py")
ROOT = SERVER.parents[2]
# What the command line, a worker and the examples import. What only few programs need is not here.
MODULES = (
    *("graflow_async", "asyncio", "concurrent.futures.thread", "logging.handlers", "redis.asyncio", "cloudpickle"),
    *("typer.rich_utils", "rich.live", "rich.progress", "rich.table", "rich.traceback", "anyio", "aiofiles"),
    *(
        f"graflow_async.{name}"
        for name in (
            *("cli", "cli.doctor_redis", "_redis.jobs", "worker.main", "draw", "recorded_story", "story"),
            *("checkpoints.file", "stores.file", "stores.redis", "brokers.file", "brokers.redis", "executors.redis"),
            *("executors.threads", "executors.process", "checkpoints.redis"),
        )
    ),
)
_OF_THE_START = ("PYTHON", "LC_", "LANG", "GRAFLOW_CRASH", "COVERAGE_", "LD_")


class _Server:
    """A process that forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; whoever asks first waits until it has imported everything."""
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno()), *MODULES],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Let it end."""
        self.orders.close()
        self._process.wait()


_SERVERS: dict[tuple[tuple[str, str], ...], _Server] = {}
_LOCK = threading.Lock()


def _server_for(environment: Mapping[str, str]) -> _Server:
    """Give the one server for all programs whose interpreters would start alike."""
    start = {name: value for name, value in environment.items() if name.startswith(_OF_THE_START)}
    start.pop("PYTHONUNBUFFERED", None)
    key = tuple(sorted(start.items()))
    with _LOCK:
        server = _SERVERS.get(key)
        if server is not None and server.has_ended:
            server.close()  # what it was doing has failed; the others need not
            server = None
        if server is None:
            others = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_START)}
            server = _SERVERS[key] = _Server({**others, **start})
        return server


@atexit.register
def close() -> None:
    """Let all servers end."""
    while _SERVERS:
        _SERVERS.popitem()[1].close()


def descriptors() -> list[int]:
    """Give what is open for as long as the tests go on."""
    return [server.orders.fileno() for server in _SERVERS.values()]


class Program:
    """A program that runs, or has run; it is asked and told as a `subprocess.Popen` is.

    Attributes:
        pid: its process id.
        returncode: its exit code, once somebody has waited for it; negative for the signal that killed it.
        stdin, stdout, stderr: our ends, where pipes were asked for.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        text: bool = True,
    ) -> None:
        """Start what `python *words` would; streams are given as to `subprocess.Popen`, the rest has to be named."""
        self.args = list(words)
        self.returncode: int | None = None
        self._told = b""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Future[None] | None = None
        opened: list[int] = []
        self.stdin, source = _end(stdin, opened, text=text, is_input=True)
        self.stdout, out = _end(stdout, opened, text=text)
        self.stderr, complaints = (None, out) if stderr == subprocess.STDOUT else _end(stderr, opened, text=text)
        self._status, status = os.pipe()
        opened.append(status)
        order = json.dumps({"words": self.args, "folder": str(cwd), "environment": dict(env)}).encode()
        socket.send_fds(_server_for(env).orders, [order], [source, out, complaints, status])
        for descriptor in opened:
            os.close(descriptor)
        try:
            self.pid = self._number(None)
        except ChildProcessError:
            os.close(self._status)
            for stream in (self.stdin, self.stdout, self.stderr):
                if stream is not None:
                    stream.close()
            raise

    def _number(self, timeout: float | None) -> int:
        """Read a number from the server."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._told:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            found = os.read(self._status, 64)
            if not found:
                raise ChildProcessError(f"{self.args} could not be started, or is lost")
            self._told += found
        number, _, self._told = self._told.partition(b"\n")
        return int(number)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and give the exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        if self.returncode is None:
            self.returncode = self._number(timeout)
            if self._loop is not None and self._end is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._status)
                self._end.set_result(None)
            os.close(self._status)
        return self.returncode

    async def ended(self) -> int:
        """Wait for the end without holding the loop, and give the exit code."""
        if self.returncode is None:
            if self._end is None:
                self._loop = asyncio.get_running_loop()
                self._end = self._loop.create_future()
                self._loop.add_reader(self._status, self.poll)
            await asyncio.shield(self._end)
        return self.wait()

    def poll(self) -> int | None:
        """Give the exit code, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, said: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Say something and close stdin; give all that is left of stdout and stderr.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        found: dict[Any, Any] = {}
        streams = [stream for stream in (self.stdout, self.stderr) if stream is not None]
        readers = [threading.Thread(target=lambda s=s: found.__setitem__(s, s.read()), daemon=True) for s in streams]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            try:
                self.stdin.write(said or "")
                self.stdin.close()
            except BrokenPipeError:
                pass  # it did not want to hear it all
        self.wait(timeout)
        for reader in readers:
            reader.join()
        for stream in streams:
            stream.close()
        return found.get(self.stdout), found.get(self.stderr)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Let it die as a power cut would."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close our ends, and wait."""
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                stream.close()
        self.wait()


def _end(choice: int, opened: list[int], *, text: bool, is_input: bool = False) -> tuple[IO[Any] | None, int]:
    """Give our end of a stream, if there is one, and theirs, which is in `opened` if it is to be closed here."""
    if choice == subprocess.DEVNULL:
        opened.append(os.open(os.devnull, os.O_RDWR))
        return None, opened[-1]
    if choice != subprocess.PIPE:
        return None, choice
    reader, writer = os.pipe()
    ours, theirs = (writer, reader) if is_input else (reader, writer)
    opened.append(theirs)
    mode = "w" if is_input else "r"
    return os.fdopen(ours, mode if text else f"{mode}b", encoding="utf-8" if text else None), theirs


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], said: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and give what it printed.

    Raises:
        subprocess.TimeoutExpired: it has not ended within `timeout` seconds, and was killed.
    """
    program = Program(words, cwd=cwd, env=env, stdin=subprocess.PIPE)
    try:
        out, complaints = program.communicate(said, timeout)
    except BaseException:
        program.kill()
        program.communicate()
        raise
    return subprocess.CompletedProcess(program.args, program.wait(), out, complaints)
