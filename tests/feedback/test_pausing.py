"""Pausing: nothing new begins, what runs may end, what waits is let go; resumed, the run comes to the same end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

from graflow_async import (
    ConfigError,
    FeedbackManager,
    FeedbackState,
    GraflowRuntimeError,
    MemoryBroker,
    MemoryCheckpointer,
    ParallelGroupError,
    Task,
    Workflow,
    WorkflowPausedError,
    parallel,
)
from graflow_async.testing import FakeClock
from tests.durability.parts import counted, note
from tests.feedback.people import alone, answer, shown

BUSY = threading.Event()
GO_ON = threading.Event()


async def asks(ctx: Any) -> bool:
    note()
    return await ctx.request_approval("ok?", request_id="q")


async def end(ctx: Any) -> dict[str, Any]:
    note()
    return {name: await ctx.get_result(name) for name in ("asks", "other")}


def beside(other: Any, **options: Any) -> Workflow:
    """Make a workflow in which another task runs beside one that asks."""
    first = Task("asks", asks, inject_context=True)
    second = Task("other", other, **options)
    return Workflow("w", parallel(first, second) >> Task("end", end, inject_context=True))


async def pausing(wf: Workflow, place: Any, manager: FeedbackManager, ready: Any, **options: Any) -> Any:
    """Run, pause once the question is open and `ready()` has ended; give the error and the bodies that began."""
    with counted() as bodies:
        async with wf.start(checkpointer=place, run_id="r", feedback=manager, **options) as run:
            await shown(manager.broker, "q")
            await ready(run)
            run.pause("tea")
            with pytest.raises(WorkflowPausedError, match="tea") as caught:
                await run
            assert run.status == "paused"
        return caught.value, dict(bodies)


async def resuming(
    wf: Workflow, source: str, place: Any, manager: FeedbackManager, **options: Any
) -> tuple[Any, dict[str, int]]:
    """Go on while somebody answers; give the value, and the bodies that began."""
    with counted() as bodies:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(answer(manager, "r", q=True))
            run = group.create_task(wf.resume(source, checkpointer=place, feedback=manager, **options))
        return run.result(), dict(bodies)


async def at_once(_: Any) -> None:
    """Be ready."""


async def test_a_running_body_may_end(manager):
    """A body that works when the run pauses ends, and is not run again."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> str:
        note()
        begun.set()
        await go_on.wait()
        return "done"

    async def ready(run: Any) -> None:
        await begun.wait()
        asyncio.get_running_loop().call_soon(go_on.set)

    wf, place = beside(other), MemoryCheckpointer()
    error, bodies = await pausing(wf, place, manager, ready)
    assert error.request_ids == ("q",)
    assert bodies == {"asks": 1, "other": 1}
    assert await resuming(wf, "r", place, manager) == ({"asks": True, "other": "done"}, {"asks": 1, "end": 1})


async def test_a_sleeping_body_is_let_go_and_keeps_its_deadline(manager):
    """A body in ctx.sleep does not hold a pause up; resumed it waits no longer than it would have."""

    async def other(ctx: Any) -> str:
        note()
        await ctx.sleep(0.2)
        return "slept"

    wf, place = beside(other, inject_context=True), MemoryCheckpointer()
    clock = FakeClock()
    _, bodies = await pausing(wf, place, manager, at_once, clock=clock)
    assert bodies == {"asks": 1, "other": 1}
    value, bodies = await resuming(wf, "r", place, manager, clock=FakeClock(clock.time() + 0.2))
    assert value == {"asks": True, "other": "slept"}
    assert bodies == {"asks": 1, "other": 1, "end": 1}


