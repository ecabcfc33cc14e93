"""Failures between parents and children, timeouts of attempts and of runs (SPEC 2.4, 2.6, 10)."""

from __future__ import annotations

import asyncio

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, now, through, timers_left, until

HOUR = 3600.0


def raiser(error: BaseException):
    async def body():
        raise error

    return body


@pytest.mark.parametrize("seed", SEEDS)
def test_raising_body_cancels_its_children_first(seed):
    """A body that raises while children run: they are cancelled and cleaned up before the failure goes on."""

    async def main():
        stay = Stay()

        async def body(ctx):
            ctx.submit(Task("stay", stay))
            await stay.began.wait()
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await Workflow("w", Task("t", body, inject_context=True)).run()
        assert stay.cleaned
        assert timers_left() == []

    run_sim(main, seed)


def test_an_unawaited_failing_child_fails_the_attempt():
    """A child nobody awaited fails its parent at the parent's end, and that attempt is tried again."""

    async def main():
        attempts = []

        async def body(ctx):
            attempts.append(ctx.attempt)
            if ctx.attempt == 1:
                ctx.submit(Task("child", raiser(ValueError("child"))))
            return "done"

        value = await Workflow("w", Task("t", body, inject_context=True, max_retries=1)).run()
        assert attempts == [1, 2]
        return value

    assert run_sim(main, 1) == "done"


def test_an_unawaited_child_that_fails_while_the_parent_runs_counts_too():
    """The failure is not lost when it came before the parent's end."""

    async def main():
        error = ValueError("child")

        async def body(ctx):
            handle = ctx.submit(Task("child", raiser(error)))
            await until(handle.done)
            return "done"

        with pytest.raises(ValueError) as caught:
            await Workflow("w", Task("t", body, inject_context=True)).run()
        assert caught.value is error

    run_sim(main, 1)


def test_a_failing_wished_child_fails_the_parent_without_a_retry():
    """The body had succeeded: the parent is not run again for a `next_task` child that failed."""

    async def main():
        attempts, error, stay = [], ValueError("child"), Stay()

        async def body(ctx):
            attempts.append(ctx.attempt)
            ctx.next_task(Task("stay", stay))
            ctx.next_task(Task("child", raiser(error)))

        with pytest.raises(ValueError) as caught:
            await Workflow("w", Task("t", body, inject_context=True, max_retries=3)).run()
        assert caught.value is error
        assert attempts == [1]
        assert stay.cleaned or not stay.began.is_set()

    run_sim(main, 1)


