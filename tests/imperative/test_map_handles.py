"""Handles among the arguments of a map: awaited before the item that takes them runs (SPEC 2.4, scenario 26)."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import Task, flow, task, unmapped
from tests.aids.simloop import run_sim
from tests.imperative.parts import within
from tests.runtime.parts import SEEDS


class BoomError(Exception):
    """What a child fails with."""


def parts(style):
    """Give three tasks, one of which always fails, and what the last of them was called with."""
    called, error = [], BoomError("first")

    def double(x):
        return x * 2

    def fail():
        raise error

    def pair(a, b=None):
        called.append((a, b))
        return a, b

    return style.task(double), style.task(fail), style.task(pair), called, error


async def test_items_that_are_handles(style):
    """26: each is awaited before its item runs; items, zipped ones and elements of any iterable alike."""
    double, _, pair, _, _ = parts(style)

    async def parent(ctx):
        def handles():
            return [ctx.submit(double, n) for n in range(3)]

        async def slowly():
            for handle in handles():
                yield handle

        return [
            await ctx.map(pair, handles()),
            await ctx.map(pair, (handle for handle in handles())),
            await ctx.map(pair, slowly()),
            await ctx.map(pair, [5, *handles(), None], max_concurrency=1),
            await ctx.map(pair, handles(), handles(), max_concurrency=2),
            await pair.map(handles(), b=1),
        ]

    plain = [(0, None), (2, None), (4, None)]
    zipped, fixed = [(0, 0), (2, 2), (4, 4)], [(0, 1), (2, 1), (4, 1)]
    assert await within(parent) == [plain] * 3 + [[(5, None), *plain, (None, None)], zipped, fixed]


async def test_handles_that_are_the_same_for_all_items(style):
    """26: as keyword, unmapped, as a scalar by position and bound before: awaited once, the value goes to all."""
    double, _, pair, _, _ = parts(style)

    async def parent(ctx):
        handle = ctx.submit(double, 5)
        return [
            await ctx.map(pair, [1, 2], b=handle),
            await ctx.map(pair, [1, 2], unmapped(handle)),
            await ctx.map(pair, [1, 2], handle),
            await ctx.map(pair(handle), [1, 2]),
            await pair(b=handle).map([1, 2]),
            await ctx.map(pair, [ctx.submit(double, 1), 7], b=ctx.submit(double, 2)),
            await ctx.map(pair, [], b=handle),
        ]

    after = [(1, 10), (2, 10)]
    assert await within(parent) == [after, after, after, [(10, 1), (10, 2)], after, [(2, 4), (7, 4)], []]


async def test_blocking_handles_in_a_map(style):
    """26: the handles of plain tasks mean the same, in lists, in generators, as keywords and bound."""
    double, _, pair, _, _ = parts(style)

    def parent(ctx):
        def handles():
            return [ctx.submit(double, n) for n in range(3)]

        return [
            ctx.map(pair, handles()),
            ctx.map(pair, (handle for handle in handles())),
            ctx.map(pair, [1, 2], b=ctx.submit(double, 5)),
            ctx.map(pair, [1, 2], unmapped(ctx.submit(double, 5))),
            ctx.call(pair.map(handles(), handles())),
            ctx.call(pair(ctx.submit(double, 5)).map([1, 2])),
        ]

    plain, after = [(0, None), (2, None), (4, None)], [(1, 10), (2, 10)]
    assert await within(parent) == [plain, plain, after, after, [(0, 0), (2, 2), (4, 4)], [(10, 1), (10, 2)]]


@pytest.mark.parametrize("where", ["item", "keyword", "unmapped"])
async def test_a_failed_handle_in_a_map(where, style):
    """26: its item does not run and fails with that same exception; as a constant it fails all items so."""
    _, fail, pair, called, error = parts(style)

    def arguments(ctx):
        handle = ctx.submit(fail)
        if where == "item":
            return ([1, handle, 3],), {}
        return (([1, 2, 3],), {"b": handle}) if where == "keyword" else (([1, 2, 3], unmapped(handle)), {})

    async def tolerant(ctx):
        iterables, fixed = arguments(ctx)
        return await ctx.map(pair, *iterables, return_exceptions=True, **fixed)

    async def strict(ctx):
        iterables, fixed = arguments(ctx)
        with pytest.raises(BoomError) as caught:
            await ctx.map(pair, *iterables, max_concurrency=1, **fixed)
        assert caught.value is error
        assert any("item 1" in n if where == "item" else "item 0" in n for n in error.__notes__)
        return "went on"

    results = await within(tolerant)
    expected = [(1, None), error, (3, None)] if where == "item" else [error] * 3
    assert results == expected
    assert results[1] is error
    assert await within(strict) == "went on"
    assert {a for a, _ in called} <= ({1, 3} if where == "item" else set())


async def test_a_failed_handle_that_no_item_takes():
    """27: a map over nothing awaits no item, so a constant that failed is a failure nobody looked at."""

    @task
    async def fail():
        raise BoomError("unseen")

    @task
    async def item(x, b):
        return x, b

    async def parent(ctx):
        return await ctx.map(item, [], b=ctx.submit(fail))

    with pytest.raises(BoomError, match="unseen"):
        await within(parent)


@pytest.mark.parametrize("seed", SEEDS)
def test_items_wait_for_their_own_handles_only(seed):
    """26: no barrier: an item whose handle is there runs while another's is still open; order stays that of input."""

    async def main():
        loop, ended = asyncio.get_running_loop(), {}

        @task
        async def stage(n):
            await asyncio.sleep(10 - n)
            return n

        @task
        async def item(n):
            ended[n] = loop.time()
            return n

        async def parent(ctx):
            return await ctx.map(item, [ctx.submit(stage, n) for n in range(5)])

        assert await within(parent) == list(range(5))
        assert ended == {n: 10 - n for n in range(5)}

    run_sim(main, seed)


