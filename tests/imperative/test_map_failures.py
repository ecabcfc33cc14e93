"""Scenarios 15 to 19: what a map does when items fail, are tried again, or take too long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from graflow_async import RetryPolicy, Task, TaskCompleted, TaskTimeoutError, Workflow, flow, task
from graflow_async.testing import FakeClock
from tests.aids.simloop import run_sim
from tests.imperative.parts import within
from tests.runtime.parts import SEEDS, Crowd, through

MANY = 10_000


@pytest.mark.parametrize("seed", SEEDS)
def test_15_one_of_a_thousand_fails(seed):
    """15: the very exception is raised, its note names the item; the rest is cancelled and nothing starts later."""

    async def main():
        crowd, cleaned, error = Crowd(), [], ValueError("item 500 broke")

        @task
        async def item(n):
            with crowd:
                try:
                    await asyncio.sleep(0.01)
                    if n == 500:
                        raise error
                except asyncio.CancelledError:
                    await asyncio.sleep(0)
                    cleaned.append(n)
                    raise

        async def parent(ctx):
            with pytest.raises(ValueError, match="item 500 broke") as caught:
                await ctx.map(item, range(1000), max_concurrency=50)
            assert caught.value is error
            notes = "\n".join(error.__notes__)
            assert "'item'" in notes
            assert "item 500" in notes
            assert crowd.now == 0
            total = crowd.total
            assert 501 <= total <= 600
            await asyncio.sleep(10)
            return crowd.total - total

        assert await within(parent) == 0
        assert len(cleaned) <= 50

    run_sim(main, seed)


def failing(style, at, error):
    executed = []

    def item(n):
        executed.append(n)
        if n == at:
            raise error
        return n

    return style.task(item), executed


@pytest.mark.parametrize("bound", [None, 50])
async def test_16_failures_may_stand_in_the_results(bound, style):
    """16: of ten thousand items one fails; its exception is in its place and all the others have run."""
    error = ValueError("broke")
    item, executed = failing(style, 5000, error)

    async def parent(ctx):
        return await ctx.map(item, range(MANY), max_concurrency=bound, return_exceptions=True)

    async with Workflow("w", Task("parent", parent, inject_context=True)).start() as run:
        results = await run
    assert results[5000] is error
    assert results[:5000] + results[5001:] == [n for n in range(MANY) if n != 5000]
    assert sorted(executed) == list(range(MANY))
    assert (run.status, dict(run.failures)) == ("completed", {})


@pytest.mark.parametrize("bound", [None, 50])
async def test_15_one_of_ten_thousand_fails(bound, style):
    """15: without `return_exceptions` the same failure ends the map, and uncaught the run, with the same object."""
    error = ValueError("broke")
    item, executed = failing(style, 5000, error)

    async def parent(ctx):
        await ctx.map(item, range(MANY), max_concurrency=bound)

    run = Workflow("w", Task("parent", parent, inject_context=True)).start()
    with pytest.raises(ValueError, match="broke") as caught:
        await through(run)
    assert caught.value is error
    assert run.status == "failed"
    assert len(executed) == len(set(executed))
    if bound is not None:
        assert len(executed) <= 5000 + 2 * bound
        assert set(executed) >= set(range(5000 - bound))


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_15_one_of_ten_thousand_cancels_the_rest(seed):
    """15: while all the others are under way: each is cancelled and awaited, and the note names the item."""

    async def main():
        error, completed, cancelled = ValueError("broke"), [], []

        @task
        async def item(n):
            try:
                await asyncio.sleep(1 if n == 5000 else 2 + n / MANY)
            except asyncio.CancelledError:
                await asyncio.sleep(3)
                cancelled.append(n)
                raise
            if n == 5000:
                raise error
            completed.append(n)

        async def parent(ctx):
            with pytest.raises(ValueError, match="broke") as caught:
                await ctx.map(item, range(MANY))
            assert caught.value is error
            assert sorted(cancelled) == [n for n in range(MANY) if n != 5000]
            assert [line for line in error.__notes__ if "item 5000 of the map over 'item'" in line] != []
            await asyncio.sleep(100)
            return completed

        assert await within(parent) == []

    run_sim(main, seed)


def test_15_in_a_plain_flow():
    """15, 16: the same words, blocking."""
    error = ValueError("broke")

    @task
    def item(n):
        if n == 5:
            raise error
        return n

    @task(inject_context=True)
    def tolerant(ctx):
        return ctx.map(item, range(10), return_exceptions=True)

    @flow
    def tolerated():
        return tolerant()

    @flow
    def untold():
        return item.map(range(10))

    assert tolerated() == [0, 1, 2, 3, 4, error, 6, 7, 8, 9]
    with pytest.raises(ValueError, match="broke") as caught:
        untold()
    assert caught.value is error


@pytest.mark.parametrize("seed", SEEDS)
def test_17_the_first_in_time_is_raised(seed, capfd, caplog):
    """17: others that fail while they are being cancelled are kept in `run.failures`; nothing is logged or printed."""

    async def main():
        @task
        async def item(n):
            try:
                await asyncio.sleep(0.1 if n == 11 else 5)
            except asyncio.CancelledError:
                if n in {3, 7}:
                    raise OSError(n) from None
                raise
            raise KeyError(n)

        async def parent(ctx):
            with pytest.raises(KeyError) as caught:
                await ctx.map(item, range(20))
            return caught.value.args

        async with Workflow("w", Task("parent", parent, inject_context=True)).start() as run:
            assert await run == (11,)
        assert {task_id: error.args for task_id, error in run.failures.items()} == {"item_4": (3,), "item_8": (7,)}

    run_sim(main, seed)
    assert capfd.readouterr().err == ""
    assert caplog.text == ""


async def test_17_items_that_fail_together():
    """17: three plain items fail at once; one of them is raised, and each that was heard of is accounted for."""
    barrier = threading.Barrier(3)

    @task
    def item(n):
        if n in {3, 7, 11}:
            barrier.wait(timeout=60)
            raise KeyError(n)

    with pytest.raises(KeyError) as caught:
        await item.map(range(20))
    assert caught.value.args[0] in {3, 7, 11}


async def test_18_items_are_tried_again(style):
    """18: every third item fails once; all succeed, each failure costs one execution more, the order stays."""
    executed = []

    def item(ctx, n):
        executed.append(n)
        if n % 3 == 0 and ctx.attempt == 1:
            raise OSError(n)
        return n

    again = style.task(item, inject_context=True, max_retries=1)
    assert await again.map(range(30)) == list(range(30))
    assert sorted(executed) == sorted([*range(30), *range(0, 30, 3)])


async def test_18_only_the_last_attempt_counts(style):
    """18: an item fails its map after its last attempt, and with what that attempt raised."""
    executed = []

    def item(ctx, n):
        executed.append(n)
        if n == 1:
            raise OSError(ctx.attempt)

    again = style.task(item, inject_context=True, retry_policy=RetryPolicy(2, initial_interval=0.0))
    with pytest.raises(OSError) as caught:
        await again.map(range(2))
    assert caught.value.args == (3,)
    assert executed.count(1) == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_19_an_item_past_its_time(seed):
    """19: item 2 of 5 exceeds its timeout: TimeoutError at that time, and its `finally` ran before."""

    async def main():
        loop, cleaned = asyncio.get_running_loop(), []

        @task(timeout=0.1)
        async def item(n):
            try:
                await asyncio.sleep(60 if n == 2 else 0)
            finally:
                cleaned.append(n)

        async def parent(ctx):
            with pytest.raises(TimeoutError) as caught:
                await ctx.map(item, range(5))
            assert isinstance(caught.value, TaskTimeoutError)
            assert loop.time() == pytest.approx(0.1)

        await within(parent)
        assert sorted(cleaned) == list(range(5))

    run_sim(main, seed)


@pytest.mark.near  # the clock that is moved is the run's
async def test_19_a_sync_item_past_its_time(caplog):
    """19: the attempt of a plain item fails while its function still holds its thread; the loop is free meanwhile."""
    let_go, ended, loop = threading.Event(), threading.Event(), asyncio.get_running_loop()
    began, others, clock = asyncio.Event(), asyncio.Semaphore(0), FakeClock()

    @task(timeout=60)
    def item(n):
        if n == 2:
            loop.call_soon_threadsafe(began.set)
            let_go.wait(timeout=60)
            ended.set()
        return n

    async def parent(ctx):
        results = await ctx.map(item, range(5), return_exceptions=True)
        assert not ended.is_set()
        return results

    def listen(event):
        if isinstance(event, TaskCompleted):
            others.release()

    try:
        async with Workflow("w", Task("parent", parent, inject_context=True)).start(
            clock=clock, listeners=[listen]
        ) as run:
            await began.wait()
            for _ in range(4):
                await others.acquire()
            await clock.advance(60)
            results = await run
    finally:
        let_go.set()
        await asyncio.to_thread(ended.wait, 60)
    assert isinstance(results[2], TaskTimeoutError)
    assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 3, 4]
    assert "'item" in caplog.text
