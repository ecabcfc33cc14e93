"""Lanes: the loop stays responsive under any fan-out, and no lane, count or queue is left on any exit path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, chain, parallel
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, through, timers_left

MANY = 20_000
LEAST_TICKS = 10


class Heart:
    """Counts how often the loop comes round."""

    def __init__(self) -> None:
        self.ticks = 0

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        async def beat():
            while True:
                await asyncio.sleep(0)
                self.ticks += 1

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def work(n: int = 0) -> int:
    """Take some microseconds without giving the loop back."""
    return n + 0 * sum(range(500))


@pytest.mark.parametrize("shape", ["map", "generator", "async generator", "wishes", "submit", "group", "sync inline"])
async def test_a_fan_out_does_not_starve_the_loop(shape):
    """While 20,000 bodies that never suspend run, other coroutines of the loop keep getting their turns."""
    heart, total = Heart(), []
    leaf = Task("leaf", work)

    async def numbers():
        for n in range(MANY):
            yield n

    async def fan(ctx):
        if shape == "map":
            total.append(len(await ctx.map(leaf, range(MANY))))
        elif shape == "generator":
            total.append(len(await ctx.map(leaf, (n for n in range(MANY)))))
        elif shape == "async generator":
            total.append(len(await ctx.map(leaf, numbers())))
        elif shape == "sync inline":
            total.append(len(await ctx.map(Task("s", lambda n: sum(range(500)), executor="inline"), range(MANY))))
        elif shape == "submit":
            handles = [ctx.submit(leaf, n) for n in range(MANY // 4)]
            total.append(4 * len([await handle for handle in handles]))
        elif shape == "wishes":
            for n in range(MANY):
                ctx.next_task(leaf(n))
            total.append(MANY)
        else:
            group = parallel(*(Task(f"t{n}", work) for n in range(MANY // 10)))
            total.append(10 * len(await ctx.call(group)))

    async with heart.beating():
        await Workflow("w", Task("fan", fan, inject_context=True)).run()
    assert total == [MANY]
    assert heart.ticks >= LEAST_TICKS


async def test_a_long_chain_does_not_starve_the_loop():
    """Thousands of short tasks one after the other give the loop back now and then."""
    heart = Heart()
    async with heart.beating():
        await Workflow("w", chain(*(Task(f"t{n}", work) for n in range(2000)))).run()
        before = heart.ticks

        async def loops(ctx):
            if ctx.cycle_count < MANY:
                await work()
                ctx.next_iteration()

        await Workflow("w", Task("t", loops, inject_context=True, max_cycles=MANY)).run()
    assert heart.ticks - before >= LEAST_TICKS


def lanes_of(run: g.Run):
    assert run._scheduler is not None
    return run._scheduler.lanes


def expect_at_rest(run: g.Run) -> None:
    lanes = lanes_of(run)
    assert (lanes._runnable, len(lanes._tasks), len(lanes.busy), len(lanes.queue)) == (0, 0, 0, 0)
    assert (len(run._state.live), len(run._state.laps), len(run._state.scopes), len(run._state.batches)) == (0, 0, 0, 0)
    assert run._state.timers == {}


async def nap(n: int = 0) -> int:
    await asyncio.sleep(1 + n % 3)
    return n


async def bad(n: int = 0) -> int:
    await asyncio.sleep(n % 2)
    if n % 5 == 4:
        raise ValueError(n)
    return n


async def own_cancel(n: int = 0) -> None:
    mine = asyncio.current_task()
    assert mine is not None
    mine.cancel()
    await asyncio.sleep(1)


async def swallow(n: int = 0) -> int:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return n


EXITS = {
    "completes": (nap, {}),
    "at once": (work, {}),
    "fails": (bad, {}),
    "cancels itself": (own_cancel, {}),
    "run times out": (nap, {"timeout": 1.5}),
    "swallows": (swallow, {"timeout": 1.5}),
    "bounded": (nap, {"max_concurrency": 3}),
    "bounded fails": (bad, {"max_concurrency": 3}),
    "steps": (nap, {"max_steps": 5}),
}


@pytest.mark.parametrize("tolerant", [False, True], ids=["first failure", "all"])
@pytest.mark.parametrize("name", EXITS)
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_at_rest_afterwards(name, tolerant, seed):
    """Whatever way a run ends, no lane is left or counted, no body is live, no timer is set."""
    body, options = EXITS[name]

    async def main():
        leaf = Task("leaf", body)

        async def fan(ctx):
            ctx.next_task(parallel(leaf(1, task_id="a"), leaf(2, task_id="b")))
            await ctx.map(leaf, range(30), return_exceptions=tolerant)

        run = Workflow("w", Task("fan", fan, inject_context=True)).start(**options)
        try:
            await through(run)
        except Exception:  # the exit path is the subject, not its error
            assert run.status == "failed"
        else:
            assert run.status == "completed"
        expect_at_rest(run)
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("how", ["cancel", "terminate", "cancel_workflow", "first"])
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_at_rest_after_an_early_end(how, seed):
    """The same when the run, or a group, is ended early."""

    async def main():
        stay = Stay()

        async def ends(ctx):
            await stay.began.wait()
            if how == "terminate":
                ctx.terminate_workflow()
            elif how == "cancel_workflow":
                ctx.cancel_workflow("x")

        async def fan(ctx):
            await ctx.map(Task("leaf", swallow), range(20))

        group = parallel(
            Task("stay", stay),
            Task("ends", ends, inject_context=True),
            Task("fan", fan, inject_context=True),
            policy="first" if how == "first" else "strict",
        )
        run = Workflow("w", group).start()
        if how == "cancel":
            asyncio.get_running_loop().call_later(0.5, run.cancel)
        try:
            await through(run)
        except g.GraflowWorkflowCanceledError:
            assert how in {"cancel", "cancel_workflow"}
        if stay.began.is_set():
            assert stay.cleaned
        expect_at_rest(run)
        assert timers_left() == []

    run_sim(main, seed)


async def test_few_lanes_serve_many_short_bodies():
    """Bodies that never suspend share a handful of asyncio tasks; bodies that wait get one each."""
    seen = set()

    async def short(_):
        seen.add(asyncio.current_task())

    async def fan(ctx):
        await ctx.map(Task("short", short), range(1000))

    await Workflow("w", Task("fan", fan, inject_context=True)).run()
    assert len(seen) < 50
