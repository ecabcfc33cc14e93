"""The samples of seed 003 (dynamic workflows) as plain `def` flows, called from plain code as written."""

# The samples are kept as their readers write them: they print, bind loop variables late, name results first.
# ruff: noqa: RUF100, B018, B023, RET504, T201, TRY203, TRY301, PLW0108
# Annotated for the async context while their tasks are plain functions, they are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnusedCoroutine=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import os
from enum import Enum

import pytest

from graflow_async import BindingError, flow, task


class DataQuality(Enum):
    """What the branching sample routes by."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def files_in(directory, count):
    for number in range(count):
        (directory / f"file{number}.txt").write_text("x" * number)
    return str(directory)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_dynamic_task_mapping(count, tmp_path):
    """Example 1: one task for each file in the directory, results in the order of the input."""

    @task
    def analyze_file(name):
        return f"analysed {name}"

    @flow
    def mapping(directory):
        # Discover files at runtime
        discovered_files = sorted(os.listdir(directory))  # noqa: PTH208  # the sample's own call

        # Create one task per file (number unknown at design time)
        results = analyze_file.map(discovered_files)
        return results

    assert mapping(files_in(tmp_path, count)) == [f"analysed file{n}.txt" for n in range(count)]


@pytest.mark.parametrize(
    ("data", "expected"), [("h", "fast_track"), ("l", "remediation"), ("m", "standard")], ids=["high", "low", "medium"]
)
def test_conditional_branching(data, expected):
    """Example 2: the quality that was assessed decides which processing is called, exactly once."""
    called = []

    @task
    def assess_data_quality(data):
        return {"h": DataQuality.HIGH, "l": DataQuality.LOW}.get(data, DataQuality.MEDIUM)

    @task
    def fast_track_processing(data):
        called.append("fast_track")
        return ("fast_track", data)

    @task
    def remediation_processing(data):
        called.append("remediation")
        return ("remediation", data)

    @task
    def standard_processing(data):
        called.append("standard")
        return ("standard", data)

    @flow
    def branching(data):
        # Assess quality at runtime
        quality = assess_data_quality(data)

        # Different paths based on runtime condition
        if quality == DataQuality.HIGH:
            result = fast_track_processing(data)
        elif quality == DataQuality.LOW:
            result = remediation_processing(data)
        else:
            result = standard_processing(data)
        return result

    assert branching(data) == (expected, data)
    assert called == [expected]


@pytest.mark.parametrize("source_type", ["csv", "json", "xml"])
def test_dynamic_subflows(source_type):
    """Example 3: the chosen flow runs and its value comes back to the flow that called it."""

    @flow
    def transform_csv_flow(data):
        return f"csv:{data}"

    @flow
    def transform_json_flow(data):
        return f"json:{data}"

    @flow
    def transform_xml_flow(data):
        return f"xml:{data}"

    @flow
    def pipeline(source_type, data):
        # Define different transform flows
        transform_flows = {"csv": transform_csv_flow, "json": transform_json_flow, "xml": transform_xml_flow}

        # Select and invoke at runtime
        transform_flow = transform_flows[source_type]
        result = transform_flow(data)
        return f"<{result}>"

    assert pipeline(source_type, 1) == f"<{source_type}:1>"


def test_data_driven_pipelines():
    """Example 4: every validation and transformation of the schema is called once, in the schema's order."""
    called = []

    @task
    def validate_field(name, validation, data):
        called.append(("validate", name, validation, data))

    @task
    def transform_field(name, transform, data):
        called.append(("transform", name, transform, data))

    @flow
    def pipeline(data):
        # Schema defines the pipeline structure
        schema = [
            {
                "name": "email",
                "validations": ["not_null", "email_format"],
                "transformations": ["trim", "lowercase"],
            },
            {"name": "age", "validations": ["positive"], "transformations": []},
        ]

        # Pipeline is constructed from schema at runtime
        for field in schema:
            # Create validation tasks dynamically
            for validation in field["validations"]:
                validate_field(field["name"], validation, data)

            # Create transformation tasks dynamically
            for transform in field["transformations"]:
                transform_field(field["name"], transform, data)

    pipeline("rows")
    assert called == [
        ("validate", "email", "not_null", "rows"),
        ("validate", "email", "email_format", "rows"),
        ("transform", "email", "trim", "rows"),
        ("transform", "email", "lowercase", "rows"),
        ("validate", "age", "positive", "rows"),
    ]


