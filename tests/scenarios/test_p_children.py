"""Scenarios 177 to 186 as verbs of the context (group P), and SPEC 2.4: awaiting children."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from graflow_async import BindingError, TaskWrapper, flatten, task, unmapped, workflow


@task
async def double(x):
    await asyncio.sleep(0)
    return x * 2


@task
def sync_double(x):
    return x * 2


async def within(body, **options):
    """Run `body(ctx)` as the only task of a run."""
    wrapped = task("parent", inject_context=True)(body)
    with workflow("w") as wf:
        pass
    async with asyncio.timeout(60):
        return await wf.run(wrapped, **options)


@pytest.mark.parametrize("made", [double, sync_double])
@pytest.mark.parametrize("count", [0, 1, 10])
async def test_177_a_map_gives_one_result_for_each_element(count, made):
    """177, 182: in input order, in every spelling; nothing to map over gives []."""

    async def parent(ctx):
        xs = range(count)
        return [
            await ctx.map(made, xs),
            await made.map(xs),
            await ctx.map(made, (x for x in xs), max_concurrency=2),
            await ctx.map(made, afew(count)),
        ]

    assert await within(parent) == [[x * 2 for x in range(count)]] * 4


async def afew(count):
    for n in range(count):
        await asyncio.sleep(0)
        yield n


def test_177_a_map_in_a_sync_task():
    """177 with plain tasks: blocking, holding no slot of the only thread."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def parent(ctx):
            return ctx.map(sync_double, [1, 2, 3]), ctx.call(double, 4), ctx.submit(sync_double, 5).result()

    assert wf.execute(parent, max_threads=1) == ([2, 4, 6], 8, 10)


async def test_183_iterables_are_zipped_and_scalars_repeated():
    """183: pairs, repeated scalars, unmapped values, fixed keywords; unequal lengths start nothing."""
    called = []

    @task
    async def call(service, endpoint, extra=None):
        called.append(endpoint)
        return service, endpoint, extra

    async def parent(ctx):
        assert await ctx.map(call, ["a", "b"], [1, 2]) == [("a", 1, None), ("b", 2, None)]
        assert await ctx.map(call, 7, [1, 2], extra=3) == [(7, 1, 3), (7, 2, 3)]
        assert await call.map(unmapped([9]), [1, 2]) == [([9], 1, None), ([9], 2, None)]
        called.clear()
        with pytest.raises(BindingError):
            await ctx.map(call, ["a"], [1, 2])
        for wrong in ("text", b"bytes", {"a": 1}):
            with pytest.raises(BindingError):
                await ctx.map(call, wrong, [1, 2])
        with pytest.raises(BindingError):
            await ctx.map(call, 1, 2)
        assert called == []
        nested = await ctx.map(double, await ctx.map(double, [1, 2]))
        return flatten([nested, nested])

    assert await within(parent) == [4, 8, 4, 8]


@pytest.mark.near  # it counts turns of the loop
@pytest.mark.parametrize("bound", [1, 3])
async def test_a_map_bounds_itself_and_pulls_as_slots_free_up(bound):
    """SPEC 2.4: a generator is never read far ahead of what runs."""
    pulled = inside = most = ahead = done = 0

    def source():
        nonlocal pulled
        for n in range(20):
            pulled += 1
            yield n

    @task
    async def work(n):
        nonlocal inside, most, ahead, done
        inside += 1
        most = max(most, inside)
        ahead = max(ahead, pulled - done)
        await asyncio.sleep(0)
        inside -= 1
        done += 1
        return n

    async def parent(ctx):
        return await ctx.map(work, source(), max_concurrency=bound)

    assert await within(parent) == list(range(20))
    assert most == bound
    assert ahead <= bound + 1


async def test_a_failing_item_cancels_the_others():
    """SPEC 10: its own exception is raised, with a note naming the item; the others are cancelled and awaited."""
    log, error, waiting = [], ValueError("item broke"), asyncio.Event()

    @task
    async def work(n):
        if n == 1:
            await waiting.wait()
            raise error
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            log.append(n)

    async def parent(ctx):
        with pytest.raises(ValueError, match="item broke") as caught:
            await ctx.map(work, [0, 2, 1])
        assert caught.value is error
        assert sorted(log) == [0, 2]
        return "\n".join(caught.value.__notes__)

    assert "work" in await within(parent)


async def test_failures_may_stand_in_the_results():
    """SPEC 2.4: `return_exceptions=True` puts them in place and the run goes on."""

    @task
    async def work(n):
        if n == 1:
            raise ValueError(n)
        return n

    async def parent(ctx):
        return await ctx.map(work, [0, 1, 2], return_exceptions=True)

    zero, error, two = await within(parent)
    assert (zero, two) == (0, 2)
    assert isinstance(error, ValueError)


async def test_a_mapped_node_maps_over_what_arrives():
    """SPEC 1.2: `discover >> analyse.map() >> summarise`; with options; the node's result is the list."""
    with workflow("w") as wf:

        @task
        def discover():
            return [1, 2, 3]

        @task
        async def analyse(x, factor=1):
            return x * factor

        @task
        def summarise(found):
            return sum(found)

        discover >> analyse.map(factor=10).with_execution(max_concurrency=2) >> summarise
    assert await wf.run() == 60
    assert wf.get_result("analyse") == [10, 20, 30]


