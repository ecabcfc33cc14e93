"""Failures that are unlike other failures: odd exceptions, late attempts, parts of a run that fail themselves."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading

import pytest

import graflow_async as g
from graflow_async import ParallelGroupError, Task, Workflow, parallel, workflow
from graflow_async.testing import FakeClock
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Crowd, Stay, background, now, through, timers_left


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class BaseFailure(BaseException):
    """As what `pytest.fail` raises: no Exception."""


ODD = [FrozenError(3), UnspeakableError(), BaseFailure("base"), ExceptionGroup("g", [ValueError()]), GeneratorExit()]


@pytest.mark.parametrize("executor", ["async", "thread"])
@pytest.mark.parametrize("shape", ["alone", "strict", "tolerant", "map", "child"])
@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
async def test_odd_exceptions_are_failures_like_others(error, shape, executor):
    """Exceptions that refuse notes, have no text or are no Exception end their run or group, and nothing hangs."""

    def body(_=None):
        raise error

    async def async_body(_=None):
        raise error

    bad = Task("bad", async_body if executor == "async" else body)

    async def parent(ctx):
        return await (ctx.map(bad, [1, 2]) if shape == "map" else ctx.call(bad))

    if shape == "alone":
        wf = Workflow("w", bad)
    elif shape in {"map", "child"}:
        wf = Workflow("w", Task("parent", parent, inject_context=True))
    else:
        wf = Workflow("w", parallel(bad, Task("ok"), policy="best_effort" if shape == "tolerant" else "strict"))
    run = wf.start()
    async with background(through(run)) as waiter:
        await asyncio.wait([waiter], timeout=60)
        assert waiter.done(), "the run hangs"
        caught = waiter.exception()
        if shape == "tolerant":
            assert run.results["ParallelGroup_1"] == {"ok": None}
            assert list(run.failures) == ["bad"]
            return
        assert caught is not None
        inner = caught
        if isinstance(caught, ParallelGroupError):
            inner = caught.exceptions[0]
            assert type(caught.failed["bad"]) in {type(error), g.GraflowRuntimeError}
        found = [inner, inner.__cause__]
        # Python itself makes a new GeneratorExit when one passes through suspended coroutines.
        assert error in found or (isinstance(error, GeneratorExit) and type(error) in map(type, found))
        assert run.status == "failed"


async def test_one_exception_object_raised_again_and_again():
    """The same exception object may be raised by every attempt and by several tasks."""
    error = ValueError("always")

    async def body():
        raise error

    retry = g.RetryPolicy(3, initial_interval=0)
    group = parallel(*(Task(f"t{n}", body, retry_policy=retry) for n in range(3)), policy="best_effort")
    async with Workflow("w", group).start() as run:
        assert await run == {}
    assert set(run.failures.values()) == {error}


@pytest.mark.parametrize("seed", SEEDS)
def test_timing_out_while_waiting_to_get_the_slot_back(seed):
    """A parent whose time is over while it queues for its slot fails that attempt; the next one works as the first."""

    async def main():
        attempts, crowd = [], Crowd()

        async def child():
            await asyncio.sleep(1)

        async def parent(ctx):
            attempts.append(now())
            await ctx.call(Task("child", child))
            return "done"

        async def holder():
            with crowd:
                await asyncio.sleep(20)

        with workflow("w") as wf:
            Task("parent", parent, inject_context=True, limits=["x"], timeout=5, max_retries=1)
            Task("holder", holder, limits=["x"])
        async with wf.start(limits={"x": 1}) as run:
            assert (await run)["parent"] == "done"
        assert attempts == [0, 20]
        assert now() == 21
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_giving_up_a_child_while_waiting_to_get_the_slot_back(seed):
    """A body that stops waiting by its own time limit goes on only with its slot, so the limit holds."""

    async def main():
        crowd = Crowd()

        async def child():
            await asyncio.sleep(1)

        async def parent(ctx):
            try:
                async with asyncio.timeout(5):
                    await ctx.call(Task("child", child))
            except TimeoutError:
                pass
            with crowd:
                await asyncio.sleep(2)
            await ctx.call(Task("child", child))
            with crowd:
                await asyncio.sleep(2)
            return "done"

        async def holder():
            with crowd:
                await asyncio.sleep(20)

        with workflow("w") as wf:
            Task("parent", parent, inject_context=True, limits=["x"])
            Task("holder", holder, limits=["x"])
        assert (await wf.run(limits={"x": 1}))["parent"] == "done"
        assert crowd.most == 1
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.near  # the clock that is moved is the run's
async def test_a_late_attempt_cannot_act_for_the_next_one():
    """The thread of an attempt that timed out is refused by the verbs, though the task is running again."""
    late, told, clock = threading.Event(), threading.Event(), FakeClock()
    began, done, loop = asyncio.Semaphore(0), asyncio.Event(), asyncio.get_running_loop()
    ran, refused = [], []

    def body(ctx):
        number = ctx.attempt  # looked at while it is this one that counts
        loop.call_soon_threadsafe(began.release)
        if number == 2:
            late.set()
            ctx.block(done.wait)
            return "second"
        late.wait(60)
        try:
            ctx.call(Task("late child", lambda: ran.append("late child")))
        except BaseException as error:
            refused.append(error)
        told.set()
        return "first"

    t = Task("t", body, inject_context=True, timeout=0.1, max_retries=1)
    async with Workflow("w", t).start(clock=clock) as run:
        await began.acquire()
        await clock.advance(0.1)
        await began.acquire()
        assert await asyncio.to_thread(told.wait, 60)
        done.set()
        assert await run == "second"
    assert ran == []
    assert refused


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stubborn_attempt_cannot_act_for_the_next_one(seed):
    """A coroutine that was abandoned is refused by the verbs, though its task is running again."""

    async def main():
        ran, refused = [], []
        again, ended = asyncio.Event(), asyncio.Event()

        async def body(ctx):
            if ctx.attempt == 2:
                again.set()
                await ended.wait()
                return "second"
            while not again.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await again.wait()
            try:
                await ctx.call(Task("late child", lambda: ran.append(1), executor="inline"))
            except g.GraflowRuntimeError as error:
                refused.append(error)
            ended.set()
            return "first"

        t = Task("t", body, inject_context=True, timeout=5, max_retries=1)
        async with Workflow("w", t).start(cancel_grace=2) as run:
            assert await run == "second"
        await asyncio.sleep(1)
        assert ran == []
        assert len(refused) == 1

    run_sim(main, seed)


class Executor:
    """An executor of one's own that runs jobs at once, and may fail to close."""

    name = "mine"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.jobs: list[str] = []
        self.closed = 0
        self.cancelled = 0
        self.hold: asyncio.Event | None = None

    async def execute(self, job):
        self.jobs.append(job.task_id)
        try:
            if self.hold is not None:
                self.hold.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return job.func(*job.args, **job.kwargs)

    async def aclose(self):
        self.closed += 1
        if self.error is not None:
            raise self.error


