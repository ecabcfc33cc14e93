"""The floor over Redis, by hand: two streams, everything in batches of 100, one worker process.

The driver adds jobs with pipelined XADDs and reads results with blocking XREADs of many; the worker reads with
XREADGROUP COUNT 100, runs a Task per body, and sends the results and one XACK back in one pipeline. No leases, no
retries, no fences, no signatures: what a worker held that has died is lost. `python -m benchmarks.redis_floor URL FILE`
is the worker.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from benchmarks.redis_lab import lab
from benchmarks.redis_peers.driving import serves

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.probes import Sample

JOBS, RESULTS, GROUP = "floor:jobs", "floor:results", "workers"
BATCH = 100


async def leaf(index: int) -> int:
    """Do nothing."""
    return index


BODIES: dict[str, Callable[[int], Coroutine[Any, Any, int]]] = {"leaf": leaf}


def _client(url: str) -> Any:
    """Connect; who waits for a stream waits as long as that takes."""
    return Redis.from_url(url, socket_timeout=None)


async def work(url: str, ready: str) -> None:
    """Serve for ever: the worker process."""
    client = _client(url)
    try:
        await client.xgroup_create(JOBS, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    serves(ready)
    while True:
        ((_, batch),) = await client.xreadgroup(GROUP, "one", {JOBS: ">"}, count=BATCH, block=0)
        calls = [pickle.loads(fields[b"data"]) for _, fields in batch]
        tasks = [asyncio.create_task(BODIES[name](*arguments)) for name, arguments in calls]
        pipeline = client.pipeline(transaction=False)
        for (number, _), task in zip(batch, tasks, strict=True):
            pipeline.xadd(RESULTS, {"job": number, "data": pickle.dumps(await task, 5)})
        pipeline.xack(JOBS, GROUP, *(number for number, _ in batch))
        await pipeline.execute()


async def _send(client: Any, count: int, keys: dict[bytes, int]) -> None:
    for first in range(0, count, BATCH):
        pipeline = client.pipeline(transaction=False)
        indices = range(first, min(first + BATCH, count))
        for index in indices:
            pipeline.xadd(JOBS, {"data": pickle.dumps(("leaf", (index,)), 5)})
        keys.update(zip(await pipeline.execute(), indices, strict=True))


async def _collect(client: Any, count: int) -> dict[bytes, int]:
    results: dict[bytes, int] = {}
    after: Any = "0"
    while len(results) < count:
        ((_, batch),) = await client.xread({RESULTS: after}, count=BATCH, block=0)
        after = batch[-1][0]
        for _, fields in batch:
            results[fields[b"job"]] = pickle.loads(fields[b"data"])
    return results


async def jobs(count: int) -> Sample:
    """Measure `count` jobs that do nothing, from the first connection to the last result."""
    place = _with_worker()

    async def run() -> Sample:
        began = time.perf_counter()
        client = _client(place.url)
        keys: dict[bytes, int] = {}
        _, found = await asyncio.gather(_send(client, count, keys), _collect(client, count))
        results = {keys[number]: value for number, value in found.items()}
        seconds = time.perf_counter() - began
        await _tidy(client)
        if results != {index: index for index in range(count)}:
            raise RuntimeError("the results are not those of the jobs")
        return {"seconds": seconds}

    return await place.watched("floor", count, run)


async def single(count: int) -> Sample:
    """Measure one job after the other while nothing else is done: the median time until its result is here."""
    place = _with_worker()

    async def run() -> Sample:
        client = _client(place.url)
        after: Any = "0"
        waits: list[float] = []
        for index in range(count):
            began = time.perf_counter()
            await client.xadd(JOBS, {"data": pickle.dumps(("leaf", (index,)), 5)})
            ((_, ((after, fields),)),) = await client.xread({RESULTS: after}, count=BATCH, block=0)
            value = pickle.loads(fields[b"data"])
            waits.append(time.perf_counter() - began)
            if value != index:
                raise RuntimeError("the result is that of another job")
        await _tidy(client)
        return {"seconds": median(waits)}

    return await place.watched("floor", count, run)


def _with_worker() -> Any:
    place = lab()
    place.worker("floor", "benchmarks.redis_floor", place.url, "{ready}")
    return place


async def _tidy(client: Any) -> None:
    for stream in (JOBS, RESULTS):
        await client.xtrim(stream, maxlen=0, approximate=False)
    await client.aclose()


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    **dict.fromkeys(("redis", "redis.signed", "redis.fan", "redis.away", "redis.peers"), jobs),
    "redis.single": single,
}


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2]))
