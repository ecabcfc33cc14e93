"""Going on with a changed workflow, from an earlier point, from a named checkpoint, without the workflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    CheckpointManager,
    ConfigError,
    FileCheckpointer,
    GraphChangedError,
    MemoryCheckpointer,
    Task,
    TaskExecutionContext,
    UnknownRunError,
    Workflow,
    chain,
    parallel,
    replay,
    task,
)
from tests.durability.parts import RUN, bad_weather, clear_up, holding, note, performed, recorded, strike
from tests.durability.programs import PROGRAMS, adds, collects


@task
async def one() -> int:
    """Give a number."""
    note()
    return 1


@task
async def two(one: int) -> int:
    """Double it."""
    note()
    return one * 2


@task
async def three(two: int) -> int:
    """Fail in bad weather."""
    note()
    strike(ValueError("three"))
    return two + 1


def drawn(*tasks: Any) -> Workflow:
    return Workflow("row", chain(*tasks))


async def stopped_at_three() -> MemoryCheckpointer:
    """Record a run of `one >> two >> three` that failed in the last."""
    checkpointer = MemoryCheckpointer()
    with bad_weather(), pytest.raises(ValueError):
        await drawn(one, two, three).run(run_id=RUN, checkpointer=checkpointer)
    return checkpointer


async def test_a_changed_graph_is_refused_with_a_list():
    """Added, removed and moved tasks are named, and nothing runs."""
    checkpointer = await stopped_at_three()
    for wf, words in [
        (drawn(one, two), ["three"]),
        (drawn(one, two, three, adds(task_id="more")), ["more"]),
        (drawn(two, one, three), ["one"]),
    ]:
        with pytest.raises(GraphChangedError) as caught:
            await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert caught.value.changes
        for word in words:
            assert any(word in line for line in caught.value.changes), caught.value.changes
            assert word in str(caught.value)


async def test_allowed_changes_keep_what_is_still_valid():
    """With `allow_changes` the results before the change are kept, and what is new or moved runs."""
    wf = drawn(one, two, adds(task_id="between"), three)
    checkpointer = await stopped_at_three()
    plan = await wf.plan(RUN, checkpointer=checkpointer)
    assert plan.kept == ["one", "two"]
    assert set(plan.to_run) == {"between", "three"}
    assert plan.changes
    got = await performed(wf.resume, RUN, checkpointer=checkpointer, allow_changes=True)
    assert got.bodies == {"between": 1, "three": 1}
    assert wf.get_result("three") == 3
    again = await performed(wf.resume, RUN, checkpointer=checkpointer)
    assert again.value == got.value
    assert not again.bodies


async def test_a_plan_says_what_would_run():
    """An unchanged workflow's plan: what is kept, what runs, no changes, nothing stale."""
    checkpointer = await stopped_at_three()
    plan = await drawn(one, two, three).plan(RUN, checkpointer=checkpointer)
    assert (plan.kept, plan.to_run, plan.changes, plan.stale) == (["one", "two"], ["three"], [], {})


async def test_changed_code_is_stale_and_runs_again_if_allowed():
    """A plain resumption keeps results of changed code; with `allow_changes` it runs again with all after it."""

    def double(factor: int) -> Task[Any, Any]:
        if factor == 2:

            async def twofold(one: int) -> int:
                note()
                return one * 2

            return Task("double", twofold)

        async def manifold(one: int) -> int:
            note()
            return one * 100

        return Task("double", manifold)

    async def last(double: int) -> int:
        note()
        strike(ValueError("last"))
        return double + 1

    old, new = (drawn(one, double(factor), Task("last", last)) for factor in (2, 3))
    for allowed, value, ran in [(False, 3, {"last"}), (True, 101, {"double", "last"})]:
        checkpointer = MemoryCheckpointer()
        with bad_weather(), pytest.raises(ValueError):
            await old.run(run_id=RUN, checkpointer=checkpointer)
        assert "double" in (await new.plan(RUN, checkpointer=checkpointer)).stale
        got = await performed(new.resume, RUN, checkpointer=checkpointer, allow_changes=allowed)
        assert (got.value, set(got.bodies)) == (value, ran)


