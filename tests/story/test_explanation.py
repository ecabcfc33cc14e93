"""Explanations: why a task ran when it did, or why it has not begun (SPEC 8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow
from tests.aids.simloop import run_sim
from tests.story.parts import SimClock, played, sleeper


def limited() -> Workflow:
    return Workflow(
        "w",
        sleeper("load", 2)
        >> (sleeper("a", 4, limits=("openai",)) | sleeper("b", 3, limits=("openai",)))
        >> sleeper("report", 1)
        >> sleeper("last", 1),
    )


def test_a_task_that_waited_for_a_limit() -> None:
    """The name of the limit, how long, who made room, how long it ran, and what made it ready: all is said."""
    run = played(limited(), limits={"openai": 1})
    found = run.explain("b")
    assert str(found) == (
        "b waited 4.00 s for limit 'openai', until 'a' made room, ran 3.00 s and completed. "
        "It was ready 2.00 s after the run began, when 'load' had ended."
    )
    assert [(part.kind, part.seconds, part.about) for part in found.parts] == [
        ("ready", 2, "when 'load' had ended"),
        ("limit", 4, "openai"),
        ("ran", 3, ""),
    ]
    assert (found.task_id, found.status, len(found.spans)) == ("b", "completed", 1)
    assert run.explain(found.key).text == found.text


def test_attempts_and_sleeps() -> None:
    """The attempt is numbered, the failure before it named, and waits inside of the body are part of its time."""

    async def body(ctx: g.TaskExecutionContext) -> None:
        if ctx.attempt < 3:
            raise KeyError(f"attempt {ctx.attempt}")
        await ctx.sleep(2)
        await asyncio.sleep(1)
        raise ValueError("no\nmore")

    policy = g.RetryPolicy(2, initial_interval=1)
    found = played(Workflow("w", Task("t", body, retry_policy=policy))).explain("t")
    assert str(found) == (
        "t waited 2.00 s for its next attempt, after KeyError: 'attempt 2', ran 3.00 s (of which 2.00 s asleep) "
        "and failed with ValueError: no. It was ready 1.00 s after the run began, when the attempt before had failed. "
        "It is its 3rd attempt, after KeyError: 'attempt 1'; KeyError: 'attempt 2'."
    )
    assert [span.attempt for span in found.spans] == [1, 2, 3]


LIVE = {
    "a": "a has been running for 1.00 s. It was ready 2.00 s after the run began, when 'load' had ended.",
    "b": "b has waited 1.00 s for limit 'openai', whose 1 place is taken by 'a'. It was ready 2.00 s after the run "
    "began, when 'load' had ended.",
    "report": "report has not begun: it waits for 'a' (running for 1.00 s) and 'b' (queued).",
    "last": "last has not begun: it waits for 'report' (not begun).",
    "item_3": "item_3 has waited 1.00 s for limit 'tool', whose 2 places are taken by 'item_1', 'item_2'. It was "
    "ready 2.00 s after the run began, when 'fan' asked for it.",
    "asks": "asks has been running for 3.00 s (of which 3.00 s for an answer to 'sure' so far). It was ready when the "
    "run began.",
    "fan": "fan has been running for 3.00 s (of which 1.00 s for 'item' so far). It was ready when the run began.",
}


def test_why_it_waits_now() -> None:
    """While the run goes on: which predecessors are missing, which limit is full and of whom, which question it is."""

    async def fan(ctx: g.TaskExecutionContext) -> None:
        await asyncio.sleep(2)
        await ctx.map(Task("item", item, limits=("tool",)), range(4))

    async def item(n: int) -> None:
        await asyncio.sleep(5)

    async def asks(ctx: g.TaskExecutionContext) -> None:
        await ctx.request_approval("sure?", request_id="sure")

    async def main() -> dict[str, str]:
        wf = limited()
        with wf:
            Task("fan", fan) | Task("asks", asks)
        run = wf.start(clock=SimClock(), limits={"openai": 1, "tool": 2})
        async with run:
            await asyncio.sleep(3)
            found = {name: str(run.explain(name)) for name in LIVE}
            run.cancel()
            with pytest.raises(g.GraflowWorkflowCanceledError):
                await run
        assert str(run.explain("last")) == "last never began: it waits for 'report' (not begun)."
        return found

    assert run_sim(main, 0) == LIVE


def test_what_is_skipped_or_nobody_leads_to() -> None:
    """A skipped task says so, and so does one that only another task can start."""

    async def jump(ctx: g.TaskExecutionContext) -> None:
        ctx.next_task(last, goto=True)

    last = Task("last")
    wf = Workflow("w", Task("jump", jump) >> Task("never") >> last)
    with wf:
        handler = Task("handler")
    wf.graph.get_node("jump")
    run = played(wf)
    assert str(run.explain("never")) == "never was skipped: nothing that leads to it has delivered."
    assert str(run.explain("last")).startswith("last ran under 0.1 ms and completed.")
    if wf.graph.has_node(handler.id):
        assert "nothing leads to it" in str(run.explain("handler"))


def test_turns_and_namesakes() -> None:
    """The latest instance of an id is explained, its turn is numbered, and it is said that there were others."""

    async def parent(ctx: g.TaskExecutionContext) -> None:
        await ctx.call(sleeper("child", 1))
        if ctx.cycle_count < 3:
            ctx.next_iteration()

    run = played(Workflow("w", Task("parent", parent)))
    assert str(run.explain("parent")).startswith("parent (turn 3) ran 1.00 s (of which 1.00 s for 'child')")
    found = run.explain("child")
    assert str(found).endswith(f"(2 others had this id before; this is instance {found.key}.)")
    assert run.explain(found.key - 1).key != found.key


@pytest.mark.parametrize("unknown", ["lod", 99, "zzzzz"])
def test_an_unknown_task_is_refused_with_near_ids(unknown: Any) -> None:
    """A wrong id is refused by an error that names the nearest ones."""
    run = played(limited(), limits={"openai": 1})
    with pytest.raises(g.ConfigError, match="'load'") as raised:
        run.explain(unknown)
    assert repr(unknown) in str(raised.value)


def test_where_nothing_is_near_it_says_how_many_there_are() -> None:
    """Of many ids that are not like the wrong one a few are named, and the rest is counted."""
    run = played(Workflow("w", g.chain(*(sleeper(f"step_{n}", 1) for n in range(8)))))
    with pytest.raises(g.ConfigError, match=r"known: ('step_\d', ){4}'step_4' and 3 more$"):
        run.explain("zzzzz")


def test_only_a_handle_explains() -> None:
    """A run that nobody watches has nothing to say, and says what to do."""
    run = g.Run("w", Workflow("w", Task("t")).graph, {}, None, {}, watched=False)
    with pytest.raises(g.GraflowRuntimeError, match=r"wf\.start"):
        run.explain("t")
    assert run.critical_path() == []
