"""Promises of SPEC for the imperative style that the library once did not keep."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import GraflowWorkflowCanceledError, Task, flow, task
from tests.imperative.parts import within

double = Task("double", lambda x: x * 2)
pair = Task("pair", lambda a, b=None: (a, b))


async def test_a_failing_item_is_heard_while_the_source_is_silent():
    """SPEC 2.4, 2.6: an item's failure ends the map though its async input gives nothing more: no hang on an error."""

    async def source():
        yield 1
        await asyncio.Event().wait()

    @task
    async def bad(n):
        raise ValueError(n)

    async def parent(ctx):
        await ctx.map(bad, source())

    with pytest.raises(ValueError):
        async with asyncio.timeout(60):
            await within(parent)


@pytest.mark.parametrize("how", ["submit keyword", "call position", "call keyword"])
async def test_blocking_handles_as_arguments(how):
    """SPEC 2.4: a future given as an argument is awaited first, also in plain tasks, by keyword, and by `ctx.call`."""

    def parent(ctx):
        handle = ctx.submit(double, 2)
        if how == "submit keyword":
            return ctx.submit(pair, 1, b=handle).result()
        return ctx.call(pair, 1, handle) if how == "call position" else ctx.call(pair, 1, b=handle)

    assert await within(parent) == (1, 4)


@pytest.mark.parametrize("how", ["submit", "map", "task.map"])
async def test_a_submitted_or_mapped_flow_is_a_child_run(how):
    """SPEC 1.1b, 10: its own channel, terminate and cancel, as when the flow is awaited or called."""

    @flow(inject_context=True)
    async def sub(ctx, n):
        await ctx.channel.set("inner", n)
        if n == 1:
            ctx.terminate_workflow(result=10)
        if n == 2:
            ctx.cancel_workflow("no")

    async def parent(ctx):
        async def run(n):
            if how == "submit":
                return await ctx.submit(sub, n)
            return (await (ctx.map(sub, [n]) if how == "map" else sub.map([n])))[0]

        assert await run(0) is None
        assert await ctx.channel.keys() == []
        assert await run(1) == 10
        with pytest.raises(GraflowWorkflowCanceledError):
            await run(2)
        return "parent"

    assert await within(parent) == "parent"


def test_a_plain_flow_maps_over_a_generator_of_calls():
    """SPEC 1.1b: in a plain flow a call gives its value, also in a generator expression handed to `.map`."""

    @flow
    def outer():
        return double.map(double(n) for n in range(3))

    assert outer() == [0, 4, 8]


async def test_a_generator_of_a_sync_task_stays_off_the_loop():
    """SPEC 2: a plain task's generator may block (read a file, call a verb) as the task may."""

    def parent(ctx):
        def values():
            for n in range(3):
                yield ctx.call(double, n)

        return ctx.map(double, values())

    assert await within(parent) == [0, 4, 8]


@pytest.mark.parametrize("wrong", [lambda x: x, double >> pair], ids=["function", "chain"])
async def test_what_cannot_be_mapped_is_a_type_error(wrong):
    """SPEC 1.2: anything not a task is a TypeError that says so, not an AttributeError of ours."""

    async def parent(ctx):
        await ctx.map(wrong, [1])

    with pytest.raises(TypeError):
        await within(parent)
