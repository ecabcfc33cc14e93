"""SPEC 2, 2.3 and 2.6 where children run: endings from inside a map, and watching a run to its end."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import (
    Cache,
    DuplicateTaskError,
    GraflowWorkflowCanceledError,
    MaxStepsExceededError,
    MemoryStore,
    RunFinished,
    TaskWrapper,
    Workflow,
    task,
    workflow,
)


@pytest.mark.parametrize("verb", ["terminate", "cancel"])
@pytest.mark.parametrize("source", ["list", "generator"])
async def test_an_item_of_a_map_ends_the_whole_run(verb, source):
    """SPEC 10: the waiting parent sees its cancellation at once, and nothing is left behind."""
    log = []

    @task(inject_context=True)
    async def item(ctx, n):
        if n == 1 and verb == "terminate":
            ctx.terminate_workflow(result="early")
        elif n == 1:
            ctx.cancel_workflow("stop")
        else:
            await asyncio.Event().wait()

    @task(inject_context=True)
    async def parent(ctx):
        xs = [0, 1, 2]
        try:
            await ctx.map(item, xs if source == "list" else (x for x in xs))
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    wf = Workflow("w", parent)
    if verb == "terminate":
        assert await wf.run(cancel_grace=1) == "early"
    else:
        with pytest.raises(GraflowWorkflowCanceledError):
            await wf.run(cancel_grace=1)
    assert log == ["cancelled"]


async def test_max_steps_ends_a_map():
    """SPEC 2.3: the turn that would exceed `max_steps` ends the run, its waiting parent included."""
    log = []

    @task
    async def item(n):
        await asyncio.sleep(0)

    @task(inject_context=True)
    async def parent(ctx):
        try:
            await ctx.map(item, range(10))
        finally:
            log.append("ended")

    with pytest.raises(MaxStepsExceededError, match="item"):
        await Workflow("w", parent).run(max_steps=5, cancel_grace=20)
    assert log == ["ended"]


async def test_the_story_of_a_run_ends_without_being_awaited():
    """SPEC 2: `async for event in run.events()` first, `await run` after it, as the contract writes it."""
    async with Workflow("w", TaskWrapper("a", lambda: 1)).start() as run:
        async with asyncio.timeout(60):
            events = [event async for event in run.events()]
        value = await run
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == run.status == "completed"
    assert value == 1


async def test_one_id_for_two_called_children_is_refused():
    """SPEC 10: an id that another task of the same parent turn has is a DuplicateTaskError, however it was started."""

    @task(inject_context=True)
    async def parent(ctx):
        first = ctx.submit(TaskWrapper("same", lambda: 1))
        with pytest.raises(DuplicateTaskError, match="'same'"):
            ctx.submit(TaskWrapper("same", lambda: 2))
        with pytest.raises(DuplicateTaskError, match="'same'"):
            ctx.next_task(TaskWrapper("same", lambda: 3))
        return await first

    assert await Workflow("w", parent).run() == 1


async def test_a_cached_result_is_used_again():
    """SPEC 1.1: `cache=Cache(ttl=...)` reuses a stored result across runs through the run's store."""
    ran, store = [], MemoryStore()

    @task(cache=Cache(ttl=60))
    async def costly(x):
        ran.append(x)
        return x * 2

    for x in (4, 4, 5):
        with workflow("w") as wf:
            costly(task_id="costly", x=x)
        assert await wf.run(store=store) == x * 2
    assert ran == [4, 5]


async def test_a_cancelled_run_lets_children_clean_up_before_their_parent():
    """SPEC 2.6: an awaited child ends before the await of its parent does, as with any coroutine."""
    log, waiting = [], asyncio.Event()

    @task
    async def leaf():
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            log.append("leaf")

    @task
    async def parent():
        try:
            await leaf()
        finally:
            log.append("parent")

    running = asyncio.ensure_future(parent.run())
    await waiting.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert log == ["leaf", "parent"]
