"""A Redis without memory for more, and one that is away for longer than one request waits."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from graflow_async import SyncTaskExecutionContext, Workflow, task, workflow
from graflow_async._redis.jobs import JobQueue
from graflow_async.errors import StoreUnavailableError
from graflow_async.executors.redis import RedisExecutor
from graflow_async.worker_errors import QueueFullError
from tests.aids.redis_server import RedisServer
from tests.aids.workers import Workers
from tests.worker.aids import Meeting, soon, started
from tests.worker.tasks import hear_now, measured, say_now, square

SIZE = 20_000  # bytes


@pytest_asyncio.fixture
async def small() -> AsyncIterator[RedisServer]:
    """Give a Redis with room for about two hundred such tasks."""
    with RedisServer("--maxmemory", "6mb", "--maxmemory-policy", "noeviction") as server:
        yield server


def measure(count: int) -> Workflow:
    """Make a workflow of many tasks that are large to send."""
    with workflow("large") as wf:

        @task(executor="thread", inject_context=True)
        def everything(ctx: SyncTaskExecutionContext) -> list[int]:
            return ctx.map(measured, [random.randbytes(SIZE) for _ in range(count)], range(count))

    return wf


@contextmanager
def refusals() -> Iterator[asyncio.Event]:
    """Give what is set when a run says that Redis has no memory left."""
    refused = asyncio.Event()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: refused.set() if "no memory left" in record.getMessage() else None
    logger = logging.getLogger("graflow_async.redis")
    logger.addHandler(handler)
    try:
        yield refused
    finally:
        logger.removeHandler(handler)


async def test_a_full_redis_holds_tasks_back(small: RedisServer, caplog: pytest.LogCaptureFixture):
    """When Redis is full, new tasks wait, and those that are there still finish: all are done in the end."""
    workers, place = Workers(small.url), Meeting(small.url)
    try:
        with refusals() as refused:
            running = asyncio.create_task(soon(measure(400).run(executor=RedisExecutor(small.url, patience=60.0))))
            await soon(refused.wait())  # a worker that is there from the start may be quicker than the run
        await workers.start("w1", "--concurrency", "10")
        assert await running == [SIZE + n for n in range(400)]
        assert caplog.text.count("Redis has no memory left") == 1
        assert await place.left() == []
    finally:
        workers.close()
        await place.client.aclose()


async def test_a_redis_that_others_have_filled(small: RedisServer):
    """When Redis is full, and none of the run's tasks is there to end, the run fails after `patience` and says why."""
    place = Meeting(small.url)
    await place.client.config_set("maxmemory", "1")
    await place.client.aclose()
    with pytest.raises(QueueFullError, match="no memory left"):
        await soon(measure(2).run(executor=RedisExecutor(small.url, patience=0.2)))


async def test_an_outage_while_nothing_is_under_way(meeting: Meeting, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """However long Redis is away, tasks that come later travel again: only what is under way then fails."""
    with RedisServer() as server:
        monkeypatch.setenv("GRAFLOW_TEST_REDIS", redis_url)
        workers = Workers(server.url)
        try:
            await workers.start("w1", "--lease", "0.6")
            with workflow("patient") as wf:

                @task(executor="thread")
                def local() -> None:
                    say_now("begun.local")
                    hear_now("go.local")

                square(2, task_id="first") >> local >> square(5, task_id="last")
            run = await started(wf, executor=RedisExecutor(server.url, lease=0.6, patience=0.2))
            await meeting.heard("begun.local")
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(1.0)  # so long it is away
            await asyncio.to_thread(server.start)
            await asyncio.sleep(0.3)  # longer than any patience that began to run out before it came back
            await meeting.say("go.local")
            assert await soon(run) == 25
        finally:
            workers.close()


async def test_looking_for_workers_is_as_patient_as_it_is_told(small: RedisServer):
    """Whoever waits for workers waits for Redis as long as it was told to, and not ten seconds."""
    async with JobQueue(small.url) as queue:
        assert await queue.wait_for_workers(0) == []
        small.kill()
        waiting: Any = queue.wait_for_workers(0, patience=0.05)
        with pytest.raises(StoreUnavailableError):
            await soon(waiting, within=9.0)
        small.start()
