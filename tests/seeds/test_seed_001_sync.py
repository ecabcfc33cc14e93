"""The samples of seed 001 (runtime graph changes) as they are written there, with plain `def` tasks."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import pytest

from graflow_async import GraflowWorkflowCanceledError, TaskExecutionContext, task, workflow


class CriticalError(Exception):
    """The error of the first sample."""


class FixedRandom:
    """Stands in for the random module of the first sample."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


@pytest.mark.parametrize(
    ("drawn", "output"),
    [(0.1, "Emergency handler activated!\n"), (0.9, "Operation succeeded\nContinuing normal flow\n")],
)
def test_jumping_to_existing_tasks(drawn, output, capsys):
    """Example Jumping to Existing Tasks: the handler runs instead of the successors, and only when jumped to."""
    random = FixedRandom(drawn)

    with workflow("error_handling") as wf:

        @task(inject_context=True)
        def risky_operation(ctx: TaskExecutionContext):
            """Process data with potential errors."""
            try:
                if random.random() < 0.3:  # 30% chance of error
                    raise CriticalError("Critical failure!")
                print("Operation succeeded")
            except CriticalError:
                # Jump to existing emergency handler task
                emergency_task = ctx.graph.get_node("emergency_handler")
                ctx.next_task(emergency_task, goto=True)

        @task
        def emergency_handler():
            """Handle emergency situations."""
            print("Emergency handler activated!")

        @task
        def normal_continuation():
            """This runs only if risky_operation succeeds."""
            print("Continuing normal flow")

        risky_operation >> normal_continuation

        wf.execute()
    assert capsys.readouterr().out == output


def test_enqueue_additional_work(capsys):
    """Example Enqueue Additional Work: the extra task runs after the body and before the successors."""

    @task(inject_context=True)
    def process(ctx: TaskExecutionContext):
        @task
        def extra_logging():
            print("Extra logging task")

        # Enqueue: Add extra_logging, then continue to normal successors
        ctx.next_task(extra_logging)  # goto=False is default

        print("Main processing")

    @task
    def continuation():
        print("Normal continuation")

    with workflow("enqueue_demo") as wf:
        process >> continuation
        wf.execute()
    assert capsys.readouterr().out == "Main processing\nExtra logging task\nNormal continuation\n"


def test_self_looping_with_next_iteration(capsys):
    """Self-Looping: the four documented iterations and the end are printed; the last accuracy is in the channel."""
    accuracies = iter([0.65, 0.78, 0.88, 0.96])

    def train_step(accuracy):
        return next(accuracies)

    @task(inject_context=True)
    def optimize(ctx: TaskExecutionContext):
        """Optimize until convergence."""
        channel = ctx.get_channel()
        iteration = channel.get("iteration", default=0)
        accuracy = channel.get("accuracy", default=0.5)

        # Training step
        new_accuracy = train_step(accuracy)
        print(f"Iteration {iteration}: accuracy={new_accuracy:.2f}")

        if new_accuracy >= 0.95:
            # Converged!
            print("Converged!")
            channel.set("final_accuracy", new_accuracy)
        else:
            # Continue iterating
            channel.set("iteration", iteration + 1)
            channel.set("accuracy", new_accuracy)
            ctx.next_iteration()
        return channel.get("final_accuracy")

    with workflow("optimization") as wf:
        assert wf.execute(optimize) == 0.96
    assert capsys.readouterr().out == (
        "Iteration 0: accuracy=0.65\nIteration 1: accuracy=0.78\nIteration 2: accuracy=0.88\n"
        "Iteration 3: accuracy=0.96\nConverged!\n"
    )


@pytest.mark.parametrize(
    ("cache", "value", "output"),
    [
        ({"my_key": "hit"}, "hit", "Cache hit: hit\n"),
        ({}, "processed", "Cache miss, proceeding...\nExpensive processing...\n"),
    ],
)
def test_normal_termination(cache, value, output, capsys):
    """Early Termination, terminate_workflow: a hit ends the run with the task's value, a miss goes on."""

    def get_from_cache(key):
        return cache.get(key)

    @task(inject_context=True)
    def check_cache(ctx: TaskExecutionContext, key: str):
        """Check cache before processing."""
        cached = get_from_cache(key)

        if cached is not None:
            # Cache hit - no need to continue
            print(f"Cache hit: {cached}")
            ctx.terminate_workflow("Data found in cache")
            return cached

        # Cache miss - continue to next tasks
        print("Cache miss, proceeding...")
        return None

    @task
    def expensive_processing():
        """This won't run if cache hits."""
        print("Expensive processing...")
        return "processed"

    with workflow("caching") as wf:
        check_cache(task_id="cache", key="my_key") >> expensive_processing
        assert wf.execute() == value
    assert capsys.readouterr().out == output
    assert wf.get_result("cache") == cache.get("my_key")


def test_abnormal_termination(capsys):
    """Early Termination, cancel_workflow: the run raises, the successor does not run, `except Exception` sees it."""
    caught = []

    @task(inject_context=True)
    def validate_data(ctx: TaskExecutionContext, data: dict):
        """Validate data before processing."""
        if not data.get("valid"):
            # Invalid data - cancel entire workflow
            ctx.cancel_workflow("Data validation failed")

        return data

    @task
    def process_data(data: dict):
        print("Processing data...")
        return data

    with workflow("validation") as wf:
        validate = validate_data(task_id="validate", data={"valid": False})
        validate >> process_data

        try:
            wf.execute()
        except Exception as e:
            print(f"Workflow canceled: {e}")
            caught.append(e)
    (error,) = caught
    assert isinstance(error, GraflowWorkflowCanceledError)
    assert (error.task_id, error.message) == ("validate", "Data validation failed")
    assert capsys.readouterr().out == f"Workflow canceled: {error}\n"
    assert "Data validation failed" in str(error)
    assert wf.get_result("validate", "not completed") == "not completed"


def test_valid_data_go_on(capsys):
    """Early Termination, cancel_workflow: valid data reach the next task as the only value from upstream."""

    @task(inject_context=True)
    def validate_data(ctx: TaskExecutionContext, data: dict):
        if not data.get("valid"):
            ctx.cancel_workflow("Data validation failed")
        return data

    @task
    def process_data(data: dict):
        print("Processing data...")
        return data

    with workflow("validation") as wf:
        validate = validate_data(task_id="validate", data={"valid": True})
        validate >> process_data
        assert wf.execute() == {"valid": True}
    assert capsys.readouterr().out == "Processing data...\n"
