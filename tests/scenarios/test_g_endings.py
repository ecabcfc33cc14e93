"""Scenarios 91 to 98 (group G): terminate and cancel. Those that are samples of seeds stand in tests/seeds."""

# The error may come from any line of a block: what counts is that it comes before the run.
# ruff: noqa: PT012
# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import asyncio

import pytest

from graflow_async import GraflowWorkflowCanceledError, TaskWrapper, at_least, parallel, task, workflow


def noting(style, log, *names):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


@pytest.mark.parametrize(("given", "value"), [({}, "returned"), ({"result": "r"}, "r"), ({"result": None}, None)])
def test_091_termination_ends_the_run_with_a_value(given, value, style):
    """91, 93: the given result, else what the task returns; the task has completed, its wishes are dropped."""
    log = []
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")

        @style.task(inject_context=True)
        def stop(ctx):
            ctx.next_task(TaskWrapper("child", lambda: log.append("child")))
            ctx.terminate_workflow("enough", **given)
            return "returned"

        stop >> after
    assert style.run(wf) == value
    assert log == []
    assert wf.get_result("stop") == "returned"


@pytest.mark.parametrize("how", ["message", "error", "exception"])
def test_092_cancellation_ends_the_run_with_an_error(how, style):
    """92, 94: task id and message are on the error; the successor does not run; the task has not completed."""
    log = []
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")

        @style.task(inject_context=True)
        def validate(ctx):
            if how == "message":
                ctx.cancel_workflow("bad data")
            elif how == "error":
                ctx.cancel_workflow(error="bad data")
            else:
                ctx.cancel_workflow(error=ValueError("bad data"))
            return "value"

        validate >> after
    with pytest.raises(GraflowWorkflowCanceledError, match="bad data") as caught:
        style.run(wf)
    assert (caught.value.task_id, caught.value.message) == ("validate", "bad data")
    assert isinstance(caught.value, Exception)
    assert log == []
    assert wf.get_result("validate", "not completed") == "not completed"


@pytest.mark.parametrize("cancel_first", [True, False])
def test_095_cancel_wins_over_terminate(cancel_first, style):
    """95: in either order."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def both(ctx):
            if cancel_first:
                ctx.cancel_workflow("no")
            ctx.terminate_workflow("yes")
            if not cancel_first:
                ctx.cancel_workflow("no")

    with pytest.raises(GraflowWorkflowCanceledError, match="no"):
        style.run(wf)


def test_a_failing_attempt_neither_terminates_nor_cancels(style):
    """SPEC 2.3: wishes do not count when the attempt raises."""
    attempts = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_retries=1)
        def stop(ctx):
            attempts.append(ctx.attempt)
            if ctx.attempt == 1:
                ctx.cancel_workflow("no")
                ctx.terminate_workflow(result="early")
                raise ValueError("again")
            return "end"

    assert style.run(wf) == "end"
    assert attempts == [1, 2]


async def test_097_termination_in_a_group_cancels_the_running_members():
    """97: the member that waits sees cancellation, the group's successor does not run, the run ends normally."""
    log = []
    waiting = asyncio.Event()
    with workflow("w") as wf:

        @task(inject_context=True)
        async def stops(ctx):
            await waiting.wait()
            ctx.terminate_workflow(result="early")

        @task
        async def waits():
            waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        after = TaskWrapper("after", lambda: log.append("after"))
        (stops | waits) >> after
    async with asyncio.timeout(60):
        assert await wf.run() == "early"
    assert log == ["cancelled"]


@pytest.mark.parametrize("policy", ["strict", "best_effort", at_least(1)])
def test_098_cancellation_in_a_group_is_not_a_failed_member(policy, style):
    """98: whatever the policy, the run raises the cancellation with the member's id."""
    log = []
    with workflow("w") as wf:
        other, after = noting(style, log, "other", "after")

        @style.task(inject_context=True)
        def member(ctx):
            ctx.cancel_workflow("stop")

        parallel(member, other, policy=policy) >> after
    with pytest.raises(GraflowWorkflowCanceledError) as caught:
        style.run(wf)
    assert caught.value.task_id == "member"
    assert "after" not in log


