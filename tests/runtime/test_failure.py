"""Failures: the task's own exception, what happens to the others, retries, timeouts (SPEC 2.6, 1.1)."""

from __future__ import annotations

import asyncio
import itertools
import traceback

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, parallel, task, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, now, through, timers_left

HOUR = 3600.0


def failing(error: BaseException, name: str = "bad", **options) -> Task:
    async def body():
        raise error

    return Task(name, body, **options)


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


@pytest.mark.parametrize("executor", ["async", "thread", "inline"])
async def test_own_exception_object_unwrapped_with_notes(executor):
    """`run` raises the very object that the body raised, with notes that name task, attempt and run."""
    error = ValueError("no")

    def body():
        raise error

    bad = failing(error) if executor == "async" else Task("bad", body, executor=executor)
    with pytest.raises(ValueError) as caught:
        await Workflow("w", bad).run(run_id="r-17")
    assert caught.value is error
    assert error.args == ("no",)
    for words in ("'bad'", "attempt 1", "r-17", "'w'"):
        assert words in notes_of(error)
    assert "body" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


async def test_process_failure_is_raised_with_notes():
    """A body in a child process fails with its own kind of exception, and the notes name the task."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        await Workflow("w", Task("bad", int, executor="process")("x")).run()
    assert "'bad_1'" in notes_of(caught.value)


async def test_exception_group_of_a_body_stays_as_it_is():
    """A body's own ExceptionGroup is not taken apart or wrapped."""
    error = ExceptionGroup("two", [ValueError("a"), KeyError("b")])
    with pytest.raises(ExceptionGroup) as caught:
        await Workflow("w", failing(error)).run()
    assert caught.value is error


async def test_siblings_are_cancelled_and_awaited_before_the_raise():
    """When the run raises, its other bodies have been cancelled and their clean-up is over."""
    stay = Stay()

    async def bad():
        await stay.began.wait()
        raise ValueError("no")

    with workflow("w") as wf:
        Task("stay", stay)
        Task("bad", bad)
    with pytest.raises(ValueError):
        await wf.run()
    assert stay.cleaned


async def test_successors_of_a_failure_do_not_run():
    """Nothing starts after the failure."""
    ran = []
    with pytest.raises(ValueError):
        await Workflow("w", failing(ValueError("no")) >> Task("after", lambda: ran.append(1))).run()
    assert ran == []


async def test_failures_of_others_are_in_the_mapping():
    """The first failure is raised; what failed meanwhile is in `run.failures`, and the status says failed."""
    second = KeyError("clean-up failed")
    began = asyncio.Event()

    async def other():
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            raise second

    async def bad():
        await began.wait()
        raise ValueError("first")

    with workflow("w") as wf:
        Task("other", other)
        Task("bad", bad)
    run = wf.start()
    with pytest.raises(ValueError, match="first"):
        await through(run)
    assert run.status == "failed"
    assert {name: type(error) for name, error in run.failures.items()} == {"bad": ValueError, "other": KeyError}
    assert run.failures["other"] is second


async def test_tolerated_failures_are_in_the_mapping_and_caught_ones_are_not():
    """`run.failures` lists members that a policy tolerated, not what a parent caught."""

    async def catching(ctx):
        with pytest.raises(KeyError):
            await ctx.call(failing(KeyError("caught"), "child"))
        return "fine"

    group = parallel(failing(ValueError("no")), Task("ok", lambda: 1), policy="best_effort").set_group_name("g")
    async with Workflow("w", group >> Task("catching", catching, inject_context=True)).start() as run:
        assert await run == "fine"
    assert list(run.failures) == ["bad"]
    assert run.status == "completed"
    assert run.results["g"] == {"ok": 1}


@pytest.mark.parametrize("executor", ["async", "thread", "inline"])
async def test_keyboard_interrupt_in_a_body_ends_the_run(executor):
    """KeyboardInterrupt is not retried nor tolerated: it cancels the rest and comes out of the run."""
    stay, attempts = Stay(), []

    async def async_body():
        await stay.began.wait()
        attempts.append(1)
        raise KeyboardInterrupt

    def body():
        attempts.append(1)
        raise KeyboardInterrupt

    if executor == "async":
        bad = Task("bad", async_body, max_retries=3)
    else:
        bad = Task("bad", body, max_retries=3, executor=executor)
    with pytest.raises(KeyboardInterrupt):
        await Workflow("w", parallel(Task("stay", stay), bad, policy="best_effort")).run()
    assert attempts == [1]
    assert stay.cleaned or not stay.began.is_set()


@pytest.mark.parametrize("executor", ["async", "thread", "inline"])
async def test_system_exit_in_a_body_is_a_failure(executor):
    """`sys.exit` in a body fails its task as any exception would, and does not end the program."""

    async def async_body():
        raise SystemExit(3)

    def body():
        raise SystemExit(3)

    bad = Task("bad", async_body) if executor == "async" else Task("bad", body, executor=executor)
    async with Workflow("w", parallel(bad, Task("ok", lambda: 1), policy="best_effort")).start() as run:
        assert await run == {"ok": 1}
    error = run.failures["bad"]
    assert isinstance(error, SystemExit) or isinstance(error.__cause__, SystemExit)


