"""Runs on disks that fail or lose power, two processes that want one run, and what each durability promises."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    CheckpointError,
    CheckpointWriteError,
    FileCheckpointer,
    MemoryCheckpointer,
    RunLockedError,
    Task,
    TaskExecutionContext,
    UnknownRunError,
    Workflow,
    chain,
    parallel,
)
from graflow_async._runtime import journal
from graflow_async.testing.faults import Fault, FaultyDisk, PowerLossDisk
from tests.durability.parts import RUN, Outcome, holding, note, performed, recorded
from tests.durability.programs import adds, collects, twice

FAULTS: list[tuple[Fault, bool]] = [
    ("EIO", False),
    ("ENOSPC", True),
    ("short", False),
    ("EINTR", False),
    ("crash", False),
]
DURABILITIES = ("process", "fsync", "async", "exit")
MOST_OPERATIONS = 400


def small() -> Workflow:
    """Draw something with each kind of record, and few of each."""

    async def start(ctx: TaskExecutionContext) -> int:
        note()
        ctx.next_task(adds(task_id="kid"))
        kept = await ctx.step("k", _kept)
        return kept + sum(await ctx.map(twice, [1, 2]))

    async def loop(ctx: TaskExecutionContext, n: int = 0) -> int:
        note()
        if not n:
            ctx.checkpoint()
            ctx.next_iteration(1)
        return n

    return Workflow(
        "small", Task("start", start) >> (adds(task_id="left") | Task("loop", loop)) >> collects(task_id="end")
    )


async def _kept() -> int:
    return 5


async def closed(checkpointer: FileCheckpointer) -> None:
    with suppress(CheckpointError):
        await checkpointer.aclose()


async def on_good_disk(home: Path, wf: Workflow) -> Outcome:
    """Go on with a run, or begin it if it never started."""
    checkpointer = FileCheckpointer(home)
    try:
        return await performed(wf.resume, RUN, checkpointer=checkpointer)
    except UnknownRunError:
        return await performed(wf.run, run_id=RUN, checkpointer=checkpointer)
    except CheckpointError as error:
        if not any(words in str(error) for words in ("had not started", "never started")):
            raise
        await checkpointer.delete(RUN)
        return await performed(wf.run, run_id=RUN, checkpointer=checkpointer)
    finally:
        await closed(checkpointer)


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize(("fault", "sticky"), FAULTS)
async def test_a_fault_at_every_operation(fault: Fault, sticky: bool, durability: str, tmp_path: Path):  # noqa: FBT001  # a case
    """Whichever operation fails: the run completes or says that it cannot be recorded, and then resumes to its end."""
    wf = small()
    want, _ = await recorded(wf)
    failed = 0
    for number in range(1, MOST_OPERATIONS):
        home = tmp_path / str(number)
        disk = FaultyDisk(number, fault, sticky=sticky)
        checkpointer = FileCheckpointer(home, disk=disk)
        where = f"operation {number} of {disk.operations[:number]}, {fault}"
        try:
            got = await performed(wf.run, run_id=RUN, checkpointer=checkpointer, durability=durability)
            assert got.value == want.value, where
        except CheckpointWriteError:
            failed += 1
        finally:
            await closed(checkpointer)
        after = await on_good_disk(home, wf)
        assert after.value == want.value, where
        if after.bodies:
            assert after.channel == want.channel, where
        if number > len(disk.operations):
            break
    else:
        pytest.fail("there is no end to the operations")
    assert failed or fault in ("short", "EINTR"), "no fault was ever felt"


@pytest.mark.parametrize("fault", ["EIO", "crash"])
async def test_a_fault_at_every_operation_of_a_resumption(fault: Fault, tmp_path: Path):
    """The disk fails while a run is taken over: the next try, on a good disk, still comes to its end."""
    wf = small()
    want, records = await recorded(wf)
    half = records[: len(records) // 2]
    felt = 0
    for number in range(1, MOST_OPERATIONS):
        home = tmp_path / str(number)
        good = FileCheckpointer(home)
        log = await good.create(RUN)
        for record in half:
            log.append(record.kind, record.payload)
        await good.aclose()
        disk = FaultyDisk(number, fault)
        bad = FileCheckpointer(home, disk=disk)
        try:
            assert (await performed(wf.resume, RUN, checkpointer=bad)).value == want.value
        except CheckpointError:
            felt += 1
        finally:
            await closed(bad)
        assert (await on_good_disk(home, wf)).value == want.value, f"operation {number}, {fault}"
        if number > len(disk.operations):
            break
    assert felt


class Gone(PowerLossDisk):
    """A disk that is gone from a moment on: what was written by then is there, what was not, is not.

    Attributes:
        is_gone: whether it is.
        syncs, writes: how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_gone = False
        self.syncs = self.writes = 0

    def _check(self) -> None:
        if self.is_gone:
            raise OSError(errno.EIO, "gone on purpose")

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._check()
        self.writes += 1
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._check()
        self.syncs += 1
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        self._check()
        super().sync_directory(path)

    def truncate(self, fd: int, size: int) -> None:
        self._check()
        super().truncate(fd, size)


LENGTH = 12


def row(reached: Callable[[int], None]) -> Workflow:
    """Draw tasks in a row; each says that it is reached."""

    def link(number: int) -> Task[Any, Any]:
        async def body(ctx: TaskExecutionContext) -> int:
            note()
            await ctx.channel.atomic_add("sum", number)
            reached(number)
            await asyncio.sleep(0)
            return number

        return Task(f"t{number}", body)

    return Workflow("row", chain(*(link(number) for number in range(LENGTH))))


