"""What a task asks of its run from a worker: groups that go to another queue, people's questions and their answers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import (
    FeedbackManager,
    GraflowRuntimeError,
    MemoryBroker,
    ParallelGroup,
    RedisCoordinator,
    Task,
    Workflow,
    parallel,
    task,
    workflow,
)
from graflow_async.worker.worker import Worker
from tests.worker.aids import soon

if TYPE_CHECKING:
    from tests.aids.workers import Workers

pytestmark = pytest.mark.unrecorded


@task
async def here() -> int:
    """Say in which process this runs."""
    return os.getpid()


@task
def there() -> int:
    """Say it from a thread."""
    return os.getpid()


@task(executor="redis")
def looks() -> Any:
    """Look from a thread what the run has come to, through a workflow that each process has made for itself."""
    return LOOKS.get_result("here"), LOOKS.get_result("nothing", "none")


@task(executor="redis")
async def looks_on_loop() -> Any:
    """Try the same on a loop."""
    try:
        LOOKS.get_result("here")
    except GraflowRuntimeError as error:
        return str(error)


with workflow("looks") as LOOKS:
    here >> looks >> looks_on_loop


async def test_what_workers_ask_of_their_run(workers: Workers) -> None:
    """A task on a worker sends a group to the workers of another queue, and answers what its run asks."""
    usual, others, url = (await workers.start("usual")).pid, os.getpid(), workers.url
    other = Worker(url, queue="others")
    serving = asyncio.create_task(other.run())

    async def sends(ctx: Any) -> Any:
        group = ParallelGroup([here, there], name="g", coordinator=RedisCoordinator(url, "others"))
        found = await group
        manager = FeedbackManager()
        async with manager.watch(ctx.run_id) as changes:
            while not (pending := await manager.list_pending(ctx.run_id)):
                await anext(changes)
        await manager.respond(pending[0].request.id, text=str(os.getpid()))
        return os.getpid(), *found.values()

    def sends_from_thread(ctx: Any) -> Any:
        group = parallel(here, there).with_execution(executor=RedisCoordinator(url, "others"))
        found = ctx.call(group)
        return os.getpid(), *found.values(), FeedbackManager().get("who").request.assignee

    async def asks(ctx: Any) -> Any:
        return await ctx.request_text_input("Who answers?", request_id="who", assignee="worker")

    remote: Any = {"executor": "redis", "inject_context": True}
    wf = Workflow(
        "w",
        parallel(Task("a", sends, **remote), Task("asks", asks, inject_context=True))
        >> Task("b", sends_from_thread, **remote),
    )
    try:
        async with wf.start(redis_url=url, feedback=MemoryBroker()) as run:
            await soon(run)
    finally:
        other.stop()
        await serving
    assert other.done == 4
    assert run.results["a"] == (usual, others, others)
    assert run.results["asks"] == str(usual)
    assert run.results["b"] == (usual, others, others, "worker")
    async with LOOKS.start(redis_url=url) as run:
        assert "await ctx.get_result" in await soon(run)
    assert run.results["looks"] == (os.getpid(), "none")
