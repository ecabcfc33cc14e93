"""What makes many short tasks quick: nothing of them waits for the garbage collector, the first ones leave early."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import Job, TaskExecutionContext, Workflow, task
from graflow_async._runtime.bodies import AWAY_AT_ONCE
from graflow_async._runtime.far_body import FarBody
from graflow_async._runtime.home import Home
from graflow_async._runtime.lanes import AwaySeat
from graflow_async.executors._sent import Sent
from graflow_async.worker.held import Held
from graflow_async.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from graflow_async.protocols import Started

pytestmark = pytest.mark.unrecorded  # a journal keeps what it has to tell
KINDS = (FarBody, Held, Sent, AwaySeat, Home)


@task(executor="redis")
async def leaf(number: int) -> int:
    """Do nothing, in the worker."""
    return number


@task(inject_context=True)
async def maps(ctx: TaskExecutionContext, count: int) -> list[int]:
    """Have so many done."""
    return await ctx.map(leaf, range(count))


async def test_what_has_ended_is_freed_at_once(redis_url: str):
    """On either side nothing of an ended task waits for the garbage collector, which would cost more than the task."""
    worker = Worker(redis_url, queue="freed")
    serving = asyncio.create_task(worker.run())
    gc.collect()
    gc.disable()
    try:
        assert await Workflow("freed", maps).run(inputs={"count": 50}, redis_url=redis_url, queue_name="freed") == list(
            range(50)
        )
        assert worker.done == 50
        left = Counter(type(each) for each in gc.get_objects() if isinstance(each, KINDS))
        assert max(left.values(), default=0) <= 1  # a coroutine that waits for more may know the last one
    finally:
        gc.enable()
        worker.stop()
        await serving


class Away:
    """An executor that only remembers when jobs were started, and ends them all together.

    Attributes:
        first_turn: how many had been started when the loop first came round.
    """

    name = "away"
    takes_context = False

    def __init__(self, count: int) -> None:
        """Expect so many jobs."""
        self.first_turn = 0
        self._count = count
        self._waiting: list[tuple[Job, Callable[[Any, BaseException | None], None]]] = []

    async def execute(self, job: Job) -> Any:
        """Refuse: there is `start`."""
        raise AssertionError(job)

    def start(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> Started:
        """Keep it until all are there."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._look)
        self._waiting.append((job, done))
        if len(self._waiting) == self._count:
            loop.call_soon(self._end)
        return self  # type: ignore[return-value]  # nothing is cancelled here

    async def aclose(self) -> None:
        """Have nothing to close."""

    def _look(self) -> None:
        self.first_turn = len(self._waiting)

    def _end(self) -> None:
        for job, done in self._waiting:
            done(job.args[0], None)


async def test_the_first_tasks_leave_before_the_last_are_made():
    """However many tasks run elsewhere, the loop comes round after a few, and can send these."""
    count = 10 * AWAY_AT_ONCE
    away = Away(count)

    @task(executor="away")
    async def leaves(number: int) -> int:
        return number

    @task(inject_context=True)
    async def begins(ctx: TaskExecutionContext) -> list[int]:
        return await ctx.map(leaves, range(count))

    value = await Workflow("away", begins).run(executor={"away": away})
    assert value == list(range(count))
    assert away.first_turn == AWAY_AT_ONCE