async def test_098_cancellation_is_no_end_of_a_race():
    """98 for a race: a member that cancels neither wins nor loses it; the run raises."""
    with workflow("w") as wf:

        @task(inject_context=True)
        async def member(ctx):
            ctx.cancel_workflow("stop")

        @task
        async def slow():
            await asyncio.Event().wait()

        parallel(member, slow, policy="first") >> TaskWrapper("after", lambda: 1)
    async with asyncio.timeout(60):
        with pytest.raises(GraflowWorkflowCanceledError):
            await wf.run()


@pytest.mark.parametrize("verb", ["terminate", "cancel"])
def test_a_child_of_a_child_ends_the_whole_run(verb, style):
    """SPEC 2.3: both work anywhere, also in what a task made."""
    log = []

    @style.task(inject_context=True)
    def child(ctx):
        if verb == "terminate":
            ctx.terminate_workflow(result="early")
        else:
            ctx.cancel_workflow("stop")

    @style.task(inject_context=True)
    def middle(ctx):
        ctx.next_task(child)

    with workflow("w") as wf:
        (after,) = noting(style, log, "after")

        @style.task(inject_context=True)
        def parent(ctx):
            ctx.next_task(middle)

        parent >> after
    if verb == "terminate":
        assert style.run(wf) == "early"
    else:
        with pytest.raises(GraflowWorkflowCanceledError) as caught:
            style.run(wf)
        assert caught.value.task_id == "child"
    assert log == []


async def test_an_awaited_child_ends_the_whole_run():
    """SPEC 10: terminate in an awaited child task ends the run; its parent does not go on."""
    log = []

    @task(inject_context=True)
    async def child(ctx):
        ctx.terminate_workflow(result="early")

    @task
    async def parent():
        await child()
        log.append("parent went on")

    with workflow("w") as wf:
        assert await wf.run(parent) == "early"
    assert log == []


async def test_a_child_run_ends_by_itself():
    """SPEC 10: terminate in a child run ends that run; cancel raises in the parent, which may catch it."""

    def inner(verb):
        with workflow("inner") as made:

            @task(inject_context=True)
            async def first(ctx):
                if verb == "terminate":
                    ctx.terminate_workflow(result="inner early")
                else:
                    ctx.cancel_workflow("inner stop")

            first >> TaskWrapper("second", lambda: "second")
        return made

    with workflow("outer") as wf:

        @task(inject_context=True)
        async def parent(ctx):
            value = await ctx.run_workflow(inner("terminate"))
            with pytest.raises(GraflowWorkflowCanceledError, match="inner stop") as caught:
                await ctx.run_workflow(inner("cancel"))
            return value, caught.value.task_id

        parent >> TaskWrapper("after", lambda parent: ("after", *parent))
    assert await wf.run() == ("after", "inner early", "first")


async def test_cancelling_the_handle_raises_its_reason():
    """SPEC 10: `run.cancel(reason)` is a plain call; awaiting the run raises with the reason and no task."""
    started = asyncio.Event()
    with workflow("w") as wf:

        @task
        async def waits():
            started.set()
            await asyncio.Event().wait()

    with pytest.raises(GraflowWorkflowCanceledError, match="changed my mind") as caught:
        async with wf.start() as run:
            await started.wait()
            run.cancel("changed my mind")
            await run
    assert caught.value.task_id is None
    assert run.status == "cancelled"


async def test_cancelling_the_awaiting_task_stays_a_cancellation():
    """SPEC 2.6: `asyncio.timeout` around a run is a TimeoutError, and every task saw its cancellation."""
    log, limits = [], []
    with workflow("w") as wf:

        @task
        async def waits():
            limits[0].reschedule(asyncio.get_running_loop().time())
            try:
                await asyncio.Event().wait()
            finally:
                log.append("cleaned up")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await wf.run()
    assert log == ["cleaned up"]


async def test_a_failing_block_cancels_its_run():
    """SPEC 10: an error in `async with wf.start()` cancels the run and goes on itself."""
    log = []
    with workflow("w") as wf:

        @task
        async def waits():
            try:
                await asyncio.Event().wait()
            finally:
                log.append("cleaned up")

    with pytest.raises(KeyError, match="mine"):
        async with wf.start() as run:
            await asyncio.sleep(0)
            raise KeyError("mine")
    assert run.status == "cancelled"
    assert log in (["cleaned up"], [])
