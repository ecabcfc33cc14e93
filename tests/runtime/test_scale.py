"""Depth and width: thousands of generations, members and failures end in time that grows with their number only."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, parallel
from tests.runtime.parts import background, through

DEEP = 1500
WIDE = 3000


def nested(depth: int, at_the_bottom) -> Workflow:
    async def level(ctx, n) -> Any:
        if n == 0:
            return await at_the_bottom()
        return await ctx.call(step, n - 1)

    step: Task[Any, Any] = Task("level", level, inject_context=True)
    return Workflow("w", step(depth))


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 1}], ids=["free", "one slot"])
async def test_deep_calls_complete(options):
    """Thousands of parents that wait for one another complete, also with one slot."""
    assert await nested(DEEP, lambda: asyncio.sleep(0, "bottom")).run(**options) == "bottom"


async def test_deep_calls_fail():
    """A failure at the bottom comes out at the top as the same object, whatever the depth."""
    error = ValueError("bottom")

    async def bottom():
        raise error

    with pytest.raises(ValueError) as caught:
        await nested(DEEP, bottom).run()
    assert caught.value is error


async def calls_while(ending) -> int:
    """Count the calls of Python functions until something awaited has ended."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        await asyncio.wait([ending])
    finally:
        sys.setprofile(before)
    return count


async def cancel_at_depth(depth: int) -> int:
    reached = asyncio.Event()

    async def bottom():
        reached.set()
        await asyncio.Event().wait()

    async with background(nested(depth, bottom).run()) as waiter:
        await reached.wait()
        waiter.cancel()
        return await calls_while(waiter)


async def fail_at_width(width: int) -> int:
    async def bad():
        await asyncio.sleep(0)
        raise ValueError

    group = parallel(*(Task(f"t{n}", bad) for n in range(width)), policy="best_effort")
    async with background(Workflow("w", group).run()) as waiter:
        return await calls_while(waiter)


async def cancel_at_width(width: int) -> int:
    async def item(n):
        await asyncio.sleep(0 if n == width - 1 else 30)
        raise ValueError

    async def parent(ctx):
        await ctx.map(Task("item", item), range(width))

    async with background(Workflow("w", Task("t", parent, inject_context=True)).run()) as waiter:
        return await calls_while(waiter)


@pytest.mark.parametrize("measure", [cancel_at_depth, fail_at_width, cancel_at_width])
async def test_work_grows_with_the_number(measure):
    """Twice as many generations, failing members or cancelled items cost about twice as much work to end."""
    once, twice = await measure(100), await measure(200)
    assert twice < 3 * once, (once, twice)


@pytest.mark.near  # it would take a border ten seconds
async def test_deep_wishes_complete():
    """A task whose child wishes a child that wishes a child ... completes without exhausting the stack."""
    ended = []

    async def level(ctx, n) -> None:
        if n:
            ctx.next_task(step(n - 1))
        else:
            ended.append("bottom")

    step = Task("level", level, inject_context=True)
    await Workflow("w", step(DEEP * 4)).run()
    assert ended == ["bottom"]


@pytest.mark.parametrize("policy", ["best_effort", "strict", "first"])
async def test_a_wide_group_of_failures(policy):
    """Thousands of failing members are judged in one go."""

    async def bad():
        await asyncio.sleep(0)
        raise ValueError

    group = parallel(*(Task(f"t{n}", bad) for n in range(WIDE)), policy=policy)
    run = Workflow("w", group).start()
    if policy == "best_effort":
        assert await through(run) == {}
        assert len(run.failures) == WIDE
        return
    with pytest.raises(g.ParallelGroupError) as caught:
        await through(run)
    assert len(caught.value.exceptions) >= 1


async def test_a_wide_map_is_cancelled_by_a_failure():
    """One failure among thousands of waiting items cancels them all."""

    async def item(n):
        await asyncio.sleep(0.01 if n == WIDE - 1 else 30)
        raise ValueError(n)

    async def parent(ctx):
        await ctx.map(Task("item", item), range(WIDE))

    with pytest.raises(ValueError) as caught:
        await Workflow("w", Task("t", parent, inject_context=True)).run()
    assert caught.value.args == (WIDE - 1,)


async def test_a_wide_map_whose_items_all_fail():
    """Thousands of items that fail together end the map with the first failure."""

    async def item(n):
        await asyncio.sleep(0)
        raise ValueError(n)

    async def parent(ctx):
        await ctx.map(Task("item", item), range(WIDE))

    with pytest.raises(ValueError):
        await Workflow("w", Task("t", parent, inject_context=True)).run()


async def test_many_children_failing_one_by_one():
    """Thousands of caught failures of single children do not slow the run down."""

    async def bad():
        raise ValueError

    async def parent(ctx):
        child = Task("child", bad)
        caught = 0
        for _ in range(WIDE):
            try:
                await ctx.call(child)
            except ValueError:
                caught += 1
        return caught

    assert await Workflow("w", Task("t", parent, inject_context=True)).run() == WIDE
