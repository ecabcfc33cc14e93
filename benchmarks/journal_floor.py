"""The floor of checkpoints, by hand: 60 bytes appended with `os.write`, and `os.fdatasync` where it is asked for.

What both sides share (where files go, the slow disk's delay, the bound) is here, too.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.counted import CountedGraph, Held
from benchmarks.probes import Heartbeat, Sample, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

RECORD = b"x" * 60
SLOW_SYNC = 0.05
CONCURRENCY = 64
_LENGTH = struct.Struct("<I")


@contextmanager
def journal_folder() -> Iterator[str]:
    """Give a folder for the files of one sample; TMPDIR chooses the disk.

    Journals are signed: with a key of this process, so that none is looked for, or made, in the home directory.
    """
    os.environ.setdefault("GRAFLOW_SECRET_KEY", "no secret: the files of a benchmark are gone when it ends")
    with tempfile.TemporaryDirectory(prefix="graflow-benchmark-") as folder:
        yield folder


def _open(folder: str) -> int:
    return os.open(Path(folder) / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


async def _chain(count: int, *, sync: bool) -> Sample:
    """Measure `count` steps: the clock is read by the first body and by the last, with `count` records between."""
    tally = Tally()
    clock: list[float] = []

    async def body(number: int) -> int:
        tally.ran += 1
        if number in (0, count):
            clock.append(time.perf_counter())
        os.write(fd, RECORD)
        if sync:
            os.fdatasync(fd)
        return number

    with journal_folder() as folder:
        graph = CountedGraph(body, {number: [number + 1] for number in range(count)}, [0, *[1] * count])
        opened = time.perf_counter()
        fd = _open(folder)
        await graph.run()
        os.fdatasync(fd)
        os.close(fd)
        closed = time.perf_counter()
        size = (Path(folder) / "journal").stat().st_size
    tally.expect(count + 1)
    seconds = clock[1] - clock[0]
    return {"seconds": seconds, "open": closed - opened - seconds, "bytes": size / count}


async def chain(count: int) -> Sample:
    """Measure `count` steps in a row, each followed by one appended record."""
    return await _chain(count, sync=False)


async def chain_synced(count: int) -> Sample:
    """Measure the same with one fdatasync for each record."""
    return await _chain(count, sync=True)


async def fan(count: int) -> Sample:
    """Measure `count` children at once, each with an appended record and an fdatasync of its own."""
    tally = Tally()
    done = asyncio.get_running_loop().create_future()
    held = Held()
    results: dict[int, int] = {}

    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    async def child(index: int) -> None:
        results[index] = await leaf(index)
        os.write(fd, RECORD)
        os.fdatasync(fd)
        if len(results) == count:
            done.set_result(None)

    with journal_folder() as folder:
        fd = _open(folder)
        began = time.perf_counter()
        for index in range(count):
            held.start(child(index))
        await done
        seconds = time.perf_counter() - began
        os.close(fd)
    tally.expect(count)
    return {"seconds": seconds}


class SlowCommits:
    """Group commit by hand: whoever has appended waits for the next sync, which a thread waits for."""

    __slots__ = ("_fd", "_loop", "_syncing", "_waiters")

    def __init__(self, fd: int) -> None:
        """Commit what is appended to `fd`."""
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None

    async def append(self) -> None:
        """Append a record, and wait until it is safe."""
        os.write(self._fd, RECORD)
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        if self._syncing is None:
            self._syncing = self._loop.create_task(self._sync())
        await waiter

    async def _sync(self) -> None:
        while self._waiters:
            ready, self._waiters = self._waiters, []
            await asyncio.to_thread(self._slowly)
            for waiter in ready:
                waiter.set_result(None)
            # Those who append at once after this commit share the next one.
            await asyncio.sleep(0)
        self._syncing = None

    def _slowly(self) -> None:
        time.sleep(SLOW_SYNC)
        os.fdatasync(self._fd)


async def lag(count: int) -> Sample:
    """Measure how late a heartbeat gets while 64 runners append `count` records and each waits for a slow disk."""
    tally = Tally()
    with journal_folder() as folder:
        fd = _open(folder)
        commits = SlowCommits(fd)
        numbers = iter(range(count))

        async def runner() -> None:
            for _ in numbers:
                await asyncio.sleep(0)
                tally.ran += 1
                await commits.append()

        heartbeat = Heartbeat()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(runner())
        seconds = time.perf_counter() - began
        worst = heartbeat.stop()
        os.close(fd)
    tally.expect(count)
    return {"seconds": seconds, "gap": worst}


async def fold(count: int) -> Sample:
    """Measure reading `count` pickled records, each behind its length, into a dict."""
    with journal_folder() as folder:
        path = Path(folder) / "journal"
        made = (pickle.dumps((key, time.time(), key), 5) for key in range(count))
        path.write_bytes(b"".join(_LENGTH.pack(len(payload)) + payload for payload in made))
        began = time.perf_counter()
        data = path.read_bytes()
        results: dict[int, object] = {}
        offset = 0
        while offset < len(data):
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            key, _, value = pickle.loads(data[offset : offset + length])
            results[key] = value
            offset += length
        seconds = time.perf_counter() - began
    if len(results) != count:
        raise RuntimeError(f"{len(results)} records came back, {count} were written")
    return {"seconds": seconds, "records": float(count)}


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "ckpt": chain,
    "ckpt.sync": chain_synced,
    "ckpt.fan": fan,
    "ckpt.lag": lag,
    "ckpt.fold": fold,
}