@pytest.mark.parametrize("limits", [{"max_concurrency": 1}, {"max_threads": 1}, {"limits": {"one": 1}}])
async def test_nested_fan_out_cannot_deadlock(limits):
    """SPEC 2.4: a waiting parent gives its slots back, whatever the limits are."""
    options: dict[str, Any] = {"limits": ["one"]} if "limits" in limits else {}

    @task(**options)
    def leaf(x):
        return x

    @task(inject_context=True, **options)
    def sync_middle(ctx, x):
        return sum(ctx.map(leaf, [x, x]))

    @task(inject_context=True, **options)
    async def middle(ctx, x):
        return sum(await ctx.map(sync_middle, [x, x])) + await ctx.call(leaf, 1)

    async def parent(ctx):
        return await ctx.map(middle, [1, 2, 3])

    assert await within(parent, **limits) == [5, 9, 13]


async def test_handles_tell_and_cancel():
    """SPEC 2.4: `submit` gives a handle; done, result, cancel; as_completed goes by the order of the ends."""
    release = asyncio.Event()

    @task
    async def waits(x):
        await release.wait()
        return x

    @task
    async def never():
        await asyncio.Event().wait()

    async def parent(ctx):
        slow, quick, stuck = ctx.submit(waits, 1), ctx.submit(double, 1), ctx.submit(never)
        assert not slow.done()
        order = []
        async for done in ctx.as_completed([slow, quick]):
            order.append(await done)
            release.set()
        assert slow.done()
        assert slow.result() == 1
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        return order

    assert await within(parent) == [2, 1]


def test_handles_in_a_sync_task():
    """SPEC 2.4: the same names, blocking."""
    release = threading.Event()

    @task
    def waits(x):
        release.wait(timeout=60)
        return x

    with workflow("w") as wf:

        @task(inject_context=True)
        def parent(ctx):
            slow, quick = ctx.submit(waits, 1), ctx.submit(sync_double, 1)
            order = []
            for done in ctx.as_completed([slow, quick]):
                order.append(done.result())
                release.set()
            return order

    assert wf.execute(parent) == [2, 1]


async def test_a_handle_as_an_argument_is_awaited_first():
    """SPEC 2.4: if it failed, the child does not run and its awaiter gets that same exception."""
    ran, error = [], ValueError("first")

    @task
    async def fails():
        raise error

    @task
    async def adds(a, b=0):
        ran.append((a, b))
        return a + b

    async def parent(ctx):
        assert await ctx.call(adds, ctx.submit(double, 2), b=ctx.submit(double, 3)) == 10
        with pytest.raises(ValueError, match="first") as caught:
            await ctx.call(adds, ctx.submit(fails))
        assert caught.value is error
        return ran

    assert await within(parent) == [(4, 6)]


async def test_an_unawaited_child_is_awaited_at_the_end():
    """SPEC 2.4: and fails its parent's attempt there if it fails."""
    ended, attempts = [], []

    @task
    async def slow():
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append(1)

    @task
    async def fails():
        raise ValueError("nobody looked")

    @task(inject_context=True, max_retries=1)
    async def parent(ctx):
        attempts.append(ctx.attempt)
        ctx.submit(slow)
        if ctx.attempt == 1:
            ctx.submit(fails)
        return "ok"

    after = TaskWrapper("after", lambda: len(ended))
    with workflow("w") as wf:
        parent >> after
    assert await wf.run() in (1, 2)
    assert attempts == [1, 2]


async def test_a_caught_failure_of_a_child_is_no_failure():
    """SPEC 10: failures that the parent caught are not in `run.failures`."""

    @task
    async def fails():
        raise ValueError("caught")

    with workflow("w") as wf:

        @task
        async def parent():
            with pytest.raises(ValueError, match="caught"):
                await fails()
            return "ok"

    async with wf.start(parent) as run:
        assert await run == "ok"
    assert run.failures == {}


async def test_awaiting_one_bound_task_twice_makes_two_children():
    """SPEC 10."""
    ran = []

    @task
    async def note(x):
        ran.append(x)
        return len(ran)

    async def parent(ctx):
        bound = note(7)
        return await bound, await bound

    assert await within(parent) == (1, 2)
    assert ran == [7, 7]


async def test_a_step_is_called_once_for_each_key():
    """SPEC 2.4 and 10: the recorded value comes back, also in a retried attempt."""
    called = []

    def plain(x):
        called.append(x)
        return x

    async def coroutine(x):
        called.append(x)
        return x

    @task(inject_context=True, max_retries=1)
    async def parent(ctx):
        one = await ctx.step("one", plain, 1), await ctx.step("one", plain, 2)
        two = await ctx.step("two", coroutine, 3)
        if ctx.attempt == 1:
            raise ValueError("again")
        return one, two

    with workflow("w") as wf:
        assert await wf.run(parent) == ((1, 1), 3)
    assert called == [1, 3]


async def test_a_child_run_has_results_and_channel_of_its_own():
    """SPEC 2.4 and 10: inputs land in its channel; a failure raises in the parent, which may catch it."""
    with workflow("inner") as inner:

        @task(inject_context=True)
        async def work(ctx, x):
            await ctx.channel.set("k", "inner")
            if x < 0:
                raise ValueError("inner broke")
            return x + 1

    async def parent(ctx):
        await ctx.channel.set("k", "outer")
        value = await ctx.run_workflow(inner, inputs={"x": 1})
        with pytest.raises(ValueError, match="inner broke"):
            await ctx.run_workflow(inner, inputs={"x": -1})
        return value, await ctx.channel.get("k"), await ctx.get_result("work", "not here")

    assert await within(parent) == (2, "outer", "not here")
