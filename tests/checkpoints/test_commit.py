"""How records get to the disk: at once or by the thread, together, and without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import CheckpointError, CheckpointWriteError
from graflow_async.testing.faults import FaultyDisk
from tests.checkpoints.keys import SomeKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from graflow_async.checkpoints._disk import Disk
    from graflow_async.checkpoints._file_log import FileLog

pytestmark = pytest.mark.asyncio


class ClockedDisk(FaultyDisk):
    """A disk whose operations take what the test says, on a clock of its own; it notes the thread of each."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.takes = 0.0
        self.on_loop: list[str] = []
        self.loop_thread = threading.get_ident()

    def clock(self) -> float:
        return self.now

    def note(self, name: str) -> None:
        self.now += self.takes
        if threading.get_ident() == self.loop_thread:
            self.on_loop.append(name)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.note("write")
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        self.note("sync")
        super().sync(fd)


class GatedDisk(FaultyDisk):
    """A disk whose operation of one name waits in its thread until the test lets it go."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.gated = name
        self.waiting = asyncio.Event()
        self.gate = threading.Event()
        self.loop = asyncio.get_running_loop()

    def clock(self) -> float:
        return 0.0  # no write is a slow one, which would be the last on the loop

    def _step(self, name: str) -> bool:
        if name == self.gated:
            self.loop.call_soon_threadsafe(self.waiting.set)
            assert self.gate.wait(60)
        return super()._step(name)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[[Disk], Awaitable[FileLog]]]:
    """Give what opens the log of a run on a disk."""
    made: list[FileCheckpointer] = []

    async def opened(disk: Disk) -> FileLog:
        made.append(FileCheckpointer(tmp_path, keyring=SomeKeys(), disk=disk))
        return await made[-1].create("run")

    yield opened
    for checkpointer in made:
        await checkpointer.aclose()


async def test_a_small_record_is_written_on_the_loop(opened):
    """Pushing hands a small record to the system at once, a large one not."""
    disk = ClockedDisk()
    log = await opened(disk)
    for _ in range(5):
        log.append(Kind.EVENT, b"x" * 100)
        assert log.push()
    assert disk.on_loop == ["write"] * 5
    log.append(Kind.EVENT, b"x" * 70_000)
    assert not log.push()
    await log.flush()
    assert disk.on_loop == ["write"] * 5
    log.append(Kind.EVENT, b"x" * 100)
    assert log.push()


async def test_a_slow_write_is_the_last_one_on_the_loop(opened, caplog):
    """One write of more than 5 ms moves the log to the thread for good, with one line in the log."""
    caplog.set_level(logging.INFO, "graflow_async.checkpoint")
    disk = ClockedDisk()
    log = await opened(disk)
    disk.takes = 0.006
    log.append(Kind.EVENT, b"x")
    assert log.push()
    disk.takes = 0.0
    for _ in range(3):
        log.append(Kind.EVENT, b"x")
        assert not log.push()
        await log.flush()
    assert disk.on_loop == ["write"]
    assert [(r.name, r.levelno) for r in caplog.records] == [("graflow_async.checkpoint", logging.INFO)]


async def test_fast_syncs_move_to_the_loop_and_a_slow_one_moves_them_back(opened, caplog):
    """Four quick syncs in the thread earn the loop's trust; after a slow one there it takes eight times as many."""
    caplog.set_level(logging.INFO, "graflow_async.checkpoint")
    disk = ClockedDisk()
    log = await opened(disk)

    async def syncs(count: int, takes: float) -> int:
        disk.on_loop.clear()
        disk.takes = takes
        for _ in range(count):
            log.append(Kind.EVENT, b"x")
            await log.flush(sync=True)
        return disk.on_loop.count("sync")

    assert await syncs(3, 0.0005) == 0
    assert await syncs(1, 0.002) == 0
    assert await syncs(4, 0.0005) == 0
    assert await syncs(3, 0.0005) == 3
    disk.takes = 0.0
    log.append(Kind.EVENT, b"x")
    log.push()
    disk.takes = 0.006
    await log.flush(sync=True)
    assert await syncs(32, 0.0005) == 0
    assert await syncs(3, 0.0005) == 3
    assert ["sync" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("trusted", [False, True])
async def test_concurrent_flushers_share_a_sync(opened, trusted):
    """64 flushes of one turn cost one sync; where the loop syncs, one more at most, for who came first."""
    disk = ClockedDisk()
    log = await opened(disk)
    for _ in range(9 if trusted else 1):
        log.append(Kind.EVENT, b"x")
        await log.flush(sync=True)
    disk.on_loop.clear()
    before = disk.count("sync")

    async def write() -> None:
        log.append(Kind.EVENT, b"x" * 100)
        await log.flush(sync=True)

    await asyncio.gather(*(write() for _ in range(64)))
    assert disk.count("sync") == before + 1 + trusted
    assert disk.on_loop.count("sync") == 2 * trusted
    await asyncio.gather(*(write() for _ in range(64)))
    await log.flush(sync=True)
    assert disk.count("sync") == before + 2 + trusted, "what is synced needs no sync, and a crowd is remembered"


async def test_who_comes_during_a_sync_shares_the_next(opened):
    """A sync under way does not count for what was appended after it began."""
    disk = GatedDisk("sync")
    log = await opened(disk)
    log.append(Kind.EVENT, b"x")
    first = asyncio.ensure_future(log.flush(sync=True))
    await disk.waiting.wait()
    later = []
    for _ in range(10):
        log.append(Kind.EVENT, b"x")
        assert log.push(), "a sync does not keep records from the system"
        later.append(asyncio.ensure_future(log.flush(sync=True)))
    await asyncio.sleep(0)
    assert not first.done()
    disk.gate.set()
    await asyncio.gather(first, *later)
    assert disk.count("sync") == 2


async def test_records_keep_their_order_while_the_thread_writes(opened, tmp_path):
    """Nothing is written on the loop while the thread is writing, or records would change places."""
    disk = GatedDisk("write")
    disk.gate.set()
    log = await opened(disk)
    disk.gate.clear()
    disk.waiting.clear()
    log.append(Kind.EVENT, b"x" * 100_000)
    large = asyncio.ensure_future(log.flush())
    await disk.waiting.wait()
    log.append(Kind.EVENT, b"small")
    assert not log.push()
    small = asyncio.ensure_future(log.flush())
    disk.gate.set()
    await asyncio.gather(large, small)
    reader = FileCheckpointer(tmp_path, keyring=SomeKeys())
    records = await reader.read("run")
    await reader.aclose()
    assert [len(record.payload) for record in records] == [100_000, 5]


async def test_the_loop_runs_while_the_disk_is_slow(opened):
    """A sync that lasts until the loop has turned a hundred times, and taken thousands of records, holds up neither."""
    disk = GatedDisk("sync")
    log = await opened(disk)

    async def write() -> None:
        for _ in range(80):
            log.append(Kind.EVENT, b"x" * 100)
            await log.flush()

    log.append(Kind.EVENT, b"x")
    syncing = asyncio.ensure_future(log.flush(sync=True))
    await disk.waiting.wait()
    await asyncio.gather(*(write() for _ in range(64)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not syncing.done()
    assert log.next_seq == 80 * 64 + 1
    disk.gate.set()
    await syncing
    await log.flush(sync=True)
    assert disk.count("sync") == 2


class FailingDisk(FaultyDisk):
    """A disk that fails with the n-th operation of one name, counted from when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = ""
        self.left = 0

    def _step(self, name: str) -> bool:
        if name == self.failing:
            self.left -= 1
            if self.left == 0:
                raise OSError(28, "no space (on purpose)")
        return super()._step(name)


@pytest.mark.parametrize(
    ("operation", "nth"), [("create", 1), ("write", 1), ("write", 2), ("sync", 1), ("sync", 2), ("rename", 1)]
)
async def test_a_compaction_that_fails_changes_nothing(opened, tmp_path, operation, nth):
    """The old file stays in use, with what was appended meanwhile, and a later compaction may succeed."""
    disk = FailingDisk()
    log = await opened(disk)
    for number in range(20):
        log.append(Kind.EVENT, b"%d" % number)
    await log.flush()
    disk.failing, disk.left = operation, nth
    compaction = asyncio.ensure_future(log.compact([(Kind.SNAPSHOT, b"sum")], 10))
    while log._since is None:  # noqa: ASYNC110  # what is appended before is written by the log itself
        await asyncio.sleep(0)
    while not compaction.done():
        await asyncio.sleep(0)
        if log.next_seq < 2000:
            log.append(Kind.EVENT, b"%d" % log.next_seq)
    with pytest.raises(CheckpointWriteError) as caught:
        await compaction
    assert (caught.value.errno, disk.left) == (28, 0)
    disk.failing = ""
    await log.flush(sync=True)
    reader = FileCheckpointer(tmp_path, keyring=SomeKeys())
    assert [int(record.payload) for record in await reader.read("run")] == list(range(log.next_seq))
    assert log.size == (tmp_path / "run" / "journal").stat().st_size
    assert not list(tmp_path.rglob("*.tmp"))
    await log.compact([(Kind.SNAPSHOT, b"9")], 10)
    assert [int(record.payload) for record in await reader.read("run")] == list(range(9, log.next_seq))
    await reader.aclose()


async def test_a_save_during_a_compaction_copies_what_there_was_to_copy(opened, tmp_path):
    """A checkpoint asked for while the file is being replaced holds the records up to then, and no later ones."""
    disk = GatedDisk("rename")
    disk.gate.set()
    log = await opened(disk)
    disk.gate.clear()
    disk.waiting.clear()
    for number in range(10):
        log.append(Kind.EVENT, b"%d" % number)
    compaction = asyncio.ensure_future(log.compact([(Kind.SNAPSHOT, b"4")], 5))
    await disk.waiting.wait()
    saving = asyncio.ensure_future(log.save("point"))
    await asyncio.sleep(0)
    log.append(Kind.EVENT, b"10")
    closing = asyncio.ensure_future(log.aclose())
    disk.gate.set()
    await asyncio.gather(compaction, saving, closing)
    reader = FileCheckpointer(tmp_path, keyring=SomeKeys())
    assert [int(record.payload) for record in await reader.read(saving.result())] == list(range(4, 10))
    assert [int(record.payload) for record in await reader.read("run")] == list(range(4, 11))
    with pytest.raises(CheckpointError):
        await log.save("late")
    await reader.aclose()
