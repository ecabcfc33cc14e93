"""Bodies share asyncio tasks without noticing: context variables, timeouts, task groups, scopes, self-cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import threading

import anyio
import pytest

import graflow_async as g
from graflow_async import Task, Workflow, chain, current_context, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, now, through, timers_left

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
EXECUTORS = ["suspends", "at once", "thread", "inline"]


def setter(kind: str, seen: list[str], name: str) -> Task:
    """Give a task that looks at the variable and sets it."""

    def body():
        seen.append(var.get())
        var.set(name)
        assert var.get() == name

    async def async_body():
        body()
        if kind == "suspends":
            await asyncio.sleep(0)
            assert var.get() == name

    if kind in {"suspends", "at once"}:
        return Task(name, async_body)
    return Task(name, body, executor=kind)


@pytest.mark.parametrize("kind", EXECUTORS)
async def test_context_flows_in_and_never_out(kind):
    """What the caller of `run` set is seen by every body; what a body sets is seen by nobody else, nor afterwards."""
    seen = []
    var.set("caller")
    tasks = [setter(kind, seen, f"t{n}") for n in range(20)]
    await Workflow("w", chain(*tasks[:10])).run()
    with workflow("roots") as wf:
        for t in tasks[10:]:
            wf.add_task(t)
    await wf.run()
    assert seen == ["caller"] * 20
    assert var.get() == "caller"


@pytest.mark.parametrize("verb", ["call", "map", "next_task", "run_workflow"])
async def test_context_of_a_parent_does_not_reach_its_children(verb):
    """A body's own variables stay inside it: children see what the caller of `run` set."""
    seen = []
    var.set("caller")

    async def child(_=None):
        seen.append(var.get())

    async def parent(ctx):
        var.set("parent")
        t = Task("child", child)
        if verb == "call":
            await ctx.call(t)
        elif verb == "map":
            await ctx.map(t, [1])
        elif verb == "run_workflow":
            await ctx.run_workflow(Workflow("inner", t))
        else:
            ctx.next_task(t)
        assert var.get() == "parent"

    await Workflow("w", Task("parent", parent, inject_context=True)).run()
    assert seen == ["caller"]


async def test_tokens_and_local_contexts_work_across_suspensions():
    """Resetting a token and leaving a decimal context work after an await, with others in between."""

    async def body(n):
        with decimal.localcontext() as local:
            local.prec = n + 5
            token = var.set(str(n))
            for _ in range(5):
                await asyncio.sleep(0)
                assert decimal.getcontext().prec == n + 5
                assert var.get() == str(n)
            var.reset(token)
        return var.get()

    async def parent(ctx):
        return await ctx.map(Task("body", body), range(50))

    assert set(await Workflow("w", Task("t", parent, inject_context=True)).run()) == {"unset"}


async def test_current_context_is_found_from_any_depth():
    """`current_context()` finds the body's own context in helpers, in asyncio tasks it starts, and in threads."""

    async def helper():
        await asyncio.sleep(0)
        return current_context()

    async def body(ctx, n):
        async with asyncio.TaskGroup() as group:
            inside = group.create_task(helper())
        return [c is ctx for c in (await helper(), inside.result(), await asyncio.to_thread(current_context))]

    async def parent(ctx):
        found = await ctx.map(Task("body", body, inject_context=True), range(10))
        return found, current_context() is ctx

    found, own = await Workflow("w", Task("t", parent, inject_context=True)).run()
    assert found == [[True, True, True]] * 10
    assert own
    assert current_context(None) is None
    sync = Workflow("w", Task("s", lambda ctx: current_context() is ctx, inject_context=True))
    assert await sync.run()