# -- forks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2, 3, "one", "two", None])
async def test_a_fork_begins_where_it_is_told(at: Any):
    """A fork takes so many steps over, or those up to a task, and runs the rest as a run of its own."""
    wf = drawn(one, two, three)
    want, records = await recorded(wf)
    checkpointer = await holding(records)
    got = await performed(wf.fork, RUN, at, checkpointer=checkpointer)
    taken = {"one": 1, "two": 2, None: 3}.get(at, at)
    assert got.value == want.value
    assert list(got.bodies) == ["one", "two", "three"][taken:]
    assert await checkpointer.read(RUN) == records, "the old run was touched"
    (new,) = [run.run_id for run in await checkpointer.runs() if run.run_id != RUN]
    assert (await performed(wf.resume, new, checkpointer=checkpointer)).value == want.value
    listed = await CheckpointManager(checkpointer=checkpointer).list_runs()
    assert {run.forked_from for run in listed} == {(), (RUN,)}


async def test_a_fork_takes_other_inputs():
    """`inputs` of a fork are in its channel, and the old run's stay what they were."""

    async def uses(given: int) -> int:
        note()
        return given * 10

    wf = drawn(one, Task("uses", uses))
    checkpointer = MemoryCheckpointer()
    assert await wf.run(run_id=RUN, checkpointer=checkpointer, inputs={"given": 1}) == 10
    got = await performed(wf.fork, RUN, "one", checkpointer=checkpointer, inputs={"given": 7}, run_id="other")
    assert got.value == 70
    assert got.bodies == {"uses": 1}
    assert await wf.resume(RUN, checkpointer=checkpointer) == 10
    assert await wf.resume("other", checkpointer=checkpointer) == 70


async def test_there_is_no_such_step():
    """A step or task that the run does not have is an error that says what there is."""
    wf = drawn(one, two, three)
    _, records = await recorded(wf)
    checkpointer = await holding(records)
    for at, words in [(4, "3 steps"), (-1, "3 steps"), ("nobody", "'two'")]:
        with pytest.raises(ConfigError, match=words):
            await wf.fork(RUN, at, checkpointer=checkpointer)
    with pytest.raises(UnknownRunError):
        await wf.fork("unknown", 1, checkpointer=checkpointer)


@pytest.mark.parametrize("name", ["diamonds", "dynamic", "loops"])
async def test_forks_from_every_step_come_to_the_same_end(name: str):
    """From whatever step a run is forked: the same value, the same channel."""
    wf, options = PROGRAMS[name]()
    want, records = await recorded(wf, **options)
    checkpointer = await holding(records)
    frames = [frame async for frame in replay(RUN, wf, checkpointer=checkpointer)]
    for at in range(0, len(frames) + 1, 2):
        got = await performed(wf.fork, RUN, at, checkpointer=checkpointer, run_id=f"fork{at}")
        assert got.value == want.value
        found = {key.replace(f"fork{at}", RUN, 1): value for key, value in got.channel.items()}
        assert found == want.channel or not got.bodies, at


async def test_a_replay_shows_each_step():
    """Frames tell step, task, turn, value, results so far and the channel, and nothing runs."""
    wf = drawn(one, adds(task_id="adds"), two, three)
    want, records = await recorded(wf)
    frames = [frame async for frame in replay(RUN, wf, checkpointer=await holding(records))]
    assert [(f.step, f.task_id, f.turn, f.value) for f in frames] == [
        (1, "one", 1, 1),
        (2, "adds", 1, 1),
        (3, "two", 1, 2),
        (4, "three", 1, 3),
    ]
    assert frames[0].results == {"one": 1}
    assert frames[0].channel == {}
    assert {f"{RUN}:default:{key}": value for key, value in frames[1].channel.items()} == want.channel
    assert "two" not in frames[1].results
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)


# -- named checkpoints --------------------------------------------------------------------------------------------


def marking(*, deferred: bool, path: str | None = None, grouped: bool = False) -> Workflow:
    """Draw a task that takes a checkpoint, alone or in a group."""

    async def marks(ctx: TaskExecutionContext) -> str:
        note()
        await ctx.channel.atomic_add("marks")
        if deferred:
            ctx.checkpoint(metadata={"stage": "half"}, path=path)
        else:
            place, about = await ctx.checkpoint(metadata={"stage": "half"}, path=path, deferred=False)
            assert place == about["path"]
            assert about["metadata"] == {"stage": "half"}
        return "marked"

    middle: Any = Task("marks", marks)
    if grouped:
        middle = parallel(middle, adds(task_id="beside")).set_group_name("g")
    return Workflow("w", adds(task_id="first") >> middle >> collects(task_id="end"))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("has_path", [False, True])
