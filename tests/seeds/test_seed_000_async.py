"""The samples of seed 000 (dynamic task generation) with `async def` tasks, awaited."""

# The samples wrap calls in lambdas and bind loop variables late, as their readers do.
# ruff: noqa: RUF100, B023, PLW0108

from __future__ import annotations

import re
import uuid

import pytest

from graflow_async import DuplicateTaskError, TaskExecutionContext, TaskWrapper, task, workflow


async def process_item(item):
    return item * 2


async def test_compile_time_generation():
    """Key Concepts, Compile-Time: ten tasks made in a loop all run, and see the final `i` as Python binds it."""
    with workflow("batch") as wf:
        for i in range(10):

            @task(id=f"process_{i}")
            async def process():
                return await process_item(i)

        assert await wf.run() == {f"process_{n}": 18 for n in range(10)}


@pytest.mark.parametrize(("value", "expected"), [(150, "high"), (50, "low")])
async def test_runtime_generation(value, expected):
    """Key Concepts, Runtime: a lambda that gives a coroutine is a task too, and its coroutine is awaited."""
    ran = []

    async def process_high():
        ran.append("high")

    async def process_low():
        ran.append("low")

    @task(inject_context=True)
    async def classifier(context: TaskExecutionContext):
        if value > 100:
            context.next_task(TaskWrapper("high", lambda: process_high()))
        else:
            context.next_task(TaskWrapper("low", lambda: process_low()))

    with workflow("runtime") as wf:
        await wf.run(classifier)
    assert ran == [expected]


