"""The handle of a run: value, status, results, many at once, providing objects (SPEC 2, 10)."""

from __future__ import annotations

import asyncio
import threading

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, task, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, cancel_when, now, through


async def test_the_handle_gives_value_status_and_results():
    """Awaiting the handle gives the value, as often as one asks; results and status tell the rest."""
    with workflow("w") as wf:
        Task("a", lambda: 1) >> Task("b", lambda a: a + 1)
    run = wf.start()
    assert run.status == "running"
    async with run:
        assert await run == 2
        assert await run == 2
        assert (run.status, run.results) == ("completed", {"a": 1, "b": 2})
        assert run.graph is wf.graph
        assert dict(run.failures) == {}
    assert await run == 2
    assert wf.get_result("b") == 2
    assert wf.get_result("nothing") is None


async def test_leaving_the_block_waits_for_the_run():
    """Leaving `async with` without an error waits for the run, and raises its failure if nobody has seen it."""
    ran = []

    async def body():
        await asyncio.sleep(0)
        ran.append(1)

    async with Workflow("w", Task("t", body)).start():
        pass
    assert ran == [1]

    async def bad():
        raise ValueError("unseen")

    async def hold():
        async with Workflow("w", Task("t", bad)).start():
            pass

    with pytest.raises(ValueError, match="unseen"):
        await hold()


async def test_several_awaiters_see_the_same_failure():
    """All who await a failed run get the task's own exception object."""
    error = ValueError("no")

    async def bad():
        await asyncio.sleep(0)
        raise error

    async def wait(run):
        await run

    async with Workflow("w", Task("t", bad)).start() as run:
        ends = await asyncio.gather(*(wait(run) for _ in range(5)), return_exceptions=True)
    assert ends == [error] * 5
    assert run.status == "failed"


async def test_cancelling_one_of_several_awaiters():
    """Cancelling a task that awaits the run cancels the run; other awaiters see that it was cancelled."""
    stay = Stay()

    async def wait(run):
        await run

    run = Workflow("w", Task("stay", stay)).start()
    async with asyncio.TaskGroup() as group:
        await run.open()
        first = group.create_task(wait(run))
        await stay.began.wait()
        with pytest.raises(g.GraflowWorkflowCanceledError):
            await asyncio.gather(run, *([_cancel(first)]))
    assert first.cancelled()
    assert run.status == "cancelled"
    assert stay.cleaned


async def _cancel(what: asyncio.Task) -> None:
    what.cancel()


async def test_run_ids():
    """A run has an id of its own, or the one that is given; tasks see it."""
    wf = Workflow("w", Task("t", lambda ctx: (ctx.run_id, ctx.session_id), inject_context=True))
    assert await wf.run(run_id="mine") == ("mine", "mine")
    first, second = await wf.run(), await wf.run()
    assert first != second


async def test_inputs_land_in_the_channel():
    """`inputs=` are channel keys and parameters; the handle's channel is the tasks' one."""

    async def body(ctx, n):
        await ctx.channel.set("seen", n)

    async with Workflow("w", Task("t", body, inject_context=True)).start(inputs={"n": 3, "other": 4}) as run:
        await run
        assert [await run.channel.get(key) for key in ("n", "other", "seen", "none")] == [3, 4, 3, None]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_workflow_runs_fifty_times_at_once(seed):
    """Fifty runs of one workflow at once do not see each other's inputs, channels, results or limits."""

    async def main():
        async def first(ctx, n):
            await ctx.channel.set("mine", n)
            await asyncio.sleep(n % 7)
            return n

        async def item(base, k):
            await asyncio.sleep(1)
            return base * k

        async def second(ctx, first):
            items = await ctx.map(Task("item", item), [first] * 3, [1, 2, 3])
            ctx.next_task(Task(f"child{first}", lambda: None, executor="inline"))
            return await ctx.channel.get("mine"), items

        async def bad(n):
            await asyncio.sleep(1)
            if n % 10 == 0:
                raise ValueError(n)

        with workflow("w") as wf:
            Task("first", first, inject_context=True) >> Task("second", second, inject_context=True)
            Task("root", lambda: None, executor="inline") >> Task("bad", bad)
        nodes = list(wf.graph.nodes)
        runs = [wf.run(inputs={"n": n}, max_concurrency=1 + n % 3) for n in range(50)]
        ends = await asyncio.gather(*runs, return_exceptions=True)
        for n, end in enumerate(ends):
            if n % 10 == 0:
                assert isinstance(end, ValueError)
                assert end.args == (n,)
            else:
                assert end == {"second": (n, [n, 2 * n, 3 * n]), "bad": None}
        assert wf.graph.nodes == nodes

    run_sim(main, seed)


