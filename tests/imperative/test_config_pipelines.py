"""Scenarios 47 and 48 with `Workflow.from_config`: a graph from a description, in whatever order it is written."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from graflow_async import GraphCompilationError, Task, Workflow, flow
from tests.imperative.parts import within

SOURCES = {"a": ["upper", "strip"], "b": ["upper"], "c": []}
JOIN = ["a", "b"]
DESTINATIONS = ["store", "archive"]
SIX = {
    "extract_a": [],
    "extract_b": [],
    "clean_a": ["extract_a"],
    "clean_b": ["extract_b"],
    "merge": ["clean_a", "clean_b"],
    "report": ["merge"],
}
SHUFFLES = range(20)


def pipeline():
    """Describe: three sources with chains of 2, 1 and 0 transforms, a join of two, everything to two destinations."""
    steps, ends = [], {}
    for source, transforms in SOURCES.items():
        steps.append({"id": source, "task": "extract", "params": {"source": source}})
        last = source
        for transform in transforms:
            this = f"{source}_{transform}"
            data = {"result_of": last}
            steps.append(
                {"id": this, "task": "transform", "depends_on": [last], "params": {"how": transform, "data": data}}
            )
            last = this
        ends[source] = last
    parts = [{"result_of": ends[source]} for source in JOIN]
    steps.append({"id": "joined", "task": "join", "depends_on": [ends[s] for s in JOIN], "params": {"parts": parts}})
    for destination in DESTINATIONS:
        for name, end in {**ends, "joined": "joined"}.items():
            params = {"destination": destination, "data": {"result_of": end}}
            steps.append({"id": f"{destination}_{name}", "task": "write", "depends_on": [end], "params": params})
    return {"name": "etl", "steps": steps}


def registry(style, written, executed):
    def extract(source):
        executed["extract"] += 1
        return {"name": source, "data": f" {source} "}

    def transform(how, data):
        executed["transform"] += 1
        return {**data, "data": getattr(data["data"], how)()}

    def join(parts):
        executed["join"] += 1
        names = [part["name"] for part in parts]
        return {"name": "joined", "source_count": len(parts), "sources": names, "data": [p["data"] for p in parts]}

    def write(destination, data):
        executed["write"] += 1
        written.setdefault(destination, {})[data["name"]] = data

    return {function.__name__: style.task(function) for function in (extract, transform, join, write)}


@pytest.mark.parametrize("seed", [None, *range(5)])
async def test_47_a_dag_from_configuration(seed, style):
    """47: every destination gets every end; the join sees its two parts; the order of the list does not matter."""
    written, executed = {}, Counter()
    config = pipeline()
    if seed is not None:
        random.Random(seed).shuffle(config["steps"])
    await Workflow.from_config(config, registry(style, written, executed)).run()
    assert executed == {"extract": 3, "transform": 3, "join": 1, "write": 8}
    assert sorted(written) == sorted(DESTINATIONS)
    for copies in written.values():
        assert {name: copy["data"] for name, copy in copies.items()} == {
            "a": "A",
            "b": " B ",
            "c": " c ",
            "joined": ["A", " B "],
        }
        assert (copies["joined"]["source_count"], copies["joined"]["sources"]) == (2, ["a", "b"])


async def test_47_an_unknown_source_in_a_join(style):
    """47: it is refused when the workflow is built, by name; nothing of it has run."""
    written, executed = {}, Counter()
    config = pipeline()
    for step in config["steps"]:
        if step["id"] == "joined":
            step["depends_on"].append("no_such_source")
    with pytest.raises(GraphCompilationError, match="no_such_source"):
        Workflow.from_config(config, registry(style, written, executed))
    assert (written, executed) == ({}, {})


def orders():
    yield "as written", list(SIX)
    yield "reversed", list(SIX)[::-1]
    for seed in SHUFFLES:
        names = list(SIX)
        random.Random(seed).shuffle(names)
        yield f"seed {seed}", names


def six_steps(names):
    """Describe the six steps: each is told what its inputs are."""
    return {
        "name": "six",
        "steps": [
            {
                "id": name,
                "task": "step",
                "depends_on": SIX[name],
                "params": {"name": name, "inputs": [{"result_of": needed} for needed in SIX[name]]},
            }
            for name in names
        ],
    }


@pytest.mark.parametrize("names", [names for _, names in orders()], ids=[title for title, _ in orders()])
async def test_48_dependency_order(names, style):
    """48: each step once, none before what it needs, whatever the order of the list; as a child run of a flow, too."""
    executed = []

    def step(name, inputs):
        executed.append(name)
        assert [each["name"] for each in inputs] == SIX[name]
        return {"name": name, "input_count": len(inputs)}

    wf = Workflow.from_config(six_steps(names), {"step": style.task(step)})

    @flow(inject_context=True)
    async def outer(ctx):
        return await ctx.run_workflow(wf)

    assert await wf.run() == {"name": "report", "input_count": 1}
    assert [wf.get_result(name)["input_count"] for name in SIX] == [0, 0, 1, 1, 2, 1]
    assert sorted(executed) == sorted(SIX)
    for name, needs in SIX.items():
        assert all(executed.index(needed) < executed.index(name) for needed in needs)
    assert await outer() == {"name": "report", "input_count": 1}
    assert len(executed) == 2 * len(SIX)


async def test_48_there_are_no_levels():
    """48: the short branch is through before the first step of the long one ends."""
    order, short_is_through = [], asyncio.Event()

    async def step(name, inputs):
        if name == "extract_a":
            await short_is_through.wait()
        order.append(name)
        if name == "clean_b":
            short_is_through.set()

    async with asyncio.timeout(60):
        await Workflow.from_config(six_steps(list(SIX)), {"step": step}).run()
    assert order == ["extract_b", "clean_b", "extract_a", "clean_a", "merge", "report"]


async def test_a_workflow_is_made_of_what_a_task_found():
    """SPEC 2.4: workflows are values: a running task builds them from data and runs them as child runs."""

    def plan(count):
        steps = [{"id": f"part{n}", "task": "square", "params": {"n": n}} for n in range(count)]
        parts = [{"result_of": step["id"]} for step in steps]
        return [*steps, {"id": "total", "task": "total", "params": {"parts": parts}}]

    tasks = {"square": lambda n: n * n, "total": sum_of}
    counts = Task("counts", lambda: [2, 5, 3])

    async def parent(ctx):
        found = await ctx.call(counts)
        return [await ctx.run_workflow(Workflow.from_config({"steps": plan(n), "name": "plan"}, tasks)) for n in found]

    assert await within(parent) == [1, 30, 5]


def sum_of(parts):
    return sum(parts)
