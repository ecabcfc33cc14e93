"""Scenarios 96 and 127-132: named checkpoints, and going on from them. Names carry the numbers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    CheckpointManager,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    UnknownRunError,
    task,
    workflow,
)
from tests.scenarios.recorded import resume, three_steps

ROOT = Path(__file__).resolve().parents[2]


def test_096_terminate_and_checkpoint_in_one_task(style: Any, tmp_path):
    """The checkpoint is there and can be gone on with: it is of a run that has ended, so the successor never runs."""
    ran = []
    with workflow("ending") as wf:

        @style.task(inject_context=True)
        def last(ctx):
            ran.append("last")
            ctx.checkpoint()
            ctx.terminate_workflow("enough", result="done")

        @style.task
        def never():
            ran.append("never")

        last >> never
    assert style.run(wf, checkpoint_dir=tmp_path, run_id="ending") == "done"
    (path,) = CheckpointManager(tmp_path).list_checkpoints("ending")
    assert resume(style, wf, path, checkpoint_dir=tmp_path) == "done"
    assert ran == ["last"]


def test_127_resuming_runs_what_comes_after_the_checkpoint(style: Any, tmp_path):
    """The first run completes; going on from the file runs only step_3, which sees the results of the others."""
    ran = []
    path = tmp_path / "mine" / "three.ckpt"
    wf = three_steps(style, ran, path)
    assert style.run(wf, checkpoint_dir=tmp_path / "runs") == [1, 2, 3]
    ran.clear()
    assert resume(style, wf, path, checkpoint_dir=tmp_path / "runs") == [1, 2, 3]
    assert ran == ["step_3"]
    assert [wf.get_result(name) for name in ("step_1", "step_2")] == [1, 2]


def test_127_the_recorded_run_stays_as_it_was(style: Any, tmp_path):
    """Going on from a checkpoint is a run of its own where its run is recorded, and may be done again and again."""
    ran = []
    wf = three_steps(style, ran)
    style.run(wf, checkpoint_dir=tmp_path, run_id="three")
    manager = CheckpointManager(tmp_path)
    (path,) = manager.list_checkpoints("three")
    before = next(run for run in manager.list_runs() if run.run_id == "three")
    ran.clear()
    for _ in range(2):
        assert resume(style, wf, path, checkpoint_dir=tmp_path) == [1, 2, 3]
    assert ran == ["step_3", "step_3"]
    runs = {run.run_id: run for run in manager.list_runs()}
    assert sorted(runs) == ["three", "three-2", "three-3"]
    assert runs["three"] == before
    assert {run.forked_from for run in runs.values()} == {(), ("three",)}


def test_128_asked_for_often_there_is_one_checkpoint_after_the_task(style: Any, tmp_path):
    """ctx.checkpoint() gives None, and what is taken holds the finished task, whichever batch asked."""
    processed = []

    with workflow("long") as wf:

        @style.task(inject_context=True)
        def long_running(ctx):
            for i in range(25):
                processed.append(i)
                if i % 10 == 0:
                    assert ctx.checkpoint() is None
            return len(processed)

        @style.task
        def after(long_running):
            return long_running + 1

        long_running >> after
    assert style.run(wf, checkpoint_dir=tmp_path, run_id="long") == 26
    (path,) = CheckpointManager(tmp_path).list_checkpoints("long")
    assert resume(style, wf, path, checkpoint_dir=tmp_path) == 26
    assert processed == list(range(25))


def test_129_a_checkpoint_every_five_minutes(style: Any, tmp_path):
    """A clock that crosses 300 s twice inside the task: the run completes, and a checkpoint exists."""
    minutes = iter(range(1000))
    asked = []

    with workflow("periodic") as wf:

        @style.task(inject_context=True)
        def periodic(ctx):
            last = 60 * next(minutes)
            for item in range(12):
                now = 60 * next(minutes)
                if now - last > 300:
                    ctx.checkpoint({"item": item})
                    asked.append(item)
                    last = now
            return "done"

    assert style.run(wf, checkpoint_dir=tmp_path, run_id="periodic") == "done"
    assert asked == [5, 11]
    assert CheckpointManager(tmp_path).list_checkpoints("periodic")


SCRIPT = """
import sys
from pathlib import Path
from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, task, workflow

def log(word):
    with open("log", "a") as file:
        file.write(word + "\\n")

with workflow("carried") as wf:
    @task
    async def first():
        log("first")
        return {"n": 20}

    @task
    def second(ctx: SyncTaskExecutionContext, n):
        log("second")
        ctx.checkpoint(path="checkpoint_path.pkl")
        return n + 1

    @task
    async def third(ctx: TaskExecutionContext, second):
        log("third")
        return second * 2, await ctx.channel.get("key")

    first >> second >> third

