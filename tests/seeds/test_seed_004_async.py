"""The samples of seed 004 (dynamic tasks, fan-out and fan-in, checkpoints) with `async def` tasks, awaited."""

from __future__ import annotations

import asyncio
import time

import pytest

from graflow_async import (
    CheckpointManager,
    GraflowWorkflowCanceledError,
    TaskExecutionContext,
    parallel,
    task,
    workflow,
)


class TemporaryError(Exception):
    """An error that goes away when tried again."""


@pytest.mark.parametrize(("kind", "handler"), [("priority", "priority_handler"), ("other", "normal_handler")])
async def test_next_task(kind, handler):
    """next_task(): the type of the data in the channel decides which handler gets them."""
    handled = []

    @task
    async def priority_handler(data):
        handled.append(("priority_handler", data))

    @task
    async def normal_handler(data):
        handled.append(("normal_handler", data))

    @task(inject_context=True)
    async def dispatcher(ctx: TaskExecutionContext):
        data = await ctx.get_channel().get("data")
        if data["type"] == "priority":
            ctx.next_task(priority_handler(data=data))
        else:
            ctx.next_task(normal_handler(data=data))

    with workflow("dispatch") as wf:
        await wf.run(dispatcher, inputs={"data": {"type": kind}})
    assert handled == [(handler, {"type": kind})]


@pytest.mark.parametrize(("failures", "attempts"), [(0, [0]), (2, [0, 1, 2]), (4, [0, 1, 2, 3])])
async def test_next_iteration(failures, attempts):
    """next_iteration(): a task hands the number of the attempt to itself; the last failure is raised as it is."""
    seen = []

    async def do_work():
        if len(seen) <= failures:
            raise TemporaryError("still down")
        return "worked"

    @task(inject_context=True)
    async def retry_task(ctx: TaskExecutionContext, attempt: int = 0):
        seen.append(attempt)
        try:
            return await do_work()
        except TemporaryError:
            if attempt < 3:
                ctx.next_iteration(retry_task(attempt=attempt + 1))
            else:
                raise

    with workflow("again") as wf:
        if failures < 4:
            assert await wf.run(retry_task) == "worked"
        else:
            with pytest.raises(TemporaryError, match="still down"):
                await wf.run(retry_task)
    assert seen == attempts


@pytest.mark.parametrize(("done", "value", "ran"), [(True, "completed early", []), (False, None, ["continued"])])
async def test_terminate_workflow(done, value, ran):
    """terminate_workflow(): the run's value is the given result; otherwise the next task is made and runs."""
    log = []

    @task
    async def continue_processing():
        log.append("continued")

    @task(inject_context=True)
    async def check_complete(ctx: TaskExecutionContext):
        if done:
            ctx.terminate_workflow(result="completed early")
            return
        ctx.next_task(continue_processing())

    with workflow("early") as wf:
        assert await wf.run(check_complete) == value
    assert log == ran


async def test_cancel_workflow():
    """cancel_workflow(): the run ends with the cancellation and its text."""

    @task(inject_context=True)
    async def validate(ctx: TaskExecutionContext):
        ctx.cancel_workflow(error="Critical validation failed")

    with workflow("abort") as wf, pytest.raises(GraflowWorkflowCanceledError, match="Critical validation failed") as e:
        await wf.run(validate)
    assert e.value.task_id == "validate"


@pytest.mark.parametrize("items", [["x", "y", "z"], ["x"], []])
async def test_dynamic_parallel_group(items):
    """Dynamic Parallel Group: one worker for each item, whatever their number; all are under way at once."""
    processed = []
    all_in = asyncio.Barrier(max(1, len(items)))

    @task
    async def process_item(item):
        await all_in.wait()
        processed.append(item)

    @task(inject_context=True)
    async def create_workers(ctx: TaskExecutionContext):
        items = await ctx.get_channel().get("items")
        workers = [process_item(task_id=f"worker_{i}", item=item) for i, item in enumerate(items)]
        ctx.next_task(parallel(*workers))

    with workflow("workers") as wf:
        await wf.run(create_workers, inputs={"items": items})
    assert sorted(processed) == items


async def test_fan_out_pattern():
    """Fan-Out: each branch makes its own endpoint, so the endpoint runs twice."""
    ended = []

    @task
    async def endpoint(parent_path: str = ""):
        ended.append(parent_path)

    @task(inject_context=True)
    async def branch(ctx: TaskExecutionContext, parent_path: str = ""):
        current_path = f"{parent_path}.branch" if parent_path else "branch"
        ctx.next_task(parallel(process_a(parent_path=current_path), process_b(parent_path=current_path)))

    @task(inject_context=True)
    async def process_a(ctx: TaskExecutionContext, parent_path: str = ""):
        ctx.next_task(endpoint(parent_path=f"{parent_path}.process_a"))

    @task(inject_context=True)
    async def process_b(ctx: TaskExecutionContext, parent_path: str = ""):
        ctx.next_task(endpoint(parent_path=f"{parent_path}.process_b"))

    with workflow("fan out") as wf:
        await wf.run(branch)
    assert sorted(ended) == ["branch.process_a", "branch.process_b"]


