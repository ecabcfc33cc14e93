"""The samples of seed 003 (dynamic workflows) as `async def` flows whose tasks are awaited."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import BindingError, flow, task


@pytest.mark.parametrize("count", [0, 1, 10])
async def test_dynamic_task_mapping(count):
    """Example 1: one task for each file; all are under way at once, results in the order of the input."""
    all_in = asyncio.Barrier(max(1, count))

    @task
    async def analyze_file(name):
        await all_in.wait()
        return f"analysed {name}"

    @flow
    async def mapping(files):
        return await analyze_file.map(files)

    files = [f"file{n}" for n in range(count)]
    assert await mapping(files) == [f"analysed {name}" for name in files]
    assert await mapping.run(files=files) == [f"analysed {name}" for name in files]


@pytest.mark.parametrize(("quality", "expected"), [("HIGH", "fast"), ("LOW", "remediation"), ("MEDIUM", "standard")])
async def test_conditional_branching(quality, expected):
    """Example 2: the quality that was assessed decides which processing is called, exactly once."""
    called = []

    @task
    async def assess_data_quality(data):
        return data

    @task
    async def processing(kind, data):
        called.append(kind)
        return kind

    @flow
    async def branching(data):
        found = await assess_data_quality(data)
        if found == "HIGH":
            return await processing("fast", data)
        if found == "LOW":
            return await processing("remediation", data)
        return await processing("standard", data)

    assert await branching(quality) == expected
    assert called == [expected]


@pytest.mark.parametrize("source_type", ["csv", "json", "xml"])
async def test_dynamic_subflows(source_type):
    """Example 3: the chosen flow runs as a child run and its value comes back; plain flows can be awaited too."""

    @flow
    async def transform_csv_flow(data):
        return f"csv:{data}"

    @flow
    async def transform_json_flow(data):
        return f"json:{data}"

    @flow
    def transform_xml_flow(data):
        return f"xml:{data}"

    @flow
    async def pipeline(source_type, data):
        flows = {"csv": transform_csv_flow, "json": transform_json_flow, "xml": transform_xml_flow}
        return f"<{await flows[source_type](data)}>"

    assert await pipeline(source_type, 1) == f"<{source_type}:1>"


async def test_parallel_subflows():
    """Example 3, Parallel Subflows: instances of one flow run concurrently, each with its own results."""
    both_in = asyncio.Barrier(2)

    @task
    async def work(region):
        await both_in.wait()
        return region

    @flow
    async def regional(region):
        return await work(region)

    @flow
    async def everywhere():
        return await asyncio.gather(regional("eu"), regional("us"))

    assert await everywhere() == ["eu", "us"]


async def test_data_driven_pipelines():
    """Example 4: every validation and transformation of the schema is called once, in the schema's order."""
    called = []
    schema = [
        {"name": "email", "validations": ["not_null", "email_format"], "transformations": ["trim", "lowercase"]},
        {"name": "age", "validations": ["positive"], "transformations": []},
    ]

    @task
    async def validate_field(name, validation, data):
        called.append((name, validation, data))

    @task
    async def transform_field(name, transform, data):
        called.append((name, transform, data))

    @flow
    async def pipeline(data):
        for field in schema:
            for validation in field["validations"]:
                await validate_field(field["name"], validation, data)
            for transform in field["transformations"]:
                await transform_field(field["name"], transform, data)

    await pipeline("rows")
    names = [(f["name"], step, "rows") for f in schema for step in [*f["validations"], *f["transformations"]]]
    assert called == names


async def test_static_workflow():
    """Comparison, Static: three awaited calls in a flow give a list of three results."""

    @task
    async def process_file(name):
        return name.upper()

    @flow
    async def static_workflow():
        result1 = await process_file("file1.txt")
        result2 = await process_file("file2.txt")
        result3 = await process_file("file3.txt")
        return [result1, result2, result3]

    assert await static_workflow() == ["FILE1.TXT", "FILE2.TXT", "FILE3.TXT"]
    assert await static_workflow.run() == ["FILE1.TXT", "FILE2.TXT", "FILE3.TXT"]


@pytest.mark.parametrize("count", [0, 1, 10])
async def test_dynamic_workflow(count):
    """Comparison, Dynamic: what a task discovered is mapped over, whatever its number."""

    @task
    async def discover_files(number):
        return [f"file{n}" for n in range(number)]

    @task
    def process_file(name):
        return name.upper()

    @flow
    async def dynamic_workflow(number):
        files = await discover_files(number)
        return await process_file.map(files)

    assert await dynamic_workflow(count) == [f"FILE{n}" for n in range(count)]


async def test_nested_dynamic_mapping():
    """Advanced 1: a scalar service is repeated, lists are zipped, lists of different lengths are refused."""
    services = {"users": ["list", "get"], "posts": ["list", "get", "delete"]}

    @task
    async def call_endpoint(service, endpoint):
        return f"{service}/{endpoint}"

    @flow
    async def calls():
        found = []
        for service, endpoints in services.items():
            found.extend(await call_endpoint.map([service] * len(endpoints), endpoints))
        with pytest.raises(BindingError):
            await call_endpoint.map(["users"], ["list", "get"])
        return found

    assert await calls() == ["users/list", "users/get", "posts/list", "posts/get", "posts/delete"]


async def test_runtime_flow_factory():
    """Advanced 3: a flow made at run time has the name it was given and works as one that was written down."""

    @task
    async def process(data, processing_type):
        return (processing_type, data)

    def create_processing_flow(flow_name, processing_type):
        @flow(name=flow_name)
        async def dynamic_flow(data):
            return await process(data, processing_type)

        return dynamic_flow

    my_flow = create_processing_flow("Custom Flow", "aggregate")
    assert await my_flow([1, 2]) == ("aggregate", [1, 2])
    assert my_flow.id == "Custom Flow"


async def test_adaptive_workflows():
    """Advanced 4: once a result is poor, later batches get the other strategy."""
    used = []

    @task
    async def process_batch(batch, strategy):
        used.append(strategy)
        return batch

    @flow
    async def adaptive(batches):
        strategy = "standard"
        for batch in batches:
            if await process_batch(batch, strategy) == 2:
                strategy = "optimized"
        return strategy

    assert await adaptive([1, 2, 3, 4]) == "optimized"
    assert used == ["standard", "standard", "optimized", "optimized"]
