"""Scenarios 133-138: what checkpoints hold, and what may happen to their files. Names carry the numbers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    CheckpointError,
    CheckpointManager,
    ConfigError,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    task,
    workflow,
)
from tests.scenarios.conftest import Style
from tests.scenarios.recorded import three_steps

ROOT = Path(__file__).resolve().parents[2]


NEXT = {"NEW": "VALIDATED", "VALIDATED": "PAID", "PAID": "SHIPPED"}


def plain_order(log, path_of):
    @task("order")
    def order(ctx: SyncTaskExecutionContext):
        channel = ctx.get_channel()
        state = channel.get("state", "NEW")
        log.append(state)
        if state == "SHIPPED":
            return state
        channel.set("state", NEXT[state])
        ctx.checkpoint({"state": NEXT[state]}, path=path_of(NEXT[state]))
        ctx.next_iteration()
        return state

    return order


def async_order(log, path_of):
    @task("order")
    async def order(ctx: TaskExecutionContext):
        channel = ctx.get_channel()
        state = await channel.get("state", "NEW")
        log.append(state)
        if state == "SHIPPED":
            return state
        await channel.set("state", NEXT[state])
        ctx.checkpoint({"state": NEXT[state]}, path=path_of(NEXT[state]))
        ctx.next_iteration()
        return state

    return order


@pytest.mark.parametrize("make", [plain_order, async_order])
@pytest.mark.parametrize("state", ["VALIDATED", "PAID", "SHIPPED"])
def test_133_a_state_machine_goes_on_from_each_state(tmp_path, make, state):
    """The channel comes back as it was at the checkpoint: the machine goes on there, whatever came later."""
    log, folder = [], [tmp_path / "first"]
    with workflow("orders") as wf:
        make(log, lambda name: folder[-1] / f"{name}.ckpt")
    assert wf.execute(checkpoint_dir=tmp_path / "runs") == "SHIPPED"
    assert log == ["NEW", "VALIDATED", "PAID", "SHIPPED"]
    assert sorted(path.stem for path in folder[0].iterdir()) == ["PAID", "SHIPPED", "VALIDATED"]
    left = log[log.index(state) :]
    folder.append(tmp_path / "again")
    log.clear()
    manager = CheckpointManager(tmp_path / "runs")
    assert manager.resume_from_checkpoint(folder[0] / f"{state}.ckpt", wf) == "SHIPPED"
    assert log == left


def test_134_metadata_is_kept_with_the_task(tmp_path):
    """What the user notes comes back as it is, beside the task, the run and the time."""
    given = []

    @task
    def saving(ctx: SyncTaskExecutionContext):
        given.append(ctx.checkpoint({"user": "Ada", "nested": {"n": [1, None]}}, deferred=False))
        given.append(ctx.checkpoint(deferred=False))

    with workflow("noted") as wf:
        wf.execute(saving, checkpoint_dir=tmp_path, run_id="noted")
    for (path, about), metadata in zip(given, [{"user": "Ada", "nested": {"n": [1, None]}}, {}], strict=True):
        assert about["metadata"] == metadata
        assert (about["task_id"], about["run_id"]) == ("saving", "noted")
        assert about["created_at"] > 0
        assert about["path"] == path
        json.dumps(about)


@pytest.mark.unrecorded
def test_134_without_a_journal_a_checkpoint_says_what_to_pass(style: Any):
    """A run that records nothing has nothing to take a checkpoint of."""

    @style.task(inject_context=True)
    def saving(ctx):
        ctx.checkpoint()

    with workflow("bare") as wf, pytest.raises(ConfigError, match="checkpoint_dir"):
        style.run(wf, saving)


def damaged(data, how):
    middle = len(data) // 2
    return {
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "cut": data[:middle],
        "empty": b"",
        "foreign": b"\x80\x04N.",
        "text": b"import os\n",
    }[how]


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "foreign", "text"])
async def test_135_a_damaged_checkpoint_is_refused(tmp_path, how):
    """Whatever has happened to the file: one clear error, and nothing runs or is recorded."""
    ran = []
    path = tmp_path / "three.ckpt"
    wf = three_steps(Style("async"), ran, path)
    await wf.run(checkpoint_dir=tmp_path / "runs")
    path.write_bytes(damaged(path.read_bytes(), how))
    ran.clear()
    with pytest.raises(CheckpointError):
        await wf.resume(path, checkpoint_dir=tmp_path / "other")
    assert ran == []
    assert await CheckpointManager(tmp_path / "other").list_runs() == []


@pytest.mark.parametrize("source", ["nothing.pkl", "s3://bucket/checkpoint.pkl", "../../etc", "a\0b", ""])
def test_135_what_is_not_there_is_named(tmp_path, source):
    """A file that is missing, a scheme that nobody reads, a name that is none: an error that names it."""
    with pytest.raises(CheckpointError) as caught:
        CheckpointManager(tmp_path).resume_from_checkpoint(source)
    assert repr(source)[1:-1] in str(caught.value)


def test_136_checkpoints_of_one_moment_are_several(tmp_path, monkeypatch):
    """Two tasks that end in the same second leave two files, and each is gone on with from where it was."""
    ran = []
    with workflow("quick") as wf:

        def step(name) -> Any:
            @task(name)
            def body(ctx: SyncTaskExecutionContext):
                ran.append(name)
                ctx.checkpoint()
                return name

            return body

        step("one") >> step("two") >> step("three")
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    wf.execute(checkpoint_dir=tmp_path, run_id="quick")
    manager = CheckpointManager(tmp_path)
    paths = manager.list_checkpoints("quick")
    assert len(set(paths)) == 3
    left = []
    for path in paths:
        ran.clear()
        assert manager.resume_from_checkpoint(path, wf) == "three"
        left.append(list(ran))
    assert left == [["two", "three"], ["three"], []]


VICTIM = """
from graflow_async import TaskExecutionContext, task, workflow

