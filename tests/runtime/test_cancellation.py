"""Cancellation from every side: every body sees it, cleans up, and nothing is left (SPEC 2.6)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, parallel, workflow
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, background, cancel_when, now, through, timers_left, until


def pair() -> tuple[Workflow, Stay, Stay]:
    """Give a workflow of two bodies that stay: one at the top, one as a child of a parent that waits."""
    first, second = Stay("first"), Stay("second")

    async def parent(ctx):
        await ctx.call(Task("second", second))

    with workflow("w") as wf:
        Task("first", first)
        Task("parent", parent, inject_context=True)
    return wf, first, second


async def begun(*stays: Stay) -> None:
    for stay in stays:
        await stay.began.wait()


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}], ids=["free", "bounded"])
async def test_cancelling_the_awaiting_task(options):
    """Cancelling who awaits the run cancels every body; the await ends as a cancellation when all is cleaned up."""
    wf, first, second = pair()
    async with background(wf.run(**options)) as waiter:
        await begun(first, second)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert waiter.cancelled()
        assert first.cleaned
        assert second.cleaned


async def test_asyncio_timeout_around_a_run():
    """`asyncio.timeout` around a run gives TimeoutError once everything is cleaned up."""
    wf, first, second = pair()

    async def time_is_over(limit):
        await begun(first, second)
        limit.reschedule(now())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, background(time_is_over(limit)):
            await wf.run()
    assert first.cleaned
    assert second.cleaned


async def test_wait_for_around_a_handle():
    """Cancelling the await of a handle cancels its run too."""
    wf, first, second = pair()
    run = wf.start()

    async def hold():
        async with run:
            await begun(first, second)
            await asyncio.wait_for(run, 0.05)

    with pytest.raises(TimeoutError):
        await hold()
    assert run.status == "cancelled"
    assert first.cleaned
    assert second.cleaned


async def test_run_cancel_with_a_reason():
    """`run.cancel(reason)` ends the run with GraflowWorkflowCanceledError, whose task_id is None."""
    wf, first, second = pair()
    run = wf.start()
    with pytest.raises(g.GraflowWorkflowCanceledError, match="not needed") as caught:
        await cancel_when(run, first.began, second.began, reason="not needed")
    assert (caught.value.task_id, caught.value.message) == (None, "not needed")
    assert run.status == "cancelled"
    assert first.cleaned
    assert second.cleaned
    run.cancel("again")
    assert run.status == "cancelled"


async def test_a_block_that_raises_cancels_the_run():
    """Leaving `async with wf.start()` with an error cancels the run; the block's own error goes on."""
    wf, first, second = pair()
    run = wf.start()
    error = KeyError("mine")

    async def hold():
        async with run:
            await begun(first, second)
            raise error

    with pytest.raises(KeyError) as caught:
        await hold()
    assert caught.value is error
    assert run.status == "cancelled"
    assert first.cleaned
    assert second.cleaned


async def test_a_block_that_is_cancelled_cancels_the_run():
    """Cancelling the task that holds the block cancels the run and stays a CancelledError."""
    wf, first, second = pair()

    async def hold():
        async with wf.start():
            await asyncio.Event().wait()

    async with background(hold()) as holder:
        await begun(first, second)
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert first.cleaned
        assert second.cleaned


async def test_a_second_cancel_does_not_cut_the_clean_up():
    """Cancelling the awaiting task again while bodies clean up leaves nothing behind and stays a cancellation."""
    wf, first, second = pair()
    first.turns = second.turns = 20
    async with background(wf.run()) as waiter:
        await begun(first, second)
        for _ in range(5):
            waiter.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert first.cleaned
        assert second.cleaned


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", ["backoff", "delay", "gate", "rate", "sleep", "timeout", "generator"])
def test_cancelling_a_run_that_waits(where, seed):
    """Wherever a run waits, cancelling it ends it at once and forgets its timers."""

    async def main():
        async def body(ctx):
            if where == "sleep":
                await ctx.sleep(1000)
            elif where == "delay":
                ctx.next_task(Task("later"), delay=1000)
            elif where == "generator":
                await ctx.map(Task("item", lambda n: n), endless())
            elif where == "backoff":
                raise ValueError
            else:
                await asyncio.sleep(1000)

        async def endless():
            await asyncio.sleep(1000)
            yield 1

        policy = g.RetryPolicy(1, initial_interval=1000, max_interval=1000) if where == "backoff" else None
        with workflow("w") as wf:
            for name in ("a", "b"):
                limits = ["api"] if where in ("gate", "rate") else []
                timeout = 5000 if where == "timeout" else None
                Task(name, body, inject_context=True, retry_policy=policy, limits=limits, timeout=timeout)
        limit = g.Rate(1, per=1000) if where == "rate" else 1
        run = wf.start(limits={"api": limit})
        asyncio.get_running_loop().call_later(5, run.cancel)
        with pytest.raises(g.GraflowWorkflowCanceledError):
            await through(run)
        assert now() == 5
        assert timers_left() == []
        assert list(run.results) == []

    run_sim(main, seed)


