"""prefect: tasks awaited in an asynchronous flow, against the temporary server that it starts by itself.

The server starts with the first, unrecorded run; it and its database live in the working directory of the process.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.floor import LAYERS, SLEEP
from benchmarks.probes import Sample, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

# Read by prefect while it is imported.
os.environ.setdefault("PREFECT_HOME", str(Path.cwd() / "prefect"))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

_prefect: Any = importlib.import_module("prefect")
_futures: Any = importlib.import_module("prefect.futures")


async def _timed(count: int, tally: Tally, steps: Callable[[], Coroutine[Any, Any, None]]) -> Sample:
    flow = _prefect.flow(steps, name="benchmark")
    began = time.perf_counter()
    await flow()
    seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}


def _leaf(tally: Tally, pause: float = 0.0) -> Any:
    async def leaf(_index: int) -> None:
        if pause:
            await asyncio.sleep(pause)
        tally.ran += 1

    return _prefect.task(leaf)


async def _nothing() -> None:
    return None


async def _fan_out(count: int, pause: float) -> Sample:
    tally = Tally()
    leaf, sink = _leaf(tally, pause), _prefect.task(_nothing)

    async def steps() -> None:
        await asyncio.gather(*(leaf(index) for index in range(count)))
        await sink()

    return await _timed(count, tally, steps)


async def fanout(count: int) -> Sample:
    """Measure a flow that gathers `count` tasks, then runs a successor."""
    return await _fan_out(count, 0.0)


async def sleepers(count: int) -> Sample:
    """Measure the same with tasks that sleep 10 ms."""
    return await _fan_out(count, SLEEP)


async def map_(count: int) -> Sample:
    """Measure `.map` over `count` items on the default task runner."""
    ran: list[int] = []
    tally = Tally()

    def body(index: int) -> None:
        ran.append(index)

    leaf = _prefect.task(body)

    async def steps() -> None:
        _futures.wait(leaf.map(range(count)))
        tally.ran = len(ran)

    return await _timed(count, tally, steps)


async def chain(count: int) -> Sample:
    """Measure `count` distinct tasks, one awaited after the other."""
    tally = Tally()

    async def body() -> None:
        tally.ran += 1

    tasks = [_prefect.task(body, name=f"t{index}") for index in range(count)]

    async def steps() -> None:
        for one in tasks:
            await one()

    return await _timed(count, tally, steps)


async def loop(count: int) -> Sample:
    """Measure one task awaited `count` times."""
    tally = Tally()
    turn = _leaf(tally)

    async def steps() -> None:
        for index in range(count):
            await turn(index)

    return await _timed(count, tally, steps)


async def layers(count: int) -> Sample:
    """Measure 20 gathers of `count / 20` tasks, one after the other."""
    width = max(1, count // LAYERS)
    tally = Tally()
    leaf = _leaf(tally)

    async def steps() -> None:
        for _ in range(LAYERS):
            await asyncio.gather(*(leaf(index) for index in range(width)))

    return await _timed(width * LAYERS, tally, steps)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "map": map_,
    "chain": chain,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
}

IMPORT = "import prefect"

HELLO = """
import asyncio
import os

os.environ.setdefault("PREFECT_HOME", os.path.join(os.getcwd(), "prefect"))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

from prefect import flow, task

@task
async def hello():
    return "hello"

@flow
async def main():
    return await hello()

print(asyncio.run(main()))
"""
