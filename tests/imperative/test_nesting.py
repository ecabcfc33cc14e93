"""Scenarios 23, 42 and 43: nested maps under every limit, child runs inside child runs, and what stays inside them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from graflow_async import (
    GraflowWorkflowCanceledError,
    Task,
    TaskTimeoutError,
    Workflow,
    chain,
    current_context,
    flow,
    parallel,
    task,
)
from tests.aids.simloop import run_sim
from tests.imperative.parts import within
from tests.runtime.parts import SEEDS, Crowd, Stay, cancel_when, now, through

LIMITS = [{"max_concurrency": 1}, {"max_threads": 1}, {"max_concurrency": 1, "max_threads": 1}, {"limits": {"one": 1}}]


def nest(kinds, crowd, options):
    """Make tasks that map over two children each, one level for each kind, counting leaves inside at once."""
    lock = threading.Lock()

    def count(n):
        with lock:
            crowd.__enter__()
        with lock:
            crowd.__exit__()
        return n

    made = Task("leaf", count, **options)
    for level, kind in enumerate(kinds):

        def level_body(ctx, n, below=made):
            return sum(ctx.map(below, [n, n + 1]))

        async def async_level_body(ctx, n, below=made):
            return sum(await ctx.map(below, [n, n + 1], max_concurrency=1 if n % 2 else None))

        body = async_level_body if kind == "async" else level_body
        made = Task(f"level{level}", body, inject_context=True, **options)
    return made


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize(
    "kinds", [["sync"] * 5, ["async"] * 5, ["async", "sync"] * 3], ids=["sync", "async", "alternating"]
)
async def test_23_nested_maps_complete_under_any_limit(kinds, limits):
    """23: depth 5 with one slot, one thread, or one place in a named limit: a waiting parent holds nothing."""
    crowd = Crowd()
    top = nest(kinds, crowd, {"limits": ["one"]} if "limits" in limits else {})
    async with asyncio.timeout(60):
        total = await within(lambda ctx: ctx.map(top, [1, 2, 3]), **limits)
    leaves = 2 ** len(kinds)
    assert total == [leaves * n + leaves * len(kinds) // 2 for n in (1, 2, 3)]
    assert crowd.total == 3 * leaves
    assert crowd.most == 1


async def test_23_more_sync_parents_than_threads():
    """23: two threads, four plain parents that map two plain children each; never more than two bodies in threads."""
    seen = set()

    @task
    def child(n):
        seen.add(threading.get_ident())
        return n

    @task(inject_context=True)
    def parent(ctx, n):
        return sum(ctx.map(child, [n, n])) + ctx.submit(child, n).result() + ctx.call(child, n)

    async with asyncio.timeout(60):
        assert await within(lambda ctx: ctx.map(parent, range(4)), max_threads=2) == [0, 4, 8, 12]
    assert threading.get_ident() not in seen


@pytest.mark.parametrize("seed", SEEDS)
def test_23_three_times_three_under_one_slot(seed):
    """23: async parents and children share one slot: one body at a time, and all nine get theirs."""

    async def main():
        crowd = Crowd()

        @task
        async def child(n):
            with crowd:
                await asyncio.sleep(1)
            return n

        @task(inject_context=True)
        async def middle(ctx, n):
            return sum(await ctx.map(child, [n] * 3))

        async def parent(ctx):
            return await ctx.map(middle, range(3))

        assert await within(parent, max_concurrency=1) == [0, 3, 6]
        assert (crowd.most, crowd.total) == (1, 9)
        assert now() == 9

    run_sim(main, seed)


async def test_42_what_a_child_run_writes_stays_inside():
    """42: its channel and its results are its own; inputs arrive by name; the parent's channel is not seen."""

    @task(inject_context=True)
    async def inner(ctx, given):
        assert await ctx.channel.get("outer") is None
        await ctx.channel.set("inner", given)
        await ctx.get_channel("other").set("inner", given)
        return given, await ctx.channel.get("inner")

    async def parent(ctx):
        await ctx.channel.set("outer", 1)
        values = [
            await ctx.run_workflow(Workflow("child", inner), inputs={"given": 5}),
            await ctx.run_workflow(inner, inputs={"given": 6}),
            await flow(inject_context=True)(inner.func)(given=7),
        ]
        assert [await ctx.channel.keys(), await ctx.get_channel("other").keys()] == [["outer"], []]
        assert await ctx.get_result("inner") is None
        return values

    assert await within(parent) == [(n, n) for n in (5, 6, 7)]


@pytest.mark.near  # a coroutine elsewhere has to ask for results
async def test_42_results_of_a_child_run_stay_inside():
    """42: the parent's results do not have what its child run gave."""

    async def parent(ctx):
        await ctx.run_workflow(Workflow("child", task(id="inner")(lambda: 1)))
        assert "inner" not in ctx.results
        return "seen"

    assert await within(parent) == "seen"


