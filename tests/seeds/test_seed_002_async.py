"""The samples of seed 002 (advanced patterns) with `async def` tasks, awaited."""

# the samples bind loop variables late

# The samples wrap calls in lambdas and bind loop variables late, as their readers do.
# ruff: noqa: RUF100, B023, PLW0108

from __future__ import annotations

import asyncio

import pytest

from graflow_async import TaskExecutionContext, TaskWrapper, chain, task, workflow


async def test_dynamic_task_creation():
    """Key Concepts, Dynamic Task Creation: one task for each config; running one gives its own processor."""

    @task
    async def create_processor(config):
        async def processor(data):
            return [item * config for item in data]

        return processor

    tasks = [create_processor(config) for config in (2, 3)]
    with workflow("processors") as wf:
        tasks[0] >> tasks[1]
        await wf.run()
    assert [t.id for t in tasks] == ["create_processor_1", "create_processor_2"]
    assert [await wf.get_result(t.id)([1, 2]) for t in tasks] == [[2, 4], [3, 6]]


async def test_lambda_tasks():
    """Key Concepts, Lambda Tasks: a lambda that gives a coroutine is awaited; run alone it takes its inputs."""

    async def add(x, y):
        await asyncio.sleep(0)
        return x + y

    lambda_task = TaskWrapper("add_ten", lambda x: add(x, 10))
    assert await lambda_task.run(x=5) == 15
    assert await lambda_task(5) == 15
    with workflow("lambda") as wf:
        assert await wf.run(lambda_task, inputs={"x": 5}) == 15


async def test_closures_with_state():
    """Key Concepts, Closures with State: each made task keeps the factor it was made with."""

    def create_multiplier(factor):
        @task
        async def multiply(x):
            return x * factor

        return multiply

    multiply_by_10, multiply_by_2 = create_multiplier(10), create_multiplier(2)
    assert await asyncio.gather(multiply_by_10(7), multiply_by_2(7), multiply_by_10.run(x=7)) == [70, 14, 70]


async def test_lambda_tasks_script():
    """Examples, lambda_tasks.py: 42, then 84, then 840 from three tasks in a row, read with get_result."""

    async def answer():
        return 42

    @task(inject_context=True)
    async def double_task(ctx: TaskExecutionContext):
        return await ctx.get_result("lambda_task") * 2

    @task(inject_context=True)
    async def multiply_by_10(ctx: TaskExecutionContext):
        return await ctx.get_result("double_task") * 10

    with workflow("script") as wf:
        TaskWrapper("lambda_task", lambda: answer()) >> double_task >> multiply_by_10
    assert await wf.run() == 840


async def test_configuration_driven_workflows():
    """Common Patterns 1: enabled steps are nodes and run in order, disabled ones do not exist."""
    ran = []

    async def step(name):
        ran.append(name)

    with workflow("dynamic") as wf:
        names = ["load", "clean", "report"]
        tasks = [TaskWrapper(name, lambda name=name: step(name)) for name in names if name != "clean"]
        for i in range(len(tasks) - 1):
            tasks[i] >> tasks[i + 1]
    await wf.run()
    assert wf.graph.nodes == ["load", "report"]
    assert ran == ["load", "report"]


@pytest.mark.near  # a coroutine elsewhere has to ask for results
async def test_batch_processing_with_dynamic_tasks():
    """Common Patterns 2: the aggregate runs once after all batches and sees their results through the workflow."""
    runs = []

    with workflow("batch") as wf:
        batch_tasks = []
        for i in range(3):

            @task(id=f"batch_{i}")
            async def process_batch(i=i):
                await asyncio.sleep(0)
                return i * 10

            batch_tasks.append(process_batch)

        @task
        async def aggregate():
            results = [wf.get_result(f"batch_{i}") for i in range(3)]
            runs.append(results)
            return sum(results)

        for batch_task in batch_tasks:
            batch_task >> aggregate
    assert await wf.run() == 30
    assert runs == [[0, 10, 20]]


async def test_task_factory_pattern():
    """Common Patterns 3: made tasks carry the endpoint in their id and give the response's JSON."""

    async def request(method, endpoint):
        return {"method": method, "from": endpoint}

    def create_api_caller(endpoint, method="GET"):
        @task(id=f"call_{endpoint.replace('/', '_')}")
        async def call_api():
            return await request(method, endpoint)

        return call_api

    with workflow("api") as wf:
        create_api_caller("/api/users")
        create_api_caller("/api/posts", "POST")
    assert await wf.run() == {
        "call__api_users": {"method": "GET", "from": "/api/users"},
        "call__api_posts": {"method": "POST", "from": "/api/posts"},
    }