async def test_waiting_parents_do_not_hold_a_pause_up(manager, caplog):
    """Bodies that wait for children which ask (called, mapped, submitted, a child run) are let go with them."""

    async def called(ctx: Any) -> Any:
        return await ctx.call(Task("child", asks_for, inject_context=True), "called")

    async def mapped(ctx: Any) -> Any:
        return await ctx.map(Task("item", asks_for, inject_context=True), ["item 1", "item 2"])

    async def submits(ctx: Any) -> Any:
        return await ctx.submit(Task("held", asks_for, inject_context=True), "held")

    async def runs(ctx: Any) -> Any:
        return await ctx.run_workflow(Workflow("inner", Task("inner", asks_inside, inject_context=True)))

    def blocks(ctx: Any) -> Any:
        return ctx.map(Task("piece", asks_for, inject_context=True), ["piece"])

    every = [called, mapped, submits, runs, blocks]
    wf = Workflow("w", parallel(*(Task(f.__name__, f, inject_context=True) for f in every), name="all"))
    names = ["called", "item 1", "item 2", "held", "inside", "piece"]
    place = MemoryCheckpointer()
    async with wf.start(checkpointer=place, run_id="r", feedback=manager) as run:
        before = await shown(manager.broker, *names)
        run.pause()
        with pytest.raises(WorkflowPausedError) as caught:
            await run
    assert sorted(caught.value.request_ids) == sorted(names)
    assert not [r for r in caplog.records if "left behind" in r.message]
    async with asyncio.TaskGroup() as group:
        group.create_task(answer(manager, "r", **{name: name for name in names}))
        resumed = group.create_task(wf.resume("r", checkpointer=place, feedback=manager))
    value = resumed.result()
    assert value == {
        "called": "called",
        "mapped": ["item 1", "item 2"],
        "submits": "held",
        "runs": "inside",
        "blocks": ["piece"],
    }
    assert [(await manager.get(r.request.id)).state for r in before] == [FeedbackState.ANSWERED] * len(names)
    assert len(await manager.broker.find()) == len(names)


async def asks_for(ctx: Any, name: str) -> str:
    return await ctx.request_text_input("?", request_id=name)


async def asks_inside(ctx: Any) -> str:
    return await ctx.request_text_input("?", request_id="inside")


async def test_a_sync_body_may_end(manager):
    """A function in a thread ends when it ends, and the pause waits for it."""

    def other() -> str:
        note()
        BUSY.set()
        GO_ON.wait(60)
        return "done"

    async def ready(run: Any) -> None:
        await asyncio.to_thread(BUSY.wait, 60)
        asyncio.get_running_loop().call_soon(GO_ON.set)

    BUSY.clear()
    GO_ON.clear()
    wf, place = beside(other), MemoryCheckpointer()
    _, bodies = await pausing(wf, place, manager, ready)
    assert bodies == {"asks": 1, "other": 1}
    assert await resuming(wf, "r", place, manager) == ({"asks": True, "other": "done"}, {"asks": 1, "end": 1})


def squares(n: int = 7) -> int:
    return n * n


async def test_a_body_in_a_process_may_end(manager):
    """A function in another process may end, or starts over: the value is the same."""
    wf, place = beside(squares, executor="process"), MemoryCheckpointer()
    await pausing(wf, place, manager, at_once)
    value, _ = await resuming(wf, "r", place, manager)
    assert value == {"asks": True, "other": 49}


async def test_a_body_that_ignores_its_cancellation(manager, caplog):
    """A body that neither ends nor stops is left behind after `cancel_grace`, and starts over."""
    stop = asyncio.Event()
    ends = asyncio.Event()

    async def other() -> str:
        note()
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        ends.set()
        return "done"

    wf, place = beside(other), MemoryCheckpointer()
    _, bodies = await pausing(wf, place, manager, at_once, cancel_grace=0.1)
    assert bodies == {"asks": 1, "other": 1}
    assert any("left behind" in record.message for record in caplog.records)
    stop.set()
    await ends.wait()
    assert await resuming(wf, "r", place, manager) == (
        {"asks": True, "other": "done"},
        {"asks": 1, "other": 1, "end": 1},
    )


