"""dask.distributed: a scheduler and one worker with two threads in this process, through its asynchronous client.

The cluster is started before the clock. Bodies count by their return values, because dask pickles functions.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.floor import LAYERS, SLEEP
from benchmarks.probes import Sample, Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

_distributed: Any = importlib.import_module("distributed")

WORKER_THREADS = 2


@asynccontextmanager
async def _client() -> AsyncIterator[Any]:
    cluster = await _distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=WORKER_THREADS,
        processes=False,
        dashboard_address=None,
        asynchronous=True,
    )
    async with cluster, _distributed.Client(cluster, asynchronous=True) as client:
        yield client


def _one(_index: int, _after: Any = None) -> int:
    return 1


async def _one_asleep(_index: int, _after: Any = None) -> int:
    await asyncio.sleep(SLEEP)
    return 1


def _sum(values: list[int], before: int = 0) -> int:
    return before + sum(values)


def _increment(value: int) -> int:
    return value + 1


def _same(value: int) -> int:
    return value


def _source(count: int, leaf: Callable[..., Any]) -> int:
    with _distributed.worker_client() as client:
        return sum(client.gather(client.map(leaf, range(count), pure=False)))


async def _timed(count: int, work: Callable[[Any], Coroutine[Any, Any, int]]) -> Sample:
    tally = Tally()
    async with _client() as client:
        began = time.perf_counter()
        tally.ran = await work(client)
        seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}


async def _fan_out(count: int, leaf: Callable[..., Any]) -> Sample:
    async def work(client: Any) -> int:
        source = client.submit(_source, count, leaf, pure=False)
        return await client.submit(_same, source, pure=False)

    return await _timed(count, work)


async def fanout(count: int) -> Sample:
    """Measure one task that submits `count` tasks from the worker, then a successor."""
    return await _fan_out(count, _one)


async def sleepers(count: int) -> Sample:
    """Measure the same with asynchronous bodies that sleep 10 ms."""
    return await _fan_out(count, _one_asleep)


async def map_(count: int) -> Sample:
    """Measure `client.map` over `count` items."""

    async def work(client: Any) -> int:
        return sum(await client.gather(client.map(_one, range(count), pure=False)))

    return await _timed(count, work)


async def chain(count: int) -> Sample:
    """Measure `count` tasks, each on the future of the one before."""

    async def work(client: Any) -> int:
        value: Any = 0
        for _ in range(count):
            value = client.submit(_increment, value, pure=False)
        return await value

    return await _timed(count, work)


async def loop(count: int) -> Sample:
    """Measure `count` turns, each submitted when the one before has its result."""

    async def work(client: Any) -> int:
        value = 0
        for _ in range(count):
            value = await client.submit(_increment, value, pure=False)
        return value

    return await _timed(count, work)


async def layers(count: int) -> Sample:
    """Measure 20 layers of `count / 20` tasks with a joining task after each."""
    width = max(1, count // LAYERS)

    async def work(client: Any) -> int:
        total: Any = 0
        for _ in range(LAYERS):
            members = client.map(_one, range(width), _after=total, pure=False)
            total = client.submit(_sum, members, total, pure=False)
        return await total

    return await _timed(width * LAYERS, work)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "map": map_,
    "chain": chain,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
}

IMPORT = "import distributed"

HELLO = """
import asyncio
from distributed import Client, LocalCluster

def hello():
    return "hello"

async def main():
    cluster = await LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
                                 asynchronous=True)
    async with cluster, Client(cluster, asynchronous=True) as client:
        print(await client.submit(hello))

asyncio.run(main())
"""
