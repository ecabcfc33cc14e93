"""Scenarios 106 to 113 (group H): what members of groups share, make and wait for."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import TaskWrapper, parallel, task, workflow


def noting(style, log, *names):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


def test_106_members_share_the_channel_in_threads():
    """106: additions and appends of members in threads are not lost."""
    with workflow("w") as wf:
        for name in "ab":

            @task(id=name, inject_context=True)
            def member(ctx):
                for _ in range(100):
                    ctx.channel.atomic_add("n", 1)
                ctx.channel.append("log", ctx.task_id)

        @task(inject_context=True)
        def after(ctx):
            return ctx.channel.get("n"), sorted(ctx.channel.get("log"))

        parallel(wf.graph.get_node("a"), wf.graph.get_node("b")) >> after
        assert wf.execute() == (200, ["a", "b"])


async def test_106_members_share_the_channel_on_the_loop():
    """106 with async tasks: `update` and `atomic_add` are atomic across awaits."""
    with workflow("w") as wf:
        names = [task(name, inject_context=True)(adds) for name in "abcd"]

        @task(inject_context=True)
        async def after(ctx):
            return await ctx.channel.get("n"), await ctx.channel.get("m"), sorted(await ctx.channel.get("log"))

        parallel(*names) >> after
    assert await wf.run() == (400, 200, list("abcd"))


async def adds(ctx):
    async def slow_increment(value):
        await asyncio.sleep(0)
        return value + 1

    for _ in range(50):
        await ctx.channel.atomic_add("n", 2)
        await ctx.channel.update("m", slow_increment, default=0)
    await ctx.channel.append("log", ctx.task_id)


async def test_107_a_slow_member_does_not_undo_what_a_fast_one_wrote():
    """107: there are no copies of the channel for branches."""
    written = asyncio.Event()
    with workflow("w") as wf:

        @task(inject_context=True)
        async def fast(ctx):
            await ctx.channel.set("k", "A")
            written.set()

        @task(inject_context=True)
        async def slow(ctx):
            await written.wait()
            return await ctx.channel.get("k")

        @task(inject_context=True)
        async def after(ctx):
            return await ctx.channel.get("k"), await ctx.get_result("slow")

        (fast | slow) >> after
    assert await wf.run(inputs={"k": "before"}) == ("A", "A")


def test_111_the_join_waits_for_what_a_member_made(style):
    """111: a branch is done with its children only."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def one(ctx):
            log.append("one")
            ctx.next_task(TaskWrapper("more", style.body(lambda: log.append("more"))))

        two, integrator = noting(style, log, "two", "integrator")
        (one | two) >> integrator
    style.run(wf)
    assert log[-1] == "integrator"
    assert sorted(log) == ["integrator", "more", "one", "two"]


def test_112_a_member_may_make_a_group(style):
    """112: its members run once and the outer group is not run again."""
    log = []
    x1, x2 = noting(style, log, "x1", "x2")
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def member(ctx):
            log.append("member")
            ctx.next_task(parallel(x1, x2))

        other, after = noting(style, log, "other", "after")
        (member | other) >> after
    style.run(wf)
    assert sorted(log) == ["after", "member", "other", "x1", "x2"]
    assert log[-1] == "after"


async def test_113_a_member_runs_on_the_executor_that_it_names():
    """113 as SPEC 1.1: handlers are executors; the one registered on the run gets the task."""
    jobs = []

    class Mine:
        name = "mine"

        async def execute(self, job):
            jobs.append(job.task_id)
            return job.func(*job.args, **job.kwargs)

        async def aclose(self):
            jobs.append("closed")

    with workflow("w") as wf:

        @task(executor="mine")
        def remote(x=2):
            return x * 2

        @task
        async def local():
            return 1

        remote | local
    assert await wf.run(executor={"mine": Mine()}) == {"remote": 4, "local": 1}
    assert jobs == ["remote", "closed"]


def test_a_jump_in_a_member_ends_its_branch(style):
    """SPEC 10: the target is the last part of that branch, under the branch's key, and the group goes on after it."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def jumps(ctx):
            ctx.next_task(TaskWrapper("target", style.body(lambda: log.append("target") or "jumped")), goto=True)

        rest, other, after = noting(style, log, "rest", "other", "after")
        group = parallel(jumps >> rest, other).set_group_name("g")
        group >> after
    style.run(wf)
    assert sorted(log[:-1]) == ["other", "target"]
    assert log[-1] == "after"
    assert wf.get_result("g") == {"rest": "jumped", "other": "other"}


def test_a_jump_back_in_a_branch_walks_it_again(style):
    """The lead's rule 5: a jump to a task of the same branch repeats the branch from there; the group ends once."""
    log = []
    with workflow("w") as wf:
        first, other, after = noting(style, log, "first", "other", "after")

        @style.task(inject_context=True)
        def second(ctx):
            log.append("second")
            if log.count("second") < 3:
                ctx.next_task(ctx.graph.get_node("first"), goto=True)
            return log.count("second")

        parallel(first >> second, other).set_group_name("g") >> after
    style.run(wf)
    assert [x for x in log if x in ("first", "second")] == ["first", "second"] * 3
    assert log.count("other") == 1
    assert (log[-1], log.count("after")) == ("after", 1)
    assert wf.get_result("g") == {"second": 3, "other": "other"}


def test_a_member_that_iterates_delivers_once(style):
    """SPEC 2.3: the group goes on after the last turn and has its value."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx):
            log.append("loop")
            if ctx.cycle_count < 3:
                ctx.next_iteration()
            return ctx.cycle_count

        (other,) = noting(style, log, "other")
        (loop | other).set_group_name("g") >> style.task("after")(lambda g: g)
    assert style.run(wf) == {"loop": 3, "other": "other"}
    assert log.count("loop") == 3


@pytest.mark.parametrize("bound", [1, 2])
async def test_a_group_bounds_itself(bound):
    """SPEC 2.7: never more of its tasks than the bound are inside."""
    inside, most = 0, 0

    async def count():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(5):
            await asyncio.sleep(0)
        inside -= 1

    with workflow("w") as wf:
        tasks = [task(f"t{n}")(count) for n in range(6)]
        parallel(tasks[0] >> tasks[1], *tasks[2:], max_concurrency=bound)
    await wf.run()
    assert most == bound


def test_group_results_reach_parameters(style):
    """SPEC 1.4: by the members' ids, by a key of the group's mapping, as the single open parameter."""
    with workflow("w") as wf:
        a, b = noting(style, [], "a", "b")
        (a | b) >> style.task("by_id")(lambda b, a: (a, b)) >> style.task("whole")(lambda pair: pair)
    assert style.run(wf) == ("a", "b")