PROGRAM = """
import asyncio, sys
from graflow_async import Task, Workflow

async def body():
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("cleaned up", flush=True)

def plain():
    pass

wf = Workflow("w", Task("plain", plain) >> Task("body", body))
{start}
"""


@pytest.mark.parametrize("start", ["asyncio.run(wf.run())", "wf.execute()"])
def test_ctrl_c(start):
    """Ctrl-C in a plain script: bodies clean up, and Python ends by KeyboardInterrupt as for any program."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(start=start)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert out == "cleaned up\n"
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors
    assert "destroyed" not in errors


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("policy", ["strict", "best_effort", "first"])
def test_terminate_inside_a_group(policy, seed):
    """`terminate_workflow` in a member ends the run successfully; siblings are cancelled and cleaned up."""

    async def main():
        stay, ran = Stay(), []

        async def stop(ctx):
            await stay.began.wait()
            ctx.next_task(Task("wished", lambda: ran.append(1)))
            ctx.terminate_workflow("enough", result=42)
            return "own"

        group = parallel(Task("stop", stop, inject_context=True), Task("stay", stay), policy=policy)
        async with Workflow("w", group >> Task("after", lambda: ran.append(2))).start() as run:
            assert await run == 42
        assert run.status == "completed"
        assert run.results["stop"] == "own"
        assert stay.cleaned
        assert ran == []

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_cancel_inside_a_group(seed):
    """`cancel_workflow` in a member ends the run with its error under any policy; the task does not count."""

    async def main():
        stay = Stay()

        async def stop(ctx):
            await stay.began.wait()
            ctx.cancel_workflow("bad data")
            ctx.terminate_workflow(result=1)

        group = parallel(Task("stop", stop, inject_context=True), Task("stay", stay), policy="best_effort")
        run = Workflow("w", group).start()
        with pytest.raises(g.GraflowWorkflowCanceledError, match="bad data") as caught:
            await through(run)
        assert (caught.value.task_id, caught.value.message) == ("stop", "bad data")
        assert run.status == "cancelled"
        assert "stop" not in run.results
        assert stay.cleaned

    run_sim(main, seed)


@pytest.mark.parametrize("how", ["handle", "await"])
async def test_cancelling_a_child(how):
    """A cancelled child cleans up and ends as CancelledError for who awaits it; cancelling the await cancels it."""
    stay = Stay()

    async def body(ctx):
        handle = ctx.submit(Task("stay", stay))
        if how == "handle":
            await stay.began.wait()
            assert handle.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handle
        else:
            async with background(handle) as waiter:
                await stay.began.wait()
                waiter.cancel()
            await until(handle.done)
        assert stay.cleaned
        assert handle.cancelled()
        assert not handle.cancel()
        return "went on"

    assert await Workflow("w", Task("t", body, inject_context=True)).run() == "went on"


async def test_channel_works_in_clean_up():
    """A cancelled body may still write to the channel while it cleans up."""
    began = asyncio.Event()

    async def body(ctx):
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await ctx.channel.set("state", "rolled back")

    run = Workflow("w", Task("t", body, inject_context=True)).start(max_concurrency=1)
    with pytest.raises(g.GraflowWorkflowCanceledError):
        await cancel_when(run, began)
    assert await run.channel.get("state") == "rolled back"