async def test_a_run_inside_a_plain_coroutine_of_another_run():
    """`await wf.run()` inside a task is a run of its own with its own end."""
    inner = Workflow("inner", Task("x", lambda: 5))

    async def body():
        return await inner.run() + 1

    assert await Workflow("w", Task("t", body)).run() == 6


class Db:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1


@pytest.mark.parametrize("kind", ["sync", "async", "class"])
async def test_factories_are_called_once_per_run(kind):
    """A provided factory makes one object per run, also for tasks that ask at the same time."""
    made = []

    def factory():
        made.append(object())
        return made[-1]

    async def async_factory():
        await asyncio.sleep(0)
        return factory()

    Db.made = 0
    seen = []

    async def uses(db: Db):
        seen.append(db)

    wf = Workflow("w", g.parallel(*(Task(f"t{n}", uses) for n in range(10))))
    if kind == "class":
        wf.provide(Db, Db)
    else:
        wf.provide("db", factory if kind == "sync" else async_factory)
    await wf.run()
    assert len(seen) == 10
    assert len(set(map(id, seen))) == 1
    await wf.run()
    assert len(set(map(id, seen))) == 2
    assert (Db.made if kind == "class" else len(made)) == 2


async def test_provided_values_by_name_and_type():
    """An object is found by name before type; arguments at the call win over it; sync tasks get it too."""
    one, two = Db(), Db()

    def by_type(handle: Db):
        return handle

    async def by_name(db):
        return db

    wf = Workflow("w", g.parallel(Task("t", by_type), Task("n", by_name), Task("b", by_name)(3, task_id="bound")))
    wf.provide(Db, one).provide("db", two)
    assert await wf.run() == {"t": one, "n": two, "bound": 3}


async def test_a_factory_that_fails_fails_its_task():
    """What a factory raises comes out of the run as it is; the next run asks it again."""
    error, calls = OSError("no database"), []

    def factory():
        calls.append(1)
        if len(calls) == 1:
            raise error
        return 8

    async def uses(db):
        return db

    wf = Workflow("w", Task("t", uses)).provide("db", factory)
    with pytest.raises(OSError, match="no database") as caught:
        await wf.run()
    assert caught.value is error
    assert await wf.run() == 8


def test_execute_in_plain_code():
    """`wf.execute()` runs on a loop of its own and gives the value or raises the task's exception."""
    error = ValueError("no")

    def bad():
        raise error

    assert Workflow("w", Task("t", lambda: 3)).execute() == 3
    with pytest.raises(ValueError) as caught:
        Workflow("w", Task("t", bad)).execute()
    assert caught.value is error


def test_execute_in_many_threads():
    """One workflow may be executed from several threads at once, each with its own loop."""
    wf = Workflow("w", Task("t", lambda n: n * 2))
    values = {}

    def work(n):
        values[n] = wf.execute(inputs={"n": n})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == {n: 2 * n for n in range(8)}


async def test_get_result_of_the_last_finished_run():
    """`wf.get_result` looks at the current run inside a task, else at the last finished one."""
    seen = []

    @task
    async def first(n):
        return n

    with workflow("w") as wf:
        one = Task("one", first.func)
        one >> Task("two", lambda one: seen.append(wf.get_result("one")))
    await wf.run(inputs={"n": 1})
    await wf.run(inputs={"n": 2})
    assert seen == [1, 2]
    assert wf.get_result("one") == 2


def test_cancel_before_anything_started():
    """`run.cancel` right after the start ends the run before a body has begun."""

    async def main():
        ran = []

        async def body():
            ran.append(1)

        run = Workflow("w", Task("t", body) >> Task("u", body)).start()
        with pytest.raises(g.GraflowWorkflowCanceledError, match="at once"):
            await cancel_when(run, reason="at once")
        assert len(ran) <= 1
        assert now() == 0
        assert run.status == "cancelled"

    run_sim(main, 1)


def test_cancel_after_the_end_changes_nothing():
    """Cancelling a finished run is harmless."""

    async def main():
        run = Workflow("w", Task("t")).start()
        await through(run)
        run.cancel("late")
        await asyncio.sleep(1)
        assert run.status == "completed"

    run_sim(main, 1)
