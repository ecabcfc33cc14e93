"""The simulated loop keeps asyncio's promises, varies what asyncio leaves open, and notices when nothing moves."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import anyio
import pytest

from tests.aids.simloop import SimDeadlockError, SimError, SimLeakError, SimLivelockError, SimLoop, run_sim

SEEDS = range(50)


def here() -> SimLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return loop


async def lost_update() -> int:
    """Two tasks add one to a shared number; on an ordinary loop the second always reads after the first wrote."""
    shared = 0

    async def add(turns_before: int) -> None:
        nonlocal shared
        for _ in range(turns_before):
            await asyncio.sleep(0)
        seen = shared
        await asyncio.sleep(0)
        shared = seen + 1

    await asyncio.gather(add(0), add(1))
    return shared


async def branching() -> list[str]:
    async def walk(turns: int) -> None:
        for turn in range(turns):
            await asyncio.sleep(turn % 2)

    async with asyncio.TaskGroup() as group:
        for turns in range(2, 6):
            group.create_task(walk(turns))
    return here().trace


def test_a_planted_race_is_found() -> None:
    """A read, an await and a write lose an update under some seeds, though never on the ordinary loop."""
    assert asyncio.run(lost_update()) == 2
    results = [run_sim(lost_update, seed) for seed in SEEDS]
    assert set(results) == {1, 2}


def test_an_hour_costs_nothing() -> None:
    """Sleeping moves the virtual clock to exactly the next timer."""

    async def main() -> list[float]:
        moments = [here().time()]
        for seconds in (3600, 0.5, 0):
            await asyncio.sleep(seconds)
            moments.append(here().time())
        return moments

    assert run_sim(main, 1) == [0, 3600, 3600.5, 3600.5]


def test_the_same_seed_gives_the_same_run() -> None:
    """A seed decides every step; different seeds take different ways."""
    traces = [tuple(run_sim(branching, seed)) for seed in SEEDS]
    assert traces == [tuple(run_sim(branching, seed)) for seed in SEEDS]
    assert len(set(traces)) > len(traces) // 2


def test_a_deadlock_is_an_error_that_names_the_waiting() -> None:
    """Two tasks that wait for each other are reported with their names and places instead of hanging."""

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()

        async def wait(mine: asyncio.Event, other: asyncio.Event) -> None:
            await other.wait()
            mine.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(wait(first, second), name="alice")
            group.create_task(wait(second, first), name="bob")

    with pytest.raises(SimDeadlockError, match=r"alice at .*test_simloop\.py:\d+, bob at") as caught:
        run_sim(main, 7)
    assert "seed 7" in caught.value.__notes__[0]


def test_a_cancelled_timer_does_not_hide_a_deadlock() -> None:
    """Timers that were cancelled are no reason to wait."""

    async def main() -> None:
        here().call_later(10, print).cancel()
        await here().create_future()

    with pytest.raises(SimDeadlockError):
        run_sim(main, 1)


def test_turning_for_ever_is_an_error() -> None:
    """A task that polls without end is stopped by the budget of rounds."""

    async def main() -> None:
        while True:  # noqa: ASYNC110  # polling is what is looked for
            await asyncio.sleep(0)

    with pytest.raises(SimLivelockError, match="task-1"):
        run_sim(main, 1, max_rounds=1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_callbacks_keep_their_order(seed: int) -> None:
    """Callbacks run in the order they were scheduled, and no step overtakes one that was ahead of it."""

    async def main() -> list[Any]:
        seen: list[Any] = []

        async def step(name: str) -> None:
            seen.append(name)

        tasks = [asyncio.create_task(step("a"))]
        for number in range(3):
            here().call_soon(seen.append, number)
            tasks.append(asyncio.create_task(step(f"after {number}")))
        await asyncio.gather(*tasks)
        return seen

    seen = run_sim(main, seed)
    assert [entry for entry in seen if isinstance(entry, int)] == [0, 1, 2]
    assert all(seen.index(number) < seen.index(f"after {number}") for number in range(3))


def test_steps_can_be_delayed_behind_later_callbacks() -> None:
    """A ready task may run before or after a callback that was scheduled behind it."""

    async def main() -> list[str]:
        seen: list[str] = []

        async def step() -> None:
            seen.append("step")

        task = asyncio.create_task(step())
        here().call_soon(seen.append, "callback")
        await task
        return seen

    assert {tuple(run_sim(main, seed)) for seed in SEEDS} == {("step", "callback"), ("callback", "step")}


@pytest.mark.parametrize("seed", range(10))
def test_timeouts_scopes_and_groups_work(seed: int) -> None:
    """Timeouts, scopes and groups of asyncio and anyio behave as on any loop, at the right virtual moment."""
    which: contextvars.ContextVar[str] = contextvars.ContextVar("which", default="outer")

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        assert here().time() == 5
        with anyio.move_on_after(2) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 1)
                group.start_soon(anyio.sleep_forever)
        assert scope.cancelled_caught

        async def child() -> str:
            which.set("inner")
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        assert await asyncio.create_task(child(), name="kid") == "kid"
        assert which.get() == "outer"
        return here().time()

    assert run_sim(main, seed) == 7


def test_cancelling_through_a_timer_is_not_a_step() -> None:
    """A bound method of a task that is no step, such as its cancel, is an ordinary callback."""

    async def main() -> float:
        task = asyncio.create_task(asyncio.sleep(100))
        here().call_later(3, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return here().time()

    assert run_sim(main, 1) == 3


def test_tasks_left_behind_are_an_error() -> None:
    """A fire-and-forget task fails the run that forgot it."""

    async def main() -> None:
        here().forgotten = asyncio.create_task(asyncio.sleep(1), name="stray")  # type: ignore[attr-defined]

    with pytest.raises(SimLeakError, match="stray"):
        run_sim(main, 1)


def test_exceptions_nobody_looked_at_are_an_error() -> None:
    """A task that fails without being awaited fails the run, with its own exception as the cause."""

    async def fail() -> None:
        raise KeyError("lost")

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    with pytest.raises(SimLeakError, match="never retrieved") as caught:
        run_sim(main, 1)
    assert isinstance(caught.value.__cause__, KeyError)


def test_executor_calls_are_simulated() -> None:
    """Functions for an executor run on the loop in a drawn order, and their exceptions arrive."""

    async def main() -> list[int]:
        seen: list[int] = []
        await asyncio.gather(*(asyncio.to_thread(seen.append, number) for number in range(4)))
        with pytest.raises(ZeroDivisionError):
            await here().run_in_executor(None, lambda: 1 // 0)
        assert here().time() > 0
        return seen

    orders = {tuple(run_sim(main, seed)) for seed in SEEDS}
    assert len(orders) > 10
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


def test_foreign_threads_are_refused() -> None:
    """A thread that calls into the loop gets an error, since no seed could repeat what it does."""

    async def main() -> list[BaseException]:
        loop, errors = here(), []

        def call_in() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except SimError as error:
                errors.append(error)

        thread = threading.Thread(target=call_in, name="stranger")
        thread.start()
        thread.join()
        return errors

    (error,) = run_sim(main, 1)
    assert "'stranger'" in str(error)


def test_a_failure_carries_its_seed() -> None:
    """An exception of the code under test is passed on as it is, with the seed that repeats it."""

    async def main() -> None:
        await asyncio.sleep(1)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        run_sim(main, 42)
    assert "seed=42" in caught.value.__notes__[-1]
