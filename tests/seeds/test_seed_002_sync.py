"""The samples of seed 002 (advanced patterns, first half) as they are written there, with plain `def` tasks."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import contextlib
import sqlite3

import cloudpickle
import pytest

from graflow_async import DuplicateTaskError, TaskWrapper, task, workflow


def test_dynamic_task_creation():
    """Key Concepts, Dynamic Task Creation: one task for each config; running one gives its own processor."""
    data = [1, 2]
    configs = [{"factor": 2}, {"factor": 3}]
    tasks = []

    def process_with_config(data, config):
        return [item * config["factor"] for item in data]

    @task
    def create_processor(config):
        def processor():
            # Use config
            return process_with_config(data, config)

        return processor

    # Create tasks dynamically
    with workflow("processors") as wf:
        for config in configs:
            t = create_processor(config)
            tasks.append(t)
        made = wf.execute()
    assert [t.id for t in tasks] == ["create_processor_1", "create_processor_2"]
    assert [made[t.id]() for t in tasks] == [[2, 4], [3, 6]]


def test_lambda_tasks():
    """Key Concepts, Lambda Tasks: a lambda is a task like any other; its argument comes from the inputs."""
    lambda_task = TaskWrapper("add_ten", lambda x: x + 10)
    assert lambda_task.func(5) == 15
    with workflow("lambda") as wf:
        assert wf.execute(lambda_task, inputs={"x": 5}) == 15


def test_closures_with_state():
    """Key Concepts, Closures with State: each made task keeps the factor it was made with."""

    def create_multiplier(factor):
        @task
        def multiply(x):
            return x * factor  # Captures 'factor'

        return multiply

    multiply_by_10 = create_multiplier(10)
    with workflow("closures") as wf:
        assert wf.execute(multiply_by_10(7)) == 70
    assert create_multiplier(2).func(7) == 14
    with workflow("two") as wf:
        assert wf.execute(create_multiplier(2), inputs={"x": 7}) == 14


def test_lambda_tasks_script():
    """Examples, lambda_tasks.py: 42, then 84, then 840 from three tasks in a row."""

    def create_multiplier(factor):
        @task(id=f"multiply_by_{factor}")
        def multiply(x):
            return x * factor

        return multiply

    lambda_task = TaskWrapper("lambda_task", lambda: 42)
    double_task = TaskWrapper("double_task", lambda lambda_task: lambda_task * 2)
    with workflow("script") as wf:
        lambda_task >> double_task >> create_multiplier(10)
        assert wf.execute() == 840
    assert [wf.get_result(t) for t in ("lambda_task", "double_task", "multiply_by_10")] == [42, 84, 840]


def test_configuration_driven_workflows():
    """Common Patterns 1: enabled steps are nodes and run in order, disabled ones do not exist."""
    ran = []

    def load_config(path):
        steps = [{"id": name, "enabled": name != "clean"} for name in ("load", "clean", "report")]
        return {"path": path, "steps": steps}

    def create_task_from_config(step_config):
        return TaskWrapper(step_config["id"], lambda: ran.append(step_config["id"]))

    config = load_config("workflow.yaml")

    with workflow("dynamic") as ctx:
        tasks = []
        for step_config in config["steps"]:
            if step_config["enabled"]:
                task = create_task_from_config(step_config)
                tasks.append(task)

        # Chain tasks
        for i in range(len(tasks) - 1):
            tasks[i] >> tasks[i + 1]

        ctx.execute()
    assert ctx.graph.nodes == ["load", "report"]
    assert ran == ["load", "report"]


def test_batch_processing_with_dynamic_tasks():
    """Common Patterns 2: the aggregate runs once after all batches and sees their results through the workflow."""
    data = list(range(250))
    runs = []

    def process_items(items):
        return len(items)

    def combine(results):
        runs.append(results)
        return sum(results)

    num_items = len(data)
    batch_size = 100
    num_batches = (num_items + batch_size - 1) // batch_size

    with workflow("batch") as ctx:
        batch_tasks = []
        for i in range(num_batches):

            @task(id=f"batch_{i}")
            def process_batch():
                start = i * batch_size
                end = min(start + batch_size, num_items)
                return process_items(data[start:end])

            batch_tasks.append(process_batch)

        # Aggregate results
        @task
        def aggregate():
            results = [ctx.get_result(f"batch_{i}") for i in range(num_batches)]
            return combine(results)

        for batch_task in batch_tasks:
            batch_task >> aggregate

        assert ctx.execute() == 150
    assert runs == [[50, 50, 50]]


def test_task_factory_pattern():
    """Common Patterns 3: made tasks carry the endpoint in their id and give the response's JSON."""
    asked = []

    class Response:
        def __init__(self, body):
            self.body = body

        def json(self):
            return self.body

    class requests:  # noqa: N801  # stands in for the module of the sample
        @staticmethod
        def request(method, endpoint):
            asked.append((method, endpoint))
            return Response({"from": endpoint})

    def create_api_caller(endpoint, method="GET"):
        """Factory for API calling tasks."""

        @task(id=f"call_{endpoint.replace('/', '_')}")
        def call_api():
            response = requests.request(method, endpoint)
            return response.json()

        return call_api

    # Use factory
    with workflow("api") as wf:
        get_users = create_api_caller("/api/users")
        get_posts = create_api_caller("/api/posts")
        value = wf.execute()
    assert (get_users.id, get_posts.id) == ("call__api_users", "call__api_posts")
    assert value == {"call__api_users": {"from": "/api/users"}, "call__api_posts": {"from": "/api/posts"}}
    assert sorted(asked) == [("GET", "/api/posts"), ("GET", "/api/users")]


