"""The shape of a trace: what is whose child, what is linked to what, and how things have ended."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from graflow_async import (
    FeedbackManager,
    GraflowWorkflowCanceledError,
    MemoryBroker,
    RetryPolicy,
    TaskExecutionContext,
    TaskRetrying,
    Workflow,
    WorkflowPausedError,
    chain,
    parallel,
    task,
    workflow,
)
from graflow_async.telemetry import Telemetry
from tests.feedback.people import answer, shown
from tests.telemetry.aids import Heard, about, context


@task
async def nothing() -> None:
    """Do nothing."""


@task
async def double(n: int) -> int:
    """Give twice a number."""
    return 2 * n


async def test_chain_is_linked(heard: Heard) -> None:
    """Each task of a chain is a child of the run, and linked to the one before it."""
    with workflow("w") as wf:
        a, b = nothing(task_id="a"), nothing(task_id="b")
        a >> b
    await wf.run(listeners=[heard.telemetry])
    assert heard.tree("graflow.task.id") == ["run w", "  task nothing a", "  task nothing b"]
    first, second = heard.named("task nothing")
    assert [link.context.span_id for link in second.links] == [context(first).span_id]
    assert not first.links
    assert about(heard.span("run w"))["graflow.outcome"] == "completed"


async def test_group_is_seen_through(heard: Heard) -> None:
    """What comes after a group is linked to each of its branches, and they to what comes before it."""
    with workflow("w") as wf:

        @task
        async def first() -> int:
            return 1

        @task
        async def left() -> int:
            return 2

        @task
        async def right() -> int:
            return 3

        @task
        async def last() -> int:
            return 4

        first >> parallel(left, right) >> last
    await wf.run(listeners=[heard.telemetry])
    assert heard.tree() == ["run w", "  task first", "  task last", "  task left", "  task right"]
    assert heard.links("task last") == ["task left", "task right"]
    assert heard.links("task left") == heard.links("task right") == ["task first"]


async def test_children_lie_under_their_task(heard: Heard) -> None:
    """Children that a body calls, maps or wishes for are children of its span, at every depth."""

    @task(inject_context=True)
    async def middle(ctx: TaskExecutionContext, n: int) -> int:
        return await ctx.call(double, n)

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext) -> list[int]:
        ctx.next_task(nothing)
        values = await ctx.map(double, [1, 2])
        return [*values, await ctx.call(middle, 3)]

    await Workflow("w", top).run(listeners=[heard.telemetry])
    assert heard.tree("graflow.outcome") == [
        "run w completed",
        "  task top completed",
        "    task double completed",
        "    task double completed",
        "    task middle completed",
        "      task double completed",
        "    task nothing completed",
    ]
    ids = {about(span)["graflow.task.id"] for span in heard.named("task double")}
    assert ids == {"double_1", "double_2"}, "the name is the definition's, the id is the item's"


async def test_turns_follow_each_other(heard: Heard) -> None:
    """Each turn of a task has a span of its own, linked to the one before."""

    @task(inject_context=True)
    async def loop(ctx: TaskExecutionContext, n: int = 0) -> int:
        if n < 2:
            ctx.next_iteration(n + 1)
        return n

    await Workflow("w", loop).run(listeners=[heard.telemetry])
    assert heard.tree("graflow.task.turn") == ["run w", "  task loop 1", "  task loop 2", "  task loop 3"]
    spans = heard.named("task loop")
    for earlier, later in pairwise(spans):
        assert [link.context.span_id for link in later.links] == [context(earlier).span_id]


async def test_attempts_lie_under_their_task(heard: Heard) -> None:
    """A task that may be tried again has a span for each attempt; those that failed say why, and it ends well."""
    tries: list[int] = []

    @task(retry_policy=RetryPolicy(3, initial_interval=0.0), inject_context=True)
    async def flaky(ctx: TaskExecutionContext) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError(f"number {len(tries)}")
        return await ctx.call(nothing) or "done"

    await Workflow("w", flaky).run(listeners=[heard.telemetry])
    assert heard.tree("graflow.task.attempt", "graflow.outcome") == [
        "run w completed",
        "  task flaky completed",
        "    attempt flaky 1 retrying",
        "    attempt flaky 2 retrying",
        "    attempt flaky 3 completed",
        "      task nothing 1 completed",
    ]
    first = heard.named("attempt flaky")[0]
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "ValueError: number 1"
    assert [event.name for event in first.events] == ["exception"]
    whole = heard.span("task flaky")
    assert whole.status.status_code is StatusCode.UNSET
    assert [event.name for event in whole.events] == ["graflow.task.retrying"] * 2


async def test_failure_is_recorded(heard: Heard) -> None:
    """A task that fails for good, and its run, end as errors with the exception; a tolerated text does no harm."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @task
    async def bad() -> None:
        raise OddError

    with pytest.raises(OddError):
        await Workflow("w", bad).run(listeners=[heard.telemetry])
    for name in ("task bad", "run w"):
        span = heard.span(name)
        assert about(span)["graflow.outcome"] == "failed"
        assert about(span)["error.type"].endswith("OddError")
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]


async def test_cancelled_run_is_no_error(heard: Heard) -> None:
    """A cancelled run ends its spans as cancelled, and not as errors."""
    begun = asyncio.Event()

    @task
    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with Workflow("w", waits).start(listeners=[heard.telemetry]) as run:
        await begun.wait()
        run.cancel("enough")
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert heard.tree("graflow.outcome") == ["run w cancelled", "  task waits cancelled"]
    assert {span.status.status_code for span in heard.spans} == {StatusCode.UNSET}


