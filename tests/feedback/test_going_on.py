"""Going on after a pause, by whatever names the run; and pausing by itself, when everybody waits for too long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import (
    CheckpointManager,
    FeedbackManager,
    FileCheckpointer,
    MemoryCheckpointer,
    Task,
    Workflow,
    WorkflowPausedError,
    parallel,
)
from tests.feedback.people import alone, answer, shown
from tests.runtime.parts import until


async def asks(ctx: Any) -> bool:
    return await ctx.request_approval("ok?", request_id="q")


@pytest.mark.parametrize("by", ["id", "checkpoint"])
async def test_resumed_by_id_and_by_place(by, tmp_path, manager):
    """Whatever the error names goes on: the run's id, or where it is."""
    place = FileCheckpointer(tmp_path)
    wf = alone(asks)
    async with wf.start(checkpointer=place, run_id="r", feedback=manager) as run:
        await shown(manager.broker, "q")
        run.pause()
        with pytest.raises(WorkflowPausedError) as caught:
            await run
    error = caught.value
    (listed,) = await CheckpointManager(checkpointer=place).list_runs()
    assert listed.status == "paused"
    await place.aclose()
    source = error.run_id if by == "id" else error.checkpoint
    again = FileCheckpointer(tmp_path)
    async with asyncio.TaskGroup() as group:
        group.create_task(answer(manager, "r", q=True))
        resumed = group.create_task(wf.resume(source, checkpointer=again, feedback=manager))
    assert resumed.result() is True
    (listed,) = await CheckpointManager(checkpointer=again).list_runs()
    assert (listed.run_id, listed.status) == ("r", "completed")
    await again.aclose()


async def test_by_place_alone(tmp_path):
    """The place of a paused run says enough: no directory has to be named."""
    wf = alone(asks)
    async with wf.start(checkpoint_dir=tmp_path, run_id="r") as run:
        manager = FeedbackManager("file", checkpoint_dir=tmp_path)
        await shown(manager.broker, "q")
        run.pause()
        with pytest.raises(WorkflowPausedError) as caught:
            await run
    await manager.respond("q", approved=True)
    assert await wf.resume(caught.value.checkpoint) is True
    await manager.broker.aclose()


async def test_pause_after_counts_in_every_life(manager):
    """`pause_after` pauses a run in which everybody waits, in its first life and when resumed."""
    wf, place = alone(asks), MemoryCheckpointer()
    options: dict[str, Any] = {"checkpointer": place, "feedback": manager, "pause_after": 0.05}
    with pytest.raises(WorkflowPausedError, match="pause_after"):
        await wf.run(run_id="r", **options)
    with pytest.raises(WorkflowPausedError, match="pause_after"):
        await wf.resume("r", **options)
    (record,) = await manager.list_pending("r")
    await manager.respond(record.request.id, approved=True)
    assert await wf.resume("r", checkpointer=place, feedback=manager) is True


async def test_pause_after_leaves_a_working_run_alone(manager):
    """`pause_after` does not pause while a body works, however long the question is open."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    wf = Workflow("w", parallel(Task("asks", asks, inject_context=True), Task("other", other), name="both"))
    async with wf.start(checkpointer=MemoryCheckpointer(), feedback=manager, pause_after=0.02) as run:
        await shown(manager.broker, "q")
        await begun.wait()
        await asyncio.sleep(0.1)  # several times as long as `pause_after`: nothing can be waited for here
        assert run.status == "running"
        await manager.respond("q", approved=True)
        await until(lambda: "asks" in run.results)  # else nobody would work while the answer is on its way
        go_on.set()
        assert await run == {"asks": True, "other": "done"}