def test_duplicate_task_error():
    """Troubleshooting, DuplicateTaskError: the loop variable in the id makes three tasks, a fixed id is refused."""
    with workflow("unique") as wf:
        for i in range(3):

            @task(id=f"task_{i}")  # Include loop variable
            def my_task():
                pass

    assert wf.graph.nodes == ["task_0", "task_1", "task_2"]
    with workflow("clash"):

        @task(id="x")
        def first():
            pass

        with pytest.raises(DuplicateTaskError, match="'x'"):

            @task(id="x")
            def second():
                pass


def test_large_closures():
    """Troubleshooting, Memory Issues: a task made with a path loads its data when it runs."""
    opened = []

    def load_dataset(path):
        opened.append(path)
        return [1, 2, 3]

    def create_task(data_path):
        def task():
            data = load_dataset(data_path)  # Load in task
            return sum(data)

        return task

    with workflow("paths") as wf:
        TaskWrapper("load", create_task("data.csv"))
        assert opened == []
        assert wf.execute() == 6
    assert opened == ["data.csv"]


def test_serialization_error(tmp_path):
    """Troubleshooting, PickleError: a task that is given a connection string opens and closes the database itself."""
    path = str(tmp_path / "numbers.db")
    with contextlib.closing(sqlite3.connect(path)) as conn:
        conn.execute("create table numbers (n)")
        conn.executemany("insert into numbers values (?)", [(1,), (2,)])
        conn.commit()

    def connect_db(connection_string):
        return sqlite3.connect(connection_string)

    def query(conn):
        return conn.execute("select sum(n) from numbers").fetchone()[0]

    # Good
    def create_task(connection_string):
        def task():
            conn = connect_db(connection_string)
            result = query(conn)
            conn.close()
            return result

        return task

    with workflow("database") as wf:
        TaskWrapper("query", create_task(path))
        assert wf.execute() == 3


def test_custom_serialization_script():
    """Examples, custom_serialization.py: lambdas and closures survive cloudpickle as the bodies of tasks, too."""

    def create_multiplier(factor):
        return lambda x: x * factor

    for function, expected in ((lambda x: x + 10, 15), (create_multiplier(10), 50)):
        restored = cloudpickle.loads(cloudpickle.dumps(function))
        assert restored(5) == function(5) == expected
        with workflow("restored") as wf:
            TaskWrapper("restored", restored)
            assert wf.execute(inputs={"x": 5}) == expected
