"""Limits: never more bodies at once than allowed, however they are nested; waiting parents hold no slot (SPEC 2.7)."""

from __future__ import annotations

import asyncio

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, parallel, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Crowd, now, timers_left


def busy(crowd: Crowd, seconds: float = 1.0):
    async def body(_=None):
        with crowd:
            await asyncio.sleep(seconds)

    return body


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bound", [1, 3, 100])
def test_max_concurrency_of_roots(bound, seed):
    """Of 20 roots never more than `max_concurrency` run at once, and that many do."""

    async def main():
        crowd = Crowd()
        with workflow("w") as wf:
            for number in range(20):
                Task(f"t{number}", busy(crowd))
        await wf.run(max_concurrency=bound)
        assert (crowd.most, crowd.total) == (min(bound, 20), 20)
        assert now() == -(-20 // bound)

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bound", [1, 2, 7])
def test_max_concurrency_under_nesting(bound, seed):
    """Maps in maps, groups, wishes and child runs together keep within `max_concurrency`."""

    async def main():
        crowd = Crowd()
        leaf = Task("leaf", busy(crowd))

        async def branch(ctx, depth):
            with crowd:
                await asyncio.sleep(1)
            if depth:
                await ctx.map(nested, [depth - 1] * 3)
            with crowd:
                await asyncio.sleep(1)
            ctx.next_task(parallel(*(Task(f"wished{n}", busy(crowd)) for n in range(2))))

        async def runs(ctx):
            await ctx.run_workflow(Workflow("inner", parallel(leaf(task_id="x"), leaf(task_id="y"))))

        nested = Task("branch", branch, inject_context=True)
        with workflow("w") as wf:
            parallel(nested(2, task_id="first"), Task("runs", runs, inject_context=True), Task("leaf2", busy(crowd)))
        await wf.run(max_concurrency=bound)
        assert crowd.most == bound
        assert crowd.total == 13 * 2 + 13 * 2 + 2 + 1
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_parked_parents_free_their_slot(seed):
    """Maps nested five deep end with `max_concurrency=1`: a waiting parent holds no slot."""

    async def main():
        crowd = Crowd()

        async def level(ctx, depth) -> int:
            with crowd:
                await asyncio.sleep(1)
            if depth == 0:
                return 1
            return sum(await ctx.map(nested, [depth - 1, depth - 1]))

        nested = Task("level", level, inject_context=True)
        assert await Workflow("w", nested(5)).run(max_concurrency=1) == 32
        assert (crowd.most, crowd.total) == (1, 63)
        assert now() == 63

    run_sim(main, seed)


@pytest.mark.parametrize("verb", ["submit", "as_completed", "gather", "run_workflow", "sleep", "await"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_waiting_verb_frees_the_slot(verb, seed):
    """With one slot, a parent that waits in any verb lets its children (and others) run."""

    async def main():
        crowd = Crowd()
        leaf = Task("leaf", busy(crowd))

        async def parent(ctx):
            if verb == "submit":
                for handle in [ctx.submit(leaf), ctx.submit(leaf)]:
                    await handle
            elif verb == "as_completed":
                async for handle in ctx.as_completed([ctx.submit(leaf), ctx.submit(leaf)]):
                    handle.result()
            elif verb == "gather":
                await asyncio.gather(leaf(1), leaf(2))
            elif verb == "run_workflow":
                await ctx.run_workflow(Workflow("inner", leaf(task_id="a") >> leaf(task_id="b")))
            elif verb == "sleep":
                await ctx.sleep(2)
            else:
                await leaf(1)
                await leaf(2)
            with crowd:
                await asyncio.sleep(1)

        with workflow("w") as wf:
            Task("parent", parent, inject_context=True)
            Task("other", busy(crowd))
        await wf.run(max_concurrency=1)
        assert crowd.most == 1
        assert crowd.total == (2 if verb == "sleep" else 4)
        assert now() == (3 if verb == "sleep" else 4)

    run_sim(main, seed)


def test_waiting_for_a_channel_frees_the_slot():
    """With one slot, a task that waits for a channel key lets the task run that sets it."""

    async def main():
        async def waits(ctx):
            return await ctx.channel.wait("key")

        async def gives(ctx):
            await ctx.channel.set("key", 7)

        with workflow("w") as wf:
            Task("waits", waits, inject_context=True)
            Task("gives", gives, inject_context=True)
        return (await wf.run(max_concurrency=1))["waits"]

    assert run_sim(main, 1) == 7


@pytest.mark.parametrize("seed", SEEDS)
def test_named_limits_are_shared_by_name(seed):
    """Tasks of one limit share its slots wherever they stand; tasks of another limit do not."""

    async def main():
        api, db = Crowd(), Crowd()

        async def parent(ctx):
            await ctx.map(Task("call", busy(api), limits=["api"]), range(5))

        with workflow("w") as wf:
            Task("parent", parent, inject_context=True)
            for number in range(5):
                Task(f"a{number}", busy(api), limits=["api"])
                Task(f"d{number}", busy(db), limits=["db"])
        await wf.run(limits={"api": 2, "db": 3})
        assert (api.most, api.total) == (2, 10)
        assert (db.most, db.total) == (3, 5)
        assert now() == 5

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_of_two_limits_holds_both(seed):
    """A task with two limits starts only with a slot of each, and does not block the others meanwhile."""

    async def main():
        both, one = Crowd(), Crowd()
        with workflow("w") as wf:
            for number in range(4):
                Task(f"b{number}", busy(both), limits=["x", "y"])
                Task(f"x{number}", busy(one), limits=["x"])
        await wf.run(limits={"x": 3, "y": 1}, max_concurrency=4)
        assert both.most == 1
        assert one.most <= 3
        assert (both.total, one.total) == (4, 4)
        assert now() == 4

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_spaces_starts(seed):
    """At most `count` starts in any `per` seconds, however short the bodies are."""

    async def main():
        starts = []

        async def body():
            starts.append(now())

        with workflow("w") as wf:
            for number in range(10):
                Task(f"t{number}", body, limits=["api"])
        await wf.run(limits={"api": g.Rate(3, per=60)})
        assert timers_left() == []
        return starts

    assert run_sim(main, seed) == [0, 0, 0, 60, 60, 60, 120, 120, 120, 180]


def test_a_rate_counts_attempts():
    """Every attempt is a start, so retries keep to the rate too."""

    async def main():
        starts = []

        async def body(ctx):
            starts.append(now())
            if ctx.attempt < 3:
                raise ValueError

        t = Task("t", body, inject_context=True, limits=["api"], max_retries=5)
        await Workflow("w", t).run(limits={"api": g.Rate(1, per=10)})
        return starts

    assert run_sim(main, 1) == [0, 10, 20]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_and_a_map_bound_themselves(seed):
    """`max_concurrency` of a group or of a map bounds its own bodies only."""

    async def main():
        inside, mapped, free = Crowd(), Crowd(), Crowd()

        async def maps(ctx):
            await ctx.map(Task("m", busy(mapped)), range(9), max_concurrency=3)

        members = [Task(f"g{n}", busy(inside, 0.5)) >> Task(f"h{n}", busy(inside, 0.5)) for n in range(6)]
        with workflow("w") as wf:
            parallel(*members, max_concurrency=2)
            Task("maps", maps, inject_context=True)
            for number in range(5):
                Task(f"f{number}", busy(free))
        await wf.run([*wf.graph.nodes[:0], "ParallelGroup_1", "maps", *(f"f{n}" for n in range(5))])
        assert (inside.most, inside.total) == (2, 12)
        assert (mapped.most, mapped.total) == (3, 9)
        assert free.most == 5
        assert now() == 3

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_generators_are_pulled_as_slots_free_up(seed):
    """A map over a generator with a bound never pulls far ahead of what runs."""

    async def main():
        crowd, ahead = Crowd(), []

        def numbers():
            for n in range(40):
                ahead.append(n - crowd.total)
                yield n

        async def body(ctx):
            await ctx.map(Task("m", busy(crowd)), numbers(), max_concurrency=4)

        await Workflow("w", Task("t", body, inject_context=True)).run()
        assert (crowd.most, crowd.total) == (4, 40)
        assert max(ahead) <= 8

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_failures_give_slots_back(seed):
    """Slots come back from bodies that fail, are cancelled, time out or are retried."""

    async def main():
        crowd = Crowd()

        async def bad(ctx, kind):
            with crowd:
                await asyncio.sleep(1)
                if kind == "fail":
                    raise ValueError
                if kind == "retry" and ctx.attempt == 1:
                    raise KeyError
                if kind == "time":
                    await asyncio.sleep(100)

        async def body(ctx):
            t = Task(
                "bad",
                bad,
                inject_context=True,
                timeout=2,
                limits=["x"],
                retry_policy=g.RetryPolicy(1, 1.0, retry_on=KeyError),
            )
            await ctx.map(t, ["fail", "retry", "time"] * 4, return_exceptions=True)
            handles = [ctx.submit(t, "time") for _ in range(6)]
            await asyncio.sleep(1.5)
            for handle in handles:
                handle.cancel()
            await ctx.map(Task("leaf", busy(crowd), limits=["x"]), range(4))

        await Workflow("w", Task("t", body, inject_context=True)).run(limits={"x": 2})
        assert crowd.most == 2
        assert crowd.now == 0
        assert timers_left() == []

    run_sim(main, seed)