async def test_current_task_is_the_same_during_a_body():
    """`asyncio.current_task()` is one task during a body; bodies that are suspended together have different ones."""
    together = asyncio.Barrier(10)
    tasks = []

    async def body(_):
        mine = asyncio.current_task()
        tasks.append(mine)
        await together.wait()
        assert asyncio.current_task() is mine

    async def parent(ctx):
        await ctx.map(Task("body", body), range(10))

    await Workflow("w", Task("t", parent, inject_context=True)).run()
    assert len(set(tasks)) == 10


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tool", ["asyncio.timeout", "wait_for", "move_on_after", "fail_after"])
def test_timeouts_inside_bodies_reach_their_body_only(tool, seed):
    """Time limits that bodies set for themselves end what is inside them and nothing else."""

    async def main():
        async def limited(n):
            try:
                if tool == "asyncio.timeout":
                    async with asyncio.timeout(n):
                        await asyncio.sleep(100)
                elif tool == "wait_for":
                    await asyncio.wait_for(asyncio.sleep(100), n)
                elif tool == "move_on_after":
                    with anyio.move_on_after(n) as scope:
                        await asyncio.sleep(100)
                    assert scope.cancelled_caught
                else:
                    with anyio.fail_after(n):
                        await asyncio.sleep(100)
            except TimeoutError:
                pass
            assert now() == n
            await asyncio.sleep(1)
            return n

        async def quick(n):
            return n

        async def parent(ctx):
            slow = [ctx.submit(Task("limited", limited), n) for n in range(1, 9)]
            fast = await ctx.map(Task("quick", quick), range(50))
            return [await handle for handle in slow], fast

        value = await Workflow("w", Task("t", parent, inject_context=True)).run()
        assert value == (list(range(1, 9)), list(range(50)))
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
@pytest.mark.parametrize("seed", SEEDS)
def test_task_groups_inside_bodies(kind, seed):
    """Task groups in bodies end, and fail, inside their body; bodies beside them go on."""

    async def main():
        async def part(n):
            await asyncio.sleep(1)
            if n % 2:
                raise ValueError(n)

        async def body(n):
            try:
                if kind == "asyncio":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(part(n))
                        group.create_task(part(0))
                        await asyncio.sleep(2)
                else:
                    async with anyio.create_task_group() as scope:
                        scope.start_soon(part, n)
                        scope.start_soon(part, 0)
                        await asyncio.sleep(2)
            except* ValueError:
                assert n % 2
                await asyncio.sleep(1)

        async def parent(ctx):
            await ctx.map(Task("body", body), range(8))
            return await ctx.map(Task("after", asyncio.sleep), [0, 0], result=1)

        assert await Workflow("w", Task("t", parent, inject_context=True)).run() == [1, 1]
        assert now() == 2

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_shielded_clean_up(seed):
    """An anyio shield in a cancelled body holds while its clean-up lasts."""

    async def main():
        cleaned, began = [], asyncio.Event()

        async def body():
            try:
                began.set()
                await asyncio.sleep(100)
            finally:
                with anyio.CancelScope(shield=True):
                    await asyncio.sleep(0.5)
                    cleaned.append(now())

        async def parent(ctx):
            handle = ctx.submit(Task("body", body))
            await began.wait()
            handle.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handle

        await Workflow("w", Task("t", parent, inject_context=True)).run()
        assert cleaned == [0.5]

    run_sim(main, seed)


@pytest.mark.parametrize("then", ["await", "return", "raise", "swallow"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_body_that_cancels_its_own_asyncio_task(then, seed):
    """It is that task's own business: it fails if the cancellation comes out, and nobody else is cancelled."""

    async def main():
        async def own(n):
            if n:
                await asyncio.sleep(0)
            mine = asyncio.current_task()
            assert mine is not None
            mine.cancel()
            if then == "raise":
                raise KeyError
            if then == "swallow":
                try:
                    await asyncio.sleep(5)
                except asyncio.CancelledError:
                    return "swallowed"
            if then == "await":
                await asyncio.sleep(5)
            return "returned"

        async def quick(n):
            return n

        async def slow(n):
            await asyncio.sleep(1)
            return n

        async def parent(ctx):
            beside = [ctx.submit(Task("slow", slow), n) for n in range(5)]
            ended = await ctx.map(Task("own", own), [0, 1] * 5, return_exceptions=True)
            after = await ctx.map(Task("quick", quick), range(20))
            return ended, after, [await handle for handle in beside]

        ended, after, beside = await Workflow("w", Task("t", parent, inject_context=True)).run()
        assert after == list(range(20))
        assert beside == list(range(5))
        expected = {"await": g.GraflowRuntimeError, "raise": KeyError, "swallow": str, "return": str}[then]
        assert {type(end) for end in ended} == {expected}
        if then == "await":
            assert "cancelled its own asyncio task" in str(ended[0])

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_late_cancel_of_a_bodys_asyncio_task_reaches_nobody(seed):
    """Cancelling the asyncio task of a body that has ended is harmless, as it is for a task of its own."""

    async def main():
        kept = []

        async def first():
            await asyncio.sleep(0)
            kept.append(asyncio.current_task())

        async def second():
            asyncio.get_running_loop().call_soon(kept[0].cancel)
            await asyncio.sleep(1)
            return "second"

        return await Workflow("w", Task("first", first) >> Task("second", second)).run()

    assert run_sim(main, seed) == "second"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cancellation_let_out_of_a_body_is_a_failure(seed):
    """CancelledError that nobody asked for (from an awaited, cancelled future) fails the task and is not mistaken."""

    async def main():
        async def body():
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        run = Workflow("w", Task("t", body)).start()
        with pytest.raises(g.GraflowRuntimeError, match="'t'") as caught:
            await through(run)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert run.status == "failed"

    run_sim(main, seed)


async def test_threads_see_the_callers_context_and_keep_their_own():
    """Worker threads get a copy per body, though the threads themselves are reused."""
    var.set("caller")
    names, seen = set(), []

    def body(n):
        names.add(threading.current_thread().name)
        seen.append(var.get())
        var.set(f"body {n}")

    def parent(ctx):
        for n in range(10):
            ctx.call(Task("body", body), n)
        return var.get()

    assert await Workflow("w", Task("t", parent, inject_context=True)).run() == "caller"
    assert seen == ["caller"] * 10
    assert len(names) < 10


async def test_no_block_is_open_inside_a_task():
    """Tasks and expressions made inside a running task join nothing, even if the run began inside a block."""
    with workflow("outer") as outer:
        Task("a")

        async def body():
            return Task("x") >> Task("y")

        await Workflow("w", Task("t", body)).run()
    assert outer.graph.nodes == ["a"] or "x" not in outer.graph.nodes
