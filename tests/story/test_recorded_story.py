"""The story of a recorded run is that of the run as it was watched (SPEC 8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import graflow_async as g
from graflow_async import MemoryCheckpointer, Task, Workflow
from graflow_async import resume as resuming
from graflow_async._runtime import journal
from graflow_async.recorded_story import RecordedStory, recorded_story
from graflow_async.recovery import subject_of
from tests.aids.simloop import run_sim
from tests.story.parts import SEEDS, SimClock, row, sleeper

if TYPE_CHECKING:
    from graflow_async import Span

pytestmark = pytest.mark.unrecorded  # each test keeps a journal of its own


async def told(kept: MemoryCheckpointer, run_id: str = "r") -> RecordedStory:
    return await recorded_story(await kept.read(run_id))


def everything() -> Workflow:
    async def flaky(ctx: g.TaskExecutionContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")
        await ctx.sleep(3)
        if ctx.cycle_count < 2:
            ctx.next_iteration()

    async def fan(ctx: g.TaskExecutionContext) -> list[int]:
        found = await ctx.map(Task("item", item, limits=("tool",)), range(5))
        await ctx.run_workflow(Workflow("inner", sleeper("x", 1) >> sleeper("y", 1)))
        ctx.next_task(sleeper("late", 1), delay=2)
        return found

    async def item(n: int) -> int:
        await asyncio.sleep(2 + n)
        return n

    async def waits(ctx: g.TaskExecutionContext) -> Any:
        return await ctx.wait_for_event("go")

    async def jump(ctx: g.TaskExecutionContext) -> None:
        ctx.next_task(last, goto=True)

    last = Task("last")
    flaky_task = Task("flaky", flaky, retry_policy=g.RetryPolicy(1, initial_interval=4))
    middle = Task("fan", fan) | flaky_task | Task("waits", waits)
    return Workflow("w", sleeper("load", 1) >> middle >> Task("jump", jump) >> Task("never") >> last)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_the_story_that_was_watched(seed: int) -> None:
    """Spans, waits, causes, times and the critical path are the same, live and from the journal."""

    async def main() -> tuple[Any, RecordedStory]:
        kept = MemoryCheckpointer()
        run = everything().start(clock=SimClock(), checkpointer=kept, run_id="r", limits={"tool": 2})
        async with run:
            await asyncio.sleep(30)
            run.send("go")
            await run
        return run, await told(kept)

    run, recorded = run_sim(main, seed)
    assert [row(span) for span in recorded.timeline()] == [row(span) for span in run.timeline()]
    assert [span.error for span in recorded.timeline()] == [span.error for span in run.timeline()]
    assert [row(span) for span in recorded.critical_path()] == [row(span) for span in run.critical_path()]
    for name in ("item_5", "flaky", "fan", "waits", "late", "never", "x"):
        assert str(recorded.explain(name)) == str(run.explain(name))
    assert recorded.since is None


def test_a_run_that_stands_still_is_explained() -> None:
    """A journal of a run that has not ended says what is missing: predecessors, places in a limit, an event."""

    async def main() -> RecordedStory:
        kept = MemoryCheckpointer()
        run = everything().start(clock=SimClock(), checkpointer=kept, run_id="r", limits={"tool": 2})
        async with run:
            await asyncio.sleep(4)
            found = await told(kept)
            run.send("go")
        return found

    recorded = run_sim(main, 0)
    assert str(recorded.explain("item_4")).startswith("item_4 has waited 2.00 s for limit 'tool', whose 2 places are")
    assert "for event 'go' so far" in str(recorded.explain("waits"))
    assert "it waits for 'fan' (waiting for 2.00 s), 'flaky'" in str(recorded.explain("jump"))


def test_another_process_that_went_on() -> None:
    """The time in which no process had the run is a wait of the bodies that it cut off."""
    lives: list[int] = []

    async def body(ctx: g.TaskExecutionContext) -> None:
        lives.append(1)
        await asyncio.sleep(2)
        if len(lives) == 1:
            await ctx.request_approval("sure?", request_id="sure", timeout=1)
        await asyncio.sleep(2)

    async def main() -> list[Span]:
        kept = MemoryCheckpointer()
        wf = Workflow("w", Task("t", body) | sleeper("other", 2.5))
        with pytest.raises(g.WorkflowPausedError):
            await wf.run(clock=SimClock(), checkpointer=kept, run_id="r", cancel_grace=1)
        await asyncio.sleep(100)
        await wf.resume("r", clock=SimClock(), checkpointer=kept)
        return (await told(kept)).timeline()

    spans = run_sim(main, 0)
    assert [(span.task_id, span.status) for span in spans] == [("t", "completed"), ("other", "completed")]
    stood = [wait for wait in spans[0].waits if wait.kind == "worker"]
    assert [(wait.since, wait.seconds) for wait in stood] == [(3, 100)]
    assert spans[0].finished_at == 107


def test_a_log_that_was_put_together_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a snapshot the story begins there: it says since when, and what was under way then has its spans."""
    name = next(name for name in dir(journal) if name.isupper() and getattr(journal, name) == 8 * 1024 * 1024)
    monkeypatch.setattr(journal, name, 2000)

    async def main() -> tuple[Any, RecordedStory]:
        kept = MemoryCheckpointer()
        async with Workflow("w", Task("fan", fan)).start(clock=SimClock(), checkpointer=kept, run_id="r") as run:
            await run
        return run, await told(kept)

    async def fan(ctx: g.TaskExecutionContext) -> None:
        for n in range(60):
            await ctx.call(Task(f"step{n}", step))

    async def step() -> None:
        await asyncio.sleep(1)

    run, recorded = run_sim(main, 0)
    assert recorded.since is not None
    assert 0 < recorded.since < 60
    assert len(recorded.timeline()) < len(run.timeline()) == 61
    assert recorded.timeline()[0].task_id == "fan"
    assert row(recorded.timeline()[-1]) == row(run.timeline()[-1])


def test_a_resumed_run_knows_what_it_does_not_know() -> None:
    """The handle of a resumed run tells its own life, and of a task that had ended before that it had."""

    async def main() -> list[str]:
        kept = MemoryCheckpointer()
        wf = Workflow("w", sleeper("a", 1) >> Task("b", broken) >> sleeper("c", 1))
        with pytest.raises(ValueError, match="broken"):
            await wf.run(clock=SimClock(), checkpointer=kept, run_id="r")
        run = (await resuming.reopen(kept, "r", lambda _: subject_of(wf), {"clock": SimClock()})).run
        assert run is not None
        async with run:
            await asyncio.sleep(0.5)
            return [str(run.explain(name)) for name in "abc"]

    async def broken() -> None:
        lives.append(1)
        if len(lives) == 1:
            raise ValueError("broken")
        await asyncio.sleep(1)

    lives: list[int] = []
    a, b, c = run_sim(main, 0)
    assert a.startswith("a ended before this process went on with the run")
    assert b.startswith("b has been running for 0.50 s")
    assert c == "c has not begun: it waits for 'b' (running for 0.50 s)."
