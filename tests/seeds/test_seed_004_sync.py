"""The samples of seed 004 (dynamic tasks, fan-out and fan-in, checkpoints) as written there, with plain `def` tasks."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

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
def test_next_task(kind, handler):
    """next_task(): the type of the data in the channel decides which handler gets them."""
    handled = []

    @task
    def priority_handler(data):
        handled.append(("priority_handler", data))

    @task
    def normal_handler(data):
        handled.append(("normal_handler", data))

    @task(inject_context=True)
    def dispatcher(ctx: TaskExecutionContext):
        data = ctx.get_channel().get("data")

        if data["type"] == "priority":
            ctx.next_task(priority_handler(data=data))
        else:
            ctx.next_task(normal_handler(data=data))

    with workflow("dispatch") as wf:
        wf.execute(dispatcher, inputs={"data": {"type": kind}})
    assert handled == [(handler, {"type": kind})]


@pytest.mark.parametrize(("failures", "attempts"), [(0, [0]), (2, [0, 1, 2]), (3, [0, 1, 2, 3])])
def test_next_iteration(failures, attempts):
    """next_iteration(): a task tries again with the number of the attempt that it hands to itself."""
    seen = []

    def do_work():
        if len(seen) <= failures:
            raise TemporaryError
        return "worked"

    @task(inject_context=True)
    def retry_task(ctx: TaskExecutionContext, attempt: int = 0):
        seen.append(attempt)
        try:
            result = do_work()
            return result
        except TemporaryError:
            if attempt < 3:
                ctx.next_iteration(retry_task(attempt=attempt + 1))
            else:
                raise

    with workflow("again") as wf:
        assert wf.execute(retry_task) == "worked"
    assert seen == attempts


def test_next_iteration_gives_up():
    """next_iteration(): what the last attempt raises ends the run as it is."""
    seen = []

    def do_work():
        raise TemporaryError("still down")

    @task(inject_context=True)
    def retry_task(ctx: TaskExecutionContext, attempt: int = 0):
        seen.append(attempt)
        try:
            result = do_work()
            return result
        except TemporaryError:
            if attempt < 3:
                ctx.next_iteration(retry_task(attempt=attempt + 1))
            else:
                raise

    with workflow("again") as wf, pytest.raises(TemporaryError, match="still down"):
        wf.execute(retry_task)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(("done", "value", "ran"), [(True, "completed early", []), (False, None, ["continued"])])
def test_terminate_workflow(done, value, ran):
    """terminate_workflow(): the run's value is the given result; otherwise the next task is made and runs."""
    log = []

    def all_done():
        return done

    @task
    def continue_processing():
        log.append("continued")

    @task(inject_context=True)
    def check_complete(ctx: TaskExecutionContext):
        if all_done():
            ctx.terminate_workflow(result="completed early")
            return
        ctx.next_task(continue_processing())

    with workflow("early") as wf:
        assert wf.execute(check_complete) == value
    assert log == ran


def test_cancel_workflow():
    """cancel_workflow(): the run ends with the cancellation and its text."""

    def critical_error():
        return True

    @task(inject_context=True)
    def validate(ctx: TaskExecutionContext):
        if critical_error():
            ctx.cancel_workflow(error="Critical validation failed")

    with workflow("abort") as wf, pytest.raises(GraflowWorkflowCanceledError, match="Critical validation failed") as e:
        wf.execute(validate)
    assert e.value.task_id == "validate"


@pytest.mark.parametrize("items", [["x", "y", "z"], ["x"], []])
def test_dynamic_parallel_group(items):
    """Dynamic Parallel Group: one worker for each item, whatever their number."""
    processed = []

    @task
    def process_item(item):
        processed.append(item)

    @task(inject_context=True)
    def create_workers(ctx: TaskExecutionContext):
        items = ctx.get_channel().get("items")

        # Create parallel group dynamically
        workers = [process_item(task_id=f"worker_{i}", item=item) for i, item in enumerate(items)]
        ctx.next_task(parallel(*workers))

    with workflow("workers") as wf:
        wf.execute(create_workers, inputs={"items": items})
    assert sorted(processed) == items


def test_fan_out_pattern():
    """Fan-Out: each branch makes its own endpoint, so the endpoint runs twice."""
    ended = []

    @task
    def endpoint(parent_path: str = ""):
        ended.append(parent_path)

    @task(inject_context=True)
    def branch(ctx: TaskExecutionContext, parent_path: str = ""):
        current_path = f"{parent_path}.branch" if parent_path else "branch"

        # Each branch independently triggers its endpoint
        ctx.next_task(parallel(process_a(parent_path=current_path), process_b(parent_path=current_path)))

    @task(inject_context=True)
    def process_a(ctx: TaskExecutionContext, parent_path: str = ""):
        # ...
        ctx.next_task(endpoint(parent_path=f"{parent_path}.process_a"))

    @task(inject_context=True)
    def process_b(ctx: TaskExecutionContext, parent_path: str = ""):
        ctx.next_task(endpoint(parent_path=f"{parent_path}.process_b"))

    with workflow("fan out") as wf:
        wf.execute(branch)
    # Result: endpoint runs TWICE (once per branch)
    assert sorted(ended) == ["branch.process_a", "branch.process_b"]