@pytest.mark.parametrize("options", [{"max_concurrency": 1}, {"max_threads": 1}, {"limits": {"one": 1}}])
async def test_waiting_items_hold_no_slots(options, style):
    """SPEC 2.4: items that wait for handles cannot keep the handles' own children from running."""
    named = {"limits": ["one"]} if "limits" in options else {}

    def stage(n):
        return n

    def item(n, b):
        return n + b

    first, second = style.task(stage, **named), style.task(item, **named)

    async def parent(ctx):
        return await ctx.map(second, [ctx.submit(first, n) for n in range(20)], b=ctx.submit(first, 100))

    assert await within(parent, **options) == [100 + n for n in range(20)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_map_that_waits_for_a_handle_can_be_cancelled(seed):
    """SPEC 2.6: before its first item and while items wait; nothing is left behind, no item runs."""

    async def main():
        executed = []

        @task
        async def slow():
            await asyncio.sleep(100)

        @task
        async def item(x, b=None):
            executed.append((x, b))

        async def parent(ctx):
            handle = ctx.submit(slow)
            for arguments, fixed in (([1, 2],), {"b": handle}), (([handle, handle],), {}):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await ctx.map(item, *arguments, **fixed)
            assert not handle.done()
            handle.cancel()
            return executed

        assert await within(parent) == []

    run_sim(main, seed)


async def test_handles_given_to_flows():
    """1.1b, 2.4: a flow is a child like any other: called, submitted, mapped or run, it gets the handle's value."""
    error = BoomError("first")

    @task
    async def double(x):
        return x * 2

    @task
    async def fail():
        raise error

    entered = []

    @flow
    async def sub(a, b=None):
        entered.append(a)
        return a, b

    async def parent(ctx):
        handle = ctx.submit(double, 2)
        values = [
            await sub(handle),
            await ctx.call(sub, 1, b=handle),
            await ctx.submit(sub, handle),
            await ctx.run_workflow(sub(handle, b=handle)),
            *await ctx.map(sub, [handle, 1], b=handle),
        ]
        count = len(entered)
        failed = ctx.submit(fail)
        for awaitable in (sub(failed), ctx.submit(sub, b=failed, a=1), ctx.map(sub, [failed])):
            with pytest.raises(BoomError) as caught:
                await awaitable
            assert caught.value is error
        assert len(entered) == count
        return values

    assert await within(parent) == [(4, None), (1, 4), (4, None), (4, 4), (4, 4), (1, 4)]


async def test_nobody_looks_into_lists_of_items():
    """26: a handle inside an element arrives as it is."""

    @task
    async def one():
        return 1

    @task
    async def take(handles):
        return handles[0]

    async def parent(ctx):
        handle = ctx.submit(one)
        assert await ctx.map(take, [[handle], (handle,)]) == [handle, handle]
        return await handle

    assert await within(parent) == 1


async def test_ids_of_items_count_on_through_handles():
    """SPEC 10: items of a map are `<id>_1`, `<id>_2`, ... in input order, with handles among them or without."""

    async def name(ctx, x):
        return ctx.task_id, x

    item, one = Task("item", name, inject_context=True), Task("one", lambda: 1)

    async def parent(ctx):
        first = await ctx.map(item, [5, ctx.submit(one), 7])
        return first + await ctx.map(item, [8])

    assert await within(parent) == [("item_1", 5), ("item_2", 1), ("item_3", 7), ("item_4", 8)]
