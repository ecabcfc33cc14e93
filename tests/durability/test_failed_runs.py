"""Runs that ended badly go on once the cause is gone: only what failed, and what had not run, runs again."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any, NamedTuple

import pytest

from graflow_async import (
    MaxStepsExceededError,
    MemoryCheckpointer,
    ParallelGroupError,
    Task,
    TaskCompleted,
    TaskExecutionContext,
    TaskTimeoutError,
    Workflow,
    task,
)
from graflow_async.errors import GraflowWorkflowCanceledError
from tests.aids.simloop import run_sim
from tests.durability.failing import MAKERS, Maker, child_run, grandchild, grouped, iterated, mapped, steady
from tests.durability.parts import RUN, Outcome, bad_weather, clear_up, is_bad, note, performed
from tests.runtime.parts import until

SEEDS = range(4)


class Seen(NamedTuple):
    """What was seen of bodies: whose had completed before the end came, and the idempotency keys of all turns."""

    completed: set[str]
    keys: dict[str, set[str]]


async def clear(make: Maker) -> Outcome:
    """Run in good weather, from the start."""
    wf, options = make()
    return await performed(wf.run, run_id=RUN, **options)


async def fall_and_go_on(make: Maker, times: int = 1) -> tuple[Outcome, MemoryCheckpointer, Seen]:
    """Run in bad weather (`times`), then in good weather; give what was seen of the bodies, too."""
    wf, options = make()
    checkpointer = MemoryCheckpointer()
    completed: set[str] = set()

    def listen(event: Any) -> None:
        if isinstance(event, TaskCompleted) and event.task_id is not None:
            completed.add(event.task_id)

    with bad_weather() as keys:
        with pytest.raises(Exception):  # noqa: B017  # each in its own way
            await performed(wf.run, checkpointer=checkpointer, run_id=RUN, listeners=[listen], **options)
        for _ in range(times - 1):
            with pytest.raises(Exception):  # noqa: B017
                await performed(wf.resume, RUN, checkpointer=checkpointer, listeners=[listen])
        clear_up()
        done = completed.copy()
        outcome = await performed(wf.resume, RUN, checkpointer=checkpointer)
        return outcome, checkpointer, Seen(done, dict(keys))


def plain_names(bodies: Counter[str]) -> set[str]:
    """Give ids without the numbers of turns."""
    return {re.sub(r"\.\d+$", "", name) for name in bodies}


PARENTS = {"maps", "high", "low_1", "runs", "loop", "parent"}
"""Those that start over, or have turns to go, when a part of them has failed."""


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_only_what_failed_runs_again(name: str, times: int):
    """A failed run, resumed when the cause is gone, ends as if it had never failed; completed bodies stay done."""

    async def main() -> None:
        want = await clear(MAKERS[name])
        got, _, seen = await fall_and_go_on(MAKERS[name], times)
        assert got.value == want.value
        assert got.channel == want.channel
        assert set(got.bodies) <= set(want.bodies)
        assert all(number == 1 for number in got.bodies.values()), got.bodies
        again = plain_names(got.bodies) & seen.completed - PARENTS
        assert not again, f"{again} had completed; ran now: {got.bodies}"

    for seed in SEEDS:
        run_sim(main, seed)


@pytest.mark.parametrize("name", MAKERS)
def test_resumed_after_the_end_gives_the_recorded_value(name: str):
    """Once it has completed, resuming a run that had failed gives its value and runs nothing."""

    async def main() -> None:
        got, checkpointer, _ = await fall_and_go_on(MAKERS[name])
        wf, _ = MAKERS[name]()
        again = await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert again.value == got.value
        assert not again.bodies

    run_sim(main, 1)


def test_iterations_that_were_done_stay_done():
    """A loop that failed in its third turn goes on with the third."""

    async def main() -> None:
        got, _, _ = await fall_and_go_on(iterated)
        assert got.bodies == {"loop.2": 1, "loop.3": 1, "loop.4": 1, "end": 1}
        assert got.channel == {f"{RUN}:default:first": 1, f"{RUN}:default:turns": 5, f"{RUN}:default:end": 1}

    run_sim(main, 1)


def test_items_that_were_done_stay_done():
    """Of a map with one failure, the failed item and those that had not run are run."""

    async def main() -> None:
        got, _, _ = await fall_and_go_on(mapped)
        assert got.value == "end"
        assert got.bodies["maps"] == 1
        assert not got.bodies.keys() & {"first", "item_1", "item_2"}
        assert got.bodies["item_3"] == 1

    run_sim(main, 1)


def test_a_grandchild_alone_runs_again():
    """Where a child of a child failed, its parents start over, and their other children do not."""

    async def main() -> None:
        got, _, _ = await fall_and_go_on(grandchild)
        assert got.bodies == {"high": 1, "low_1": 1, "bad": 1, "end": 1}

    run_sim(main, 1)


def test_inside_a_child_run_only_the_failed_task_runs_again():
    """A failed child run goes on inside: what it had done stays done."""

    async def main() -> None:
        got, _, _ = await fall_and_go_on(child_run)
        assert got.bodies == {"runs": 1, "inner2": 1, "inner3": 1, "end": 1}

    run_sim(main, 1)


@pytest.mark.parametrize("name", MAKERS)
def test_idempotency_keys_stay_the_same_after_a_failure(name: str):
    """The key of a turn is the same before the failure and after it: what was done outside is recognised."""

    async def main() -> None:
        _, _, seen = await fall_and_go_on(MAKERS[name])
        assert seen.keys
        different = {turn: keys for turn, keys in seen.keys.items() if len(keys) > 1}
        assert not different

    run_sim(main, 1)


async def fails_with(wf: Workflow, checkpointer: MemoryCheckpointer, kind: type[Exception], **options: Any) -> None:
    with bad_weather(), pytest.raises(kind):
        await performed(wf.run, checkpointer=checkpointer, run_id=RUN, **options)


def test_a_run_that_took_too_long_goes_on():
    """After the timeout of the whole run, what was running starts over and the rest stays done."""

    async def main() -> None:
        checkpointer = MemoryCheckpointer()

        async def slow() -> str:
            note()
            await asyncio.sleep(3.0 if is_bad() else 0.0)
            return "slow"

        wf = Workflow("w", steady("first") >> (Task("slow", slow) | steady("left")) >> steady("end"))
        await fails_with(wf, checkpointer, TaskTimeoutError, timeout=1.0)
        got = await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert got.value == "end"
        assert got.bodies == {"slow": 1, "end": 1}

    run_sim(main, 1)


def test_a_cancelled_run_goes_on():
    """`run.cancel()` leaves a run that can be resumed: what was running starts over."""

    async def main() -> None:
        checkpointer = MemoryCheckpointer()
        began = asyncio.Event()

        async def slow() -> str:
            note()
            began.set()
            if is_bad():
                await asyncio.Event().wait()
            return "slow"

        wf = Workflow("w", steady("first") >> (Task("slow", slow) | steady("left")) >> steady("end"))
        with bad_weather(), pytest.raises(GraflowWorkflowCanceledError, match="enough"):  # noqa: PT012  # one story
            async with wf.start(checkpointer=checkpointer, run_id=RUN) as run:
                await began.wait()
                await until(lambda: "left" in run.results)
                run.cancel("enough")
        got = await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert got.value == "end"
        assert got.bodies == {"slow": 1, "end": 1}
        assert await checkpointer.runs()

    run_sim(main, 1)


def test_too_many_steps_go_on_with_more():
    """A run that hit `max_steps` goes on where it stopped once it may do more."""

    async def main() -> None:
        checkpointer = MemoryCheckpointer()

        @task
        async def loop(ctx: TaskExecutionContext, n: int = 0) -> int:
            note()
            total = await ctx.channel.atomic_add("turns")
            if n < 9:
                ctx.next_iteration(n + 1)
            return total

        wf = Workflow("w", steady("first") >> loop >> steady("end"))
        await fails_with(wf, checkpointer, MaxStepsExceededError, max_steps=5)
        got = await performed(wf.resume, RUN, checkpointer=checkpointer, max_steps=50)
        assert got.channel[f"{RUN}:default:turns"] == 10
        assert got.bodies["loop"] == 6
        assert "first" not in got.bodies

    run_sim(main, 1)


def test_resumed_while_the_cause_is_still_there():
    """A run that fails again fails with the same kind of error, as often as it is tried, and stays resumable."""

    async def main() -> None:
        wf, options = grouped("strict")()
        checkpointer = MemoryCheckpointer()
        await fails_with(wf, checkpointer, ParallelGroupError, **options)
        sizes: list[int] = []
        for _ in range(3):
            with bad_weather(), pytest.raises(ParallelGroupError):
                await performed(wf.resume, RUN, checkpointer=checkpointer)
            sizes.append(len(await checkpointer.read(RUN)))
        assert sizes[1] - sizes[0] <= 2, f"the log grows with each try: {sizes}"

    run_sim(main, 1)
