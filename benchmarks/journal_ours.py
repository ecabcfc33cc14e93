"""graflow_async's side of checkpoints: runs with a journal in files, as a user of the library would start them."""

from __future__ import annotations

import asyncio
import atexit
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.journal_floor import CONCURRENCY, SLOW_SYNC, journal_folder
from benchmarks.probes import Heartbeat, Sample, Tally
from graflow_async import Task, TaskExecutionContext, Workflow, chain, task
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.testing.faults import SlowDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from graflow_async.checkpointer import Log, Record

RUN_ID = "measured"


async def _chain(count: int, durability: Any) -> Sample:
    """Measure `count` steps: the clock is read by the first body and by the last, with `count` records between."""
    tally = Tally()
    clock: list[float] = []

    async def body() -> None:
        tally.ran += 1

    async def edge() -> None:
        clock.append(time.perf_counter())
        tally.ran += 1

    steps = (Task(f"t{number}", body if 0 < number < count else edge) for number in range(count + 1))
    workflow = Workflow("chain", chain(*steps))
    assert workflow.graph.nodes
    with journal_folder() as folder:
        opened = time.perf_counter()
        await workflow.run(checkpoint_dir=folder, run_id=RUN_ID, durability=durability)
        closed = time.perf_counter()
        size = (Path(folder) / RUN_ID / "journal").stat().st_size
    tally.expect(count + 1)
    seconds = clock[1] - clock[0]
    return {"seconds": seconds, "open": closed - opened - seconds, "bytes": size / count}


async def chain_(count: int) -> Sample:
    """Measure `count` steps in a row, each of which survives the death of the process before the next begins."""
    return await _chain(count, "process")


async def chain_synced(count: int) -> Sample:
    """Measure `count` steps in a row, each of which survives a power cut before the next begins."""
    return await _chain(count, "fsync")


async def fan(count: int) -> Sample:
    """Measure `count` children of one task, from its body to that of its successor, which needs them all on disk."""
    tally = Tally()
    clock: list[float] = []

    @task
    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> None:
        clock.append(time.perf_counter())
        for index in range(count):
            ctx.next_task(leaf(index))

    @task
    async def sink() -> None:
        clock.append(time.perf_counter())

    workflow = Workflow("fan", source >> sink)
    with journal_folder() as folder:
        await workflow.run(checkpoint_dir=folder, run_id=RUN_ID, durability="fsync")
    tally.expect(count)
    return {"seconds": clock[1] - clock[0]}


async def lag(count: int) -> Sample:
    """Measure how late a heartbeat gets while a map of `count` items, 64 at once, is recorded on a slow disk."""
    tally = Tally()

    @task
    async def leaf(index: int) -> int:
        await asyncio.sleep(0)
        tally.ran += 1
        return index

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> None:
        await ctx.map(leaf, range(count), max_concurrency=CONCURRENCY)

    workflow = Workflow("lag", source)
    with journal_folder() as folder:
        checkpointer = FileCheckpointer(folder, disk=SlowDisk(SLOW_SYNC))
        heartbeat = Heartbeat()
        began = time.perf_counter()
        await workflow.run(checkpointer=checkpointer, run_id=RUN_ID, durability="fsync")
        seconds = time.perf_counter() - began
        worst = heartbeat.stop()
        await checkpointer.aclose()
    tally.expect(count)
    return {"seconds": seconds, "gap": worst}


class LongLog:
    """A log that says that it is empty, so that nobody finds it long enough to be put together."""

    def __init__(self, log: Log) -> None:
        """Write into `log`."""
        self._log = log
        self.run_id = log.run_id
        self.next_seq = log.next_seq
        self.size = 0
        self.push = log.push
        self.flush = log.flush
        self.save = log.save
        self.compact = log.compact
        self.aclose = log.aclose

    def append(self, kind: int, payload: bytes) -> None:
        """Pass a record on."""
        self._log.append(kind, payload)
        self.next_seq = self._log.next_seq


class LongCheckpointer(FileCheckpointer):
    """Files whose logs keep every record: a journal of 100,000 of them is about to be shortened otherwise."""

    async def create(self, run_id: str) -> Any:
        """Begin the log of a new run."""
        return LongLog(await super().create(run_id))


# Made once per process: what is measured is reading it, as often as there are rounds.
_made: dict[int, tuple[Workflow, str]] = {}
_folders = ExitStack()
atexit.register(_folders.close)


async def _journal(count: int) -> tuple[Workflow, str]:
    """Give a workflow and the folder where its run of at least `count` records is."""
    if count in _made:
        return _made[count]
    tally = Tally()

    @task
    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> None:
        for index in range(count):
            ctx.next_task(leaf(index))

    @task
    async def sink() -> str:
        return "told"

    workflow = Workflow("fold", source >> sink)
    folder = _folders.enter_context(journal_folder())
    checkpointer = LongCheckpointer(folder)
    await workflow.run(checkpointer=checkpointer, run_id=RUN_ID)
    records: list[Record] = await checkpointer.read(RUN_ID)
    await checkpointer.aclose()
    tally.expect(count)
    if len(records) < count:
        raise RuntimeError(f"the journal has {len(records)} records, {count} were asked for")
    _made[count] = (workflow, folder)
    return _made[count]


async def fold(count: int) -> Sample:
    """Measure reading and telling a journal of `count` records, to learn how its run has ended."""
    workflow, folder = await _journal(count)
    began = time.perf_counter()
    value = await workflow.resume(RUN_ID, checkpoint_dir=folder)
    seconds = time.perf_counter() - began
    if value != "told":
        raise RuntimeError(f"the recorded run ended with {value!r}")
    return {"seconds": seconds}


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "ckpt": chain_,
    "ckpt.sync": chain_synced,
    "ckpt.fan": fan,
    "ckpt.lag": lag,
    "ckpt.fold": fold,
}
