"""graflow_async's side: each scenario as a user of the library would write it, public names only.

No option is set that a user would not set for such a workflow, and no private door is used.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.floor import LAYERS, MIXED_THREADS, SHORT_SLEEP, SLEEP, loop_warm_up, sleeping_seconds
from benchmarks.journal_ours import SCENARIOS as JOURNAL_SCENARIOS
from benchmarks.people_ours import SCENARIOS as PEOPLE_SCENARIOS
from benchmarks.probes import Heartbeat, Sample, Tally, memory_bytes
from benchmarks.progress_sides import OUR_SCENARIOS as PROGRESS_SCENARIOS
from benchmarks.redis_ours import SCENARIOS as REDIS_SCENARIOS
from benchmarks.windows import BOUND, async_parcels, parcels
from graflow_async import Task, TaskExecutionContext, Workflow, chain, parallel, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

# PERFORMANCE: eight threads per core is where more of them stop helping and start to delay the loop.
THREADS = 16
DEFAULT_THREADS = 40

Leaf = Any


def _fan_workflow(count: int, leaf: Leaf, sink: Callable[[], object], body_seconds: list[float]) -> Workflow:
    """Return a workflow whose source makes `count` children of `leaf` at run time, followed by a successor."""

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> None:
        began = time.perf_counter()
        for index in range(count):
            ctx.next_task(leaf(index))
        body_seconds.append(time.perf_counter() - began)

    @task(id="sink")
    async def successor() -> object:
        return sink()

    return Workflow("fanout", source >> successor)


async def _fan_out(count: int, leaf: Leaf, tally: Tally) -> tuple[Sample, float]:
    body_seconds: list[float] = []
    workflow = _fan_workflow(count, leaf, lambda: None, body_seconds)
    _ = workflow.graph  # two nodes, put together once per workflow and not per run; chains show what that costs
    began = time.perf_counter()
    await workflow.run()
    seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}, body_seconds[0]


def _trivial(tally: Tally) -> Leaf:
    @task
    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    return leaf


async def fanout(count: int) -> Sample:
    """Measure one task that adds `count` trivial children while it runs, then a successor."""
    tally = Tally()
    return (await _fan_out(count, _trivial(tally), tally))[0]


async def sleepers(count: int) -> Sample:
    """Measure `count` children that each sleep 10 ms at the same time."""
    tally = Tally()

    @task
    async def leaf(index: int) -> int:
        await asyncio.sleep(SLEEP)
        tally.ran += 1
        return index

    return (await _fan_out(count, leaf, tally))[0]


async def fanlag(count: int) -> Sample:
    """Measure how long a fan-out keeps the loop from a heartbeat."""
    tally = Tally()
    heartbeat = Heartbeat()
    sample, body_seconds = await _fan_out(count, _trivial(tally), tally)
    return {**sample, "gap": heartbeat.stop(), "body": body_seconds}


async def _mixed(count: int, threads: int) -> Sample:
    tally = Tally()
    # A list, because threads may append to it at once.
    blocked: list[int] = []

    @task
    async def sleeper(index: int) -> int:
        await asyncio.sleep(SHORT_SLEEP)
        tally.ran += 1
        return index

    @task
    def blocker(index: int) -> int:
        time.sleep(SHORT_SLEEP)
        blocked.append(index)
        return index

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> None:
        for index in range(count):
            ctx.next_task(sleeper(index) if index % 2 else blocker(index))

    @task
    async def sink() -> None:
        return None

    workflow = Workflow("mixed", source >> sink)
    heartbeat = Heartbeat()
    began = time.perf_counter()
    await workflow.run(max_threads=threads)
    seconds = time.perf_counter() - began
    lag = heartbeat.stop()
    tally.ran += len(blocked)
    tally.expect(count)
    return {"seconds": seconds, "lag": lag}


async def mixed(count: int) -> Sample:
    """Measure half of `count` tasks on the loop and half in eight threads per core of two, 1 ms each."""
    return await _mixed(count, THREADS)


async def mixed_equal(count: int) -> Sample:
    """Measure the same with as many threads as the floor has."""
    return await _mixed(count, MIXED_THREADS)


async def mixed_default(count: int) -> Sample:
    """Measure the same with the threads a run has by default."""
    return await _mixed(count, DEFAULT_THREADS)


async def map_(count: int) -> Sample:
    """Measure one task that awaits `ctx.map` over `count` items."""
    tally = Tally()
    leaf = _trivial(tally)

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> list[int]:
        return await ctx.map(leaf, range(count))

    workflow = Workflow("map", source)
    began = time.perf_counter()
    results = await workflow.run()
    seconds = time.perf_counter() - began
    tally.expect(count)
    if results != list(range(count)):
        raise RuntimeError("the mapped results are not in input order")
    return {"seconds": seconds}


async def map_memory(count: int) -> Sample:
    """Measure what a map over a generator of `count` items takes at its worst moment, beyond its results."""
    return await _map_memory(count, parcels)


async def map_memory_async(count: int) -> Sample:
    """Measure the same over an async generator."""
    return await _map_memory(count, async_parcels)


async def _map_memory(count: int, source: Callable[[int], Any]) -> Sample:
    tally = Tally()

    @task
    async def leaf(parcel: bytes) -> int:
        await asyncio.sleep(0)
        tally.ran += 1
        return len(parcel)

    @task(inject_context=True)
    async def parent(ctx: TaskExecutionContext) -> float:
        await ctx.map(leaf, source(BOUND), max_concurrency=BOUND)
        before = memory_bytes()[0]
        results = await ctx.map(leaf, source(count), max_concurrency=BOUND)
        return memory_bytes()[1] - before - sys.getsizeof(results)

    peak = await Workflow("map", parent).run()
    tally.expect(count + BOUND)
    return {"peak": peak}


async def _static(make: Callable[[Callable[[], Coroutine[Any, Any, None]]], Workflow], count: int) -> Sample:
    tally = Tally()

    async def body() -> None:
        tally.ran += 1

    began = time.perf_counter()
    workflow = make(body)
    # A graph is compiled when it is first looked at, else by the first run: it belongs to the build.
    assert workflow.graph.nodes
    built = time.perf_counter()
    await workflow.run()
    ended = time.perf_counter()
    tally.expect(count)
    return {"seconds": ended - built, "build": built - began}


async def chain_(count: int) -> Sample:
    """Measure a static chain of `count` distinct tasks, drawn before the clock starts."""
    return await _static(lambda body: Workflow("chain", chain(*(Task(f"t{i}", body) for i in range(count)))), count)


async def layers(count: int) -> Sample:
    """Measure 20 groups of `count / 20` distinct tasks in a row, drawn before the clock starts."""
    width = max(1, count // LAYERS)

    def make(body: Callable[[], Coroutine[Any, Any, None]]) -> Workflow:
        groups = (parallel(*(Task(f"t{layer}_{i}", body) for i in range(width))) for layer in range(LAYERS))
        return Workflow("layers", chain(*groups))

    return await _static(make, width * LAYERS)


async def loop(count: int) -> Sample:
    """Measure one task that asks for its next turn `count` times."""
    return await _loop(count, Tally())


async def _loop(count: int, tally: Tally, watch: dict[int, list[int]] | None = None) -> Sample:
    @task(inject_context=True, max_cycles=count)
    async def turn(ctx: TaskExecutionContext) -> int:
        tally.ran += 1
        if watch is not None and tally.ran in watch:
            watch[tally.ran].append(memory_bytes()[0])
        if tally.ran < count:
            ctx.next_iteration()
        return tally.ran

    workflow = Workflow("loop", turn)
    began = time.perf_counter()
    value = await workflow.run()
    seconds = time.perf_counter() - began
    tally.expect(count)
    if value != count:
        raise RuntimeError(f"the loop's value is {value!r}, its last turn returned {count}")
    return {"seconds": seconds}


async def memory_finished(count: int) -> Sample:
    """Measure what `count` finished children leave behind while their run goes on, in bytes each."""
    tally = Tally()
    after: list[int] = []
    workflow = _fan_workflow(count, _trivial(tally), lambda: after.append(memory_bytes()[0]), [])
    before = memory_bytes()[0]
    await workflow.run()
    tally.expect(count)
    return {"kept": (after[0] - before) / count, "peak": (memory_bytes()[1] - before) / count}


async def memory_sleeping(count: int) -> Sample:
    """Measure what `count` tasks that sleep at the same time take, in bytes each."""
    tally = Tally()
    during: list[int] = []

    @task
    async def leaf(index: int) -> int:
        tally.ran += 1
        if tally.ran == count:
            during.append(memory_bytes()[0])
        await asyncio.sleep(sleeping_seconds(count))
        tally.ran -= 1
        return index

    workflow = _fan_workflow(count, leaf, lambda: None, [])
    before = memory_bytes()[0]
    await workflow.run()
    if not during:
        raise RuntimeError(f"the {count} tasks were never asleep at the same time")
    return {"kept": (during[0] - before) / count}


async def memory_loop(count: int) -> Sample:
    """Measure what an iteration leaves behind once a loop is warm, in bytes each."""
    warm = loop_warm_up(count)
    watch: dict[int, list[int]] = {warm: [], warm + count: []}
    await _loop(warm + count, Tally(), watch)
    return {"kept": (watch[warm + count][0] - watch[warm][0]) / count}


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "map": map_,
    "map.memory": map_memory,
    "map.memory.aio": map_memory_async,
    "chain": chain_,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
    "mixed": mixed,
    "mixed6": mixed_equal,
    "mixed40": mixed_default,
    "fanlag": fanlag,
    "memory.finished": memory_finished,
    "memory.sleeping": memory_sleeping,
    "memory.loop": memory_loop,
    **JOURNAL_SCENARIOS,
    **PEOPLE_SCENARIOS,
    **PROGRESS_SCENARIOS,
    **REDIS_SCENARIOS,
}

IMPORT = "import graflow_async"

HELLO = """
import asyncio
from graflow_async import Workflow, task

@task
async def hello():
    return "hello"

print(asyncio.run(Workflow("hello", hello).run()))
"""
