"""Workflows whose outcome does not depend on the order of what is independent, for cutting their logs anywhere.

Every body is counted where it begins. `PROGRAMS` can be simulated (no threads), `THREADED` have sync tasks in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from graflow_async import (
    Rate,
    RetryPolicy,
    TaskExecutionContext,
    Workflow,
    at_least,
    critical,
    parallel,
    task,
    workflow,
)
from tests.durability.parts import note

Made = tuple[Workflow, dict[str, Any]]
SLOW = RetryPolicy(max_retries=3, initial_interval=0.02)


async def turn() -> None:
    for _ in range(2):
        await asyncio.sleep(0)


@task
async def plain() -> str:
    """Return after a few turns of the loop."""
    note()
    await turn()
    return "p"


@task
async def never(ctx: TaskExecutionContext) -> None:
    """Wait until somebody cancels it, without the slot that the others need."""
    note()
    await ctx.sleep(3600)


@task
async def bad() -> None:
    """Fail."""
    note()
    raise ValueError("bad")


@task
async def adds(ctx: TaskExecutionContext) -> int:
    """Count in the channel, in every way there is."""
    note()
    await ctx.channel.atomic_add("sum", 2)
    await turn()
    await ctx.channel.update("total", lambda old: old + 5, default=100)
    await ctx.channel.set(f"last:{ctx.task_id}", ctx.cycle_count)
    length = await ctx.channel.append(f"log:{ctx.task_id}", "x")
    await ctx.channel.prepend(f"log:{ctx.task_id}", "y")
    return length


@task
async def collects(ctx: TaskExecutionContext) -> dict[str, Any]:
    """Give everything that the channel holds."""
    note()
    keys = sorted(await ctx.channel.keys())
    return {key: await ctx.channel.get(key) for key in keys}


def diamonds() -> Made:
    """Two diamonds in a row, channel counters, a task that fails twice, and another that waits before its retry."""
    with workflow("diamonds") as wf:

        @task(max_retries=2)
        async def flaky(ctx: TaskExecutionContext) -> int:
            note()
            await ctx.channel.atomic_add("flaky")
            if ctx.attempt < 3:
                raise ValueError("again")
            return ctx.attempt

        @task(retry_policy=SLOW)
        async def waits(ctx: TaskExecutionContext) -> int:
            note()
            if ctx.attempt < 3:
                raise KeyError("later")
            return ctx.attempt

        first, last = adds(task_id="first"), collects(task_id="last")
        first >> (adds(task_id="left") | flaky | waits) >> adds(task_id="middle") >> (plain | adds(task_id="b")) >> last
    return wf, {}


def groups() -> Made:
    """A group of every policy, with members that fail, members that never end, and branches."""
    names = iter(range(100))

    def a(kind: Any) -> Any:
        return kind(task_id=f"{kind.id}{next(names)}")

    with workflow("groups") as wf:
        strict = parallel(a(adds) >> a(plain), a(plain), policy="strict").set_group_name("strict")
        effort = parallel(a(bad), a(adds), a(bad) >> a(plain), policy="best_effort").set_group_name("effort")
        two = parallel(a(plain), a(adds), a(bad), policy=at_least(2)).set_group_name("two")
        quorum = parallel(a(plain), a(plain), a(never), policy=at_least(2, cancel_rest=True)).set_group_name("quorum")
        needed = a(adds)
        vital = parallel(needed, a(bad), policy=critical([needed.id])).set_group_name("vital")
        race = parallel(a(plain) >> a(plain), a(never), policy="first").set_group_name("race")
        inner = parallel(a(bad), a(bad) | a(plain), policy="best_effort").set_group_name("outer")
        a(plain) >> strict >> effort >> two >> quorum >> vital >> race >> inner >> collects(task_id="end")
    return wf, {}


def dynamic() -> Made:
    """Children of children: waited for, detached, delayed, in place of what is drawn, and in a group."""
    with workflow("dynamic") as wf:

        @task
        async def start(ctx: TaskExecutionContext) -> str:
            note()
            for number in range(3):
                ctx.next_task(child(task_id=f"child{number}", depth=number))
            ctx.next_task(adds(task_id="detached"), wait=False)
            ctx.next_task(adds(task_id="delayed"), delay=0.02)
            ctx.next_task((adds(task_id="m1") | plain(task_id="m2")) >> adds(task_id="m3"))
            return "s"

        @task
        async def child(ctx: TaskExecutionContext, depth: int) -> int:
            note()
            await ctx.channel.atomic_add("children")
            if depth:
                ctx.next_task(child(task_id=f"{ctx.task_id}.{depth}", depth=depth - 1))
            await turn()
            return depth

        @task
        async def chooses(ctx: TaskExecutionContext) -> str:
            note()
            ctx.next_task(aside, goto=True)
            return "c"

        aside = adds(task_id="aside")
        start >> chooses >> never(task_id="skipped")
        aside >> collects(task_id="end")
    return wf, {}


def loops() -> Made:
    """Iterations with data, a drawn loop that a task leaves, and a jump back."""
    with workflow("loops") as wf:

        @task
        async def counts(ctx: TaskExecutionContext, number: int = 0) -> int:
            note()
            await ctx.channel.atomic_add("turns")
            if number < 4:
                ctx.next_iteration(number + 1)
            return number

        @task
        async def agent(ctx: TaskExecutionContext) -> str:
            note()
            seen = await ctx.channel.atomic_add("agent")
            if seen == 3:
                ctx.next_task(done, goto=True)
            return f"a{seen}"

        @task
        async def back(ctx: TaskExecutionContext) -> int:
            note()
            passes = await ctx.channel.atomic_add("passes")
            if passes < 3:
                ctx.next_task(between, goto=True)
            return passes

        tool, done, between = adds(task_id="tool"), adds(task_id="done"), adds(task_id="between")
        counts >> agent >> tool >> agent
        done >> between >> (plain(task_id="x") | plain(task_id="y")) >> back >> collects(task_id="end")
    return wf, {"start_node": "counts"}


def calls() -> Made:
    """Maps, submits, calls, steps, sleeps and child runs, nested."""
    with workflow("calls") as wf:

        @task
        async def item(ctx: TaskExecutionContext, x: int) -> int:
            note()
            await ctx.channel.atomic_add("items", x)
            await turn()
            return x * x

        @task
        async def folds(ctx: TaskExecutionContext, n: int) -> int:
            note()
            return sum(await ctx.map(item, range(n), max_concurrency=2))

        @task(max_retries=1)
        async def maps(ctx: TaskExecutionContext) -> Any:
            note()
            squares = await ctx.map(item, range(3))
            kept = await ctx.step("once", _steps, ctx)
            futures = [ctx.submit(folds, n) for n in (1, 2, 3)]
            found = sorted([await future async for future in ctx.as_completed(futures)])
            await ctx.sleep(0.01)
            called = await ctx.call(item, 4)
            again = await ctx.step("once", _steps, ctx)
            await ctx.channel.append("maps", called)
            return squares, kept, found, called, again

        @task
        async def inside(ctx: TaskExecutionContext) -> Any:
            note()
            one = await ctx.run_workflow(smaller(), inputs={"given": 3})
            two = await ctx.run_workflow(smaller(), inputs={"given": one})
            return one, two

        (maps | inside) >> collects(task_id="end")
    return wf, {}


def handed() -> Made:
    """A child that is called with another child, whose value it waits for."""
    with workflow("handed") as wf:

        @task
        async def gives(ctx: TaskExecutionContext) -> int:
            note()
            return await ctx.call(twice, ctx.submit(twice, ctx.submit(twice, 4)))

        gives >> collects(task_id="end")
    return wf, {}


def catches() -> Made:
    """A parent that catches the failures of its children, and goes on."""
    with workflow("catches") as wf:

        @task
        async def careful(ctx: TaskExecutionContext) -> Any:
            note()
            try:
                await ctx.call(bad)
            except ValueError:
                await ctx.channel.atomic_add("caught")
            found = await ctx.map(picky, range(3), return_exceptions=True)
            return [str(item) for item in found], await ctx.call(twice, 3)

        careful >> collects(task_id="end")
    return wf, {}


@task
async def picky(x: int) -> int:
    """Refuse one number."""
    note()
    await turn()
    if x == 1:
        raise KeyError(x)
    return x


async def _steps(ctx: Any) -> int:
    note(".step")
    return await ctx.channel.atomic_add("steps")


def smaller() -> Workflow:
    """Make a workflow to be run inside a task."""
    with workflow("smaller") as wf:

        @task
        async def opens(ctx: TaskExecutionContext, given: int) -> int:
            note()
            await ctx.channel.set("mine", given)
            ctx.next_task(adds(task_id="grown"))
            return given

        @task
        async def closes(ctx: TaskExecutionContext, opens: int) -> int:
            note()
            doubled = await ctx.map(twice, [opens, 1])
            return sum(doubled) + await ctx.channel.get("mine")

        opens >> closes
    return wf


@task
async def twice(x: int) -> int:
    """Double a number."""
    note()
    await turn()
    return 2 * x


def times() -> Made:
    """Timeouts, a retry that waits, a delayed child, a durable sleep, a named limit and a rate."""
    with workflow("times") as wf:

        @task(timeout=0.03, max_retries=1)
        async def hangs(ctx: TaskExecutionContext) -> str:
            note()
            if ctx.attempt == 1:
                await asyncio.Event().wait()
            return "second"

        @task
        async def sleeps(ctx: TaskExecutionContext) -> str:
            note()
            await ctx.sleep(0.02)
            await ctx.channel.atomic_add("slept")
            return "z"

        @task(limits=("api", "db"))
        async def polite(x: int) -> int:
            note()
            await turn()
            return x

        @task
        async def many(ctx: TaskExecutionContext) -> list[int]:
            note()
            return await ctx.map(polite, range(5))

        (hangs | sleeps | many) >> collects(task_id="end")
    return wf, {"limits": {"api": 2, "db": Rate(2, per=0.01)}}


def stops() -> Made:
    """A task in a group ends the run with a value while others would never end."""
    with workflow("stops") as wf:

        @task
        async def enough(ctx: TaskExecutionContext) -> str:
            note()
            await ctx.channel.set("why", "enough")
            ctx.terminate_workflow("enough", result={"done": True})
            return "ignored"

        adds(task_id="one") >> (never | enough) >> never(task_id="after")
    return wf, {}


def threads() -> Made:
    """Sync tasks in threads and on the loop, with the blocking verbs."""
    with workflow("threads") as wf:

        @task
        def cubes(x: int) -> int:
            note()
            return x**3

        @task(inject_context=True, max_retries=1)
        def blocks(ctx: Any) -> Any:
            note()
            ctx.get_channel().atomic_add("sum", 1)
            if ctx.attempt == 1:
                raise ValueError("again")
            found = ctx.map(cubes, [1, 2, 3])
            kept = ctx.step("k", lambda: 7)
            ran = ctx.run_workflow(smaller(), inputs={"given": 2})
            return found, kept, ran, ctx.call(twice, 4)

        @task(inject_context=True, executor="inline")
        def loop(ctx: Any, n: int = 0) -> int:
            note()
            if n < 3:
                ctx.next_iteration(n + 1)
            return n

        @task(inject_context=True)
        def state(ctx: Any, n: int = 0) -> int:
            note()
            channel = ctx.get_channel()
            channel.set("processed", channel.get("processed", 0) + 1)
            if n < 2:
                ctx.next_iteration(n + 1)
            ctx.next_task(cubes(task_id=f"kid{n}", x=n))
            return n

        blocks >> (loop | state) >> collects(task_id="end")
    return wf, {}


PROGRAMS: dict[str, Callable[[], Made]] = {
    made.__name__: made for made in (diamonds, groups, dynamic, loops, calls, handed, catches, times, stops)
}
THREADED: dict[str, Callable[[], Made]] = {"threads": threads, "calls": calls}
BOUNDS: list[dict[str, Any]] = [{}, {"max_concurrency": 1}, {"max_concurrency": 2}, {"max_threads": 1}]