async def test_ab_testing_workflows():
    """Real-World 1: one task for each variant; all of them are under way at the same time."""
    all_in = asyncio.Barrier(3)

    with workflow("ab") as wf:
        for variant in ("variant_a", "variant_b", "variant_c"):

            @task(id=f"test_{variant}")
            async def run_variant(variant=variant):
                await all_in.wait()
                return variant

    assert await wf.run() == {f"test_variant_{v}": f"variant_{v}" for v in "abc"}


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        ({"validate", "enrich"}, ["extract", "validate", "enrich"]),
        ({"enrich"}, ["extract", "enrich"]),
        (set(), ["extract"]),
    ],
)
async def test_feature_flag_driven_pipelines(flags, order):
    """Real-World 3: flags decide which steps are linked behind the first; steps not called are not run."""
    ran = []

    @task
    async def extract():
        ran.append("extract")

    @task
    async def validate():
        ran.append("validate")

    @task
    async def enrich():
        ran.append("enrich")

    with workflow("conditional") as wf:
        last_task = extract_task = extract()
        for name, step in (("validate", validate), ("enrich", enrich)):
            if name in flags:
                following = step()
                last_task >> following
                last_task = following
        await wf.run(extract_task)
    assert ran == order


async def test_recursive_task_generation():
    """Advanced Topics, Recursive: six levels run in order, the run's value is the deepest one's."""
    ran = []

    def create_recursive_tasks(depth, max_depth=5):
        @task(id=f"level_{depth}")
        async def task_at_depth():
            ran.append(depth)
            return f"level {depth}"

        if depth < max_depth:
            task_at_depth >> create_recursive_tasks(depth + 1, max_depth)
        return task_at_depth

    with workflow("recursive") as wf:
        create_recursive_tasks(0)
    assert await wf.run() == "level 5"
    assert ran == [0, 1, 2, 3, 4, 5]


async def test_parameterized_task_classes():
    """Advanced Topics, Classes: each call of the method makes a task bound to its own instance."""

    class ConfigurableTask:
        def __init__(self, config):
            self.config = config

        @task
        async def execute(self):
            return await self.process(self.config)

        async def process(self, config):
            return config * 2

    tasks = [ConfigurableTask(cfg).execute() for cfg in (1, 2, 3)]
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    with workflow("classes") as wf:
        members = [ConfigurableTask(cfg).execute() for cfg in (4, 5)]
        value = await wf.run()
    assert [value[t.id] for t in members] == [8, 10]


async def test_memoization_with_closures():
    """Advanced Topics, Memoization: the closure's cache lasts across calls of the task."""
    called = []

    async def expensive(value):
        called.append(value)
        return value * 100

    def create_memoized_task(expensive_function):
        cache = {}

        @task
        async def memoized(*args):
            key = str(args)
            if key not in cache:
                cache[key] = await expensive_function(*args)
            return cache[key]

        return memoized

    memoized = create_memoized_task(expensive)
    assert [await memoized(1), await memoized(1), await memoized(2)] == [100, 100, 200]
    with workflow("memo") as wf:
        chain(memoized(1), memoized(3))
    assert await wf.run() == 300
    assert called == [1, 2, 3]


async def test_integration_with_distributed_execution():
    """Integration, Distributed: one of a hundred independent tasks, named as the start, runs alone."""
    ran = []

    with workflow("distributed_dynamic") as wf:
        for i in range(100):

            @task(id=f"worker_task_{i}")
            async def process(i=i):
                ran.append(i)
                return i

    assert await wf.run(start_node="worker_task_7") == 7
    assert ran == [7]


async def test_nested_workflow_script():
    """Examples, nested_workflow.py: an inner workflow runs where the outer task opens it and stays out of its graph."""
    ran = []

    with workflow("data_processing") as outer:

        @task
        async def process():
            with workflow("validation_workflow") as validation:

                @task
                async def validate_schema():
                    ran.append("schema")

                @task
                async def validate_values():
                    ran.append("values")
                    return "valid"

                validate_schema >> validate_values
                value = await validation.run()
            ran.append("inner completed")
            return value

    assert await outer.run() == "valid"
    assert outer.graph.nodes == ["process"]
    assert ran == ["schema", "values", "inner completed"]
