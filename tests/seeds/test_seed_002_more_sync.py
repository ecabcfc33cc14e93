"""The samples of seed 002 (advanced patterns, second half) as they are written there, with plain `def` tasks."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import pytest

from graflow_async import chain, task, workflow


def test_ab_testing_workflows():
    """Real-World 1: one task for each variant, all of them run."""

    def load_variant_config(variant):
        return {"name": variant}

    def execute_experiment(config):
        return config["name"]

    variants = ["variant_a", "variant_b", "variant_c"]

    with workflow("ab") as wf:
        for variant in variants:

            @task(id=f"test_{variant}")
            def run_variant():
                config = load_variant_config(variant)
                return execute_experiment(config)

        assert wf.execute() == dict.fromkeys(["test_variant_a", "test_variant_b", "test_variant_c"], "variant_c")


def test_multi_tenant_processing():
    """Real-World 2: one node for each tenant, each run once."""
    fetched = []

    def get_active_tenants():
        return ["acme", "globex"]

    def fetch_tenant_data(tenant):
        fetched.append(tenant)
        return tenant

    def process_data(data):
        return data.upper()

    with workflow("tenants") as wf:
        tenants = get_active_tenants()

        for tenant_id in tenants:

            @task(id=f"process_{tenant_id}")
            def process_tenant():
                data = fetch_tenant_data(tenant_id)
                return process_data(data)

        assert wf.execute() == {"process_acme": "GLOBEX", "process_globex": "GLOBEX"}
    assert len(fetched) == 2


@pytest.mark.parametrize(
    ("enable_validation", "enable_enrichment", "order"),
    [
        (True, True, ["extract", "validate", "enrich"]),
        (False, True, ["extract", "enrich"]),
        (False, False, ["extract"]),
    ],
)
def test_feature_flag_driven_pipelines(enable_validation, enable_enrichment, order):
    """Real-World 3: flags decide which steps are linked behind the first; steps not called are not run."""
    ran = []

    def load_feature_flags():
        return {"enable_validation": enable_validation, "enable_enrichment": enable_enrichment}

    @task
    def extract_data():
        ran.append("extract")

    @task
    def validate_data():
        ran.append("validate")

    @task
    def enrich_data():
        ran.append("enrich")

    features = load_feature_flags()

    with workflow("conditional") as ctx:
        extract_task = extract_data()
        last_task = extract_task

        if features["enable_validation"]:
            validate = validate_data()
            last_task >> validate
            last_task = validate

        if features["enable_enrichment"]:
            enrich = enrich_data()
            last_task >> enrich
            last_task = enrich

        ctx.execute(extract_task)
    assert ran == order


def test_recursive_task_generation():
    """Advanced Topics, Recursive: six levels run in order, the run's value is the deepest one's."""
    ran = []

    def process_level(depth):
        ran.append(depth)
        return f"level {depth}"

    def create_recursive_tasks(depth, max_depth=5):
        @task(id=f"level_{depth}")
        def task_at_depth():
            result = process_level(depth)
            if depth < max_depth:
                # Trigger next level
                return result
            return result

        if depth < max_depth:
            next_task = create_recursive_tasks(depth + 1, max_depth)
            task_at_depth >> next_task

        return task_at_depth

    with workflow("recursive") as wf:
        create_recursive_tasks(0)
        assert wf.execute() == "level 5"
    assert ran == [0, 1, 2, 3, 4, 5]


def test_parameterized_task_classes():
    """Advanced Topics, Classes: each call of the method makes a task bound to its own instance."""

    class ConfigurableTask:
        def __init__(self, config):
            self.config = config

        @task
        def execute(self):
            return self.process(self.config)

        def process(self, config):
            return config * 2

    # Create tasks from class
    configs = [1, 2, 3]
    with workflow("classes") as wf:
        tasks = [ConfigurableTask(cfg).execute() for cfg in configs]
        value = wf.execute()
    assert len({t.id for t in tasks}) == 3
    assert [value[t.id] for t in tasks] == [2, 4, 6]


def test_memoization_with_closures():
    """Advanced Topics, Memoization: the closure's cache lasts across calls of the task."""
    called = []

    def expensive(value):
        called.append(value)
        return value * 100

    def create_memoized_task(expensive_function):
        cache = {}

        @task
        def memoized(*args):
            key = str(args)
            if key not in cache:
                cache[key] = expensive_function(*args)
            return cache[key]

        return memoized

    memoized = create_memoized_task(expensive)
    with workflow("memo") as wf:
        chain(memoized(1), memoized(1), memoized(2))
        assert wf.execute() == 200
    assert called == [1, 2]
    assert [wf.get_result(f"memoized_{n}") for n in (1, 2, 3)] == [100, 100, 200]


def test_integration_with_distributed_execution():
    """Integration, Distributed: one of a hundred independent tasks, named as the start, runs alone."""
    ran = []

    def heavy_computation(number):
        ran.append(number)
        return number

    with workflow("distributed_dynamic") as ctx:
        # Create 100 tasks dynamically
        tasks = []
        for i in range(100):

            @task(id=f"worker_task_{i}")
            def process():
                return heavy_computation(i)

            tasks.append(process)

        assert ctx.execute(start_node="worker_task_0") == 99
    assert ran == [99]


def test_nested_workflow_script(capsys):
    """Examples, nested_workflow.py: inner workflows run where the outer task opens them and stay out of its graph."""
    with workflow("data_processing") as outer:

        @task
        def process():
            with workflow("validation_workflow") as validation:

                @task
                def validate_schema():
                    print("validate_schema completed")

                @task
                def validate_values():
                    print("validate_values completed")

                validate_schema >> validate_values
                validation.execute()
            print("Inner validation workflow completed")
            with workflow("transformation_workflow") as transformation:

                @task
                def normalize_data():
                    print("normalize_data completed")

                @task
                def enrich_data():
                    print("enrich_data completed")
                    return "enriched"

                normalize_data >> enrich_data
                return transformation.execute()

        assert outer.execute() == "enriched"
    assert outer.graph.nodes == ["process"]
    assert capsys.readouterr().out.splitlines() == [
        "validate_schema completed",
        "validate_values completed",
        "Inner validation workflow completed",
        "normalize_data completed",
        "enrich_data completed",
    ]