@task
async def saving(ctx: TaskExecutionContext):
    turn = await ctx.channel.atomic_add("turn")
    await ctx.checkpoint({"turn": turn}, path="latest.ckpt", deferred=False)
    print(turn, flush=True)
    ctx.next_iteration()
    return b"x" * 300_000

with workflow("victim") as wf:
    wf.execute(saving, checkpoint_dir="runs", run_id="victim")
"""


@pytest.mark.parametrize("at", ["1", "4", "9"])
def test_136_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, at):
    """The same path is written again and again; whenever the process is killed, the file there is whole."""
    command = [sys.executable, "-c", VICTIM]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as child:
        for line in child.stdout or ():
            if line.strip() == at:
                child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    plan = CheckpointManager(tmp_path / "runs").plan(tmp_path / "latest.ckpt")
    assert plan.changes == []
    assert plan.to_run == ["saving"]


async def test_137_a_checkpoint_of_a_group_member_is_of_the_whole_workflow(tmp_path):
    """Going on completes the other member and what comes after the group, not only the branch that asked."""
    ran = []
    a_has_ended = asyncio.Event()

    def on_event(event):
        if type(event).__name__ == "TaskCompleted" and event.task_id == "a":
            a_has_ended.set()

    with workflow("grouped") as wf:

        @task
        async def start():
            ran.append("start")
            return 1

        @task
        async def a(ctx: TaskExecutionContext, start):
            ran.append("a")
            ctx.checkpoint(path=tmp_path / "a.ckpt")
            return start + 1

        @task
        async def b(start):
            ran.append("b")
            await a_has_ended.wait()
            return start + 2

        @task
        async def join(a, b):
            ran.append("join")
            return [a, b]

        @task
        async def end(join):
            ran.append("end")
            return sum(join)

        start >> (a | b) >> join >> end
    assert await wf.run(checkpoint_dir=tmp_path / "runs", listeners=[on_event]) == 5
    ran.clear()
    assert await wf.resume(tmp_path / "a.ckpt", checkpoint_dir=tmp_path / "elsewhere") == 5
    assert ran == ["b", "join", "end"]


async def test_138_a_large_checkpoint_does_not_hold_the_loop(tmp_path):
    """While tens of megabytes are copied into a checkpoint, others on the loop have their turns."""
    ticks = {"during": 0}
    is_saving = asyncio.Event()

    async def heartbeat():
        await is_saving.wait()
        while is_saving.is_set():
            await asyncio.sleep(0)
            ticks["during"] += 1

    with workflow("large") as wf:

        @task
        async def big():
            return os.urandom(30_000_000)

        @task
        async def saving(ctx: TaskExecutionContext, big):
            is_saving.set()
            path, _ = await ctx.checkpoint(deferred=False)
            is_saving.clear()
            return path, len(big)

        big >> saving
    beating = asyncio.create_task(heartbeat())
    path, size = await wf.run(checkpoint_dir=tmp_path)
    await beating
    assert size == 30_000_000
    assert len(await asyncio.to_thread(Path(path).read_bytes)) > size
    assert ticks["during"] >= 20