async def test_fan_out_then_fan_in():
    """Fan-Out-then-Fan-In: the integrator runs once, after both branches, inside the block and after it."""
    ran = []

    @task
    async def branch_a():
        await asyncio.sleep(0)
        ran.append("branch")

    @task
    async def branch_b():
        ran.append("branch")

    @task
    async def integrator():
        ran.append("integrator")

    @task(inject_context=True)
    async def root(ctx: TaskExecutionContext):
        parallel_group = parallel(branch_a(task_id="branch_a"), branch_b(task_id="branch_b"))
        chained = parallel_group >> integrator(task_id="integrator")
        ctx.next_task(chained)

    with workflow("fan in") as wf:
        await wf.run(root)
    await wf.run(root)
    assert ran == ["branch", "branch", "integrator"] * 2


async def test_distributed_workflow():
    """Distributed Execution, Distributed Workflow: the same graph in one process; the aggregate runs once, last."""
    ran = []

    @task
    async def fetch():
        return 1

    @task
    async def process_a(fetch):
        ran.append("process")
        return fetch + 1

    @task
    async def process_b(fetch):
        ran.append("process")
        return fetch + 2

    @task
    async def process_c(fetch):
        ran.append("process")
        return fetch + 3

    @task
    async def aggregate(process_a, process_b, process_c):
        ran.append("aggregate")
        return [process_a, process_b, process_c]

    with workflow("distributed") as wf:
        fetch >> (process_a | process_b | process_c) >> aggregate
    assert await wf.run("fetch") == [2, 3, 4]
    assert ran == ["process", "process", "process", "aggregate"]


# -- Checkpoint and Resume ------------------------------------------------------------------------------------


async def test_basic_checkpoint(tmp_path):
    """Basic Checkpoint: asked for after every tenth batch, there is one after the task, with all of its work."""
    batches = list(range(25))
    processed = []

    @task(inject_context=True)
    async def long_running(ctx: TaskExecutionContext):
        for i, batch in enumerate(batches):
            await asyncio.sleep(0)
            processed.append(batch)
            if i % 10 == 0:
                assert ctx.checkpoint() is None

    with workflow("basic") as wf:
        await wf.run(long_running, checkpoint_dir=tmp_path, run_id="basic")
    manager = CheckpointManager(checkpoint_dir=tmp_path)
    (path,) = await manager.list_checkpoints("basic")
    assert await manager.resume_from_checkpoint(path) is None
    assert processed == batches


async def test_resume_from_checkpoint(tmp_path):
    """Resume from Checkpoint: a file of a name of one's own is resumed from, and only what comes after it runs."""
    ran = []

    @task
    async def load():
        ran.append("load")
        return 20

    @task(inject_context=True)
    async def save(ctx: TaskExecutionContext, load):
        ran.append("save")
        ctx.checkpoint(path=tmp_path / "checkpoint_path.pkl")
        return load + 1

    @task
    async def finish(save):
        ran.append("finish")
        return save * 2

    with workflow("resumed") as wf:
        load >> save >> finish
    assert await wf.run(checkpoint_dir=tmp_path / "runs") == 42
    ran.clear()
    manager = CheckpointManager(checkpoint_dir=tmp_path / "runs")
    assert await manager.resume_from_checkpoint(tmp_path / "checkpoint_path.pkl", wf) == 42
    assert await wf.resume(tmp_path / "checkpoint_path.pkl", checkpoint_dir=tmp_path / "elsewhere") == 42
    assert ran == ["finish", "finish"]


async def test_periodic_checkpoint(tmp_path, monkeypatch):
    """Periodic Checkpoint: five minutes pass twice while the task works, and there is a checkpoint after it."""
    real, passed = time.time, []
    monkeypatch.setattr(time, "time", lambda: real() + 55 * len(passed))
    items = list(range(13))
    asked = []

    @task(inject_context=True)
    async def periodic_checkpoint_task(ctx: TaskExecutionContext):
        last_checkpoint = time.time()
        for item in items:
            passed.append(item)
            if time.time() - last_checkpoint > 300:
                asked.append(item)
                ctx.checkpoint()
                last_checkpoint = time.time()

    with workflow("periodic") as wf:
        await wf.run(periodic_checkpoint_task, checkpoint_dir=tmp_path, run_id="periodic")
    assert asked == [5, 11]
    assert len(await CheckpointManager(checkpoint_dir=tmp_path).list_checkpoints("periodic")) == 1


async def test_fault_recovery_pattern(tmp_path):
    """Fault Recovery: the handler of the exception resumes; what had ended does not run again, what failed does."""
    ran = []

    with workflow("fault_tolerant") as wf:

        @task
        async def entry_task():
            ran.append("entry_task")
            return 20

        @task
        async def fragile(entry_task):
            ran.append("fragile")
            if ran.count("fragile") == 1:
                raise ConnectionError("connection lost")
            return entry_task + 1

        @task
        async def after(fragile):
            ran.append("after")
            return fragile * 2

        entry_task >> fragile >> after

        try:
            result = await wf.run("entry_task", checkpoint_dir=tmp_path)
        except ConnectionError:
            manager = CheckpointManager(checkpoint_dir=tmp_path)
            result = await manager.resume_from_latest()
    assert result == 42
    assert ran == ["entry_task", "fragile", "fragile", "after"]