def test_fan_out_then_fan_in():
    """Fan-Out-then-Fan-In: the integrator runs once, after both branches."""
    ran = []

    @task
    def branch_a():
        ran.append("branch")

    @task
    def branch_b():
        ran.append("branch")

    @task
    def integrator():
        ran.append("integrator")

    @task(inject_context=True)
    def root(ctx: TaskExecutionContext):
        # Use >> operator to chain parallel group with convergence point
        parallel_group = parallel(branch_a(task_id="branch_a"), branch_b(task_id="branch_b"))
        # integrator runs ONCE after both branches complete
        chained = parallel_group >> integrator(task_id="integrator")
        ctx.next_task(chained)

    with workflow("fan in") as wf:
        wf.execute(root)
    assert ran == ["branch", "branch", "integrator"]
    ran.clear()
    wf.execute(root)
    assert ran == ["branch", "branch", "integrator"]


def test_distributed_workflow():
    """Distributed Execution, Distributed Workflow: the same graph in one process; the aggregate runs once, last."""
    ran = []

    @task
    def fetch():
        return 1

    @task
    def process_a(fetch):
        ran.append("process")
        return fetch + 1

    @task
    def process_b(fetch):
        ran.append("process")
        return fetch + 2

    @task
    def process_c(fetch):
        ran.append("process")
        return fetch + 3

    @task
    def aggregate(process_a, process_b, process_c):
        ran.append("aggregate")
        return [process_a, process_b, process_c]

    with workflow("distributed") as wf:
        fetch >> (process_a | process_b | process_c) >> aggregate
        assert wf.execute("fetch") == [2, 3, 4]
    assert ran == ["process", "process", "process", "aggregate"]


# -- Checkpoint and Resume ------------------------------------------------------------------------------------


def test_basic_checkpoint(tmp_path, monkeypatch):
    """Basic Checkpoint: asked for after every tenth batch, there is one after the task, with all of its work."""
    monkeypatch.chdir(tmp_path)
    batches = list(range(25))
    processed = []
    process = processed.append

    @task(inject_context=True)
    def long_running(ctx: TaskExecutionContext):
        for i, batch in enumerate(batches):
            process(batch)

            # Create checkpoint after each batch
            if i % 10 == 0:
                ctx.checkpoint()  # Schedules checkpoint after task

    with workflow("basic") as wf:
        wf.execute(long_running, checkpoint_dir="./checkpoints", run_id="basic")
    assert processed == batches

    # Resume workflow from checkpoint
    manager = CheckpointManager(checkpoint_dir="./checkpoints")
    (path,) = manager.list_checkpoints("basic")
    assert manager.resume_from_checkpoint(path) is None
    assert processed == batches


def test_resume_from_checkpoint(tmp_path, monkeypatch):
    """Resume from Checkpoint: a file of a name of one's own is resumed from, and only what comes after it runs."""
    monkeypatch.chdir(tmp_path)
    # The workflow is taken from the file, so what is in memory here is not what its tasks see.
    log = tmp_path / "ran"

    @task
    def load():
        log.write_text("load")
        return 20

    @task(inject_context=True)
    def save(ctx: TaskExecutionContext, load):
        log.write_text(f"{log.read_text()} save")
        ctx.checkpoint(path="checkpoint_path.pkl")
        return load + 1

    @task
    def finish(save):
        log.write_text(f"{log.read_text()} finish")
        return save * 2

    with workflow("resumed") as wf:
        load >> save >> finish
        assert wf.execute(checkpoint_dir="./checkpoints") == 42
    assert log.read_text() == "load save finish"
    log.write_text("resumed:")

    # Resume workflow from checkpoint
    manager = CheckpointManager(checkpoint_dir="./checkpoints")
    result = manager.resume_from_checkpoint("checkpoint_path.pkl")
    assert result == 42
    assert log.read_text() == "resumed: finish"


def test_periodic_checkpoint(tmp_path, monkeypatch):
    """Periodic Checkpoint: five minutes pass twice while the task works, and there is a checkpoint after it."""
    monkeypatch.chdir(tmp_path)
    real, passed = time.time, []
    monkeypatch.setattr(time, "time", lambda: real() + 55 * len(passed))
    items = list(range(13))
    process = passed.append

    @task(inject_context=True)
    def periodic_checkpoint_task(ctx: TaskExecutionContext):
        import time

        last_checkpoint = time.time()

        for item in items:
            process(item)

            # Checkpoint every 5 minutes
            if time.time() - last_checkpoint > 300:
                ctx.checkpoint()
                last_checkpoint = time.time()

    with workflow("periodic") as wf:
        wf.execute(periodic_checkpoint_task, checkpoint_dir="./checkpoints", run_id="periodic")
    assert passed == items
    assert len(CheckpointManager(checkpoint_dir="./checkpoints").list_checkpoints("periodic")) == 1


def test_fault_recovery_pattern(tmp_path, monkeypatch, capsys):
    """Fault Recovery: the handler of the exception resumes; what had ended does not run again, what failed does."""
    monkeypatch.chdir(tmp_path)
    ran = []

    with workflow("fault_tolerant") as wf:

        @task
        def entry_task():
            ran.append("entry_task")
            return 20

        @task
        def fragile(entry_task):
            ran.append("fragile")
            if ran.count("fragile") == 1:
                raise ConnectionError("connection lost")
            return entry_task + 1

        @task
        def after(fragile):
            ran.append("after")
            return fragile * 2

        entry_task >> fragile >> after

        try:
            result = wf.execute("entry_task", checkpoint_dir="./checkpoints")
        except Exception as e:
            print(f"Failed: {e}, resuming from checkpoint...")
            manager = CheckpointManager(checkpoint_dir="./checkpoints")
            result = manager.resume_from_latest()
    assert result == 42
    assert ran == ["entry_task", "fragile", "fragile", "after"]
    assert capsys.readouterr().out == "Failed: connection lost, resuming from checkpoint...\n"
