"""What a crash leaves half done: tasks that must not run twice, keys for the outside, deadlines."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from typing import Any

import pytest

from graflow_async import (
    CheckpointWriteError,
    MemoryCheckpointer,
    RetryPolicy,
    Task,
    TaskExecutionContext,
    TaskInterruptedError,
    Workflow,
    chain,
)
from graflow_async.checkpointer import Kind, Record
from graflow_async.protocols import TimerHandle
from tests.aids.simloop import run_sim
from tests.durability.mortal import MortalCheckpointer
from tests.durability.parts import RUN, bad_weather, bounded, ends, first_fact, holding, note, performed, recorded
from tests.durability.programs import PROGRAMS, adds, collects, twice

DAY = 86_400.0
MOST_LIVES = 200


def charging(on_crash: Any = "fail") -> Workflow:
    """Draw a task that must not run twice between two others."""

    async def charge(ctx: TaskExecutionContext) -> str:
        note()
        await ctx.channel.atomic_add("charged")
        return "receipt"

    middle = Task("charge", charge, on_crash=on_crash)
    return Workflow("shop", adds(task_id="first") >> middle >> collects(task_id="end"))


def place_of(records: list[Record], mark: bytes) -> int:
    """Give the place of the first fact that contains something."""
    facts = (Kind.DONE, Kind.EVENT)
    return next(n for n, record in enumerate(records) if record.kind in facts and mark in record.payload)


async def half_way(wf: Workflow) -> MemoryCheckpointer:
    """Record a run that was killed while `charge` was running: its beginning is written, its end is not."""
    _, records = await recorded(wf)
    return await holding(records[: place_of(records, b"receipt")])


async def test_what_must_not_run_twice_is_not_run_twice():
    """A body with `on_crash="fail"` that a crash cut short is named, and nothing runs."""
    wf = charging()
    checkpointer = await half_way(wf)
    for _ in range(2):
        with pytest.raises(TaskInterruptedError, match="charge") as caught:
            await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert caught.value.task_ids == ("charge",)


async def test_the_user_may_say_that_it_is_to_be_run_again():
    """`interrupted="retry"` runs it again."""
    wf = charging()
    got = await performed(wf.resume, RUN, checkpointer=await half_way(wf), interrupted="retry")
    assert got.bodies == {"charge": 1, "end": 1}
    assert got.value["charged"] == 1


async def test_the_user_may_give_its_result():
    """`interrupted={id: value}` takes the value as the result, and runs the rest."""
    wf = charging()
    checkpointer = await half_way(wf)
    got = await performed(wf.resume, RUN, checkpointer=checkpointer, interrupted={"charge": "found out"})
    assert got.bodies == {"end": 1}
    assert wf.get_result("charge") == "found out"


async def test_one_that_had_not_begun_runs():
    """A body with `on_crash="fail"` that had not begun is run as any other."""
    wf = charging()
    _, records = await recorded(wf)
    ended = place_of(records, b"receipt")
    begun = next(n for n, r in enumerate(records) if r.kind == Kind.EVENT and pickle.loads(r.payload)[0] == "b")
    for cut in range(first_fact(records), len(records)):
        resuming = performed(wf.resume, RUN, checkpointer=await holding(records[:cut]))
        if begun < cut <= ended:
            with pytest.raises(TaskInterruptedError):
                await resuming
        else:
            assert (await resuming).value["charged"] == 1


# -- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_idempotency_keys_stay_the_same(name: str):
    """Whatever life a body runs in, the key of its turn is the same, and no two turns share one."""

    async def main() -> dict[str, set[str]]:
        wf, options = PROGRAMS[name]()
        checkpointer = MortalCheckpointer(3)
        with bad_weather() as keys:
            while checkpointer.lives < MOST_LIVES:
                try:
                    if checkpointer.lives:
                        await performed(wf.resume, RUN, checkpointer=checkpointer)
                    else:
                        await performed(wf.run, run_id=RUN, checkpointer=checkpointer, **options)
                except CheckpointWriteError:
                    continue
                return {turn: set(found) for turn, found in keys.items()}
        pytest.fail("it does not come to an end")

    keys = run_sim(main, 1)
    several = {turn: found for turn, found in keys.items() if len(found) > 1 and turn not in SHARED}
    assert not several
    counts = Counter(key for found in keys.values() for key in found)
    assert all(number == 1 for number in counts.values())


SHARED = {
    f"{name} turn 1" for name in ("item_1", "item_2", "item_3", "twice_1", "twice_2", "item", "opens", "closes")
} | {f"{name} turn 1" for name in ("grown", "tool", "between", "x", "y", "agent", "back", "twice", "aside", "end")}
"""Ids that several parents, passes or child runs use."""


# -- time ---------------------------------------------------------------------------------------------------------


class FakeClock:
    """A wall clock that jumps to the next timer once the loop has nothing else to do.

    Attributes:
        now: seconds since the epoch.
        waited: seconds that passed, in all.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.begun = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any) -> TimerHandle:
        loop = asyncio.get_running_loop()
        due = self.now + delay

        def fire() -> None:
            self.now = max(self.now, due)
            callback()

        return loop.call_later(delay, fire)  # in simulated time that is no time at all

    @property
    def waited(self) -> float:
        return self.now - self.begun


