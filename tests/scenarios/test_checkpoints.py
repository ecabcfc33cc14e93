"""Scenarios 96 and 127-138: named checkpoints, and going on from them. Names carry the numbers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graflow_async import (
    CheckpointError,
    CheckpointManager,
    ConfigError,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    UnknownRunError,
    task,
    workflow,
)

ROOT = Path(__file__).resolve().parents[2]


def resume(style, wf, source, **options):
    """Go on in the way of the style: blocking, or awaited on a loop that is left clean."""
    if style.name != "async":
        return CheckpointManager(options.pop("checkpoint_dir")).resume_from_checkpoint(source, wf, **options)

    async def awaited():
        try:
            return await wf.resume(source, **options)
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(awaited())


def three_steps(style, ran, path=None):
    """Make step_1 >> step_2 >> step_3; step_2 asks for a checkpoint."""
    with workflow("three") as wf:

        @style.task
        def step_1():
            ran.append("step_1")
            return 1

        @style.task(inject_context=True)
        def step_2(ctx, step_1):
            ran.append("step_2")
            assert ctx.checkpoint({"by": "the user", "attempt": ctx.attempt}, path=path) is None
            return step_1 + 1

        @style.task
        def step_3(step_1, step_2):
            ran.append("step_3")
            return [step_1, step_2, 3]

        step_1 >> step_2 >> step_3
    return wf


def test_096_terminate_and_checkpoint_in_one_task(style, tmp_path):
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


def test_127_resuming_runs_what_comes_after_the_checkpoint(style, tmp_path):
    """The first run completes; going on from the file runs only step_3, which sees the results of the others."""
    ran = []
    path = tmp_path / "mine" / "three.ckpt"
    wf = three_steps(style, ran, path)
    assert style.run(wf, checkpoint_dir=tmp_path / "runs") == [1, 2, 3]
    ran.clear()
    assert resume(style, wf, path, checkpoint_dir=tmp_path / "runs") == [1, 2, 3]
    assert ran == ["step_3"]
    assert [wf.get_result(name) for name in ("step_1", "step_2")] == [1, 2]


def test_127_the_recorded_run_stays_as_it_was(style, tmp_path):
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


def test_128_asked_for_often_there_is_one_checkpoint_after_the_task(style, tmp_path):
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


def test_129_a_checkpoint_every_five_minutes(style, tmp_path):
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


def failing_once(style, ran):
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
def test_131_resume_from_latest(style, tmp_path, is_given):
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


def test_131_the_latest_run_of_a_workflow(style, tmp_path):
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
        given.append(ctx.checkpoint({"user": "Ada", "nested": {"n": [1, None]}}, deferred=False)[1])
        given.append(ctx.checkpoint(deferred=False)[1])

    with workflow("noted") as wf:
        wf.execute(saving, checkpoint_dir=tmp_path, run_id="noted")
    for about, metadata in zip(given, [{"user": "Ada", "nested": {"n": [1, None]}}, {}], strict=True):
        assert about["metadata"] == metadata
        assert (about["task_id"], about["run_id"]) == ("saving", "noted")
        assert about["created_at"] > 0
        json.dumps(about)


def test_134_without_a_journal_a_checkpoint_says_what_to_pass(style):
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
def test_135_a_damaged_checkpoint_is_refused(style, tmp_path, how):
    """Whatever has happened to the file: one clear error, and nothing runs or is recorded."""
    ran = []
    path = tmp_path / "three.ckpt"
    wf = three_steps(style, ran, path)
    style.run(wf, checkpoint_dir=tmp_path / "runs")
    path.write_bytes(damaged(path.read_bytes(), how))
    ran.clear()
    with pytest.raises(CheckpointError):
        resume(style, wf, path, checkpoint_dir=tmp_path / "other")
    assert ran == []
    assert CheckpointManager(tmp_path / "other").list_runs() == []


@pytest.mark.parametrize("source", ["nothing.pkl", "s3://bucket/checkpoint.pkl", "../../etc", "a\0b", ""])
def test_135_what_is_not_there_is_named(style, tmp_path, source):
    """A file that is missing, a scheme that nobody reads, a name that is none: an error that names it."""
    wf = three_steps(style, [])
    with pytest.raises(CheckpointError) as caught:
        resume(style, wf, source, checkpoint_dir=tmp_path)
    assert repr(source)[1:-1] in str(caught.value)


def test_136_checkpoints_of_one_moment_are_several(tmp_path, monkeypatch):
    """Two tasks that end in the same second leave two files, and each is gone on with from where it was."""
    ran = []
    with workflow("quick") as wf:

        def step(name):
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
        for line in child.stdout:
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
    assert Path(path).stat().st_size > size
    assert ticks["during"] >= 20