async def test_a_named_checkpoint_is_a_run_of_its_own(deferred: bool, has_path: bool, grouped: bool, tmp_path: Path):  # noqa: FBT001  # cases
    """A checkpoint stands for itself: elsewhere it goes on to the same end, with the work of its task or without."""
    explicit = str(tmp_path / "mine.ckpt") if has_path else None
    wf = marking(deferred=deferred, path=explicit, grouped=grouped)
    want = await performed(wf.run, run_id=RUN, checkpoint_dir=tmp_path / "runs")
    manager = CheckpointManager(tmp_path / "runs")
    listed = await manager.list_checkpoints(RUN)
    (place,) = listed
    assert explicit in (None, place)
    assert os.path.isfile(place)  # noqa: PTH113, ASYNC240  # one look
    got = await performed(wf.resume, place, checkpoint_dir=tmp_path / "elsewhere")
    assert got.value == want.value
    assert got.channel == want.channel
    assert "first" not in got.bodies
    assert ("marks" in got.bodies) != deferred
    beside = await performed(wf.resume, place, checkpoint_dir=tmp_path / "runs")
    assert beside.value == want.value
    assert len(await manager.list_runs()) == 2, "where the run is known, its checkpoint goes on as another one"
    assert (await wf.resume(RUN, checkpoint_dir=tmp_path / "runs")) == want.value


async def test_the_manager_goes_on_with_a_checkpoint(tmp_path: Path):
    """`resume_from_checkpoint(path)` and `resume_from_latest()` are doors to the same."""
    wf = marking(deferred=True)
    want = await performed(wf.run, run_id=RUN, checkpoint_dir=tmp_path)
    manager = CheckpointManager(tmp_path)
    (place,) = await manager.list_checkpoints(RUN)
    got = await performed(manager.resume_from_checkpoint, place, wf)
    assert got.value == want.value
    with pytest.raises(UnknownRunError):
        await manager.resume_from_latest(wf)
    with bad_weather():
        with pytest.raises(ValueError):
            await drawn(one, two, three).run(run_id="failed", checkpoint_dir=tmp_path)
        clear_up()
        assert await manager.resume_from_latest() == 3


# -- without the workflow -----------------------------------------------------------------------------------------


async def without_workflow(wf: Workflow, home: Path) -> tuple[Any, Any]:
    """Record in files, cut the last facts off under another id, and go on with nothing but the files."""
    _, records = await recorded(wf)
    checkpointer = FileCheckpointer(home)
    log = await checkpointer.create("unknown here")
    for record in records[:-3]:
        log.append(record.kind, record.payload.replace(b'"run_id": "run"', b'"run_id": "unknown here"'))
    await log.aclose()
    manager = CheckpointManager(checkpointer=checkpointer)
    got = await performed(manager.resume, "unknown here")
    await checkpointer.aclose()
    return got.value, got.bodies


async def test_module_level_tasks_are_found_again(tmp_path: Path):
    """Without the workflow the recorded one is used, tasks of modules by their names."""
    value, bodies = await without_workflow(drawn(one, two, three), tmp_path)
    assert value == 3
    assert set(bodies) <= {"two", "three"}


async def test_closures_are_recorded_with_what_they_hold(tmp_path: Path):
    """Without the workflow, closures come from the checkpoint, lambdas and dynamic children included."""
    base = 40

    async def opens(ctx: TaskExecutionContext) -> int:
        note()

        async def kid() -> int:
            note()
            return base

        ctx.next_task(Task("kid", kid))
        return base + 1

    last = Task("last", lambda opens: opens + 1)
    value, _ = await without_workflow(drawn(Task("opens", opens), last), tmp_path)
    assert value == 42


async def test_a_fork_of_a_run_that_was_resumed_after_a_failure_begins_where_it_is_told():
    """The records of such a run were written anew, with gaps in their numbers: these count, not their places."""
    checkpointer = await stopped_at_three()
    wf = drawn(one, two, three)
    await wf.resume(RUN, checkpointer=checkpointer)
    got = await performed(wf.fork, RUN, "one", checkpointer=checkpointer)
    assert list(got.bodies) == ["two", "three"]
