"""A peer as one side of the scenario `redis.peers`: its worker process, and a driver process per sample."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.redis_lab import lab
from benchmarks.redis_peers import REDIS_PEERS
from benchmarks.redis_peers.driving import WARM_UP

if TYPE_CHECKING:
    from benchmarks.probes import Sample

VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def use_python(name: str, path: str) -> None:
    """Have a peer run by another interpreter, here and in child processes."""
    os.environ[_variable(name)] = path


def python_of(name: str) -> str:
    """Return the interpreter that runs a peer: this one, unless another was chosen."""
    return os.environ.get(_variable(name), sys.executable)


def version_of(name: str) -> str | None:
    """Return the version of a peer that its interpreter has, None if it has none."""
    if python_of(name) == sys.executable:
        try:
            return importlib.metadata.version(REDIS_PEERS[name])
        except importlib.metadata.PackageNotFoundError:
            return None
    command = [python_of(name), "-c", VERSION, REDIS_PEERS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def side(name: str) -> Any:
    """Return a peer with the face of a side."""

    async def jobs(count: int) -> Sample:
        place = lab()
        program = f"benchmarks.redis_peers.{name}"
        place.worker(name, program, "work", place.url, "{ready}", python=python_of(name))

        async def run() -> Sample:
            command = (python_of(name), "-m", program, "drive", place.url, str(count))
            driver = await asyncio.create_subprocess_exec(
                *command, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                printed, complaints = await driver.communicate()
            finally:
                if driver.returncode is None:
                    driver.kill()
                    await driver.wait()
            if driver.returncode:
                raise RuntimeError(complaints.decode(errors="replace").strip().splitlines()[-1])
            return json.loads(printed)

        return await place.watched(name, count + WARM_UP, run)

    return SimpleNamespace(SCENARIOS={"redis.peers": jobs})


def _variable(name: str) -> str:
    return f"GRAFLOW_BENCHMARK_PYTHON_{name.upper()}"