async def test_what_waits_for_a_slot_begins_only_when_resumed(manager):
    """A body that had no slot when the run paused begins in the next life, once."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> str:
        note()
        begun.set()
        await go_on.wait()
        return "done"

    async def third() -> None:
        note()

    wf = Workflow("w", Task("asks", asks, inject_context=True) | Task("other", other) | Task("third", third))

    async def ready(run: Any) -> None:
        await begun.wait()
        asyncio.get_running_loop().call_soon(go_on.set)

    place = MemoryCheckpointer()
    _, bodies = await pausing(wf, place, manager, ready, max_concurrency=1)
    assert bodies == {"asks": 1, "other": 1}
    _, bodies = await resuming(wf, "r", place, manager)
    assert bodies == {"asks": 1, "third": 1}


@pytest.mark.unrecorded
async def test_without_a_journal():
    """There is nothing to go on from without a journal: pausing is refused, and so is `pause_after`."""
    wf = alone(asks)
    manager = FeedbackManager(MemoryBroker())
    async with wf.start(feedback=manager) as run:
        with pytest.raises(ConfigError, match="journal"):
            run.pause()
        await answer(manager, q=True)
        assert await run is True
    with pytest.raises(ConfigError, match="journal"):
        await wf.run(pause_after=1.0)


async def test_pausing_what_has_ended_or_not_begun(manager):
    """A run that has ended stays as it is, and one that has not started says so."""
    wf = Workflow("w", Task("squares", squares))
    run = wf.start(checkpointer=MemoryCheckpointer())
    with pytest.raises(GraflowRuntimeError, match="not started"):
        run.pause()
    async with run:
        assert await run == 49
        run.pause()
    assert run.status == "completed"


async def test_the_last_body_ends_while_the_run_pauses(manager):
    """A run whose last body ends in time has completed, though it was to pause."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async with Workflow("w", Task("other", other)).start(checkpointer=MemoryCheckpointer()) as run:
        await begun.wait()
        run.pause()
        go_on.set()
        assert await run == "done"
    assert run.status == "completed"


async def test_a_body_that_is_to_stop_does_not_pause_the_run(manager):
    """A timeout that comes out of a body which was cancelled by then is no reason to pause a run that has failed."""
    cleaning = asyncio.Event()

    async def lingers(ctx: Any) -> None:
        try:
            await ctx.request_approval("?", request_id="q", timeout=0.03)
        finally:
            cleaning.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def fails() -> None:
        await cleaning.wait()
        raise ValueError("weather")

    members = parallel(Task("lingers", lingers, inject_context=True), Task("fails", fails), name="both")
    async with Workflow("w", members).start(checkpointer=MemoryCheckpointer(), feedback=manager) as run:
        with pytest.raises(ParallelGroupError):
            await run
    assert run.status == "failed"


async def test_asking_a_run_that_has_paused(manager):
    """A body that goes on after its run has paused, and asks, is told so: nobody would ever answer."""
    refused: list[BaseException] = []
    heard = asyncio.Event()

    async def stubborn(ctx: Any) -> None:
        with suppress(asyncio.CancelledError):
            await ctx.request_approval("?", request_id="q")
        try:
            await ctx.request_approval("?", request_id="another")
        except GraflowRuntimeError as error:
            refused.append(error)
        heard.set()

    async with alone(stubborn).start(checkpointer=MemoryCheckpointer(), feedback=manager) as run:
        await shown(manager.broker, "q")
        run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    await asyncio.wait_for(heard.wait(), 60)
    assert "has ended" in str(refused[0])
    assert [r.request.request_id for r in await manager.broker.find()] == ["q"]


async def test_cancelled_while_it_pauses(manager):
    """A run that is cancelled while it pauses is cancelled, and its question withdrawn."""
    begun = asyncio.Event()

    async def other() -> None:
        begun.set()
        await asyncio.Event().wait()

    wf = beside(other)
    async with wf.start(checkpointer=MemoryCheckpointer(), feedback=manager) as run:
        await shown(manager.broker, "q")
        await begun.wait()
        run.pause()
        run.cancel("enough")
        with pytest.raises(Exception, match="enough"):
            await run
    assert run.status == "cancelled"
    (record,) = await manager.broker.find()
    assert record.state is FeedbackState.CANCELLED