def test_a_caught_failure_leaves_no_trace():
    """A parent that catches its child's failure goes on and the run completes."""

    async def main():
        async def body(ctx):
            try:
                await ctx.call(Task("child", raiser(KeyError("x"))))
            except KeyError:
                return "caught"

        async with Workflow("w", Task("t", body, inject_context=True)).start() as run:
            assert await run == "caught"
        assert dict(run.failures) == {}
        assert run.status == "completed"

    run_sim(main, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_failing_item_cancels_the_other_items(seed):
    """A failing item of a map cancels and awaits the others; its own exception is raised with a note of the item."""

    async def main():
        error, cleaned, began = ValueError("item"), [], []

        async def item(n):
            began.append(n)
            if n == 3:
                await asyncio.sleep(1)
                raise error
            try:
                await asyncio.sleep(HOUR)
            finally:
                await asyncio.sleep(0.5)
                cleaned.append(n)

        async def body(ctx):
            await ctx.map(Task("item", item), range(6))

        with pytest.raises(ValueError) as caught:
            await Workflow("w", Task("t", body, inject_context=True)).run()
        assert caught.value is error
        assert sorted(cleaned) == [0, 1, 2, 4, 5]
        assert any("item 3" in note for note in error.__notes__)
        assert now() == 1.5

    run_sim(main, seed)


def test_return_exceptions_puts_failures_in_place():
    """With `return_exceptions` each failure stands where the item's result would."""

    async def main():
        async def item(n):
            if n % 2:
                raise ValueError(n)
            return n

        async def body(ctx):
            return await ctx.map(Task("item", item), range(4), return_exceptions=True)

        value = await Workflow("w", Task("t", body, inject_context=True)).run()
        return [v if isinstance(v, int) else (type(v), v.args) for v in value]

    assert run_sim(main, 1) == [0, (ValueError, (1,)), 2, (ValueError, (3,))]


def test_a_failed_handle_as_argument_gives_the_same_exception():
    """If a future given as an argument failed, the child does not run and its awaiter gets that exception."""

    async def main():
        error, ran = ValueError("first"), []

        async def body(ctx):
            first = ctx.submit(Task("first", raiser(error)))
            second = ctx.submit(Task("second", ran.append), first)
            with pytest.raises(ValueError) as caught:
                await second
            assert caught.value is error
            assert first.exception() is error

        await Workflow("w", Task("t", body, inject_context=True)).run()
        assert ran == []

    run_sim(main, 1)


def test_timeout_counts_as_a_failure_for_retries():
    """Each attempt has its `timeout`; one that is over is a TaskTimeoutError, which is tried again."""

    async def main():
        cleaned = []

        async def body(ctx):
            try:
                await asyncio.sleep(HOUR if ctx.attempt < 3 else 1)
            finally:
                cleaned.append(now())
            return ctx.attempt

        t = Task("t", body, inject_context=True, timeout=10, max_retries=2)
        assert await Workflow("w", t).run() == 3
        assert cleaned == [10, 20, 21]
        with pytest.raises(g.TaskTimeoutError, match=r"'t2'.*10") as caught:
            await Workflow("w", Task("t2", Stay(), timeout=10)).run()
        assert isinstance(caught.value, TimeoutError)
        assert timers_left() == []

    run_sim(main, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_timeout_of_a_parent_ends_its_children(seed):
    """An attempt whose time is over has its children cancelled and awaited before it fails."""

    async def main():
        stay = Stay()

        async def body(ctx):
            await ctx.call(Task("stay", stay))

        with pytest.raises(g.TaskTimeoutError, match="'t'"):
            await Workflow("w", Task("t", body, inject_context=True, timeout=5)).run()
        assert stay.cleaned
        assert now() == 5

    run_sim(main, seed)


def test_a_timeout_error_of_the_body_is_its_own():
    """A body's own TimeoutError is not renamed, timeout or not."""

    async def main():
        async def body():
            async with asyncio.timeout(1):
                await asyncio.sleep(HOUR)

        with pytest.raises(TimeoutError) as caught:
            await Workflow("w", Task("t", body, timeout=10)).run()
        assert not isinstance(caught.value, g.TaskTimeoutError)

    run_sim(main, 1)


def test_run_timeout_names_what_was_running():
    """A run's own timeout raises TaskTimeoutError naming the bodies that ran, which are cancelled first."""

    async def main():
        stay = Stay()

        async def quick():
            await asyncio.sleep(1)

        with workflow("w") as wf:
            Task("stay", stay)
            Task("quick", quick)
        run = wf.start(timeout=60)
        with pytest.raises(g.TaskTimeoutError, match=r"60.*'?stay'?") as caught:
            await through(run)
        assert "quick" not in str(caught.value)
        assert stay.cleaned
        assert run.status == "failed"
        assert now() == 60
        assert timers_left() == []

    run_sim(main, 1)


def test_a_child_run_that_fails_can_be_caught():
    """A failing child run raises its task's own exception in the parent."""

    async def main():
        error = ValueError("inner")
        inner = Workflow("inner", Task("x", raiser(error)))

        async def body(ctx):
            try:
                await ctx.run_workflow(inner)
            except ValueError as caught:
                return caught

        async with Workflow("w", Task("t", body, inject_context=True)).start() as run:
            assert await run is error
        assert dict(run.failures) == {}

    run_sim(main, 1)


def test_cancel_workflow_in_a_child_run_raises_in_the_parent():
    """`cancel_workflow` in a child run ends that run; the parent may catch it."""

    async def main():
        async def stop(ctx):
            ctx.cancel_workflow("enough")

        inner = Workflow("inner", Task("stop", stop, inject_context=True))

        async def body(ctx):
            with pytest.raises(g.GraflowWorkflowCanceledError) as caught:
                await ctx.run_workflow(inner)
            return caught.value.task_id, caught.value.message

        return await Workflow("w", Task("t", body, inject_context=True)).run()

    assert run_sim(main, 1) == ("stop", "enough")
