"""Scenarios 25, 26, 27 and 45: handles to children, and who waits for whom."""

from __future__ import annotations

import asyncio
import threading

import pytest

from graflow_async import Task, Workflow, flow, task
from tests.imperative.parts import within
from tests.runtime.parts import Stay, through


async def test_25_a_handle_may_be_awaited_twice(style):
    """25: it gives the same object; the child starts without anybody waiting for it."""
    executed = []

    def make(x):
        executed.append(x)
        return [x]

    made = style.task(make)

    async def parent(ctx):
        handle = ctx.submit(made, 1)
        ended = asyncio.Event()
        handle.add_done_callback(lambda _: ended.set())
        await ended.wait()
        assert handle.done()
        assert executed == [1]
        assert await handle is await handle
        assert handle.result() is await handle
        return await handle

    assert await within(parent) == [1]
    assert executed == [1]


@pytest.mark.near  # it counts turns of the loop
async def test_25_a_child_starts_before_its_parent_goes_on():
    """25: it has begun before the parent's next turn on the loop ends."""
    began = []

    @task
    async def child():
        began.append("child")

    async def parent(ctx):
        handle = ctx.submit(child)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert began == ["child"]
        await handle

    await within(parent)


async def test_25_cancel_ends_one_child_only():
    """25: awaiting it raises CancelledError, its cleanup has run, siblings go on, the run completes."""
    stay, release = Stay(), asyncio.Event()

    @task
    async def sibling():
        await release.wait()
        return "sibling"

    async def parent(ctx):
        stuck, other = ctx.submit(Task("stay", stay)), ctx.submit(sibling)
        await stay.began.wait()
        assert stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert stay.cleaned
        assert (stuck.cancelled(), stuck.cancel(), other.cancelled(), other.done()) == (True, False, False, False)
        release.set()
        return await other

    async with Workflow("w", Task("parent", parent, inject_context=True)).start() as run:
        assert await run == "sibling"
    assert (run.status, dict(run.failures)) == ("completed", {})


async def test_26_handles_as_arguments(style):
    """26: the child runs after both, with their values, by position and by keyword."""
    double, pair = style.task(lambda x: x * 2), style.task(lambda a, b: (a, b))

    async def parent(ctx):
        return await ctx.submit(pair, ctx.submit(double, 1), b=ctx.submit(double, 2))

    def blocking(ctx):
        return ctx.submit(pair, ctx.submit(double, 1), ctx.submit(double, 2)).result()

    assert await within(parent) == (2, 4)
    assert await within(blocking) == (2, 4)


async def test_26_a_failed_handle_as_an_argument(style):
    """26: the child never runs and whoever awaits it gets that same exception, never None; a chain of them, too."""
    executed, error = [], ValueError("first")

    def fail():
        raise error

    failing, join = style.task(fail), style.task(lambda a, b=None: executed.append((a, b)))

    async def parent(ctx):
        joined = ctx.submit(join, ctx.submit(failing), 1)
        later = ctx.submit(join, 1, b=joined)
        for handle in (later, joined):
            with pytest.raises(ValueError, match="first") as caught:
                await handle
            assert caught.value is error
        return "went on"

    assert await within(parent) == "went on"
    assert executed == []


async def test_26_nobody_looks_into_a_list_for_handles():
    """26: a handle inside a list arrives as it is."""

    @task
    async def one():
        return 1

    @task
    async def take(handles):
        return handles[0]

    async def parent(ctx):
        handle = ctx.submit(one)
        assert await ctx.call(take, [handle]) is handle
        return await handle

    assert await within(parent) == 1


async def test_27_a_failure_that_nobody_awaited_fails_the_parent(style):
    """27: at the parent's end, with the child's own exception."""
    error, after = ValueError("unseen"), []

    def fail():
        raise error

    failing = style.task(fail)

    async def parent(ctx):
        ctx.submit(failing)
        return "value"

    run = Workflow("w", Task("parent", parent, inject_context=True) >> Task("after", lambda: after.append(1))).start()
    with pytest.raises(ValueError, match="unseen") as caught:
        await through(run)
    assert caught.value is error
    assert run.status == "failed"
    assert after == []


async def test_27_the_end_waits_for_children():
    """27: a parent that has returned is complete only when a child that nobody awaited is."""
    release, log = asyncio.Event(), []

    @task
    async def slow():
        await release.wait()
        log.append("child")

    @task(inject_context=True)
    async def parent(ctx):
        ctx.submit(slow)
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, release.set)
        log.append("parent")

    await Workflow("w", parent >> Task("after", lambda: log.append("after"))).run()
    assert log == ["parent", "child", "after"]


@pytest.mark.parametrize("wait", [False, True], ids=["submitted", "mapped"])
async def test_27_a_parent_that_raises_cancels_its_children(wait):
    """27: their cleanup has run before the parent's failure goes on."""
    stays = [Stay("one"), Stay("two")]

    @task
    async def stay(n):
        await stays[n]()

    async def parent(ctx):
        if wait:
            mapping = asyncio.ensure_future(ctx.map(stay, range(2)))
        else:
            mapping = None
            for n in range(2):
                ctx.submit(stay, n)
        for each in stays:
            await each.began.wait()
        try:
            raise KeyError("parent")
        finally:
            if mapping is not None:
                mapping.cancel()
                await asyncio.wait([mapping])

    with pytest.raises(KeyError, match="parent"):
        await within(parent)
    assert [each.cleaned for each in stays] == [True, True]


@pytest.mark.parametrize("how", ["asyncio.wait", "as_completed"])
async def test_45_the_first_wins(how):
    """45: of three submitted flows the first wins, the others are cancelled, not failed, and the run completes."""
    stays = [Stay("a"), Stay("b")]

    @flow
    async def quick(n):
        for stay in stays:
            await stay.began.wait()
        return n

    @flow
    async def slow(n):
        await stays[n]()

    async def parent(ctx):
        handles = [ctx.submit(slow, 0), ctx.submit(quick, 1), ctx.submit(slow, 1)]
        if how == "asyncio.wait":
            waits = [asyncio.ensure_future(handle) for handle in handles]
            done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            winner = done.pop().result()
            for wait in pending:
                wait.cancel()
            await asyncio.wait(pending)
        else:
            winner = await (await anext(ctx.as_completed(handles)))
            for handle in handles:
                handle.cancel()
            for handle in (handles[0], handles[2]):
                with pytest.raises(asyncio.CancelledError):
                    await handle
        return winner, [handle.cancelled() for handle in handles]

    async with Workflow("w", Task("parent", parent, inject_context=True)).start() as run:
        assert await run == (1, [True, False, True])
    assert (run.status, dict(run.failures)) == ("completed", {})
    assert all(stay.cleaned for stay in stays)


def test_45_the_first_wins_in_a_plain_task():
    """45: the same with blocking handles; the losers are told through their context."""
    told = threading.Event()

    @task(inject_context=True)
    def slow(ctx):
        while not ctx.is_cancelled:
            told.wait(0.001)

    @task(inject_context=True)
    def race(ctx):
        handles = [ctx.submit(slow), ctx.submit(Task("quick", lambda: "quick"))]
        winner = next(iter(ctx.as_completed(handles))).result()
        assert handles[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            handles[0].result()
        return winner, [handle.cancelled() for handle in handles]

    assert Workflow("w", race).execute() == ("quick", [True, False])