async def test_cancelled_between_attempts(heard: Heard) -> None:
    """A task that is cancelled while it waits for its next attempt ends as cancelled, after an attempt that failed."""

    @task(retry_policy=RetryPolicy(3, initial_interval=1000.0))
    async def flaky() -> None:
        raise ValueError("once")

    async with Workflow("w", flaky).start(listeners=[heard.telemetry]) as run:
        async for event in run.events():
            if isinstance(event, TaskRetrying):
                run.cancel()
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert heard.tree("graflow.outcome") == [
        "run w cancelled",
        "  task flaky cancelled",
        "    attempt flaky retrying",
    ]


async def test_paused_run_ends_its_spans(heard: Heard, tmp_path: Path) -> None:
    """A run that pauses ends as paused, and so does the task that waits; resumed, it is linked and goes on."""

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext) -> str:
        return await ctx.request_text_input("name?", request_id="name")

    wf, manager = Workflow("w", asks), FeedbackManager(MemoryBroker())
    options: Any = {"checkpoint_dir": tmp_path, "feedback": manager, "listeners": [heard.telemetry]}
    async with wf.start(run_id="r", cancel_grace=0.01, **options) as run:
        await shown(manager.broker, "name")
        run.pause("later")
        with pytest.raises(WorkflowPausedError):
            await run
    assert heard.tree("graflow.outcome") == ["run w paused", "  task asks paused", "    wait text paused"]
    await manager.respond("name", value="ada")
    assert await wf.resume("r", **options) == "ada"
    assert [about(span)["graflow.outcome"] for span in heard.named("run w")] == ["paused", "completed"]
    assert len(heard.named("run w")[1].links) == 1


async def test_skipped_task_is_an_event(heard: Heard) -> None:
    """A task that will not run has no span: the run's says so."""

    @task
    async def last() -> None:
        """Be the end."""

    @task(inject_context=True)
    async def jumps(ctx: TaskExecutionContext) -> None:
        ctx.next_task(last, goto=True)

    await Workflow("w", chain(jumps, nothing, last)).run(listeners=[heard.telemetry])
    assert heard.tree() == ["run w", "  task jumps", "  task last"]
    (skipped,) = heard.span("run w").events
    assert (skipped.name, dict(skipped.attributes or {})) == ("graflow.task.skipped", {"graflow.task.id": "nothing"})


async def test_child_run_has_a_span(heard: Heard) -> None:
    """A workflow that a body runs as a part of its run has a span between the body's and those of its tasks."""
    inner = Workflow("inner", double(4))

    @task(inject_context=True)
    async def outer(ctx: TaskExecutionContext) -> list[int]:
        return [await ctx.run_workflow(inner), await ctx.run_workflow(inner)]

    assert await Workflow("w", outer).run(listeners=[heard.telemetry]) == [8, 8]
    assert heard.tree("graflow.outcome") == [
        "run w completed",
        "  task outer completed",
        "    run inner completed",
        "      task double completed",
        "    run inner completed",
        "      task double completed",
    ]


async def test_run_is_a_child_of_its_caller(heard: Heard) -> None:
    """A run belongs to the span that is current where it is started, and a run in a body to the body's attempt."""

    @task
    async def outer() -> None:
        await Workflow("inner", nothing).run(listeners=[heard.telemetry])

    with heard.tracer.start_as_current_span("request"):
        await Workflow("w", outer).run(listeners=[heard.telemetry])
    assert heard.tree() == [
        "request",
        "  run w",
        "    task outer",
        "      run inner",
        "        task nothing",
    ]
    assert len({context(span).trace_id for span in heard.spans}) == 1


async def test_question_is_a_span(heard: Heard) -> None:
    """While a task waits for a person, a span of its own says so; it ends with how the question has ended."""

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext) -> str:
        return await ctx.request_text_input("name?", request_id="name")

    manager = FeedbackManager(MemoryBroker())
    run = Workflow("w", asks).run(feedback=manager, listeners=[heard.telemetry])
    assert (await asyncio.gather(run, answer(manager, name="ada")))[0] == "ada"
    assert heard.tree("graflow.outcome") == ["run w completed", "  task asks completed", "    wait text answered"]


async def test_resumed_run_is_linked(heard: Heard, tmp_path: Path) -> None:
    """A run that goes on after a failure is linked to its former part, and bears the same id."""
    broken = [True]

    @task
    async def fragile() -> int:
        if broken:
            raise ValueError("not yet")
        return 7

    wf = Workflow("w", fragile)
    with pytest.raises(ValueError, match="not yet"):
        await wf.run(run_id="r", checkpoint_dir=tmp_path, listeners=[heard.telemetry])
    broken.clear()
    assert await wf.resume("r", checkpoint_dir=tmp_path, listeners=[heard.telemetry]) == 7
    former, latter = heard.named("run w")
    assert [link.context.span_id for link in latter.links] == [context(former).span_id]
    assert about(former)["graflow.run.id"] == about(latter)["graflow.run.id"] == "r"
    assert [about(span)["graflow.outcome"] for span in heard.named("task fragile")] == ["failed", "completed"]


async def test_sdk_that_is_off_changes_nothing() -> None:
    """Without an SDK nothing is recorded, runs go on as ever, and no span is current."""

    @task
    async def looks() -> bool:
        return trace.get_current_span().is_recording()

    assert await Workflow("w", looks).run(listeners=[Telemetry()]) is False
