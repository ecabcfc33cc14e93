"""The heartbeat, and workers that really die or stand still."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async._redis import jobs_heart
from graflow_async._redis.jobs import Heart, JobQueue, News
from tests.aids.redis_server import RedisServer
from tests.redis_jobs.aids import expire, jobs, joined, names, owned, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VICTIM = Path(__file__).with_name("victim.py")
ROOT = VICTIM.parents[2]


class Pace:
    """Stands for what ends the pauses of a heart: they end when a test says so, however long anybody stands still."""

    def __init__(self) -> None:
        self._is_over = False
        self._asked: SimpleQueue[float] = SimpleQueue()
        self._turns = threading.Semaphore(0)

    def is_set(self) -> bool:
        return self._is_over

    def set(self) -> None:
        self._is_over = True
        self._turns.release()

    def wait(self, seconds: float) -> None:
        self._asked.put(seconds)
        self._turns.acquire()

    def resting(self) -> float:
        """Wait until the heart pauses, without going on with the loop, and give the seconds that it wants to wait."""
        return self._asked.get(timeout=60)

    def next(self) -> float:
        """Let it beat once, and give the seconds that it wants to wait then."""
        self._turns.release()
        return self.resting()


@asynccontextmanager
async def beating(worker: Any) -> AsyncIterator[tuple[asyncio.Queue[News], Pace]]:
    """Let a worker's heart beat at the test's pace, once at first, and give its news."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[News] = asyncio.Queue()

    def tell(one: News) -> None:
        loop.call_soon_threadsafe(news.put_nowait, one)

    heart: Any = Heart(worker, tell)
    pace = heart._stop = Pace()
    heart.start()
    try:
        yield news, pace
    finally:
        await heart.aclose()


@asynccontextmanager
async def victim(
    url: str, name: str, lease: float, count: int, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker as a process of its own until it has taken its jobs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(VICTIM), url, name, str(lease), str(count), *more),
        env={"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> list[str]:
    """Read the next line of a process."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().split()


async def test_a_heart_keeps_the_lease_while_the_loop_is_away(queue: JobQueue) -> None:
    """Jobs stay with a worker for many leases, though its loop does nothing at all for them."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "other")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    async with beating(worker) as (news, pace):
        assert pace.resting() <= worker.lease / 3
        for _ in range(12):
            await expire(queue, worker)
            assert pace.next() <= worker.lease / 3
            assert await other.reclaim() is None
        assert await worker.finish([(claim, "done", b"")]) == ["ok"]
    # A beat without news tells nobody.
    assert news.empty()


async def test_a_heart_beats_by_itself(queue: JobQueue) -> None:
    """Nobody has to wind it up: it beats again and again."""
    worker = await joined(queue, "w", lease=0.3)
    heart = Heart(worker, lambda _: None)
    heart.start()
    while heart.beats < 3:  # noqa: ASYNC110  # a beat without news tells nobody
        await asyncio.sleep(0.01)
    await heart.aclose()


async def test_a_heart_tells_of_lost_and_cancelled_claims(queue: JobQueue) -> None:
    """What the heartbeat finds reaches the loop: each wish to cancel once, claims that others have as lost."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "other")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    await driver.cancel(["b"])
    async with beating(worker) as (news, pace):
        assert await news.get() == ([], [b], False)
        pace.resting()
        await expire(queue, worker)
        assert await other.reclaim() is not None
        pace.next()
        first = await news.get()
        assert (first.lost, first.cancelled) == ([a], [])
        worker.drop(first.lost)


async def test_silence_fences_a_worker_before_its_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer for 0.8 of a lease the worker must think that others have its jobs; it is told so once."""
    now = 1000.0
    monkeypatch.setattr(jobs_heart, "boot_seconds", lambda: now)
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with JobQueue(server.url) as queue:
            driver, worker = await owned(queue), await joined(queue, "w", lease=30)
            await driver.enqueue(jobs("a"))
            (claim,) = await worker.take(1)
            async with beating(worker) as (news, pace):
                assert pace.resting() == 10
                await asyncio.to_thread(server.kill)
                now += 23.9
                assert 0 < pace.next() < 0.11  # never past the moment from which on it is told
                await asyncio.sleep(0)
                assert news.empty()
                now += 0.1
                pace.next()
                assert await news.get() == ([claim], [], True)
                now += 10
                pace.next()
                await asyncio.to_thread(server.start)
                pace.next()
                # Nobody else was there to take it: giving it back tells the truth.
                assert await worker.release([claim]) == ["ok"]
                assert names(await worker.take(1)) == ["a"]
                pace.next()
                await asyncio.sleep(0)
                assert news.empty()


async def test_claims_being_reported_are_no_news(queue: JobQueue) -> None:
    """A claim whose report is under way is not told as lost, though it may be over for Redis already."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    worker.ending.add(a)
    await driver.forget()
    async with beating(worker) as (news, _):
        assert await news.get() == ([b], [], False)


async def test_the_clock_counts_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has such a clock, the time a machine was suspended counts against the lease."""
    asked: list[int] = []
    monkeypatch.setattr(jobs_heart.time, "clock_gettime", lambda clock: asked.append(clock) or 1.0)
    assert jobs_heart.boot_seconds() == 1.0
    assert asked == [7 if sys.platform == "linux" else asked[0]]


async def test_a_killed_workers_jobs_run_elsewhere(redis_url: str) -> None:
    """A worker process is killed: after its lease an idle one has its jobs, one by one, and all results arrive."""
    async with JobQueue(redis_url) as near, JobQueue(redis_url) as far:
        driver = await owned(near)
        await driver.enqueue(jobs("a", "b"))
        async with victim(redis_url, "victim", 1.0, 2) as process:
            assert await line_of(process) == ["took", "a", "b"]
            other = await joined(far, "other", lease=1.0)
            process.kill()
            for name in ("a", "b"):
                (claim,) = await other.take(5)
                assert (claim.job, claim.crashes) == (name, 1)
                assert await other.finish([(claim, "done", b"")]) == ["ok"]
        assert told(await driver.events()) == [("lost", "a"), ("done", "a"), ("lost", "b"), ("done", "b")]


async def test_a_zombie_is_fenced(redis_url: str) -> None:
    """A worker that stood still for longer than its lease wakes up fenced, and its report is refused."""
    async with JobQueue(redis_url) as near, JobQueue(redis_url) as far:
        driver = await owned(near)
        await driver.enqueue(jobs("a"))
        async with victim(redis_url, "zombie", 1.0, 1) as process:
            assert await line_of(process) == ["took", "a"]
            process.send_signal(signal.SIGSTOP)
            other = await joined(far, "other", lease=1.0)
            (claim,) = await other.take(1)
            assert (claim.job, claim.crashes) == ("a", 1)
            process.send_signal(signal.SIGCONT)
            assert process.stdin is not None
            process.stdin.write(b"go on\n")
            assert await line_of(process) == ["heard", "a"]
            assert await line_of(process) == ["fates", "fenced"]
            assert await other.finish([(claim, "done", b"other")]) == ["ok"]
        assert [event.data for event in await driver.events() if event.kind == "done"] == [b"other"]
