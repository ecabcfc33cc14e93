"""The samples of seed 001 (runtime graph changes) with `async def` tasks, awaited."""

# ruff: noqa: T201  # the samples print

from __future__ import annotations

import asyncio

import pytest

from graflow_async import GraflowWorkflowCanceledError, TaskExecutionContext, task, workflow


class CriticalError(Exception):
    """The error of the first sample."""


@pytest.mark.parametrize(
    ("drawn", "output"),
    [(0.1, "Emergency handler activated!\n"), (0.9, "Operation succeeded\nContinuing normal flow\n")],
)
async def test_jumping_to_existing_tasks(drawn, output, capsys):
    """Example Jumping to Existing Tasks: the handler runs instead of the successors, and only when jumped to."""
    with workflow("error_handling") as wf:

        @task(inject_context=True)
        async def risky_operation(ctx: TaskExecutionContext):
            try:
                await asyncio.sleep(0)
                if drawn < 0.3:
                    raise CriticalError("Critical failure!")  # noqa: TRY301  # as the sample does
                print("Operation succeeded")
            except CriticalError:
                ctx.next_task(ctx.graph.get_node("emergency_handler"), goto=True)

        @task
        async def emergency_handler():
            print("Emergency handler activated!")

        @task
        async def normal_continuation():
            print("Continuing normal flow")

        risky_operation >> normal_continuation
        await wf.run()
    assert capsys.readouterr().out == output


async def test_enqueue_additional_work(capsys):
    """Example Enqueue Additional Work: the extra task runs after the body and before the successors."""

    @task(inject_context=True)
    async def process(ctx: TaskExecutionContext):
        @task
        async def extra_logging():
            print("Extra logging task")

        ctx.next_task(extra_logging)
        await asyncio.sleep(0)
        print("Main processing")

    @task
    async def continuation():
        print("Normal continuation")

    with workflow("enqueue_demo") as wf:
        process >> continuation
    await wf.run()
    assert capsys.readouterr().out == "Main processing\nExtra logging task\nNormal continuation\n"


async def test_self_looping_with_next_iteration(capsys):
    """Self-Looping: the four documented iterations and the end are printed; the last accuracy is in the channel."""
    accuracies = iter([0.65, 0.78, 0.88, 0.96])

    async def train_step(accuracy):
        return next(accuracies)

    @task(inject_context=True)
    async def optimize(ctx: TaskExecutionContext):
        channel = ctx.get_channel()
        iteration = await channel.get("iteration", default=0)
        accuracy = await channel.get("accuracy", default=0.5)
        new_accuracy = await train_step(accuracy)
        print(f"Iteration {iteration}: accuracy={new_accuracy:.2f}")
        if new_accuracy >= 0.95:
            print("Converged!")
            await channel.set("final_accuracy", new_accuracy)
        else:
            await channel.set("iteration", iteration + 1)
            await channel.set("accuracy", new_accuracy)
            ctx.next_iteration()

    with workflow("optimization") as wf:
        async with wf.start(optimize) as run:
            await run
            assert await run.channel.get("final_accuracy") == 0.96
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
async def test_normal_termination(cache, value, output, capsys):
    """Early Termination, terminate_workflow: a hit ends the run with the task's value, a miss goes on."""

    @task(inject_context=True)
    async def check_cache(ctx: TaskExecutionContext, key: str):
        cached = cache.get(key)
        if cached is not None:
            print(f"Cache hit: {cached}")
            ctx.terminate_workflow("Data found in cache")
            return cached
        print("Cache miss, proceeding...")
        return None

    @task
    async def expensive_processing():
        print("Expensive processing...")
        return "processed"

    with workflow("caching") as wf:
        check_cache(task_id="cache", key="my_key") >> expensive_processing
    async with wf.start() as run:
        assert await run == value
    assert run.status == "completed"
    assert run.results["cache"] == cache.get("my_key")
    assert capsys.readouterr().out == output


async def test_abnormal_termination(capsys):
    """Early Termination, cancel_workflow: the run raises, the successor does not run, the task did not complete."""

    @task(inject_context=True)
    async def validate_data(ctx: TaskExecutionContext, data: dict):
        if not data.get("valid"):
            ctx.cancel_workflow("Data validation failed")
        return data

    @task
    async def process_data(data: dict):
        print("Processing data...")
        return data

    with workflow("validation") as wf:
        validate = validate_data(task_id="validate", data={"valid": False})
        validate >> process_data
    with pytest.raises(GraflowWorkflowCanceledError, match="Data validation failed") as caught:
        async with wf.start() as run:
            await run
    assert (caught.value.task_id, caught.value.message) == ("validate", "Data validation failed")
    assert run.status == "cancelled"
    assert "validate" not in run.results
    assert capsys.readouterr().out == ""

    with workflow("validation") as valid:
        validate_data(task_id="validate", data={"valid": True}) >> process_data
    assert await valid.run() == {"valid": True}
    assert capsys.readouterr().out == "Processing data...\n"
