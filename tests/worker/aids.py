"""Places where bodies and tests meet: lists in Redis. Workers as processes of their own are in tests/aids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from redis.asyncio import Redis

from graflow_async import Run, Workflow, parallel, task, workflow
from graflow_async.executors.redis import RedisExecutor
from tests.aids.workers import PATIENCE
from tests.worker.tasks import meets


async def soon(awaitable: Any, within: float = PATIENCE) -> Any:
    """Wait, but not for ever."""
    return await asyncio.wait_for(awaitable, within)


async def started(wf: Workflow, **options: Any) -> Run:
    """Start a run now."""
    run = wf.start(**options)
    await run.open()
    return run


class Sleeps:
    """Stands for `asyncio` in a module that sleeps: a sleep ends when a test lets it.

    Attributes:
        asked: how many seconds each was to take.
    """

    Lock = asyncio.Lock
    get_running_loop = staticmethod(asyncio.get_running_loop)

    def __init__(self, until: Callable[[], Awaitable[object]]) -> None:
        self.asked: list[float] = []
        self._until = until

    async def sleep(self, seconds: float) -> None:
        """Sleep until the test lets this end."""
        self.asked.append(seconds)
        await self._until()


class Meeting:
    """Where bodies and tests meet."""

    def __init__(self, url: str) -> None:
        self.client: Redis = redis.asyncio.from_url(url)

    async def heard(self, place: str, count: int = 1) -> list[str]:
        """Wait until so many things were said at a place, and give them."""
        client: Any = self.client
        found: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                answer = await client.blpop([f"meet:{place}"], 2)
                found += [] if answer is None else [answer[1].decode()]
        return found

    async def say(self, place: str, what: str = "go", count: int = 1) -> None:
        """Say something at a place, so many times."""
        client: Any = self.client
        await client.rpush(f"meet:{place}", *[what] * count)

    async def said(self, place: str) -> int:
        """Count what was said at a place and not heard."""
        client: Any = self.client
        return await client.llen(f"meet:{place}")

    async def left(self) -> list[str]:
        """Give the keys of queues and runs that are there, but those of the roll of workers."""
        client: Any = self.client
        keys = [key.decode() for key in await client.keys("graflow:*")]
        kept = (":w", ":wi", ":wake", ":s")
        # The epoch of a run that was taken over stays, so that a driver which only slept does not begin again.
        return sorted(key for key in keys if not key.endswith(kept) and ":in:" not in key and ":own:" not in key)

    async def bury(self, name: str) -> None:
        """Let the lease of a worker be over that is dead, or stopped, instead of waiting for that."""
        client: Any = self.client
        roll = "graflow:{q~default}:w"
        (worker,) = [one for one in await client.zrange(roll, 0, -1) if one.decode().startswith(f"{name}.")]
        await client.zadd(roll, {worker: 1})

    async def waiting(self) -> int:
        """Count the jobs in the queue."""
        client: Any = self.client
        return await client.xlen("graflow:{q~default}:s")


async def drive(folder: str, *, resumes: bool) -> None:
    """Begin a run that is recorded in a folder, or go on with it, and print its value."""
    with workflow("driven") as wf:

        @task
        async def last(a: str, b: str) -> list[str]:
            return [a, b]

        parallel(meets("a", task_id="a"), meets("b", task_id="b")) >> last
    options: Any = {"executor": {"redis": RedisExecutor(lease=0.5)}, "checkpoint_dir": folder}
    value = await (wf.resume("driven", **options) if resumes else wf.run(run_id="driven", **options))
    print("value:", value)  # noqa: T201  # the test waits for it
