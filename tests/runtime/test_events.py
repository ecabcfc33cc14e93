"""What a run tells: events for any number of readers, listeners, the timeline (SPEC 2, 10)."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, chain, parallel
from graflow_async._runtime import listeners as listeners_module
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, cancel_when, now, through


def kinds(events) -> list[tuple[str, str | None]]:
    return [(type(event).__name__, event.task_id) for event in events]


async def read(run: g.Run) -> list[Any]:
    return [event async for event in run.events()]


async def test_the_story_of_a_run():
    """Events come in the order in which things happened, from the run's start to its end."""
    async with Workflow("w", Task("a", lambda: 1) >> Task("b", lambda a: a)).start(run_id="r") as run:
        await run
        events = await read(run)
    assert kinds(events) == [
        ("RunStarted", None),
        ("TaskStarted", "a"),
        ("TaskCompleted", "a"),
        ("TaskStarted", "b"),
        ("TaskCompleted", "b"),
        ("RunFinished", None),
    ]
    assert {event.run_id for event in events} == {"r"}
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert (events[2].value, events[-1].status, events[-1].error) == (1, "completed", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        events[0].run_id = "other"


TOLD = (
    ("TaskStarted", "flaky", 2),
    ("TaskRetrying", "flaky", 1),
    ("Emitted", "flaky", 1),
    ("Progress", "flaky", 1),
    ("TaskCompleted", "flaky", 1),
    ("TaskIterated", "loops", 2),
    ("TaskCompleted", "loops", 1),
    ("GroupFinished", "race", 1),
    ("TaskFailed", "bad", 1),
    ("GroupFinished", "tolerant", 1),
    ("TaskSkipped", "skipped", 1),
    ("RunFinished", None, 1),
)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_of_event(seed):
    """Retries, iterations, failures, skips, cancellations, groups, what tasks emit: all are told."""

    async def main():
        async def flaky(ctx):
            if ctx.attempt == 1:
                raise ValueError("once")
            ctx.emit({"half": "way"})
            ctx.report_progress(1, 2, "going")

        async def loops(ctx):
            if ctx.cycle_count < 3:
                ctx.next_iteration()

        async def bad():
            raise KeyError("bad")

        async def jumps(ctx):
            ctx.next_task(last, goto=True)

        async def never():
            await asyncio.Event().wait()

        last = Task("last")
        retry = g.RetryPolicy(1, initial_interval=5)
        race = parallel(Task("quick"), Task("slow", never), policy="first")
        tolerant = parallel(Task("bad", bad), Task("fine"), policy="best_effort").set_group_name("tolerant")
        wf = Workflow(
            "w",
            chain(
                Task("flaky", flaky, inject_context=True, retry_policy=retry),
                Task("loops", loops, inject_context=True),
                race.set_group_name("race"),
                tolerant,
                Task("jumps", jumps, inject_context=True),
                Task("skipped"),
                last,
            ),
        )
        async with wf.start() as run:
            await run
            return await read(run)

    events = run_sim(main, seed)
    told = kinds(events)
    for kind, task_id, count in TOLD:
        assert told.count((kind, task_id)) == count, (kind, task_id)
    by_kind = {type(event).__name__: event for event in events}
    assert (by_kind["TaskRetrying"].delay, str(by_kind["TaskRetrying"].error)) == (5, "once")
    assert by_kind["Emitted"].data == {"half": "way"}
    assert (by_kind["Progress"].done, by_kind["Progress"].total, by_kind["Progress"].message) == (1, 2, "going")
    starts = [event for event in events if type(event).__name__ == "TaskStarted" and event.task_id == "slow"]
    ends = [event for event in events if isinstance(event, g.TaskCancelled) and event.task_id == "slow"]
    assert len(ends) == 1 or not starts


async def test_several_readers_each_get_the_whole_story():
    """Every reader gets the story from the start, whenever it begins to read; leaving early harms nobody."""

    async def item(n):
        await asyncio.sleep(0)
        return n

    async def body(ctx):
        return await ctx.map(Task("item", item), range(20))

    async def leave(run):
        async for event in run.events():
            if isinstance(event, g.TaskStarted):
                return event
        return None

    async with Workflow("w", Task("t", body, inject_context=True)).start() as run:
        early = [asyncio.create_task(read(run)) for _ in range(3)]
        left = await leave(run)
        await run
        stories = [*(await asyncio.gather(*early)), await read(run)]
    assert stories[0] == stories[1] == stories[2] == stories[3]
    assert len(stories[0]) == 2 + 2 + 40
    assert left in stories[0]
    assert await read(run) == stories[0]


async def test_a_slow_reader_gets_a_marker():
    """A reader that falls behind the bound is told how many events it lost, and gets all later ones."""
    backlog = listeners_module.READER_BACKLOG
    reading, seen = asyncio.Event(), []

    async def body(ctx):
        await reading.wait()
        for n in range(2 * backlog):
            ctx.emit(n)

    async with Workflow("w", Task("t", body, inject_context=True)).start() as run:
        async for event in run.events():
            seen.append(event)
            if not reading.is_set():
                reading.set()
                await run
    lost = [event for event in seen if isinstance(event, g.EventsLost)]
    assert len(lost) == 1
    assert seen.index(lost[0]) == 1
    emitted = [event.data for event in seen if isinstance(event, g.Emitted)]
    assert emitted == list(range(2 * backlog - len(emitted), 2 * backlog))
    assert len(seen) - 1 + lost[0].count == 1 + 2 + 2 * backlog + 1
    assert isinstance(seen[-1], g.RunFinished)


async def test_a_reader_does_not_hold_up_the_run():
    """A run ends though nobody reads on; a pending reader ends with it."""
    async with Workflow("w", Task("t")).start() as run:
        stream = run.events()
        first = await anext(stream)
        assert isinstance(first, g.RunStarted)
    rest = [event async for event in stream]
    assert isinstance(rest[-1], g.RunFinished)


@pytest.mark.parametrize("error", [ValueError("no"), None], ids=["failed", "cancelled"])
async def test_the_end_is_told(error):
    """The last event says how the run ended, and with which error."""
    began = asyncio.Event()

    async def body():
        began.set()
        if error is not None:
            raise error
        await asyncio.Event().wait()

    run = Workflow("w", Task("t", body)).start()
    with pytest.raises((ValueError, g.GraflowWorkflowCanceledError)):
        await (through(run) if error else cancel_when(run, began))
    events = await read(run)
    assert isinstance(events[-1], g.RunFinished)
    assert events[-1].status == run.status == ("failed" if error else "cancelled")
    if error:
        assert events[-1].error is error
        assert [event.error for event in events if isinstance(event, g.TaskFailed)] == [error]


class Recorder:
    def __init__(self) -> None:
        self.seen = []

    def on_event(self, event) -> None:
        self.seen.append(event)


class AsyncRecorder(Recorder):
    async def on_event(self, event) -> None:
        await asyncio.sleep(0)
        self.seen.append(event)


async def test_listeners_of_every_form():
    """Callables and objects with `on_event`, sync and async, all hear everything, in order, before `run` returns."""
    plain, recorder, slow, heard = [], Recorder(), AsyncRecorder(), []

    async def listen(event):
        await asyncio.sleep(0)
        heard.append(event)

    await Workflow("w", Task("a") >> Task("b", lambda: 1)).run(listeners=[plain.append, recorder, slow, listen])
    assert len(plain) >= 4
    assert recorder.seen == plain
    assert slow.seen == plain
    assert heard == plain


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_raising_listener_is_logged_and_does_no_harm(kind, caplog):
    """A listener that raises does not touch the run or the other listeners; it is logged."""
    calls, others = [], []

    def bad(event):
        calls.append(event)
        raise ValueError("listener is broken")

    async def async_bad(event):
        bad(event)

    with caplog.at_level(logging.ERROR, "graflow_async"):
        wf = Workflow("w", Task("a", lambda: 1) >> Task("b", lambda a: a))
        assert await wf.run(listeners=[bad if kind == "sync" else async_bad, others.append]) == 1
    assert "listener is broken" in caplog.text
    assert calls
    assert len(others) == 6


async def test_a_listener_may_cancel_the_run():
    """A listener may call `run.cancel`, and the run ends as if somebody else had."""

    def listen(event):
        if isinstance(event, g.TaskCompleted) and event.task_id == "a":
            run.cancel("seen enough")

    ran = []
    wf = Workflow("w", Task("a", lambda: 1) >> Task("b", lambda: 2) >> Task("c", lambda: ran.append(1)))
    run = wf.start(listeners=[listen])
    with pytest.raises(g.GraflowWorkflowCanceledError, match="seen enough"):
        await through(run)
    assert ran == []


@pytest.mark.parametrize("seed", SEEDS)
def test_timeline(seed):
    """The timeline has a span for each attempt, with its times and its end."""

    async def main():
        async def body(ctx):
            await asyncio.sleep(10)
            if ctx.attempt == 1:
                raise ValueError

        async def bad():
            await asyncio.sleep(100)
            raise KeyError

        policy = g.RetryPolicy(1, initial_interval=5)
        group = parallel(Task("a", body, inject_context=True, retry_policy=policy), Task("bad", bad))
        run = Workflow("w", group).start()
        with pytest.raises(g.ParallelGroupError):
            await through(run)
        assert now() == 100
        return [(span.task_id, span.attempt, span.turn, span.status) for span in run.timeline()], run.timeline()

    spans, raw = run_sim(main, seed)
    assert sorted(spans) == [("a", 1, 1, "retrying"), ("a", 2, 1, "completed"), ("bad", 1, 1, "failed")]
    assert all((span.started_at or 0.0) <= (span.finished_at or -1.0) for span in raw)


async def test_nobody_listens():
    """A run without a handle has no story to tell, and says how to get one."""
    run = g.Run("w", Workflow("w", Task("t")).graph, {}, None, {}, watched=False)
    with pytest.raises(g.GraflowRuntimeError, match=r"wf\.start"):
        run.events()
    assert run.timeline() == []
