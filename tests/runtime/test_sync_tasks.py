"""Sync tasks: threads, their limit, blocking verbs, and bodies that cannot be stopped (SPEC 2.4, 2.6, 2.7)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, task, workflow
from graflow_async.testing import FakeClock
from tests.runtime.parts import Crowd, background, cancel_when, until


class Stuck:
    """A plain body that blocks its thread until it is let go."""

    def __init__(self) -> None:
        self.__name__ = "stuck"
        self.loop = asyncio.get_running_loop()
        self.began = asyncio.Event()
        self.let_go = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> str:
        self.loop.call_soon_threadsafe(self.began.set)
        self.let_go.wait(30)
        self.ended.set()
        return "late"


@pytest.fixture
async def stuck() -> AsyncIterator[Stuck]:
    """Give a body that blocks, which is let go at the end of the test at the latest."""
    body = Stuck()
    yield body
    body.let_go.set()
    await asyncio.get_running_loop().run_in_executor(None, body.ended.wait, 30)
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.near  # the clock that is moved is the run's
async def test_a_timeout_does_not_wait_for_the_thread(stuck, caplog):
    """A sync task past its timeout is abandoned at once, with a warning; its late result counts for nothing."""
    clock = FakeClock()
    run = Workflow("w", Task("stuck_one", stuck, timeout=60)).start(clock=clock)

    async def hold():
        async with run:
            await stuck.began.wait()
            await clock.advance(60)

    with pytest.raises(g.TaskTimeoutError, match="'stuck_one'"):
        await hold()
    assert not stuck.ended.is_set()
    assert "'stuck_one'" in caplog.text
    stuck.let_go.set()
    stuck.ended.wait(30)
    await asyncio.sleep(0)
    assert dict(run.results) == {}


@pytest.mark.near  # the clock that is moved is the run's
async def test_a_timed_out_thread_is_tried_again(stuck):
    """The next attempt starts while the abandoned thread still runs; it gets a slot even with `max_threads=1`."""
    attempts, clock = [], FakeClock()

    def body(ctx):
        attempts.append(number := ctx.attempt)
        return stuck() if number == 1 else "second"

    t = Task("t", body, inject_context=True, timeout=60, max_retries=1)
    async with Workflow("w", t).start(max_threads=1, clock=clock) as run:
        await stuck.began.wait()
        await clock.advance(60)
        assert await run == "second"
    assert attempts == [1, 2]
    assert not stuck.ended.is_set()
    stuck.let_go.set()
    stuck.ended.wait(30)
    await asyncio.sleep(0)
    assert run.results == {"t": "second"}


async def test_cancellation_waits_for_the_thread(stuck):
    """On cancellation a thread is waited for, so a body that ends in time is not left behind."""
    run = Workflow("w", Task("stuck", stuck)).start()

    async def hold():
        async with run:
            await stuck.began.wait()
            run.cancel()
            asyncio.get_running_loop().call_later(0.05, stuck.let_go.set)

    with pytest.raises(g.GraflowWorkflowCanceledError):
        await hold()
    assert stuck.ended.is_set()


async def test_cancellation_waits_for_the_grace_only(stuck, caplog):
    """A thread that does not end within `cancel_grace` is abandoned with a warning."""
    run = Workflow("w", Task("stuck_two", stuck)).start(cancel_grace=0.05)
    with pytest.raises(g.GraflowWorkflowCanceledError):
        await cancel_when(run, stuck.began)
    assert not stuck.ended.is_set()
    assert "'stuck_two'" in caplog.text
    assert "cancel_grace" in caplog.text
    stuck.let_go.set()
    stuck.ended.wait(30)
    await asyncio.sleep(0)
    assert dict(run.results) == {}
    assert run.status == "cancelled"


async def test_a_long_sync_task_may_look_whether_it_was_cancelled():
    """`is_cancelled` turns true in the thread, so that a loop may stop by itself."""
    began, loop, turns = asyncio.Event(), asyncio.get_running_loop(), []

    def body(ctx):
        loop.call_soon_threadsafe(began.set)
        while not ctx.is_cancelled:
            threading.Event().wait(0.001)
        turns.append("stopped")

    with pytest.raises(g.GraflowWorkflowCanceledError):
        await cancel_when(Workflow("w", Task("t", body, inject_context=True)).start(), began)
    assert turns == ["stopped"]


@pytest.mark.parametrize("verb", ["sleep", "call", "map", "wait", "step"])
async def test_a_blocked_thread_sees_the_cancellation(verb):
    """A sync body that waits in a blocking verb is woken by CancelledError there, and cleans up."""
    began, loop, seen = asyncio.Event(), asyncio.get_running_loop(), []

    async def stay(_=None):
        loop.call_soon(began.set)
        await asyncio.Event().wait()

    def body(ctx):
        loop.call_soon_threadsafe(began.set)
        try:
            if verb == "sleep":
                ctx.sleep(1000)
            elif verb == "call":
                ctx.call(Task("stay", stay))
            elif verb == "map":
                ctx.map(Task("stay", stay), [1, 2])
            elif verb == "wait":
                ctx.channel.wait("never")
            else:
                ctx.step("key", stay)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("cleaned")

    with pytest.raises(g.GraflowWorkflowCanceledError):
        await cancel_when(Workflow("w", Task("t", body, inject_context=True)).start(cancel_grace=30), began)
    assert seen == ["cancelled", "cleaned"]


async def test_max_threads_is_honoured():
    """Never more sync bodies than `max_threads` run at once, and that many do."""
    crowd, lock, full = Crowd(), threading.Lock(), threading.Barrier(3)

    def body(n):
        with lock:
            crowd.now += 1
            crowd.most = max(crowd.most, crowd.now)
        full.wait(30)
        with lock:
            crowd.now -= 1
        return n

    async def parent(ctx):
        return await ctx.map(Task("body", body), range(12))

    value = await Workflow("w", Task("t", parent, inject_context=True)).run(max_threads=3)
    assert value == list(range(12))
    assert crowd.most == 3


@pytest.mark.parametrize(
    "options", [{"max_threads": 1}, {"max_concurrency": 1}, {"max_threads": 1, "max_concurrency": 1}]
)
async def test_waiting_sync_parents_hold_no_slot(options):
    """Sync tasks that map sync tasks that map ... five levels deep end with one thread slot and one body at a time."""
    crowd, lock = Crowd(), threading.Lock()

    def level(ctx, depth):
        with lock, crowd:
            pass
        if depth == 0:
            return 1
        return sum(ctx.map(nested, [depth - 1, depth - 1]))

    nested = Task("level", level, inject_context=True)
    assert await Workflow("w", nested(5)).run(**options) == 32
    assert crowd.total == 63


async def test_a_waiting_sync_task_lets_another_run():
    """A sync task that waits for another's channel key with `max_threads=1` gets it."""
    with workflow("w") as wf:
        Task("waits", lambda ctx: ctx.channel.wait("key"), inject_context=True)
        Task("gives", lambda ctx: ctx.channel.set("key", 7), inject_context=True)
    assert (await asyncio.wait_for(wf.run(max_threads=1), 60))["waits"] == 7


