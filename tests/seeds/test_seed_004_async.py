"""The samples of seed 004 (dynamic tasks, fan-out and fan-in) with `async def` tasks, awaited."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import GraflowWorkflowCanceledError, TaskExecutionContext, parallel, task, workflow


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