def test_static_workflow():
    """Comparison, Static: three calls in a flow give a list of three results."""

    @task
    def process_file(name):
        return name.upper()

    @flow
    def static_workflow():
        # Always processes exactly 3 files
        result1 = process_file("file1.txt")
        result2 = process_file("file2.txt")
        result3 = process_file("file3.txt")
        return [result1, result2, result3]

    assert static_workflow() == ["FILE1.TXT", "FILE2.TXT", "FILE3.TXT"]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_dynamic_workflow(count, tmp_path):
    """Comparison, Dynamic: what a task discovered is mapped over, whatever its number."""

    @task
    def discover_files(directory):
        return sorted(os.listdir(directory))  # noqa: PTH208  # as the first sample

    @task
    def process_file(name):
        return name.upper()

    @flow
    def dynamic_workflow(directory):
        # Processes however many files exist
        files = discover_files(directory)  # Could be 0, 10, 1000...
        results = process_file.map(files)  # Creates N tasks at runtime
        return results

    assert dynamic_workflow(files_in(tmp_path, count)) == [f"FILE{n}.TXT" for n in range(count)]


def test_nested_dynamic_mapping():
    """Advanced 1: services and endpoints are zipped; lists of different lengths are refused."""
    services = {"users": ["list", "get"], "posts": ["list", "get", "delete"]}

    @task
    def discover_endpoints(service):
        return services[service]

    @task
    def call_endpoint(service, endpoint):
        return f"{service}/{endpoint}"

    @flow
    def calls():
        found = []
        for service in services:
            endpoints = discover_endpoints(service)  # Unknown count
            results = call_endpoint.map([service] * len(endpoints), endpoints)
            found.extend(results)
        return found

    @flow
    def uneven():
        return call_endpoint.map(["users"], ["list", "get"])

    assert calls() == ["users/list", "users/get", "posts/list", "posts/get", "posts/delete"]
    with pytest.raises(BindingError):
        uneven()


def test_dynamic_dependency_resolution():
    """Advanced 2: every step is executed once, none before what it depends on."""
    needs = {"report": {"clean", "enrich"}, "clean": {"load"}, "enrich": {"load"}, "load": set()}
    executed = []

    @task
    def execute_step(step):
        executed.append(step)

    @flow
    def resolve():
        completed_steps = set()
        remaining_steps = list(needs)

        def all_dependencies_satisfied(step):
            return needs[step] <= completed_steps

        # Execute steps in dependency order
        while remaining_steps:
            for step in list(remaining_steps):
                if all_dependencies_satisfied(step):
                    execute_step(step)
                    completed_steps.add(step)
                    remaining_steps.remove(step)

    resolve()
    assert executed == ["load", "clean", "enrich", "report"]


def test_runtime_flow_factory():
    """Advanced 3: a flow made at run time has the name it was given and works as one that was written down."""

    @task
    def process(data, processing_type):
        return (processing_type, data)

    def create_processing_flow(flow_name, processing_type):
        @flow(name=flow_name)
        def dynamic_flow(data):
            # Logic based on processing_type
            return process(data, processing_type)

        return dynamic_flow

    # Create and execute at runtime
    my_flow = create_processing_flow("Custom Flow", "aggregate")
    result = my_flow([1, 2])
    assert result == ("aggregate", [1, 2])
    assert my_flow.id == "Custom Flow"


def test_adaptive_workflows():
    """Advanced 4: once a result is poor, later batches get the other strategy."""
    used = []

    @task
    def process_batch(batch, strategy):
        used.append(strategy)
        return batch

    def performance_is_low(result):
        return result == 2

    @flow
    def adaptive(batches):
        strategy = "standard"

        for batch in batches:
            result = process_batch(batch, strategy)

            # Analyze and adapt
            if performance_is_low(result):
                strategy = "optimized"
        return strategy

    assert adaptive([1, 2, 3, 4]) == "optimized"
    assert used == ["standard", "standard", "optimized", "optimized"]