async def test_42_child_runs_side_by_side_do_not_see_each_other():
    """42: twenty runs of one workflow at once: same ids, same keys, twenty different values."""

    @task(inject_context=True)
    async def write(ctx, n):
        await ctx.channel.set("value", n)
        await asyncio.sleep(0)

    @task(inject_context=True)
    async def read(ctx):
        await asyncio.sleep(0)
        return await ctx.channel.get("value")

    wf = Workflow("child", write >> read)

    async def parent(ctx):
        return await asyncio.gather(*(ctx.run_workflow(wf, inputs={"n": n}) for n in range(20)))

    assert await within(parent) == list(range(20))


def descend(depth, bottom):
    """Make a flow that awaits a flow, `depth` child runs deep."""

    @flow
    async def level(n):
        if n == 0:
            return await bottom()
        return 1 + await level(n - 1)

    return level(depth)


async def test_42_fifty_child_runs_deep():
    """42: the value comes up through fifty levels, each with its own channel, also with one slot."""
    keys = []

    async def bottom():
        keys.append(await current_context().channel.keys())
        return 0

    @flow
    async def level(n):
        ctx = current_context()
        await ctx.channel.set(f"level{n}", n)
        value = 1 + await level(n - 1) if n else await bottom()
        keys.append(await ctx.channel.keys())
        return value

    assert await Workflow("deep", level(50)).run(max_concurrency=1) == 50
    assert keys[0] == ["level0"]
    assert keys[1:] == [[f"level{n}"] for n in range(51)]


def test_42_fifty_plain_flows_deep():
    """42: the same with plain `def` flows, of which each waits in a thread but holds no place among the two allowed."""
    seen = []

    @flow
    def level(n):
        seen.append(n)
        return 1 + level(n - 1) if n else 0

    assert Workflow("deep", level).execute(inputs={"n": 50}, max_threads=2) == 50  # pyright: ignore[reportArgumentType]
    assert seen == list(range(50, -1, -1))


async def test_42_a_failure_comes_up_through_fifty_child_runs():
    """42, 40: as the same object, and everything on the way has ended."""
    error = ValueError("bottom")

    async def bottom():
        raise error

    with pytest.raises(ValueError, match="bottom") as caught:
        await descend(50, bottom)
    assert caught.value is error


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_42_cancellation_and_deadline_reach_the_deepest_child_run(how, seed):
    """42: cancelling the run, or the timeout of a task at the top, ends what runs fifty levels below, cleaned up."""

    async def main():
        stay = Stay()

        @task(timeout=None if how == "cancel" else 5)
        async def top():
            return await descend(50, stay)

        run = Workflow("w", top).start()
        if how == "cancel":
            with pytest.raises(GraflowWorkflowCanceledError, match="enough"):
                await cancel_when(run, stay.began, reason="enough")
        else:
            with pytest.raises(TaskTimeoutError):
                await through(run)
            assert now() == 5
        assert stay.began.is_set()
        assert stay.cleaned
        assert run.status == ("cancelled" if how == "cancel" else "failed")

    run_sim(main, seed)


async def test_43_flows_graphs_and_maps_mix():
    """43: a flow runs a graph, a node of that graph awaits a flow, which maps; values come back through all three."""
    double = Task("double", lambda x: x * 2)

    @flow
    async def mapping(xs):
        return await double.map(xs)

    @task
    def numbers(count):
        return list(range(count))

    @task
    async def node(numbers):
        return await mapping(numbers)

    @task
    def total(node):
        return sum(node)

    @task
    def most(node):
        return max(node)

    graph = Workflow("graph", numbers >> node >> parallel(total, most))

    @flow
    async def outer(counts):
        ctx = current_context()
        return [await ctx.run_workflow(graph, inputs={"count": count}) for count in counts]

    assert await outer([3, 5]) == [{"total": 6, "most": 4}, {"total": 20, "most": 8}]


def test_43_plain_flows_run_graphs():
    """43: the same from a plain flow, blocking."""
    add = Task("add", lambda start: start + 1)
    graph = Workflow("graph", chain(add, Task("twice", lambda add: add * 2)))

    @flow
    def outer(values):
        ctx = current_context()
        return [ctx.run_workflow(graph, inputs={"start": value}) for value in values]

    assert outer([1, 2]) == [4, 6]


async def test_43_a_parent_run_outlives_its_child_runs():
    """42, 43: what a caught failure of a child run leaves behind does not hinder the next one."""
    attempts = []

    @task
    async def fails():
        attempts.append(1)
        raise ValueError(len(attempts))

    wf = Workflow("child", fails)

    async def parent(ctx):
        for n in range(1, 4):
            with pytest.raises(ValueError) as caught:
                await ctx.run_workflow(wf)
            assert caught.value.args == (n,)
        return "done"

    assert await through(Workflow("w", Task("parent", parent, inject_context=True)).start()) == "done"