async def test_sync_function_that_returns_an_awaitable():
    """What a sync function returns is awaited on the loop if it can be awaited."""
    thread, here = [], threading.get_ident()

    async def later():
        thread.append(threading.get_ident())
        await asyncio.sleep(0)
        return 5

    for executor in ("thread", "inline"):
        assert await Workflow("w", Task("t", lambda: later(), executor=executor)).run() == 5  # noqa: PLW0108  # plain on purpose
    assert thread == [here, here]


async def test_children_of_a_sync_task():
    """The blocking verbs: call, map, submit, as_completed, run_workflow, step, get_result, wf.execute."""

    @task
    async def double(n):
        await asyncio.sleep(0)
        return 2 * n

    inner = Workflow("inner", double(20))

    def body(ctx):
        first, second = ctx.submit(double, 1), ctx.submit(double, 2)
        third = ctx.submit(double, first)
        ended = sorted(handle.result() for handle in ctx.as_completed([first, second, third]))
        key = [ctx.step("once", lambda: 9), ctx.step("once", lambda: 10)]
        return [ctx.call(double, 3), ctx.map(double, [4, 5]), ended, ctx.run_workflow(inner), inner.execute(), key]

    value = await Workflow("w", Task("t", body, inject_context=True)).run()
    assert value == [6, [8, 10], [2, 4, 4], 40, 40, [9, 9]]


async def test_failing_child_raises_in_the_thread():
    """A blocking call raises the child's own exception object, which the sync parent may catch."""
    error = ValueError("child")

    def bad():
        raise error

    def body(ctx):
        with pytest.raises(ValueError) as caught:
            ctx.call(Task("bad", bad))
        with pytest.raises(ValueError) as again:
            ctx.map(Task("bad", lambda _: bad()), [1])
        return caught.value is error, again.value is error

    assert await Workflow("w", Task("t", body, inject_context=True)).run() == (True, True)


async def test_a_loop_of_its_own_inside_a_sync_task():
    """A sync body may run a loop of its own in its thread."""

    async def inner():
        await asyncio.sleep(0)
        return 3

    assert await Workflow("w", Task("t", lambda: asyncio.run(inner()))).run() == 3


async def test_cancelling_a_process(tmp_path):
    """A body in a child process is killed by a timeout and by a cancellation."""
    mark = tmp_path / "late"
    code = "import threading, pathlib; threading.Event().wait(60); pathlib.Path(where).touch()"
    slow = Task("slow", exec, executor="process", timeout=0.3)
    with pytest.raises(g.TaskTimeoutError):
        await Workflow("w", slow(code, {"where": str(mark)})).run()
    endless = Task("endless", exec, executor="process")(code, {"where": str(mark)})
    async with background(Workflow("w", endless).run()) as waiter:
        await asyncio.sleep(0.2)
        waiter.cancel()
        await until(waiter.done, 1_000_000)
    assert waiter.cancelled()
    assert not mark.exists()