async def test_batch_processing():
    """Common Patterns 1: one node for each batch, each run once; bodies read the last `i`."""
    data = list(range(12))
    batch_size = 4

    async def process(items):
        return sum(items)

    with workflow("batch") as wf:
        for i in range(len(data) // batch_size):

            @task(id=f"batch_{i}")
            async def process_batch():
                start = i * batch_size
                return await process(data[start : start + batch_size])

        assert await wf.run() == dict.fromkeys(["batch_0", "batch_1", "batch_2"], 8 + 9 + 10 + 11)


@pytest.mark.parametrize(("kind", "expected"), [("A", "process_a"), ("B", "process_b")])
async def test_conditional_branching(kind, expected):
    """Common Patterns 2: the router's result decides which of two new tasks runs."""
    ran = []

    async def analyze_data():
        return {"type": kind}

    async def handle(name):
        ran.append(name)

    @task(inject_context=True)
    async def router(context: TaskExecutionContext):
        result = await analyze_data()
        if result["type"] == "A":
            context.next_task(TaskWrapper("process_a", lambda: handle("process_a")))
        else:
            context.next_task(TaskWrapper("process_b", lambda: handle("process_b")))

    with workflow("routing") as wf:
        await wf.run(router)
    assert ran == [expected]


async def test_iterative_convergence():
    """Common Patterns 3: each turn gets what the last one handed on; the save task runs once, at the end."""
    seen, saved = [], []

    async def optimization_step(params):
        seen.append(params)
        return params + 1

    async def save_model(params):
        saved.append(params)

    @task(inject_context=True)
    async def optimize(context: TaskExecutionContext, params=None):
        if params is None:
            params = 0
        improved_params = await optimization_step(params)
        if improved_params >= 3:
            context.next_task(TaskWrapper("save", lambda: save_model(improved_params)))
        else:
            context.next_iteration(improved_params)

    with workflow("convergence") as wf:
        await wf.run(optimize)
    assert seen == [0, 1, 2]
    assert saved == [3]


async def test_state_machine():
    """Common Patterns 4: states live in the channel, turns move on, the end task runs once."""
    answers = iter([False, False, True])
    states, ended = [], []

    async def finalize():
        ended.append("end")

    @task(inject_context=True)
    async def state_machine(context: TaskExecutionContext):
        channel = context.get_channel()
        state = await channel.get("state", "START")
        states.append(state)
        if state == "START":
            await channel.set("state", "PROCESSING")
            context.next_iteration()
        elif state == "PROCESSING":
            if next(answers):
                await channel.set("state", "END")
                context.next_task(TaskWrapper("end", lambda: finalize()))
            else:
                context.next_iteration()
        return await channel.get("state")

    with workflow("states") as wf:
        assert await wf.run(state_machine) == "END"
    assert states == ["START", "PROCESSING", "PROCESSING", "PROCESSING"]
    assert ended == ["end"]


async def test_infinite_loops():
    """Troubleshooting, Infinite Loops: `max_steps` is the net, the counter in the channel ends the loop."""
    turns = []

    with workflow("loop") as wf:

        @task(inject_context=True)
        async def start(context: TaskExecutionContext):
            iteration_count = await context.get_channel().get("iteration", 0)
            turns.append(iteration_count)
            if iteration_count > 10:
                return
            await context.get_channel().set("iteration", iteration_count + 1)
            context.next_iteration()

        await wf.run("start", max_steps=100)
    assert turns == list(range(12))


async def test_duplicate_task_ids():
    """Troubleshooting, Duplicate Task IDs: unique ids run side by side, one id for two tasks is refused."""
    ran = []

    async def process():
        ran.append("process")

    @task(inject_context=True)
    async def maker(context: TaskExecutionContext):
        names = []
        for _ in range(2):
            task_id = f"dynamic_task_{uuid.uuid4().hex[:8]}"
            names.append(context.next_task(TaskWrapper(task_id, process)))
        with pytest.raises(DuplicateTaskError, match=names[0]):
            context.next_task(TaskWrapper(names[0], process))
        return names

    with workflow("unique") as wf:
        first, second = await wf.run(maker)
    assert first != second
    assert re.fullmatch(r"dynamic_task_[0-9a-f]{8}", first)
    assert ran == ["process", "process"]


async def test_memory_issues():
    """Troubleshooting, Memory Issues: at most `max_tasks` dynamic tasks, the rest goes to the overflow handler."""
    ran, overflow = [], []

    async def note_run(number):
        ran.append(number)

    @task(inject_context=True)
    async def spread(context: TaskExecutionContext):
        for task_count in range(105):
            if task_count < 100:
                context.next_task(TaskWrapper(f"dynamic_{task_count}", lambda number=task_count: note_run(number)))
            else:
                overflow.append(task_count)

    with workflow("limited") as wf:
        await wf.run(spread)
    assert sorted(ran) == list(range(100))
    assert len(overflow) == 5


@pytest.mark.parametrize(("target_score", "max_iterations", "turns"), [(0.7, 10, 3), (2.0, 5, 5)])
async def test_ml_hyperparameter_tuning(target_score, max_iterations, turns):
    """Real-World 1: tuning ends at the target or at the bound, and deploys the last parameters once."""
    scored, deployed = [], []

    async def evaluate_model(params):
        scored.append(params)
        return params / 10 + 0.01

    async def deploy_model(params):
        deployed.append(params)

    @task(inject_context=True)
    async def tune_hyperparameters(context, params=None):
        if params is None:
            params = 5
        score = await evaluate_model(params)
        if score > target_score or len(scored) >= max_iterations:
            context.next_task(TaskWrapper("deploy", lambda: deploy_model(params)))
        else:
            context.next_iteration(params + 1)

    with workflow("tuning") as wf:
        await wf.run(tune_hyperparameters)
    assert scored == [5 + n for n in range(turns)]
    assert deployed == [scored[-1]]


async def test_multi_tenant_data_processing():
    """Real-World 2: one node for each tenant, each run once."""

    async def fetch_tenant_data(tenant):
        return [tenant]

    with workflow("multi_tenant") as wf:
        for tenant_id in ["acme", "globex"]:

            @task(id=f"process_{tenant_id}")
            async def process_tenant():
                return [*await fetch_tenant_data(tenant_id), "done"]

        value = await wf.run()
    assert list(value) == ["process_acme", "process_globex"]
    assert value["process_acme"] == ["globex", "done"]


@pytest.mark.parametrize(("quality", "expected"), [(0.5, "deep_clean"), (0.9, "validate")])
async def test_adaptive_etl_pipeline(quality, expected):
    """Real-World 3: the quality of the data in the channel decides on the next step."""
    ran = []

    async def work(name, data):
        ran.append((name, data["quality"]))

    @task(inject_context=True)
    async def adaptive_transform(context):
        data = await context.get_channel().get("data")
        if data["quality"] < 0.8:
            context.next_task(TaskWrapper("deep_clean", lambda: work("deep_clean", data)))
        else:
            context.next_task(TaskWrapper("validate", lambda: work("validate", data)))

    with workflow("etl") as wf:
        await wf.run(adaptive_transform, inputs={"data": {"quality": quality}})
    assert ran == [(expected, quality)]


async def test_with_channels():
    """Integration, With Channels: the state in the channel counts each turn once and ends the loop."""
    turns = []

    @task(inject_context=True)
    async def dynamic_processor(context):
        channel = context.get_channel()
        state = await channel.get("state", {})
        state["processed"] += 1
        await channel.set("state", state)
        turns.append(state["processed"])
        if state["processed"] < 3:
            context.next_iteration()
        return state

    with workflow("channels") as wf:
        assert await wf.run(dynamic_processor, inputs={"state": {"processed": 0}}) == {"processed": 3}
    assert turns == [1, 2, 3]
    with workflow("no state") as wf, pytest.raises(KeyError, match="processed"):
        await wf.run(dynamic_processor)