async def test_stop_iteration_in_a_body_is_a_failure():
    """StopIteration cannot be mistaken for a return value."""

    def body():
        raise StopIteration(5)

    for executor in ("thread", "inline"):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await Workflow("w", Task("bad", body, executor=executor)).run()


async def test_binding_error_is_never_retried():
    """A BindingError, found before the body or raised in it, ends the task at its first attempt."""
    attempts, retried = [], []

    async def body(ctx):
        attempts.append(ctx.attempt)
        ctx.submit(Task("child", lambda: 1), bogus=2)

    def listener(event):
        if isinstance(event, g.TaskRetrying):
            retried.append(event)

    tasks = (
        Task("inside", body, inject_context=True, max_retries=3),
        Task("before", lambda nowhere: attempts.append(nowhere + 1), max_retries=3),
    )
    for each in tasks:
        with pytest.raises(g.BindingError):
            await Workflow("w", each).run(listeners=[listener])
    assert attempts == [1]
    assert retried == []


@pytest.mark.parametrize(
    ("policy", "moments"),
    [
        (g.RetryPolicy(3, initial_interval=HOUR, max_interval=10 * HOUR), [0, 1, 3, 7]),
        (g.RetryPolicy(3, initial_interval=HOUR, max_interval=1.5 * HOUR), [0, 1, 2.5, 4]),
        (g.RetryPolicy(2, initial_interval=HOUR, backoff_factor=1.0, max_interval=9 * HOUR), [0, 1, 2]),
        (g.RetryPolicy(0), [0]),
    ],
)
def test_backoff_moments(policy, moments):
    """The n-th wait is initial * factor ** (n - 1), bounded; then the last failure comes out."""

    async def main():
        seen, errors = [], []

        async def body():
            seen.append(now() / HOUR)
            errors.append(ValueError(len(seen)))
            raise errors[-1]

        with pytest.raises(ValueError) as caught:
            await Workflow("w", Task("bad", body, retry_policy=policy)).run()
        assert caught.value is errors[-1]
        assert timers_left() == []
        assert f"attempt {len(moments)}" in notes_of(caught.value)
        return seen

    assert run_sim(main, 1) == moments


def test_max_retries_without_a_policy_does_not_wait():
    """`max_retries=n` alone means n + 1 attempts at once; attempt and retry_count count them."""

    async def main():
        seen = []

        async def body(ctx):
            seen.append((now(), ctx.attempt, ctx.retry_count))
            if ctx.attempt < 3:
                raise ValueError
            return "third"

        assert await Workflow("w", Task("t", body, inject_context=True, max_retries=2)).run() == "third"
        return seen

    assert run_sim(main, 1) == [(0, 1, 0), (0, 2, 1), (0, 3, 2)]


def test_retry_on_takes_a_tuple():
    """Only the listed kinds are tried again."""

    async def main():
        attempts = []
        policy = g.RetryPolicy(5, initial_interval=1.0, retry_on=(KeyError, OSError))

        async def body():
            attempts.append(1)
            raise [KeyError("a"), OSError("b"), ValueError("c")][len(attempts) - 1]

        with pytest.raises(ValueError, match="c"):
            await Workflow("w", Task("t", body, retry_policy=policy)).run()
        return len(attempts)

    assert run_sim(main, 1) == 3


def test_jitter_is_the_same_for_the_same_run():
    """A jittered wait lies between half and all of it, and is the same when the run is repeated."""

    async def main():
        seen = []

        async def body():
            seen.append(now())
            raise ValueError

        policy = g.RetryPolicy(4, initial_interval=10, backoff_factor=1.0, jitter=True)
        with pytest.raises(ValueError):
            await Workflow("w", Task("t", body, retry_policy=policy)).run(run_id="r")
        return seen

    seen = run_sim(main, 1)
    waits = [b - a for a, b in itertools.pairwise(seen)]
    assert all(5 <= wait <= 10 for wait in waits)
    assert len(set(waits)) > 1
    assert run_sim(main, 2) == seen


@pytest.mark.parametrize("seed", SEEDS)
def test_backoff_frees_the_slot(seed):
    """While a task waits for its next attempt, others have its slot."""

    async def main():
        order = []

        async def flaky(ctx):
            order.append(("flaky", ctx.attempt))
            if ctx.attempt == 1:
                raise ValueError

        async def long():
            order.append(("long", now() < HOUR))
            await asyncio.sleep(10)

        with workflow("w") as wf:
            retry = g.RetryPolicy(1, initial_interval=HOUR, max_interval=HOUR)
            Task("flaky", flaky, inject_context=True, retry_policy=retry)
            Task("long", long)
        await wf.run(max_concurrency=1)
        return order

    assert run_sim(main, seed) == [("flaky", 1), ("long", True), ("flaky", 2)]


def test_the_attempts_wishes_and_children_are_dropped():
    """What a failing attempt wished is dropped; children it called are run anew by the next attempt."""

    async def main():
        ran = []

        @task
        async def wished(attempt):
            ran.append(("wished", attempt))

        @task
        async def called(attempt):
            ran.append(("called", attempt))

        async def body(ctx):
            ctx.next_task(wished(ctx.attempt))
            await ctx.call(called, ctx.attempt)
            if ctx.attempt == 1:
                raise ValueError

        await Workflow("w", Task("t", body, inject_context=True, max_retries=1)).run()
        return ran

    assert run_sim(main, 1) == [("called", 1), ("called", 2), ("wished", 2)]
