"""The counts are read from the state of a run; they are the same that its events give."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import Task, TaskExecutionContext, Workflow, events, parallel, task

if TYPE_CHECKING:
    from tests.progress.terminal import Terminal


@task
async def leaf(number: int = 0) -> int:
    return number


@task
async def bad() -> None:
    raise ValueError("no")


@task
async def forever() -> None:
    await asyncio.Event().wait()


@task(inject_context=True)
async def fans(ctx: TaskExecutionContext) -> None:
    for number in range(20):
        ctx.next_task(leaf(number))


@task(inject_context=True)
async def delays(ctx: TaskExecutionContext) -> None:
    ctx.next_task(leaf(1), delay=0.01)
    ctx.next_task(leaf(2), delay=0.01, wait=False)


@task(inject_context=True)
async def loops(ctx: TaskExecutionContext) -> None:
    if ctx.cycle_count < 5:
        ctx.next_iteration()


@task(inject_context=True)
async def jumps(ctx: TaskExecutionContext) -> None:
    ctx.next_task(leaf(9), goto=True)


@task(inject_context=True)
async def terminates(ctx: TaskExecutionContext) -> None:
    ctx.terminate_workflow("enough")


@task(inject_context=True)
async def cancels(ctx: TaskExecutionContext) -> None:
    ctx.cancel_workflow("enough")


@task(inject_context=True)
async def calls(ctx: TaskExecutionContext) -> None:
    await ctx.run_workflow(Workflow("inner", Task("a", lambda: 1) >> Task("b", lambda: 2)))
    done, unwanted = ctx.submit(leaf, 1), ctx.submit(forever)
    await done
    unwanted.cancel()


@task(max_retries=2, inject_context=True)
async def retries(ctx: TaskExecutionContext) -> None:
    if ctx.attempt < 3:
        raise OSError("again")


@task(inject_context=True)
async def maps(ctx: TaskExecutionContext) -> None:
    await ctx.map(leaf, range(300))
    await ctx.map(leaf, range(10), max_concurrency=3)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "chain": (leaf >> loops >> retries, {}),
    "fan": (fans >> leaf, {}),
    "fan, bounded": (fans >> leaf, {"max_concurrency": 3}),
    "steps": (fans >> leaf, {"max_steps": 10}),
    "delays": (delays >> leaf, {}),
    "jump": (jumps >> leaf, {}),
    "terminate": (parallel(terminates, forever) >> leaf, {}),
    "cancel": (parallel(cancels, forever) >> leaf, {}),
    "calls": (calls >> leaf, {}),
    "maps": (maps >> leaf.map([1, 2, 3]), {}),
    "maps, bounded": (maps >> leaf.map([1, 2, 3]), {"max_concurrency": 2}),
    "strict": (parallel(bad, forever, loops) >> leaf, {}),
    "tolerant": (parallel(bad, loops).with_execution(policy="best_effort") >> leaf, {}),
    "race": (parallel(loops, forever).with_execution(policy="first") >> leaf, {}),
    "timeout": (parallel(forever, forever(task_id="as well")), {"timeout": 0.05}),
}


@pytest.mark.parametrize("case", CASES)
async def test_counts_are_those_of_the_events(terminal: Terminal, case: str) -> None:
    """What the last line counts is what listeners hear of."""
    told = {"done": 0, "failed": 0, "cancelled": 0}

    class Counting:
        wants = (events.TaskCompleted, events.TaskFailed, events.TaskCancelled, events.TaskDropped)

        def on_event(self, event: events.Event) -> None:
            if not isinstance(event, events.TaskRetrying):
                kinds = {events.TaskCompleted: "done", events.TaskIterated: "done", events.TaskFailed: "failed"}
                told[kinds.get(type(event), "cancelled")] += 1

    expression, options = CASES[case]
    for listeners in ((Counting(),), ()):
        await asyncio.gather(
            Workflow("w", expression).run(progress=True, listeners=listeners, **options), return_exceptions=True
        )
    words = ", ".join(f"{count} {word}" for word, count in told.items() if count or word == "done")
    lines = terminal.screen().text
    assert len(lines) == 2
    assert [line.split(" s: ")[1].split(" (")[0] for line in lines] == [words, words]
