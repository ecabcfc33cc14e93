"""Spans: when each attempt was ready, began and ended, and what it waited for (SPEC 8)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow
from graflow_async.executors.pools import ProcessExecutor
from graflow_async.story import Story
from tests.aids.simloop import run_sim
from tests.story.parts import SEEDS, SimClock, played, row, sleeper, times


@pytest.mark.parametrize("seed", SEEDS)
def test_when_and_why_each_task_was_ready(seed: int) -> None:
    """A task is ready when its last predecessor ends, and that one is its cause; the roots have none."""
    short, long = sleeper("short", 1), sleeper("long", 3)
    run = played(Workflow("w", sleeper("root", 2) >> (short | long) >> sleeper("join", 1)), seed)
    assert times(run) == {"root": (0, 0, 2), "short": (2, 2, 3), "long": (2, 2, 5), "join": (5, 5, 6)}
    keys = {span.task_id: span.key for span in run.timeline()}
    causes = {span.task_id: span.cause for span in run.timeline()}
    assert causes == {"root": None, "short": keys["root"], "long": keys["root"], "join": keys["long"]}
    assert {span.parent for span in run.timeline()} == {None}


@pytest.mark.parametrize("bound", ["limit", "map"])
def test_a_limit_is_a_wait_and_has_a_name(bound: str) -> None:
    """Children that wait for a limit are ready at once, begin when there is room, and know who has made it."""

    async def fan(ctx: g.TaskExecutionContext) -> None:
        if bound == "map":
            await ctx.map(item, range(4))
        else:
            await asyncio.gather(*(ctx.submit(item, n) for n in range(4)))

    async def body(n: int) -> int:
        await asyncio.sleep(10 + n)
        return n

    item = Task("item", body, limits=("tool",))
    run = played(Workflow("w", Task("fan", fan)), limits={"tool": 2})
    spans = {span.task_id: span for span in run.timeline()}
    assert times(run)["item_3"] == (0, 10, 22)
    assert times(run)["item_4"] == (0, 11, 24)
    assert row(spans["item_1"])[-1] == row(spans["item_2"])[-1] == []
    for waiting, giver in (("item_3", "item_1"), ("item_4", "item_2")):
        wait = spans[waiting].waits[0]
        assert (wait.kind, wait.about, wait.by, wait.since) == ("limit", "tool", spans[giver].key, 0)
        assert spans[waiting].admitted_at == wait.until == spans[waiting].started_at
        assert spans[waiting].parent == spans["fan"].key


def test_retries_turns_delays_and_sleeps() -> None:
    """A further attempt waits for its time, a further turn follows the one before, a delayed child its delay."""

    async def flaky(ctx: g.TaskExecutionContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")
        await ctx.sleep(7)
        if ctx.cycle_count == 1:
            ctx.next_iteration()
        else:
            ctx.next_task(sleeper("late", 1), delay=20)

    wf = Workflow("w", Task("flaky", flaky, retry_policy=g.RetryPolicy(1, initial_interval=5)))
    run = played(wf)
    told = [(s.task_id, s.turn, s.attempt, s.status, s.queued_at, s.started_at, s.finished_at) for s in run.timeline()]
    assert told == [
        ("flaky", 1, 1, "retrying", 0, 0, 0),
        ("flaky", 1, 2, "completed", 0, 5, 12),
        ("flaky", 2, 1, "retrying", 12, 12, 12),
        ("flaky", 2, 2, "completed", 12, 17, 45),
        ("late", 1, 1, "completed", 24, 44, 45),
    ]
    waits = [[(w.kind, w.about, w.since, w.until) for w in span.waits] for span in run.timeline()]
    assert waits[1] == [("retry", "ValueError: once", 0, 5), ("sleep", "", 5, 12)]
    assert waits[3] == [("retry", "ValueError: once", 12, 17), ("sleep", "", 17, 24), ("child", "", 24, 45)]
    assert waits[4] == [("sleep", "its delay of 20 s", 24, 44)]
    assert run.timeline()[0].error == "ValueError: once"


def test_waits_inside_of_a_body() -> None:
    """Children, events and answers that a body waits for are in its span, each with its name; two at once are two."""

    async def body(ctx: g.TaskExecutionContext) -> None:
        await ctx.call(sleeper("child", 3))
        await asyncio.gather(ctx.wait_for_event("go"), ctx.request_approval("sure", request_id="sure"))

    async def main() -> Any:
        run = Workflow("w", Task("t", body)).start(clock=SimClock())
        async with run:
            await asyncio.sleep(5)
            assert run.timeline()[0].status == "waiting"
            run.send("go")
            await asyncio.sleep(1)
            run.cancel()
            with pytest.raises(g.GraflowWorkflowCanceledError):
                await run
        return run

    span = run_sim(main, 1).timeline()[0]
    assert sorted((w.kind, w.about, w.since, w.until) for w in span.waits) == [
        ("child", "child", 0, 3),
        ("event", "go", 3, 5),
        ("person", "sure", 3, 6),
    ]
    assert (span.status, span.finished_at) == ("cancelled", 6)


@pytest.mark.near  # a cancellation takes a while to get there
def test_what_never_begins() -> None:
    """A task that is skipped, and children that are dropped before they begin, are there without a start."""

    async def jump(ctx: g.TaskExecutionContext) -> None:
        ctx.next_task(last, goto=True)

    async def fan(ctx: g.TaskExecutionContext) -> None:
        with pytest.raises(ValueError, match="bad"):
            await ctx.map(Task("item", bad, limits=("one",)), range(3))

    async def bad(n: int) -> None:
        await asyncio.sleep(1)
        raise ValueError("bad")

    last = Task("last", fan)
    run = played(Workflow("w", Task("jump", jump) >> Task("never") >> last), limits={"one": 1})
    told = [(s.task_id, s.status, s.started_at, s.finished_at) for s in run.timeline()]
    assert ("never", "skipped", None, 0) in told
    assert ("item_1", "failed", 0, 1) in told
    assert told.count(("item_2", "cancelled", None, 1)) == told.count(("item_3", "cancelled", None, 1)) == 1
    assert next(s for s in run.timeline() if s.task_id == "item_2").seconds is None


def test_a_parent_waits_for_its_children_after_its_body() -> None:
    """A task whose body has returned and whose children run is waiting, and ends with the last of them."""

    async def parent(ctx: g.TaskExecutionContext) -> None:
        await asyncio.sleep(1)
        ctx.next_task(sleeper("child", 5))

    run = played(Workflow("w", Task("parent", parent)))
    first = run.timeline()[0]
    assert row(first)[-2:] == ((0, 0, 6), [("child", "", None, 1, 6)])
    assert run.timeline()[1].parent == first.key


def test_a_child_run_belongs_to_its_caller() -> None:
    """Tasks of a child run have the task that runs it as their parent."""

    async def caller(ctx: g.TaskExecutionContext) -> None:
        await ctx.run_workflow(Workflow("inner", sleeper("x", 1) >> sleeper("y", 1)))

    spans = {span.task_id: span for span in played(Workflow("w", Task("caller", caller))).timeline()}
    assert {spans["x"].parent, spans["y"].parent} == {spans["caller"].key}
    assert (spans["x"].cause, spans["y"].cause) == (None, spans["x"].key)
    assert [(w.kind, w.about, w.until) for w in spans["caller"].waits] == [("child", "inner", 2)]


def test_a_parent_that_wants_its_place_back_waits_for_it() -> None:
    """A limit that a body waits for again after its child is within its span, and who made room is known."""

    async def parent(ctx: g.TaskExecutionContext) -> None:
        await ctx.call(sleeper("child", 2))
        await asyncio.sleep(1)

    limited = Task("parent", parent, limits=("tool",)) | sleeper("other", 10, limits=("tool",))
    run = played(Workflow("w", limited), limits={"tool": 1})
    spans = {span.task_id: span for span in run.timeline()}
    assert times(run) == {"parent": (0, 0, 11), "other": (0, 0, 10), "child": (0, 0, 2)}
    assert row(spans["parent"])[-1] == [("child", "child", None, 0, 2), ("limit", "tool", spans["other"].key, 2, 10)]


async def test_the_story_is_bounded() -> None:
    """The oldest spans go, and it is known how many."""
    story = Story(limit=10)

    async def many(ctx: g.TaskExecutionContext) -> None:
        await ctx.map(Task("item", abs), range(25))

    await Workflow("w", Task("many", many)).run(listeners=[story])
    assert len(story.spans) == 10
    assert story.lost == 16
    assert {span.status for span in story.spans} == {"completed"}


async def test_listeners_get_what_they_want() -> None:
    """A listener with `wants` gets these events alone; without it everything but details; nonsense is refused."""

    class Wanting:
        def __init__(self, *wants: type) -> None:
            self.wants = wants
            self.seen: list[Any] = []

        def on_event(self, event: g.Event) -> None:
            self.seen.append(event)

    queued, ends, nothing, plain = Wanting(g.TaskQueued), Wanting(g.TaskCompleted, g.RunFinished), Wanting(), []
    wf = Workflow("w", sleeper("a", 0) >> sleeper("b", 0))
    await wf.run(listeners=[queued, ends, nothing, plain.append])
    assert [(event.task_id, event.cause) for event in queued.seen] == [("a", None), ("b", 1)]
    assert [type(event).__name__ for event in ends.seen] == ["TaskCompleted", "TaskCompleted", "RunFinished"]
    assert nothing.seen == []
    assert len(plain) == 6
    assert not any(isinstance(event, g.TaskDetail) for event in plain)
    with pytest.raises(g.ConfigError, match="wants="):
        await wf.run(listeners=[Wanting(int)])


async def test_a_process_that_is_not_free_is_a_wait_for_a_worker() -> None:
    """A task for a pool whose processes are all busy waits for one within its span."""

    def a_moment() -> None:
        threading.Event().wait(0.2)

    executor = {"process": ProcessExecutor(1)}
    both = Task("a", a_moment, executor="process") | Task("b", a_moment, executor="process")
    async with Workflow("w", both).start(executor=executor) as run:
        await run
    waits = {span.task_id: [(w.kind, w.about) for w in span.waits] for span in run.timeline()}
    assert waits == {"a": [("worker", "process")], "b": [("worker", "process")]}
    spans = {span.task_id: span for span in run.timeline()}
    first, second = (spans[name].waits[0].until for name in "ab")
    assert first is not None
    assert second is not None
    assert second > first
    assert "for a worker of 'process'" in str(run.explain("b"))
