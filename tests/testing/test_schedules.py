"""Schedules and deaths find planted bugs, say how to repeat them, and leave correct workflows alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import FileCheckpointer, SyncTaskExecutionContext, Task, Workflow, WorkflowPausedError
from graflow_async.testing import CrashSafetyError, Harness, LeakError
from tests.testing.aids import careful, counting, overselling, performed, remembering, selling

SCHEDULES = 200
pytestmark = pytest.mark.unrecorded  # runs whose journals die cannot be checked at every record


async def sells_one(graflow: Harness) -> None:
    assert await graflow.run(overselling()) == 1


def test_schedules_find_a_race_that_the_usual_order_never_shows():
    """A read, an await and a write sell one ticket twice under some seeds only; the seed repeats it every time."""
    assert asyncio.run(overselling().run()) == 1
    found = performed(sells_one, schedules=SCHEDULES)
    assert isinstance(found.error, AssertionError)
    seed = int(found.repeat.removeprefix("--graflow-seed="))
    assert seed > 0
    assert found.what == f"schedule {seed} of {SCHEDULES}, seed={seed}"
    for _ in range(3):
        again = performed(sells_one, schedules=SCHEDULES, seed=seed)
        assert (again.what, again.repeat) == (found.what, found.repeat)
    assert performed(sells_one, schedules=SCHEDULES, seed=seed - 1).number == 1


def test_schedules_leave_a_correct_workflow_alone():
    """The same sale in one atomic step passes under every schedule, each of which is performed."""

    async def test(graflow: Harness) -> None:
        assert await graflow.run(selling()) == 1

    found = performed(test, schedules=SCHEDULES)
    assert (found.number, found.error) == (SCHEDULES, None)


def test_a_task_that_is_left_behind_fails_the_test_unless_that_is_allowed():
    """A fire-and-forget task is an error that names it; `leaks=True` lets it be."""
    left: list[Any] = []

    async def test(graflow: Harness) -> None:
        left.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

    found = performed(test)
    assert isinstance(found.error, LeakError)
    assert "forgotten" in str(found.error)
    assert performed(test, leaks=True).error is None


# -- deaths -------------------------------------------------------------------------------------------------------


def test_deaths_find_state_on_the_side():
    """What a workflow keeps in a variable is gone after a death: the run ends otherwise, and the message tells all."""

    async def test(graflow: Harness) -> None:
        await graflow.run(remembering)

    found = performed(test, crash=True)
    assert isinstance(found.error, CrashSafetyError)
    assert "undisturbed the run gives 21; after a death behind commit" in str(found.error)
    assert "it gives 1;" in str(found.error)
    assert "TaskCompleted add" in str(found.error)
    commit = int(found.repeat.split("--graflow-crash=")[1])
    assert performed(test, crash=True, crash_after=commit).what == found.what
    assert performed(test).error is None


def test_deaths_find_an_effect_that_happens_twice():
    """A charge that is made again by the body that runs again is found by the test's own assertion."""

    async def test(graflow: Harness) -> None:
        charges: list[str] = []
        await graflow.run(counting(charges))
        assert charges == ["order-1"], dict(graflow.repeated)

    found = performed(test, crash=True, compare=False)
    assert isinstance(found.error, AssertionError)
    assert "{'charge': 1}" in str(found.error)
    assert "death after commit" in found.what


@pytest.mark.parametrize("schedules", [1, 5])
def test_deaths_leave_a_crash_safe_workflow_alone(schedules: int):
    """Keys, steps, channel and a durable sleep: whatever the commit, the run ends as undisturbed."""
    repeated: list[int] = []

    async def test(graflow: Harness) -> None:
        charges: dict[str, str] = {}
        assert await graflow.run(lambda: careful(charges)) == 2
        assert list(charges.values()) == ["order-1"]
        graflow.events.assert_order("order", "charge", "ship")
        assert graflow.has_crashed == (graflow.crash_after is not None)
        repeated.append(graflow.repeated.total())

    found = performed(test, crash=True, schedules=schedules)
    assert found.error is None
    assert found.number == len(repeated)
    assert len(repeated) > 6 * schedules
    assert max(repeated) == 1, "a death repeats what was under way, and no more"


def test_every_commit_has_its_death():
    """As many deaths as there are commits to lose something after, each of them once."""
    deaths: list[tuple[int | None, int]] = []

    async def test(graflow: Harness) -> None:
        assert await graflow.run(careful({})) == 2
        deaths.append((graflow.crash_after, graflow.commits))

    performed(test, crash=True)
    assert [death for death, _ in deaths] == [None, *range(1, deaths[0][1])]


def test_a_journal_of_files_dies_as_well(tmp_path: Any):
    """With `checkpoint_dir` each performance records in a folder of its own, and resumes from it."""

    async def test(graflow: Harness) -> None:
        assert await graflow.run(careful({}), checkpoint_dir=tmp_path) == 2

    found = performed(test, crash=True)
    assert found.error is None
    assert len(list(tmp_path.iterdir())) == found.number


def test_a_given_checkpointer_is_used(tmp_path: Any):
    """A checkpointer of the test's own holds the finished run."""

    async def test(graflow: Harness) -> None:
        kept = FileCheckpointer(tmp_path / f"{graflow.crash_after}")
        await graflow.run(careful({}), checkpointer=kept, run_id="mine")
        assert [info.run_id for info in await kept.runs()] == ["mine"]
        await kept.aclose()

    assert performed(test, crash=True).error is None


def test_threads_die_as_well():
    """Sync tasks come to the same end after every death; a thread that waits for the run is not left behind."""

    def one() -> int:
        return 1

    def first(ctx: SyncTaskExecutionContext) -> int:
        ctx.sleep(60)
        return ctx.call(Task("one", one))

    def second(first: int) -> int:
        return first + 1

    async def test(graflow: Harness) -> None:
        assert await graflow.run(Workflow("w", Task("first", first) >> Task("second", second))) == 2

    found = performed(test, crash=True, schedules=2)
    assert found.error is None
    assert found.number is not None
    assert found.number >= 8


def test_questions_survive_deaths():
    """A run that asks, pauses and is resumed by the test is killed in both parts, and ends alike."""

    async def ask(ctx: Any) -> str:
        return "shipped" if await ctx.request_approval("Ship?", request_id="ship", timeout=60) else "kept"

    async def test(graflow: Harness) -> None:
        flow = Workflow("w", Task("ask", ask, inject_context=True))
        people = graflow.answers({"ship": True})
        with pytest.raises(WorkflowPausedError) as paused:
            await graflow.run(flow)
        assert await graflow.resume(flow, paused.value.run_id, feedback=people) == "shipped"

    assert performed(test, crash=True).error is None


def test_a_failure_must_stay_the_same():
    """A run that fails undisturbed has to fail alike after a death, and that is no complaint."""

    async def breaks() -> None:
        raise ValueError("on purpose")

    async def test(graflow: Harness) -> None:
        with pytest.raises(ValueError, match="on purpose"):
            await graflow.run(Workflow("w", Task("breaks", breaks)))

    found = performed(test, crash=True)
    assert found.error is None
    assert found.number is not None
    assert found.number >= 2
