"""Options of child runs: what a child run may have for itself, and what belongs to the whole run."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import ConfigError, Task, TaskTimeoutError, Workflow, flow, parallel, task
from graflow_async.testing import FakeClock
from tests.aids.simloop import run_sim
from tests.imperative.parts import within
from tests.runtime.parts import SEEDS


class Stay:
    """A body that stays for ever, and takes its time to clean up."""

    def __init__(self) -> None:
        self.began = 0
        self.cleaned = 0

    async def __call__(self) -> None:
        self.began += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            self.cleaned += 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_child_run_past_its_timeout(seed):
    """SPEC 2.4, 2.6: TaskTimeoutError in the parent, once all of the child run was cancelled and cleaned up."""

    async def main():
        loop, stay = asyncio.get_running_loop(), Stay()
        inner = Workflow("inner", Task("first", stay) | Task("second", stay))

        async def parent(ctx):
            with pytest.raises(TaskTimeoutError) as caught:
                await ctx.run_workflow(inner, timeout=5)
            assert (stay.began, stay.cleaned) == (2, 2)
            assert loop.time() == 5 + 3
            assert "child run 'inner'" in str(caught.value)
            assert "5 s" in str(caught.value)
            assert "first, second" in str(caught.value)
            await asyncio.sleep(100)
            return "went on"

        async with Workflow("w", Task("parent", parent, inject_context=True)).start(validate=True) as run:
            assert await run == "went on"
        assert (run.status, dict(run.failures)) == ("completed", {})

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_reaches_what_a_child_run_started(seed):
    """SPEC 2.6: maps, flows and child runs inside it end with it; a child run beside it goes on."""

    async def main():
        stay = Stay()

        @flow
        async def deep(_):
            await Task("deepest", stay)

        async def middle(ctx):
            await ctx.map(deep, range(3))

        async def beside():
            await asyncio.sleep(20)
            return "beside"

        async def parent(ctx):
            other = ctx.submit(Task("beside", beside))
            with pytest.raises(TaskTimeoutError):
                await ctx.run_workflow(Workflow("w", Task("middle", middle, inject_context=True)), timeout=5)
            assert (stay.began, stay.cleaned) == (3, 3)
            return await other

        assert await within(parent) == "beside"

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_that_is_not_reached(seed):
    """SPEC 2.4: the value comes as without it, and no timer is left that would go off later."""

    async def main():
        async def brief():
            await asyncio.sleep(4)
            return "value"

        async def parent(ctx):
            values = [await ctx.run_workflow(thing, timeout=5) for thing in (Task("t", brief), flow(brief))]
            await asyncio.sleep(60)
            return values

        assert await within(parent) == ["value", "value"]

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_uncaught_timeout_ends_the_run(seed):
    """SPEC 2.6: as any failure of a child run does; the parent's retries count, each with a child run of its own."""

    async def main():
        stay, attempts = Stay(), []

        @task(inject_context=True, max_retries=2)
        async def parent(ctx):
            attempts.append(ctx.attempt)
            await ctx.run_workflow(Task("stay", stay), timeout=1)

        with pytest.raises(TaskTimeoutError, match="child run 'stay'"):
            await Workflow("w", parent).run()
        assert attempts == [1, 2, 3]
        assert (stay.began, stay.cleaned) == (3, 3)

    run_sim(main, seed)


async def test_a_timeout_of_a_blocking_child_run():
    """SPEC 2.8: the same in a plain task, and in a plain flow, whose thread gets the exception."""
    cleaned, began, clock = [], asyncio.Semaphore(0), FakeClock()

    async def stay():
        began.release()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)

    def parent(ctx):
        with pytest.raises(TaskTimeoutError, match="child run 'inner'"):
            ctx.run_workflow(Workflow("inner", Task("stay", stay)), timeout=60)
        return len(cleaned)

    for number, body in enumerate((task(inject_context=True)(parent), flow(inject_context=True)(parent)), start=1):
        async with Workflow("w", body).start(clock=clock) as run:
            await began.acquire()
            await clock.advance(60)
            assert await run == number


RUN_WIDE = {
    "max_steps": 5,
    "max_concurrency": 2,
    "limits": {"db": 1},
    "max_threads": 3,
    "cancel_grace": 1.0,
    "executor": "thread",
    "store": None,
    "run_id": "x",
    "listeners": (),
    "clock": None,
    "validate": True,
    "checkpoint_dir": "x",
    "checkpointer": None,
    "durability": "exit",
    "queue_backend": "redis",
    "channel_backend": "redis",
    "redis_url": "redis://localhost",
    "worker_timeout": 1,
    "feedback": None,
    "progress": True,
}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *[({name: value}, (name, "belongs to the whole run")) for name, value in RUN_WIDE.items()],
        ({"tiemout": 5}, ("no option 'tiemout'", "inputs, start_node, timeout")),
        ({"timeout": 0}, ("timeout", "greater than 0")),
        ({"timeout": "soon"}, ("timeout", "number")),
        ({"inputs": [1]}, ("inputs", "mapping")),
        ({"inputs": {1: 2}}, ("inputs", "mapping")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])
async def test_options_that_a_child_run_does_not_have(options, words, blocking):
    """SPEC 2.4: options of the whole run and unknown ones are a ConfigError that says so, and nothing starts."""
    executed = []
    inner = Workflow("inner", Task("t", lambda: executed.append(1)))

    async def parent(ctx):
        await ctx.run_workflow(inner, **options)

    def plain(ctx):
        ctx.run_workflow(inner, **options)

    with pytest.raises(ConfigError) as caught:
        await within(plain if blocking else parent)
    assert all(word in str(caught.value) for word in words)
    assert executed == []


@pytest.mark.parametrize("wrong", [3, None, "inner", print, Workflow])
async def test_what_is_no_workflow(wrong):
    """SPEC 2.4: a workflow or a task; anything else is a TypeError that says what was given."""

    async def parent(ctx):
        await ctx.run_workflow(wrong)

    with pytest.raises(TypeError, match="run_workflow runs a workflow or a task"):
        await within(parent)


async def test_start_and_inputs_of_a_child_run():
    """SPEC 2.4: they mean what they mean in `wf.run`; a group or chain may stand for a workflow."""
    one, two = Task("one", lambda: 1), Task("two", lambda x, y=0: (x, y))

    async def parent(ctx):
        return [
            await ctx.run_workflow(Workflow("w", one >> two), inputs={"y": 2}),
            await ctx.run_workflow(Workflow("w", one >> two), inputs={"x": 5}, start_node="two", timeout=60),
            await ctx.run_workflow(parallel(one, two(x=3)), timeout=60),
        ]

    assert await within(parent) == [(1, 2), (5, 0), {"one": 1, "two_1": (3, 0)}]
