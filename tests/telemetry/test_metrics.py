"""What is counted and measured: numbers that add up, under names that do not grow with use."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import (
    GraflowWorkflowCanceledError,
    RetryPolicy,
    TaskExecutionContext,
    Workflow,
    chain,
    parallel,
    task,
)
from graflow_async.telemetry import Telemetry
from tests.aids.simloop import run_sim
from tests.telemetry.aids import Heard


@task
async def double(n: int) -> int:
    """Give twice a number."""
    return 2 * n


async def test_outcomes_are_counted(heard: Heard) -> None:
    """Tasks are counted by the names of their definitions and how they have ended; attempts and retries, too."""
    tries: list[int] = []

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext) -> int:
        return sum(await ctx.map(double, range(50)))

    @task(retry_policy=RetryPolicy(5, initial_interval=0.0))
    async def flaky(top: int) -> int:
        tries.append(top)
        if len(tries) < 3:
            raise ValueError
        return top

    @task
    async def bad(flaky: int) -> None:
        raise KeyError(flaky)

    wf = Workflow("w", top >> flaky >> bad)
    for _ in range(2):
        tries.clear()
        with pytest.raises(KeyError):
            await wf.run(listeners=[heard.telemetry])
    assert heard.points("graflow.task.retries") == {("flaky", "w"): 4}
    attempts = {key: count for key, (count, _) in heard.points("graflow.task.duration").items()}
    assert attempts == {
        ("completed", "double", "w"): 100,
        ("completed", "top", "w"): 2,
        ("ValueError", "retrying", "flaky", "w"): 4,
        ("completed", "flaky", "w"): 2,
        ("KeyError", "failed", "bad", "w"): 2,
    }
    assert {key: count for key, (count, _) in heard.points("graflow.run.duration").items()} == {
        ("KeyError", "failed", "w"): 2
    }
    assert set(heard.points("graflow.task.active").values()) == {0}
    assert set(heard.points("graflow.run.active").values()) == {0}


async def test_instruments_are_made_once(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """A telemetry for each run shares the instruments of its provider: nothing is counted twice, nothing warns."""
    for _ in range(3):
        again = Telemetry(tracer_provider=heard.tracers, meter_provider=heard.meters)
        await Workflow("w", double(1)).run(listeners=[again])
    assert heard.points("graflow.task.duration")["completed", "double", "w"][0] == 3
    assert heard.points("graflow.task.active") == {("double", "w"): 0}
    assert not caplog.records


async def test_skipped_tasks_are_counted(heard: Heard) -> None:
    """A task that will not run is counted under its id in the graph."""

    @task
    async def last() -> None:
        """Be the end."""

    @task(inject_context=True)
    async def jumps(ctx: TaskExecutionContext) -> None:
        ctx.next_task(last, goto=True)

    await Workflow("w", chain(jumps, double, last)).run(listeners=[heard.telemetry])
    assert heard.points("graflow.task.skipped") == {("double", "w"): 1}


async def test_what_runs_now_is_known(heard: Heard) -> None:
    """While a run goes on, it and its attempts are active; what never began is not counted as a task."""
    begun = asyncio.Event()

    @task
    async def waits(n: int) -> None:
        if n == 1:
            begun.set()
        await asyncio.Event().wait()

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext) -> None:
        await ctx.map(waits, range(5), max_concurrency=2)

    async with Workflow("w", top).start(listeners=[heard.telemetry]) as run:
        await begun.wait()
        assert heard.points("graflow.task.active") == {("top", "w"): 1, ("waits", "w"): 2}
        assert heard.points("graflow.run.active") == {("w",): 1}
        run.cancel()
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert set(heard.points("graflow.task.active").values()) == {0}
    assert {key: count for key, (count, _) in heard.points("graflow.task.duration").items()} == {
        ("cancelled", "top", "w"): 1,
        ("cancelled", "waits", "w"): 2,
    }


def test_time_in_the_queue_is_measured(heard: Heard) -> None:
    """What waits at a limit has that time measured, in seconds, on the clock of its run."""

    @task(limits=["door"])
    async def passes() -> None:
        await asyncio.sleep(3)

    wf = Workflow("w", parallel(*(passes(task_id=f"p{n}") for n in range(3))))

    class LoopTime:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.time = self.monotonic = loop.time
            self.call_later = loop.call_later

    async def main() -> None:
        clock = LoopTime(asyncio.get_running_loop())
        await wf.run(limits={"door": 1}, listeners=[heard.telemetry], clock=clock)

    run_sim(main, 1)
    (waited,) = heard.points("graflow.task.queue.duration").values()
    assert waited == (3, pytest.approx(0 + 3 + 6))
