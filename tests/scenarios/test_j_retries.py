"""Scenarios 123 to 126 (group J): retries."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import RetryPolicy, TaskTimeoutError, TaskWrapper, task, workflow


class FakeClock:
    """A clock whose timers fire at once, in order, and that remembers how long each would have taken."""

    def __init__(self):
        self.now = 0.0
        self.delays = []

    def time(self):
        return self.now

    def monotonic(self):
        return self.now

    def call_later(self, delay, callback):
        self.delays.append(delay)
        self.now += delay
        return asyncio.get_running_loop().call_soon(callback)


def test_123_a_task_that_fails_twice_is_tried_three_times(style):
    """123: retry_count seen 0, 1, 2; cycle_count stays 1; the result is stored."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_retries=3)
        def flaky(ctx):
            seen.append((ctx.attempt, ctx.retry_count, ctx.cycle_count))
            if ctx.attempt < 3:
                raise ValueError("again")
            return "done"

    assert style.run(wf) == "done"
    assert seen == [(1, 0, 1), (2, 1, 1), (3, 2, 1)]
    assert wf.get_result("flaky") == "done"


@pytest.mark.parametrize("max_retries", [0, 2])
def test_124_the_last_failure_is_raised_as_it_is(max_retries, style):
    """124 as SPEC 2.6: the task's own exception object, unwrapped, with notes of task, attempt and run."""
    raised = []
    with workflow("w") as wf:

        @style.task(max_retries=max_retries)
        def fails():
            raised.append(ValueError("broke"))
            raise raised[-1]

    with pytest.raises(ValueError, match="broke") as caught:
        style.run(wf, run_id="the-run")
    assert caught.value is raised[-1]
    assert len(raised) == max_retries + 1
    notes = "\n".join(caught.value.__notes__)
    assert "fails" in notes
    assert f"attempt {max_retries + 1}" in notes
    assert "the-run" in notes


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (RetryPolicy(3, 1.0, 2.0), [1.0, 2.0, 4.0]),
        (RetryPolicy(3, 1.0, 100.0, max_interval=5.0), [1.0, 5.0, 5.0]),
        (RetryPolicy(2, 0.5, 1.0), [0.5, 0.5]),
    ],
)
async def test_125_waits_grow_as_the_policy_says(policy, delays):
    """125: 1, 2, 4; capped 1, 5, 5."""
    clock = FakeClock()
    with workflow("w") as wf:

        @task(retry_policy=policy)
        async def fails():
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        await wf.run(clock=clock)
    assert clock.delays == delays


async def test_125_without_a_policy_there_is_no_wait():
    """125 and SPEC 10: `max_retries` alone tries again at once."""
    clock, attempts = FakeClock(), []
    with workflow("w") as wf:

        @task(max_retries=3)
        async def fails():
            attempts.append(1)
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        await wf.run(clock=clock)
    assert len(attempts) == 4
    assert not any(clock.delays)


async def test_125_a_waiting_retry_gives_its_slot_back():
    """125 and SPEC 1.1: while one task waits for its retry, another runs though only one may."""
    log = []
    clock = FakeClock()
    with workflow("w") as wf:

        @task(inject_context=True, retry_policy=RetryPolicy(1, 10.0))
        async def flaky(ctx):
            log.append(f"flaky {ctx.attempt}")
            if ctx.attempt == 1:
                raise ValueError("again")

        @task
        async def other():
            log.append("other")

        flaky | other
    await wf.run(clock=clock, max_concurrency=1)
    assert log == ["flaky 1", "other", "flaky 2"]


def test_126_an_iteration_may_fail_and_be_tried_again(style):
    """126: all three cycles complete, cycle 2 was attempted twice, each with its data."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_retries=2)
        def loop(ctx, n=1):
            seen.append((ctx.cycle_count, ctx.attempt, n))
            if ctx.cycle_count == 2 and ctx.attempt == 1:
                raise ValueError("once")
            if ctx.cycle_count < 3:
                ctx.next_iteration(n + 1)

        style.run(wf)
    assert seen == [(1, 1, 1), (2, 1, 2), (2, 2, 2), (3, 1, 3)]


@pytest.mark.parametrize(("retry_on", "attempts"), [(KeyError, 1), ((KeyError, ValueError), 3), (LookupError, 1)])
def test_only_the_named_exceptions_are_retried(retry_on, attempts, style):
    """SPEC 1.1 and 10: `retry_on` is a class or a tuple."""
    seen = []
    with workflow("w") as wf:

        @style.task(retry_policy=RetryPolicy(2, 0, retry_on=retry_on))
        def fails():
            seen.append(1)
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        style.run(wf)
    assert len(seen) == attempts


async def test_a_timeout_is_a_failure_that_may_be_retried():
    """SPEC 1.1: `timeout` per attempt; TaskTimeoutError is a TimeoutError and counts for retries."""
    attempts = []
    with workflow("w") as wf:

        @task(inject_context=True, timeout=0.02, max_retries=1)
        async def slow(ctx):
            attempts.append(ctx.attempt)
            await asyncio.Event().wait()

    with pytest.raises(TaskTimeoutError, match="slow") as caught:
        await wf.run()
    assert isinstance(caught.value, TimeoutError)
    assert attempts == [1, 2]


async def test_a_task_that_cancels_itself_has_failed():
    """SPEC 10: cancelling one's own asyncio task is a failure, not a cancellation of the run; the run does not hang."""
    with workflow("w") as wf:

        @task
        async def odd():
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            await asyncio.sleep(0)

        odd >> TaskWrapper("after", lambda: 1)
    async with asyncio.timeout(60):
        async with wf.start() as run:
            with pytest.raises(BaseException) as caught:
                await run
            assert not isinstance(caught.value, TimeoutError)
            with pytest.raises(type(caught.value)):
                await run
    assert run.status == "failed"


async def test_siblings_are_cancelled_and_other_failures_kept():
    """SPEC 2.6: the first failure ends the run; who failed meanwhile is in `run.failures`."""
    log = []
    first, second = ValueError("first"), KeyError("second")
    waiting = asyncio.Event()
    with workflow("w") as wf:

        @task
        async def fails():
            await waiting.wait()
            raise first

        @task
        async def fails_while_cancelled():
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                log.append("cleanup")
                raise second

    with pytest.raises(ValueError, match="first") as caught:
        async with wf.start() as run:
            await run
    assert caught.value is first
    assert log == ["cleanup"]
    assert run.failures == {"fails": first, "fails_while_cancelled": second}
