"""Scenarios 56 to 60 (group D): order, joins, concurrency."""

from __future__ import annotations

import asyncio
import threading

import pytest

from graflow_async import task, workflow


def noting(style, log, *names):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


def test_056_a_join_after_a_group_runs_once(style):
    """56: store once, after both."""
    log = []
    with workflow("w") as wf:
        fetch, ta, tb, store = noting(style, log, "fetch", "ta", "tb", "store")
        fetch >> (ta | tb) >> store
    assert style.run(wf) == "store"
    assert (log[0], sorted(log[1:3]), log[3:]) == ("fetch", ["ta", "tb"], ["store"])


def test_057_a_diamond_of_plain_edges_joins_once(style):
    """57: d once, after b and c."""
    log = []
    with workflow("w") as wf:
        a, b, c, d = noting(style, log, "a", "b", "c", "d")
        a >> b >> d
        a >> c >> d
    assert style.run(wf) == "d"
    assert (log[0], sorted(log[1:3]), log[3:]) == ("a", ["b", "c"], ["d"])


def test_057_arms_of_different_length_join_once(style):
    """SPEC 2.2: the join waits for the longer arm and for the direct edge."""
    log = []
    with workflow("w") as wf:
        a, b, c, d, e = noting(style, log, "a", "b", "c", "d", "e")
        a >> b >> c >> d >> e
        a >> e
        b >> e
    assert style.run(wf) == "e"
    assert log == ["a", "b", "c", "d", "e"]


async def test_058_independent_async_tasks_run_at_the_same_time():
    """58: both are inside at once, which is the only way either can leave."""
    both_in = asyncio.Barrier(2)
    with workflow("w") as wf:

        @task
        async def root():
            pass

        @task
        async def a():
            await both_in.wait()

        @task
        async def b():
            await both_in.wait()

        root >> a
        root >> b
    async with asyncio.timeout(60):
        assert await wf.run() == {"a": None, "b": None}


async def test_058_independent_sync_tasks_run_at_the_same_time():
    """58 with threads: both are inside at once."""
    both_in = threading.Barrier(2)
    with workflow("w") as wf:
        for name in "ab":

            @task(id=name)
            def wait():
                both_in.wait(timeout=60)

    assert await wf.run() == {"a": None, "b": None}


async def test_059_a_sync_task_does_not_hold_the_loop():
    """59: while it waits in its thread, a coroutine on the loop goes on and releases it."""
    release, ticks = threading.Event(), []

    async def heartbeat():
        for _ in range(20):
            ticks.append(1)
            await asyncio.sleep(0)
        release.set()

    with workflow("w") as wf:

        @task
        def blocking():
            return release.wait(timeout=60)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(wf.run())
        group.create_task(heartbeat())
    assert running.result() is True
    assert len(ticks) == 20


def test_060_termination_leaves_the_join_out(style):
    """60: a terminates, so final never runs."""
    log = []
    with workflow("w") as wf:
        start, b, final = noting(style, log, "start", "b", "final")

        @style.task(inject_context=True)
        def a(ctx):
            log.append("a")
            ctx.terminate_workflow(result="early")

        start >> a >> final
        start >> b >> final
    assert style.run(wf) == "early"
    assert "a" in log
    assert "final" not in log


@pytest.mark.parametrize("bound", [1, 2])
async def test_max_concurrency_bounds_running_tasks(bound):
    """SPEC 2.7: never more than the bound are inside, and the bound is reached."""
    inside, most = 0, 0
    with workflow("w") as wf:
        for name in "abcde":

            @task(id=name)
            async def count():
                nonlocal inside, most
                inside += 1
                most = max(most, inside)
                for _ in range(5):
                    await asyncio.sleep(0)
                inside -= 1

    await wf.run(max_concurrency=bound)
    assert most == bound


def test_a_loop_makes_everything_after_it_run_again_once_per_pass(style):
    """SPEC 2.2: a drawn loop back to an earlier task runs what lies behind it once in each pass."""
    log = []
    with workflow("w") as wf:
        a, b, c = noting(style, log, "a", "b", "c")

        @style.task(inject_context=True)
        def decide(ctx):
            log.append("decide")
            if log.count("decide") == 3:
                ctx.terminate_workflow()

        a >> b >> decide
        a >> c >> decide
        decide >> a
    style.run(wf, "a")
    assert [log.count(x) for x in ("a", "b", "c", "decide")] == [3, 3, 3, 3]
    assert log[0::4] == ["a"] * 3
    assert log[3::4] == ["decide"] * 3