def resumed_later(wf: Workflow, cut_at: int, later: float) -> tuple[float, float, Any]:
    """Run, cut so many records off, go on `later` seconds after the first start; give both waits, and the value."""

    async def main() -> tuple[float, float, Any]:
        first = FakeClock(1_000_000.0)
        checkpointer = MemoryCheckpointer()
        loop = asyncio.get_running_loop()
        want = await wf.run(run_id=RUN, checkpointer=checkpointer, clock=first)
        records = await checkpointer.read(RUN)
        second = FakeClock(first.begun + later)
        before = loop.time()
        got = await wf.resume(RUN, checkpointer=await holding(records[:cut_at]), clock=second)
        assert got == want
        return first.waited, loop.time() - before, got

    return run_sim(main, 1)


def sleeping() -> Workflow:
    async def sleeps(ctx: TaskExecutionContext) -> str:
        await ctx.sleep(DAY)
        return "slept"

    return Workflow("w", Task("sleeps", sleeps) >> adds(task_id="end"))


def delaying() -> Workflow:
    async def delays(ctx: TaskExecutionContext) -> str:
        ctx.next_task(adds(task_id="later"), delay=DAY)
        return "delayed"

    return Workflow("w", Task("delays", delays))


def retrying() -> Workflow:
    async def fails(ctx: TaskExecutionContext) -> str:
        if ctx.attempt == 1:
            raise ValueError("first")
        return "second"

    policy = RetryPolicy(max_retries=1, initial_interval=DAY, max_interval=DAY)
    return Workflow("w", Task("fails", fails, retry_policy=policy) >> adds(task_id="end"))


@pytest.mark.parametrize("make", [sleeping, delaying, retrying])
@pytest.mark.parametrize(("later", "rest"), [(DAY / 4, DAY * 3 / 4), (DAY * 2, 0.0)])
def test_deadlines_stay_where_they_are(make: Any, later: float, rest: float):
    """A sleep, a delay and the wait of a retry end when they would have, or at once if that is past."""
    wf = make()

    async def count() -> list[bool]:
        checkpointer = MemoryCheckpointer()
        await wf.run(run_id=RUN, checkpointer=checkpointer, clock=FakeClock(1_000_000.0))
        records = await checkpointer.read(RUN)
        return [_is_waiting(record.payload) for record in records]

    marks = run_sim(count, 1)
    cut = max(number for number, is_waiting in enumerate(marks) if is_waiting) + 1
    waited, took, _ = resumed_later(wf, cut, later)
    assert waited == pytest.approx(DAY)
    assert took == pytest.approx(rest, abs=1.0)


def _is_waiting(payload: bytes) -> bool:
    """Say whether a record is the last one before the wait: its fact speaks of a deadline, a delay or a failure."""
    return any(mark in payload for mark in (b"first", b"delayed", b"sleep"))


async def test_not_saved_results_are_made_again():
    """A task with `persist=False` runs again on resume if something still needs its result."""

    async def heavy() -> object:
        note()
        return lambda: 41  # nothing that a journal would take

    async def uses(heavy: Any) -> int:
        note()
        return heavy() + 1

    wf = Workflow("w", chain(Task("heavy", heavy, persist=False), adds(task_id="between"), Task("uses", uses)))
    want, records = await recorded(wf)
    assert want.value == 42
    for cut in range(5, len(records) - 1):
        got = await bounded(wf.resume(RUN, checkpointer=await holding(records[:cut])))
        assert got == 42


async def test_children_of_a_body_that_starts_over_are_matched_by_arguments():
    """A body that calls another child after a crash than before gets that one, and not the old one's value."""
    wanted = [1, 2]

    async def maps(ctx: TaskExecutionContext) -> list[int]:
        note()
        return await ctx.map(twice, wanted)

    wf = Workflow("w", Task("maps", maps) >> adds(task_id="end"))
    want, records = await recorded(wf)
    wanted[:] = [1, 5]
    returned = max(end.seq for end in ends(records, wf) if end.task_id == "maps")
    for cut in range(first_fact(records), len(records) - 1):
        got = await performed(wf.resume, RUN, checkpointer=await holding(records[:cut]))
        assert wf.get_result("maps") == ([2, 4] if cut > returned else [2, 10]), cut
        assert got.value == want.value
