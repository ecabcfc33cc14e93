"""graflow_async over Redis: runs whose tasks travel to one worker, a `python -m graflow_async.worker` of its own."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.redis_lab import SIGNED_WITH, Lab, lab
from graflow_async import TaskExecutionContext, Workflow, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.probes import Sample


@task(executor="redis")
async def leaf(index: int) -> int:
    """Do nothing, in the worker."""
    return index


@task(inject_context=True)
async def maps(ctx: TaskExecutionContext, count: int) -> list[int]:
    """Have so many done; where this runs is for the run to say."""
    return await ctx.map(leaf, range(count))


@task(inject_context=True)
async def fans_out(ctx: TaskExecutionContext, count: int) -> None:
    """Add so many children."""
    for index in range(count):
        ctx.next_task(leaf(index))


@task(inject_context=True)
async def one_by_one(ctx: TaskExecutionContext, count: int) -> float:
    """Have one done after the other; give the median time of one."""
    waits: list[float] = []
    for index in range(count):
        began = time.perf_counter()
        value = await ctx.call(leaf, index)
        waits.append(time.perf_counter() - began)
        if value != index:
            raise RuntimeError("the result is that of another job")
    return median(waits)


def _with_worker(name: str = "ours", key: str | None = None) -> Lab:
    place = lab()
    os.environ.pop("GRAFLOW_SECRET_KEY", None)
    options = ["--redis-url", place.url, "--worker-id", name, "--log-level", "warning", "--health-file", "{ready}"]
    place.worker(name, "graflow_async.worker", *options, "--queue", name, key=key)
    return place


async def _run(name: str, root: Any, count: int, *, key: str | None = None, **options: Any) -> Sample:
    who = "ours" if key is None else "signing"
    place = _with_worker(who, key)
    workflow = Workflow(name, root)
    _ = workflow.graph
    expected = list(range(count))

    async def run() -> Sample:
        began = time.perf_counter()
        value = await workflow.run(
            inputs={"count": count}, redis_url=place.url, queue_name=who, secret_keys=key, **options
        )
        seconds = time.perf_counter() - began
        if isinstance(value, float):
            return {"seconds": value}
        if value != expected:
            raise RuntimeError("the results are not those of the jobs")
        return {"seconds": seconds}

    return await place.watched(who, count, run)


async def jobs(count: int) -> Sample:
    """Measure one task that maps over `count` items, each of which a worker does."""
    return await _run("redis", maps, count)


async def signed_jobs(count: int) -> Sample:
    """Measure the same with jobs and results that are signed, as they are wherever the server is elsewhere."""
    return await _run("redis.signed", maps, count, key=SIGNED_WITH)


async def jobs_away(count: int) -> Sample:
    """Measure the same where the task that maps is in the worker, too."""
    return await _run("redis.away", maps, count, queue_backend="redis")


async def single(count: int) -> Sample:
    """Measure one job after the other while nothing else is done."""
    return await _run("redis.single", one_by_one, count)


async def fan_out(count: int) -> Sample:
    """Measure one task that adds `count` children, each of which a worker does, and a successor."""
    place = _with_worker()

    @task(inject_context=True)
    async def collects(ctx: TaskExecutionContext) -> int:
        return len(ctx.results)

    workflow = Workflow("redis.fan", fans_out >> collects)
    _ = workflow.graph

    async def run() -> Sample:
        began = time.perf_counter()
        value = await workflow.run(inputs={"count": count}, redis_url=place.url, queue_name="ours")
        seconds = time.perf_counter() - began
        if value < count:
            raise RuntimeError(f"{value} results are known, {count} jobs were asked for")
        return {"seconds": seconds}

    return await place.watched("ours", count, run)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "redis": jobs,
    "redis.signed": signed_jobs,
    "redis.peers": jobs,
    "redis.fan": fan_out,
    "redis.away": jobs_away,
    "redis.single": single,
}