async def test_an_executor_of_ones_own():
    """A task's job goes to the executor it names; the executor is closed at the end, and cancelled jobs see it."""
    mine = Executor()
    wf = Workflow("w", Task("a", lambda: 1, executor="mine") >> Task("b", lambda a: a + 1, executor="inline"))
    assert await wf.run(executor={"mine": mine}) == 2
    assert (mine.jobs, mine.closed) == (["a"], 1)
    mine.hold = asyncio.Event()
    async with background(wf.run(executor={"mine": mine})) as waiter:
        await mine.hold.wait()
        waiter.cancel()
        await asyncio.wait([waiter])
    assert (mine.cancelled, mine.closed) == (1, 2)


@pytest.mark.parametrize("fails", [False, True], ids=["completed", "failed"])
async def test_an_executor_that_fails_to_close(fails):
    """A failing `aclose` neither hides how the run ended nor keeps other parts from being closed."""
    error, other = ValueError("the body's own"), Executor()
    other.name = "other"

    def body():
        if fails:
            raise error
        return "value"

    run = Workflow("w", Task("t", body) >> Task("u", lambda t: t, executor="mine")).start(
        executor={"mine": Executor(OSError("close")), "other": other}
    )
    end = (await asyncio.gather(through(run), return_exceptions=True))[0]
    assert other.closed == 1
    for thread in threading.enumerate():
        if thread.name == "graflow-loop-watch":
            thread.join(60)  # it ends by itself, a moment after the last run that it looks at
    assert [t.name for t in threading.enumerate() if t.name.startswith("graflow")] == []
    if fails:
        assert end is error
        assert run.status == "failed"
    else:
        assert end == "value" or isinstance(end, OSError)
        assert run.status != "running"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_listener_that_raises_cancelled_error(kind):
    """CancelledError out of a listener is the listener's failure, not a cancellation of the run."""

    def bad(event):
        raise asyncio.CancelledError

    async def async_bad(event):
        raise asyncio.CancelledError

    async with asyncio.timeout(60):
        assert await Workflow("w", Task("t", lambda: 1)).run(listeners=[bad if kind == "sync" else async_bad]) == 1


async def test_a_listener_that_never_returns():
    """A run with an async listener that hangs can still be cancelled, and leaves nothing behind."""
    is_stuck = asyncio.Event()

    async def stuck(event):
        is_stuck.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    waiter = asyncio.create_task(Workflow("w", Task("t", Stay())).run(listeners=[stuck], cancel_grace=0.05))
    await is_stuck.wait()
    waiter.cancel()
    await asyncio.wait([waiter], timeout=60)
    ended = waiter.done()
    for task in asyncio.all_tasks() - before - {waiter}:
        task.cancel()  # what is left of a listener would make the rest of the suite wait
    await asyncio.wait([waiter])
    assert ended
