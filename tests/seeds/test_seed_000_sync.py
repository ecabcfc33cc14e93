"""The samples of seed 000 (dynamic task generation) as they are written there, with plain `def` tasks."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import re
import uuid

import pytest

from graflow_async import DuplicateTaskError, TaskExecutionContext, TaskWrapper, task, workflow


def process_item(item):
    return item * 2


def test_compile_time_generation():
    """Key Concepts, Compile-Time: ten tasks made in a loop all run, and see the final `i` as Python binds it."""
    with workflow("batch") as ctx:
        # Create tasks in a loop (compile-time)
        for i in range(10):

            @task(id=f"process_{i}")
            def process():
                return process_item(i)

        assert ctx.execute() == {f"process_{n}": 18 for n in range(10)}


@pytest.mark.parametrize(("value", "expected"), [(150, "high"), (50, "low")])
def test_runtime_generation(value, expected):
    """Key Concepts, Runtime: the classifier makes exactly the task that the value asks for."""
    threshold = 100
    ran = []

    def process_high():
        ran.append("high")

    def process_low():
        ran.append("low")

    @task(inject_context=True)
    def classifier(context: TaskExecutionContext):
        if value > threshold:
            high_task = TaskWrapper("high", lambda: process_high())
            context.next_task(high_task)
        else:
            low_task = TaskWrapper("low", lambda: process_low())
            context.next_task(low_task)

    with workflow("runtime") as wf:
        wf.execute(classifier)
    assert ran == [expected]


def test_batch_processing():
    """Common Patterns 1: one node for each batch, each run once; bodies read the last `i`."""
    data = list(range(12))
    batch_size = 4
    process = sum

    with workflow("batch") as ctx:
        num_batches = len(data) // batch_size

        for i in range(num_batches):

            @task(id=f"batch_{i}")
            def process_batch():
                start = i * batch_size
                end = start + batch_size
                return process(data[start:end])

        assert ctx.graph.nodes == ["batch_0", "batch_1", "batch_2"]
        assert ctx.execute() == dict.fromkeys(ctx.graph.nodes, 8 + 9 + 10 + 11)


@pytest.mark.parametrize(("kind", "expected"), [("A", "process_a"), ("B", "process_b")])
def test_conditional_branching(kind, expected):
    """Common Patterns 2: the router's result decides which of two new tasks runs."""
    ran = []

    def analyze_data():
        return {"type": kind}

    def handle_type_a():
        ran.append("process_a")

    def handle_type_b():
        ran.append("process_b")

    @task(inject_context=True)
    def router(context: TaskExecutionContext):
        result = analyze_data()

        if result["type"] == "A":
            task_a = TaskWrapper("process_a", lambda: handle_type_a())
            context.next_task(task_a)
        else:
            task_b = TaskWrapper("process_b", lambda: handle_type_b())
            context.next_task(task_b)

    with workflow("routing") as wf:
        wf.execute(router)
    assert ran == [expected]


def test_iterative_convergence():
    """Common Patterns 3: each turn gets what the last one handed on; the save task runs once, at the end."""
    seen, saved = [], []

    def initialize_params():
        return 0

    def optimization_step(params):
        seen.append(params)
        return params + 1

    def converged(params):
        return params >= 3

    def save_model(params):
        saved.append(params)

    @task(inject_context=True)
    def optimize(context: TaskExecutionContext, params=None):
        if params is None:
            params = initialize_params()

        improved_params = optimization_step(params)

        if converged(improved_params):
            save_task = TaskWrapper("save", lambda: save_model(improved_params))
            context.next_task(save_task)
        else:
            context.next_iteration(improved_params)

    with workflow("convergence") as wf:
        wf.execute(optimize)
    assert seen == [0, 1, 2]
    assert saved == [3]


def test_state_machine():
    """Common Patterns 4: states live in the channel, turns move on, the end task runs once."""
    answers = iter([False, False, True])
    states, ended = [], []

    def processing_complete():
        return next(answers)

    def finalize():
        ended.append("end")

    @task(inject_context=True)
    def state_machine(context: TaskExecutionContext):
        state = context.get_channel().get("state", "START")
        states.append(state)

        if state == "START":
            context.get_channel().set("state", "PROCESSING")
            context.next_iteration()
        elif state == "PROCESSING":
            if processing_complete():
                context.get_channel().set("state", "END")
                end_task = TaskWrapper("end", lambda: finalize())
                context.next_task(end_task)
            else:
                context.next_iteration()
        return context.get_channel().get("state")

    with workflow("states") as wf:
        assert wf.execute(state_machine) == "END"
    assert states == ["START", "PROCESSING", "PROCESSING", "PROCESSING"]
    assert ended == ["end"]


def test_infinite_loops():
    """Troubleshooting, Infinite Loops: `max_steps` is the net, the counter in the channel ends the loop."""
    turns = []

    with workflow("loop") as ctx:

        @task(inject_context=True)
        def start(context: TaskExecutionContext):
            # Add termination condition
            iteration_count = context.get_channel().get("iteration", 0)
            turns.append(iteration_count)
            if iteration_count > 10:
                # Force termination
                return
            context.get_channel().set("iteration", iteration_count + 1)
            context.next_iteration()

        # Always set max_steps
        ctx.execute("start", max_steps=100)
    assert turns == list(range(12))


