"""The heartbeat, and workers that really die or stand still."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
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


@asynccontextmanager
async def beating(worker: Any) -> AsyncIterator[asyncio.Queue[News]]:
    """Let a worker's heart beat, and give its news."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[News] = asyncio.Queue()

    def tell(one: News) -> None:
        loop.call_soon_threadsafe(news.put_nowait, one)

    heart = Heart(worker, tell)
    heart.start()
    try:
        yield news
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
    driver, worker, other = await owned(queue), await joined(queue, "w", lease=0.3), await joined(queue, "other")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    news: list[News] = []
    heart = Heart(worker, news.append)
    heart.start()
    # Four leases; a beat without news tells nobody.
    while heart.beats < 12:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await other.reclaim() is None
    assert await worker.finish([(claim, "done", b"")]) == ["ok"]
    await heart.aclose()
    assert news == []


async def test_a_heart_tells_of_lost_and_cancelled_claims(queue: JobQueue) -> None:
    """What the heartbeat finds reaches the loop: each wish to cancel once, claims that others have as lost."""
    driver, worker, other = await owned(queue), await joined(queue, "w", lease=0.3), await joined(queue, "other")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    await driver.cancel(["b"])
    async with beating(worker) as news:
        assert await news.get() == ([], [b], False)
        await expire(queue, worker)
        assert await other.reclaim() is not None
        first = await news.get()
        assert (first.lost, first.cancelled) == ([a], [])
        worker.drop(first.lost)


async def test_silence_fences_a_worker_before_its_lease_ends() -> None:
    """Without an answer for 0.8 of a lease the worker must think that others have its jobs; it is told so once."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with JobQueue(server.url) as queue:
            driver, worker = await owned(queue), await joined(queue, "w", lease=0.5)
            await driver.enqueue(jobs("a"))
            (claim,) = await worker.take(1)
            async with beating(worker) as news:
                await asyncio.to_thread(server.kill)
                assert await news.get() == ([claim], [], True)
                await asyncio.to_thread(server.start)
                # Nobody else was there to take it: giving it back tells the truth.
                assert await worker.release([claim]) == ["ok"]
                assert names(await worker.take(1)) == ["a"]
                assert news.empty()


async def test_claims_being_reported_are_no_news(queue: JobQueue) -> None:
    """A claim whose report is under way is not told as lost, though it may be over for Redis already."""
    driver, worker = await owned(queue), await joined(queue, "w", lease=0.15)
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    worker.ending.add(a)
    await driver.forget()
    async with beating(worker) as news:
        assert (await news.get()).lost == [b]


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
        async with victim(redis_url, "zombie", 1.0, 1, "news") as process:
            assert await line_of(process) == ["took", "a"]
            process.send_signal(signal.SIGSTOP)
            other = await joined(far, "other", lease=1.0)
            (claim,) = await other.take(1)
            assert (claim.job, claim.crashes) == ("a", 1)
            process.send_signal(signal.SIGCONT)
            assert process.stdin is not None
            process.stdin.write(b"go on\n")
            assert await line_of(process) == ["heard", "True"]
            assert await line_of(process) == ["fates", "fenced"]
            assert await other.finish([(claim, "done", b"other")]) == ["ok"]
        assert [event.data for event in await driver.events() if event.kind == "done"] == [b"other"]
