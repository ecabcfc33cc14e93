"""Bodies that give the same wherever they run: each verb of a context, in an async and in a sync way."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest

from graflow_async import ChannelTypeError, LockTimeoutError, Task, Workflow, current_context, task, unmapped
from tests.far import parts
from tests.far.parts import Opaque, double, fails, triple


class Reading(TypedDict):
    """What a typed channel holds."""

    value: int


async def values(ctx):
    channel = ctx.channel
    await channel.set("a", 1)
    await channel.set("b", [1])
    return [
        await channel.get("a"),
        await channel.get("nothing", "default"),
        await channel.append("b", 2),
        await channel.prepend("b", 0),
        await channel.get("b"),
        await channel.atomic_add("n", 5),
        await channel.exists("a"),
        await channel.delete("a"),
        await channel.exists("a"),
        await channel.pop("b"),
        sorted(await channel.keys()),
        await ctx.get_channel("other").get("n"),
        await channel.clear(),
    ]


def values_sync(ctx):
    channel = ctx.channel
    channel.set("a", 1)
    channel.set("b", [1])
    return [
        channel.get("a"),
        channel.get("nothing", "default"),
        channel.append("b", 2),
        channel.prepend("b", 0),
        channel.get("b"),
        channel.atomic_add("n", 5),
        channel.exists("a"),
        channel.delete("a"),
        channel.exists("a"),
        channel.pop("b"),
        sorted(channel.keys()),
        ctx.get_channel("other").get("n"),
        channel.clear(),
    ]


async def updates(ctx):
    channel = ctx.channel
    await channel.set("n", 1)
    await channel.update("n", lambda n: n + 1)
    await channel.set("o", Opaque(1))
    await channel.update("o", lambda o: Opaque(o.number + 1))  # equal to no copy of itself
    return await channel.get("n"), (await channel.get("o")).number


def updates_sync(ctx):
    ctx.channel.set("n", 1)
    ctx.channel.update("n", lambda n: n + 1)
    ctx.channel.set("o", Opaque(1))
    ctx.channel.update("o", lambda o: Opaque(o.number + 1))
    return ctx.channel.get("n"), ctx.channel.get("o").number


async def locks(ctx):
    async with ctx.channel.lock("l") as first, ctx.channel.lock("l") as again:

        async def other():
            with pytest.raises(LockTimeoutError):
                async with ctx.channel.lock("l", timeout=0.01):
                    pass

        await asyncio.create_task(other())
        assert again == first
    async with ctx.channel.lock("l", timeout=60) as second:
        return second > first


def locks_sync(ctx):
    with ctx.channel.lock("l") as first, ctx.channel.lock("l") as again:
        assert again == first
    with ctx.channel.lock("l", timeout=60) as second:
        return second > first


async def watches(ctx):
    seen = []
    async with ctx.channel.watch() as changes:
        await ctx.channel.set("a", 1)
        await ctx.channel.delete("a")
        async for change in changes:
            seen.append((change.key, change.value, change.kind))
            if len(seen) == 2:
                break
    return seen


def watches_sync(ctx):
    seen = []
    with ctx.channel.watch() as changes:
        ctx.channel.set("a", 1)
        ctx.channel.delete("a")
        for change in changes:
            seen.append((change.key, change.value, change.kind))
            if len(seen) == 2:
                break
    return seen


async def waits(ctx):
    setting = asyncio.create_task(_set_up_to(ctx, 3))
    value = await ctx.channel.wait("n", lambda n: n >= 3, timeout=60)
    await setting
    with pytest.raises(TimeoutError):
        await ctx.channel.wait("never", timeout=0.01)
    return value


async def _set_up_to(ctx, last):
    for n in range(last + 1):
        await ctx.channel.set("n", n)


def waits_sync(ctx):
    ctx.channel.set("n", 3)
    with pytest.raises(TimeoutError):
        ctx.channel.wait("never", timeout=0.01)
    return ctx.channel.wait("n", lambda n: n >= 3, timeout=60)


async def typed(ctx):
    channel = ctx.get_typed_channel(Reading)
    await channel.set("r", {"value": 1})
    with pytest.raises(ChannelTypeError):
        await channel.set("r", {"value": "no"})
    return await channel.get("r")


def typed_sync(ctx):
    channel = ctx.get_typed_channel(Reading)
    channel.set("r", {"value": 1})
    with pytest.raises(ChannelTypeError):
        channel.set("r", {"value": "no"})
    return channel.get("r")


async def children(ctx):
    one, two = ctx.submit(double, 1), ctx.submit(triple, 1)
    ended = [handle async for handle in ctx.as_completed([one, two])]
    assert {id(handle) for handle in ended} == {id(one), id(two)}
    assert one.done()
    assert not one.cancelled()
    total = ctx.submit(add, one, two)
    return [
        await total,
        await ctx.call(double, 4),
        await ctx.map(double, range(4)),
        await ctx.map(add, [1, 2], unmapped(10), max_concurrency=1),
        await ctx.map(add, (n for n in range(3)), y=1),
        await ctx.map(double, _numbers(3)),
        await ctx.call(double(1) >> triple(2)),
        (await asyncio.gather(ctx.submit(fails, 1), return_exceptions=True))[0].code,
        [type(value) for value in await ctx.map(odd, range(3), return_exceptions=True)],
        await double(8),
        await ctx.call(double.map([5, 6])),
    ]


async def _numbers(count):
    for n in range(count):
        yield n


def children_sync(ctx):
    one, two = ctx.submit(double, 1), ctx.submit(triple, 1)
    assert {id(handle) for handle in ctx.as_completed([one, two])} == {id(one), id(two)}
    assert one.done()
    assert not one.cancelled()
    failing = ctx.submit(fails, 1)
    with pytest.raises(parts.OwnError):
        failing.result()
    return [
        ctx.submit(add, one, two).result(),
        ctx.call(double, 4),
        ctx.map(double, range(4)),
        ctx.map(add, [1, 2], unmapped(10), max_concurrency=1),
        ctx.map(add, (n for n in range(3)), y=1),
        ctx.call(double(1) >> triple(2)),
        [type(value) for value in ctx.map(odd, range(3), return_exceptions=True)],
    ]


@task
async def add(x, y):
    return x + y


@task
async def odd(n):
    if n % 2:
        raise ValueError(n)
    return n


async def runs(ctx):
    inner = Workflow("inner", Task("reads", _reads, inject_context=True))
    return [
        await ctx.run_workflow(inner, inputs={"x": 1}),
        await ctx.run_workflow(double(3)),
        await ctx.run_workflow(Workflow("two", double(1) >> triple(2)), start_node="triple_1"),
        await ctx.channel.get("x", "outside"),
    ]


def runs_sync(ctx):
    inner = Workflow("inner", Task("reads", _reads, inject_context=True))
    return [ctx.run_workflow(inner, inputs={"x": 1}), ctx.run_workflow(double(3)), ctx.channel.get("x", "outside")]


async def _reads(ctx, x):
    await ctx.channel.set("y", x + 1)
    return await ctx.channel.get("x"), await ctx.channel.get("y")


async def steps(ctx):
    first = await ctx.step("k", counted, 2)
    return first, await ctx.step("k", counted, 3), await ctx.step("s", counted_sync, 4)


async def counted(n):
    parts.count["step"] += 1
    return n


def counted_sync(n):
    return n


def steps_sync(ctx):
    first = ctx.step("k", counted, 2)
    return first, ctx.step("k", counted, 3), ctx.step("s", counted_sync, 4)


async def identity(ctx):
    await ctx.sleep(0)
    return [
        ctx.task_id,
        ctx.run_id,
        ctx.attempt,
        ctx.retry_count,
        ctx.cycle_count,
        ctx.max_cycles,
        ctx.can_iterate(),
        ctx.idempotency_key,
        ctx.graph.nodes,
        current_context() is ctx,
        ctx.is_cancelled,
        ctx.elapsed_time() < 60,
        ctx.local_data,
    ]


def identity_sync(ctx):
    ctx.sleep(0)
    return [
        ctx.task_id,
        ctx.run_id,
        ctx.attempt,
        ctx.cycle_count,
        ctx.idempotency_key,
        ctx.graph.nodes,
        current_context() is ctx,
        ctx.is_cancelled,
        ctx.elapsed_time() < 60,
    ]


BODIES = [
    *(values, values_sync, updates, updates_sync, locks, locks_sync, watches, watches_sync, waits, waits_sync),
    *(typed, typed_sync, children, children_sync, runs, runs_sync, steps, steps_sync, identity, identity_sync),
]