if __name__ == "__main__":
    print(wf.execute(checkpoint_dir="./checkpoints", inputs={"key": "kept"}))
"""
RESUME = """
from graflow_async import CheckpointManager
manager = CheckpointManager(checkpoint_dir="./checkpoints")
print(manager.resume_from_checkpoint("checkpoint_path.pkl"))
"""


def python(folder, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_130_another_process_goes_on_from_the_file_alone(tmp_path):
    """As the seed writes it: no workflow is passed, its code comes from the file; only the rest runs."""
    (tmp_path / "first.py").write_text(SCRIPT, encoding="utf-8")
    assert python(tmp_path, "first.py") == "(42, 'kept')\n"
    (tmp_path / "first.py").unlink()
    assert python(tmp_path, "-c", RESUME) == "(42, 'kept')\n"
    assert (tmp_path / "log").read_text() == "first\nsecond\nthird\nthird\n"


def failing_once(style: Any, ran):
    with workflow("fault_tolerant") as wf:

        @style.task
        def entry_task():
            ran.append("entry_task")
            return 1

        @style.task
        def second(entry_task):
            ran.append("second")
            if ran.count("second") == 1:
                raise ConnectionError("once")
            return entry_task + 1

        @style.task
        def third(second):
            ran.append("third")
            return second + 1

        entry_task >> second >> third
    return wf


@pytest.mark.parametrize("is_given", [True, False])
def test_131_resume_from_latest(style: Any, tmp_path, is_given):
    """What raised is run again, what had ended is not, and the value is the run's; the failure is the task's own."""
    ran = []
    wf = failing_once(style, ran)
    manager = CheckpointManager(checkpoint_dir=tmp_path)
    with pytest.raises(ConnectionError, match="once"):
        style.run(wf, "entry_task", checkpoint_dir=tmp_path)
    assert manager.list_runs()[0].status == "failed"
    given = [wf] if is_given else []
    if style.name == "async":

        async def awaited():
            return await manager.resume_from_latest(*given)

        assert asyncio.run(awaited()) == 3
    else:
        assert manager.resume_from_latest(*given) == 3
    assert ran == ["entry_task", "second", "second", "third"]
    assert manager.list_runs()[0].status == "completed"
    with pytest.raises(UnknownRunError, match="no run"):
        manager.resume_from_latest()


def test_131_the_latest_run_of_a_workflow(style: Any, tmp_path):
    """Among several runs the one that was written last counts; a workflow, or its name, narrows them down."""
    rans = [[], []]
    first, second = (failing_once(style, ran) for ran in rans)
    second.name = "other"
    for wf in (first, second):
        with pytest.raises(ConnectionError):
            style.run(wf, checkpoint_dir=tmp_path)
    manager = CheckpointManager(tmp_path)
    assert manager.resume_from_latest("fault_tolerant") == 3
    assert [ran.count("second") for ran in rans] == [2, 1]
    assert manager.resume_from_latest(second) == 3
    assert [ran.count("second") for ran in rans] == [2, 2]


def test_132_an_immediate_checkpoint_in_a_plain_task(tmp_path):
    """It gives (path, metadata); going on from it starts the task over, and not those before it."""
    ran, given = [], []
    with workflow("now") as wf:

        @task
        def before():
            ran.append("before")
            return 1

        @task
        def saving(ctx: SyncTaskExecutionContext, before):
            ran.append("saving")
            given.append(ctx.checkpoint({"n": 7}, deferred=False))
            return before + 1

        before >> saving
    assert wf.execute(checkpoint_dir=tmp_path, run_id="now") == 2
    path, about = given[0]
    assert [path] == CheckpointManager(tmp_path).list_checkpoints("now")
    assert Path(path).is_file()
    assert (about["metadata"], about["task_id"], about["run_id"], about["path"]) == ({"n": 7}, "saving", "now", path)
    ran.clear()
    assert CheckpointManager(tmp_path).resume_from_checkpoint(path, wf) == 2
    assert ran == ["saving"]


async def test_132_an_immediate_checkpoint_in_an_async_task(tmp_path):
    """Awaited, it gives the same; children that had ended are not run again when the task starts over."""
    ran, given = [], []

    @task
    async def child(n):
        ran.append(n)
        return n * 10

    with workflow("now") as wf:

        @task
        async def saving(ctx: TaskExecutionContext):
            values = await ctx.map(child, [1, 2])
            given.append(await ctx.checkpoint(deferred=False))
            return [*values, await child(3)]

    assert await wf.run(checkpoint_dir=tmp_path) == [10, 20, 30]
    ran.clear()
    assert await wf.resume(given[0][0], checkpoint_dir=tmp_path) == [10, 20, 30]
    assert ran == [3]
