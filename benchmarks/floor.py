"""The floor: each scenario written by hand with asyncio alone.

One `create_task` per body, in-degree counters, results in a dict. No names, no graph, no error handling, no
hooks: what the event loop itself costs. Tasks are held until they are done, as asyncio's documentation asks for (the
loop keeps only weak references, so a task that nobody holds may vanish before it has run). Nothing here may be tuned
beyond that definition, or ratios of different days stop being comparable.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.counted import Body, CountedGraph, Held
from benchmarks.journal_floor import SCENARIOS as JOURNAL_SCENARIOS
from benchmarks.people_floor import SCENARIOS as PEOPLE_SCENARIOS
from benchmarks.probes import Heartbeat, Sample, Tally, memory_bytes
from benchmarks.progress_sides import FLOOR_SCENARIOS as PROGRESS_SCENARIOS
from benchmarks.redis_floor import SCENARIOS as REDIS_SCENARIOS
from benchmarks.windows import map_memory, map_memory_async

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MIXED_THREADS = 6
SLEEP = 0.01
SHORT_SLEEP = 0.001
LAYERS = 20


class FanOut:
    """One source that makes children while it runs, then one successor when the last child is done."""

    __slots__ = ("_done", "_held", "_leaf", "_loop", "_open", "_sink", "body_seconds", "results")

    def __init__(self, leaf: Body, sink: Callable[[], object]) -> None:
        """Prepare a fan-out whose child `i` runs `leaf(i)`."""
        self._leaf = leaf
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._held = Held()
        self._done = self._loop.create_future()
        self._open = 0
        self.body_seconds = 0.0
        self.results: dict[int | str, object] = {}

    async def _child(self, index: int) -> None:
        self.results[index] = await self._leaf(index)
        self._open -= 1
        if not self._open:
            self._held.start(self._successor())

    async def _successor(self) -> None:
        self.results["sink"] = self._sink()
        self._done.set_result(None)

    async def _source(self, count: int) -> None:
        began = time.perf_counter()
        self._open = count
        for index in range(count):
            self._held.start(self._child(index))
        self.body_seconds = time.perf_counter() - began

    async def run(self, count: int) -> None:
        """Run the source, its `count` children and the successor."""
        self._held.start(self._source(count))
        await self._done


async def _fan_out(count: int, leaf: Body, tally: Tally) -> tuple[Sample, FanOut]:
    fan = FanOut(leaf, lambda: None)
    began = time.perf_counter()
    await fan.run(count)
    seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}, fan


async def fanout(count: int) -> Sample:
    """Measure one task that starts `count` trivial ones, then a successor."""
    tally = Tally()

    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    return (await _fan_out(count, leaf, tally))[0]


async def sleepers(count: int) -> Sample:
    """Measure `count` tasks that each sleep 10 ms at the same time."""
    tally = Tally()

    async def leaf(index: int) -> int:
        await asyncio.sleep(SLEEP)
        tally.ran += 1
        return index

    return (await _fan_out(count, leaf, tally))[0]


async def fanlag(count: int) -> Sample:
    """Measure how long a fan-out keeps the loop from a heartbeat."""
    tally = Tally()

    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    heartbeat = Heartbeat()
    sample, fan = await _fan_out(count, leaf, tally)
    return {**sample, "gap": heartbeat.stop(), "body": fan.body_seconds}


async def mixed(count: int) -> Sample:
    """Measure `count` tasks, half of them sleeping on the loop and half blocking one of six threads, for 1 ms each."""
    tally = Tally()
    loop = asyncio.get_running_loop()

    def blocker() -> None:
        time.sleep(SHORT_SLEEP)

    async def leaf(index: int) -> int:
        if index % 2:
            await asyncio.sleep(SHORT_SLEEP)
        else:
            await loop.run_in_executor(pool, blocker)
        tally.ran += 1
        return index

    heartbeat = Heartbeat()
    began = time.perf_counter()
    with ThreadPoolExecutor(MIXED_THREADS) as pool:
        await FanOut(leaf, lambda: None).run(count)
    seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds, "lag": heartbeat.stop()}


async def map_(count: int) -> Sample:
    """Measure a `TaskGroup` over `count` items, results in input order."""
    tally = Tally()

    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leaf(index)) for index in range(count)]
    results = [task.result() for task in tasks]
    seconds = time.perf_counter() - began
    tally.expect(count)
    if results != list(range(count)):
        raise RuntimeError("the mapped results are not in input order")
    return {"seconds": seconds}


async def chain(count: int) -> Sample:
    """Measure `count` nodes in a row, their edges drawn before the clock starts."""
    tally = Tally()

    async def body(node: int) -> int:
        tally.ran += 1
        return node

    began = time.perf_counter()
    successors = {node: [node + 1] for node in range(count - 1)}
    graph = CountedGraph(body, successors, [0, *[1] * (count - 1)])
    built = time.perf_counter()
    await graph.run()
    ended = time.perf_counter()
    tally.expect(count)
    return {"seconds": ended - built, "build": built - began}


async def layers(count: int) -> Sample:
    """Measure 20 layers of `count / 20` nodes with one barrier between each two, drawn before the clock starts."""
    width = max(1, count // LAYERS)
    total = width * LAYERS
    tally = Tally()

    async def body(node: int) -> int:
        tally.ran += 1
        return node

    began = time.perf_counter()
    joins = range(total, total + LAYERS - 1)
    successors = {node: [total + node // width] for node in range(total - width)}
    for layer, join in enumerate(joins, start=1):
        successors[join] = list(range(layer * width, (layer + 1) * width))
    indegree = [0] * width + [1] * (total - width) + [width] * len(joins)
    graph = CountedGraph(body, successors, indegree, frozenset(joins))
    built = time.perf_counter()
    await graph.run()
    ended = time.perf_counter()
    tally.expect(total)
    return {"seconds": ended - built, "build": built - began}


async def loop(count: int) -> Sample:
    """Measure one body that runs `count` times, one after the other."""
    return await _loop(count, Tally())


async def _loop(count: int, tally: Tally, watch: dict[int, list[int]] | None = None) -> Sample:
    done = asyncio.get_running_loop().create_future()
    held = Held()
    results: dict[str, object] = {}

    async def body(index: int) -> int:
        tally.ran += 1
        if watch is not None and tally.ran in watch:
            watch[tally.ran].append(memory_bytes()[0])
        return index

    async def turn(index: int) -> None:
        results["loop"] = await body(index)
        if index + 1 < count:
            held.start(turn(index + 1))
        else:
            done.set_result(None)

    began = time.perf_counter()
    held.start(turn(0))
    await done
    seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}


async def memory_finished(count: int) -> Sample:
    """Measure what `count` finished children leave behind while their run goes on, in bytes each."""
    tally = Tally()
    after: list[int] = []

    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    fan = FanOut(leaf, lambda: after.append(memory_bytes()[0]))
    before = memory_bytes()[0]
    await fan.run(count)
    tally.expect(count)
    return {"kept": (after[0] - before) / count, "peak": (memory_bytes()[1] - before) / count}


async def memory_sleeping(count: int) -> Sample:
    """Measure what `count` tasks that sleep at the same time take, in bytes each."""
    tally = Tally()
    during: list[int] = []

    async def leaf(index: int) -> int:
        tally.ran += 1
        if tally.ran == count:
            during.append(memory_bytes()[0])
        await asyncio.sleep(sleeping_seconds(count))
        tally.ran -= 1
        return index

    before = memory_bytes()[0]
    await FanOut(leaf, lambda: None).run(count)
    if not during:
        raise RuntimeError(f"the {count} tasks were never asleep at the same time")
    return {"kept": (during[0] - before) / count}


async def memory_loop(count: int) -> Sample:
    """Measure what an iteration leaves behind once a loop is warm, in bytes each."""
    warm = loop_warm_up(count)
    watch: dict[int, list[int]] = {warm: [], warm + count: []}
    await _loop(warm + count, Tally(), watch)
    return {"kept": (watch[warm + count][0] - watch[warm][0]) / count}


def sleeping_seconds(count: int) -> float:
    """Return a sleep long enough for all of `count` tasks to have started before the first wakes."""
    return 0.3 + count * 100e-6


def loop_warm_up(count: int) -> int:
    """Return the iterations before memory is first read, so that buffers which fill once do not count."""
    return max(1, count // 5)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "map": map_,
    "map.memory": map_memory,
    "map.memory.aio": map_memory_async,
    "chain": chain,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
    "mixed": mixed,
    "mixed6": mixed,
    "mixed40": mixed,
    "fanlag": fanlag,
    "memory.finished": memory_finished,
    "memory.sleeping": memory_sleeping,
    "memory.loop": memory_loop,
    **JOURNAL_SCENARIOS,
    **PEOPLE_SCENARIOS,
    **PROGRESS_SCENARIOS,
    **REDIS_SCENARIOS,
}

IMPORT = "import asyncio"

HELLO = """
import asyncio

async def hello():
    return "hello"

async def main():
    results = {"hello": await asyncio.create_task(hello())}
    print(results["hello"])

asyncio.run(main())
"""