async def until_gone(home: Path, durability: str, last: int, *, power: bool) -> Outcome:
    """Let the disk go when a task of the row begins, and go on with what is left."""
    disk = Gone()

    def reached(number: int) -> None:
        disk.is_gone = disk.is_gone or number == last

    wf = row(reached)
    checkpointer = FileCheckpointer(home, disk=disk)
    with pytest.raises(CheckpointWriteError):
        await performed(wf.run, run_id=RUN, checkpointer=checkpointer, durability=durability)
    await closed(checkpointer)
    if power:
        disk.cut_power(home)
    return await on_good_disk(home, wf)


@pytest.mark.parametrize(("durability", "power"), [("process", False), ("fsync", False), ("fsync", True)])
async def test_what_led_to_a_task_survives(durability: str, power: bool, tmp_path: Path):  # noqa: FBT001  # a case
    """When a task begins, what came before it survives: a kill with "process", a power cut with "fsync"."""
    for last in range(LENGTH):
        got = await until_gone(tmp_path / str(last), durability, last, power=power)
        assert got.bodies == {f"t{number}": 1 for number in range(last, LENGTH)}
        assert got.channel == {f"{RUN}:default:sum": sum(range(LENGTH))}


@pytest.mark.parametrize(
    ("durability", "power"), [("process", True), ("async", False), ("async", True), ("exit", False), ("exit", True)]
)
async def test_what_is_lost_is_done_again(durability: str, power: bool, tmp_path: Path):  # noqa: FBT001  # a case
    """What a durability does not promise may be lost, but always a last part, and never the result."""
    for last in range(0, LENGTH, 3):
        got = await until_gone(tmp_path / str(last), durability, last, power=power)
        first = LENGTH - len(got.bodies)
        assert got.bodies == {f"t{number}": 1 for number in range(first, LENGTH)}
        assert first <= last
        assert got.channel == {f"{RUN}:default:sum": sum(range(LENGTH))}
        if durability == "exit":
            assert first == 0


async def test_a_run_stops_when_it_cannot_be_recorded(tmp_path: Path):
    """Once a record was refused nothing further begins: what runs unrecorded would run again."""
    begun: list[int] = []
    disk = Gone()

    def number_of(number: int) -> Task[Any, Any]:
        async def body() -> None:
            begun.append(number)
            disk.is_gone = disk.is_gone or number == 3
            await asyncio.sleep(0)

        return Task(f"t{number}", body)

    wf = Workflow("wide", parallel(*map(number_of, range(30))) >> collects(task_id="end"))
    checkpointer = FileCheckpointer(tmp_path, disk=disk)
    with pytest.raises(CheckpointWriteError):
        await performed(wf.run, run_id=RUN, checkpointer=checkpointer, max_concurrency=1)
    await closed(checkpointer)
    assert begun == [0, 1, 2, 3]


async def test_how_often_each_durability_asks_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`fsync` syncs for each task in a row, `process` writes for each, `exit` writes nothing before the end."""
    # What the disk gets from time to time without anybody asking is not counted here.
    monkeypatch.setattr(journal, "SYNC_AFTER", 3600.0)
    seen: dict[str, tuple[int, int]] = {}
    for durability in DURABILITIES:
        disk = Gone()
        at_start: list[tuple[int, int]] = []
        wf = row(lambda _: at_start.append((disk.writes, disk.syncs)))  # noqa: B023  # it runs at once
        checkpointer = FileCheckpointer(tmp_path / durability, disk=disk)
        await wf.run(run_id=RUN, checkpointer=checkpointer, durability=durability)
        await checkpointer.aclose()
        first, last = at_start[0], at_start[-1]
        seen[durability] = (last[0] - first[0], last[1] - first[1])
        assert disk.syncs > 0, f"{durability}: the end was not synced"
    assert seen["fsync"][1] == LENGTH - 1
    assert seen["process"][0] == LENGTH - 1
    assert seen["process"][1] == 0
    assert seen["async"][1] == 0
    assert seen["exit"] == (0, 0)


async def test_one_of_two_resumers_proceeds(tmp_path: Path):
    """Of two who resume a run at the same time one gets it; the other is told at once that it is taken."""
    for number in range(20):
        gate = asyncio.Event()

        async def waits() -> str:
            note()
            await gate.wait()  # noqa: B023  # used in this turn
            return "done"

        wf = Workflow("w", adds(task_id="first") >> Task("waits", waits))
        one, two = await _begun(wf, gate, number, tmp_path)
        gate.clear()
        await _compete(wf, gate, one, two)
        for checkpointer in {id(one): one, id(two): two}.values():
            await checkpointer.aclose()


async def _begun(wf: Workflow, gate: asyncio.Event, number: int, home: Path) -> tuple[Any, Any]:
    """Record a run whose last facts are missing, in memory or in files, and give two ways to it."""
    gate.set()
    _, records = await recorded(wf)
    if number % 2:
        checkpointer = await holding(records[:-2])
        return checkpointer, checkpointer
    place = home / str(number)
    made = FileCheckpointer(place)
    log = await made.create(RUN)
    for record in records[:-2]:
        log.append(record.kind, record.payload)
    await made.aclose()
    return FileCheckpointer(place), FileCheckpointer(place)


async def _compete(wf: Workflow, gate: asyncio.Event, one: Any, two: Any) -> None:
    def go_on(checkpointer: MemoryCheckpointer | FileCheckpointer) -> Awaitable[Any]:
        return asyncio.ensure_future(wf.resume(RUN, checkpointer=checkpointer))

    both: set[Any] = {go_on(one), go_on(two)}
    done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert isinstance(done.pop().exception(), RunLockedError)
    gate.set()
    assert await waiting.pop() == "done"