def test_duplicate_task_ids():
    """Troubleshooting, Duplicate Task IDs: unique ids run side by side, one id for two tasks is refused."""
    ran = []

    def process():
        ran.append("process")

    @task(inject_context=True)
    def maker(context: TaskExecutionContext):
        names = []
        for _ in range(2):
            # Use unique IDs with counters or UUIDs
            task_id = f"dynamic_task_{uuid.uuid4().hex[:8]}"
            task = TaskWrapper(task_id, lambda: process())
            names.append(context.next_task(task))
        with pytest.raises(DuplicateTaskError, match=names[0]):
            context.next_task(TaskWrapper(names[0], lambda: process()))
        return names

    with workflow("unique") as wf:
        first, second = wf.execute(maker)
    assert first != second
    assert re.fullmatch(r"dynamic_task_[0-9a-f]{8}", first)
    assert ran == ["process", "process"]


def test_memory_issues():
    """Troubleshooting, Memory Issues: at most `max_tasks` dynamic tasks, the rest goes to the overflow handler."""
    ran, overflow = [], []

    def handle_overflow():
        overflow.append(1)

    @task(inject_context=True)
    def spread(context: TaskExecutionContext):
        task_count = 0

        def create_dynamic_task():
            context.next_task(TaskWrapper(f"dynamic_{task_count}", lambda number=task_count: ran.append(number)))

        for _ in range(105):
            # Limit number of dynamic tasks
            max_tasks = 100
            if task_count < max_tasks:
                create_dynamic_task()
            else:
                handle_overflow()
            task_count += 1

    with workflow("limited") as wf:
        wf.execute(spread)
    assert sorted(ran) == list(range(100))
    assert len(overflow) == 5


@pytest.mark.parametrize(("target_score", "max_iterations", "turns"), [(0.7, 10, 3), (2.0, 5, 5)])
def test_ml_hyperparameter_tuning(target_score, max_iterations, turns):
    """Real-World 1: tuning ends at the target or at the bound, and deploys the last parameters once."""
    scored, deployed = [], []
    iterations = 0

    def initial_grid_search():
        return 5

    def evaluate_model(params):
        nonlocal iterations
        iterations += 1
        scored.append(params)
        return params / 10 + 0.01

    def bayesian_optimization(params, score):
        return params + 1

    def deploy_model(params):
        deployed.append(params)

    @task(inject_context=True)
    def tune_hyperparameters(context, params=None):
        if params is None:
            params = initial_grid_search()

        score = evaluate_model(params)

        if score > target_score or iterations >= max_iterations:
            final_task = TaskWrapper("deploy", lambda: deploy_model(params))
            context.next_task(final_task)
        else:
            improved = bayesian_optimization(params, score)
            context.next_iteration(improved)

    with workflow("tuning") as wf:
        wf.execute(tune_hyperparameters)
    assert scored == [5 + n for n in range(turns)]
    assert deployed == [scored[-1]]


def test_multi_tenant_data_processing():
    """Real-World 2: one node for each tenant, each run once."""

    def get_active_tenants():
        return ["acme", "globex"]

    def fetch_tenant_data(tenant):
        return [tenant]

    def process_data(data):
        return [*data, "done"]

    with workflow("multi_tenant") as ctx:
        tenants = get_active_tenants()

        for tenant_id in tenants:

            @task(id=f"process_{tenant_id}")
            def process_tenant():
                data = fetch_tenant_data(tenant_id)
                return process_data(data)

        value = ctx.execute()
    assert list(value) == ["process_acme", "process_globex"]
    assert value["process_acme"] == ["globex", "done"]


@pytest.mark.parametrize(("quality", "expected"), [(0.5, "deep_clean"), (0.9, "validate")])
def test_adaptive_etl_pipeline(quality, expected):
    """Real-World 3: the quality of the data in the channel decides on the next step."""
    ran = []

    def deep_clean(data):
        ran.append(("deep_clean", data["quality"]))

    def validate(data):
        ran.append(("validate", data["quality"]))

    @task(inject_context=True)
    def adaptive_transform(context):
        data = context.get_channel().get("data")

        if data["quality"] < 0.8:
            # Add extra cleaning step
            clean_task = TaskWrapper("deep_clean", lambda: deep_clean(data))
            context.next_task(clean_task)
        else:
            # Skip to validation
            val_task = TaskWrapper("validate", lambda: validate(data))
            context.next_task(val_task)

    with workflow("etl") as wf:
        wf.execute(adaptive_transform, inputs={"data": {"quality": quality}})
    assert ran == [(expected, quality)]


def test_with_channels():
    """Integration, With Channels: the state in the channel counts each turn once and ends the loop."""
    total = 3
    turns = []

    @task(inject_context=True)
    def dynamic_processor(context):
        channel = context.get_channel()
        state = channel.get("state", {})

        # Update state
        state["processed"] += 1
        channel.set("state", state)
        turns.append(state["processed"])

        # Decide next step based on state
        if state["processed"] < total:
            context.next_iteration()
        return state

    with workflow("channels") as wf:
        assert wf.execute(dynamic_processor, inputs={"state": {"processed": 0}}) == {"processed": 3}
    assert turns == [1, 2, 3]
    with workflow("no state") as wf, pytest.raises(KeyError, match="processed"):
        wf.execute(dynamic_processor)
