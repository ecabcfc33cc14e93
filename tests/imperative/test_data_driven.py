"""Scenarios 46, 48 and 53: a schema, a table of dependencies or a measurement decides what runs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from graphlib import CycleError, TopologicalSorter

import pytest

from graflow_async import Task, Workflow, flow, task
from tests.imperative.parts import within

SCHEMA = [
    {"name": "username", "validations": ["not_null", "min_length"], "transformations": ["trim", "lowercase"]},
    {"name": "email", "validations": ["not_null", "email_format"], "transformations": ["trim", "lowercase"]},
    {"name": "age", "validations": ["not_null", "positive"], "transformations": ["to_int"]},
    {"name": "height", "validations": ["not_null", "positive"], "transformations": ["round"]},
]
RECORD = {"username": "  JohnDoe  ", "email": " John@Example.com ", "age": "30", "height": "170.6"}
CLEAN = {"username": "johndoe", "email": "john@example.com", "age": 30, "height": 171}
VALIDATIONS = {
    "not_null": lambda value: value is not None,
    "min_length": lambda value: len(value.strip()) >= 3,
    "email_format": lambda value: "@" in value,
    "positive": lambda value: float(value) > 0,
}
TRANSFORMATIONS = {"trim": str.strip, "lowercase": str.lower, "to_int": int, "round": lambda value: round(float(value))}


def schema_tasks(executed, style):
    def validate(name, rule, record):
        executed["validate"] += 1
        return VALIDATIONS[rule](record.get(name))

    def transform(step, value):
        executed["transform"] += 1
        return TRANSFORMATIONS[step](value)

    return style.task(validate), style.task(transform)


def without(*names):
    return {name: value for name, value in CLEAN.items() if name not in names}


CASES = [
    pytest.param(SCHEMA, RECORD, CLEAN, {"validate": 8, "transform": 6}, id="all"),
    pytest.param(SCHEMA[1:], RECORD, without("username"), {"validate": 6, "transform": 4}, id="fewer"),
    pytest.param(SCHEMA, {**RECORD, "email": "x"}, without("email"), {"validate": 8, "transform": 4}, id="bad"),
    pytest.param(SCHEMA, {**RECORD, "age": None}, without("age"), {"validate": 7, "transform": 5}, id="missing"),
    pytest.param([], RECORD, {}, {}, id="no schema"),
]


@pytest.mark.parametrize(("schema", "record", "expected", "executions"), CASES)
@pytest.mark.parametrize("how", ["loop", "map"])
async def test_46_schema(schema, record, expected, executions, how, style):
    """46: each field has the steps that the schema lists; one that fails a validation is left out, others stay."""
    executed = Counter()
    validate, transform = schema_tasks(executed, style)

    @task
    async def process_field(field, record):
        for rule in field["validations"]:
            if not await validate(field["name"], rule, record):
                return None
        value = record[field["name"]]
        for step in field["transformations"]:
            value = await transform(step, value)
        return field["name"], value

    @flow
    async def pipeline(schema, record):
        if how == "map":
            found = await process_field.map(schema, record=record)
        else:
            found = [await process_field(field, record) for field in schema]
        return dict(field for field in found if field is not None)

    assert await pipeline(schema, record) == expected
    assert executed == executions


async def test_180_each_entry_of_the_schema_is_one_call(style):
    """180: in the schema's order, each with the field's name, the entry and the data as they are by then."""
    called = []

    def validate_field(name, validation, data):
        called.append(("validate", name, validation, dict(data)))

    def transform_field(name, transformation, data):
        called.append(("transform", name, transformation, dict(data)))
        return {**data, name: TRANSFORMATIONS[transformation](data[name])}

    validate, transform = style.task(validate_field), style.task(transform_field)

    @flow
    async def pipeline(schema, data):
        for field in schema:
            for validation in field["validations"]:
                await validate(field["name"], validation, data)
            for transformation in field["transformations"]:
                data = await transform(field["name"], transformation, data)
        return data

    assert await pipeline(SCHEMA, RECORD) == CLEAN
    expected, data = [], dict(RECORD)
    for field in SCHEMA:
        name = field["name"]
        expected += [("validate", name, entry, dict(data)) for entry in field["validations"]]
        for entry in field["transformations"]:
            expected.append(("transform", name, entry, dict(data)))
            data[name] = TRANSFORMATIONS[entry](data[name])
    assert called == expected


@pytest.mark.parametrize(("schema", "record", "expected", "executions"), CASES)
def test_46_schema_in_a_plain_flow(schema, record, expected, executions):
    """46: the same as two nested loops of calls in a plain `def` flow."""
    executed = Counter()

    @task
    def validate(name, rule, record):
        executed["validate"] += 1
        return VALIDATIONS[rule](record.get(name))

    @task
    def transform(step, value):
        executed["transform"] += 1
        return TRANSFORMATIONS[step](value)

    @flow
    def pipeline(schema, record):
        result = {}
        for field in schema:
            if not all(validate(field["name"], rule, record) for rule in field["validations"]):
                continue
            value = record[field["name"]]
            for step in field["transformations"]:
                value = transform(step, value)
            result[field["name"]] = value
        return result

    assert pipeline(schema, record) == expected
    assert executed == executions


STEPS = {
    "extract_a": [],
    "extract_b": [],
    "clean_a": ["extract_a"],
    "clean_b": ["extract_b"],
    "merge": ["clean_a", "clean_b"],
    "report": ["merge"],
}
SHUFFLES = range(20)


def shuffled(seed):
    names = list(STEPS)
    random.Random(seed).shuffle(names)
    return {name: STEPS[name] for name in names}


ORDERS = [STEPS, dict(reversed(STEPS.items())), *(shuffled(seed) for seed in SHUFFLES)]


@pytest.mark.parametrize("steps", ORDERS, ids=["as written", "reversed", *(f"seed {seed}" for seed in SHUFFLES)])
@pytest.mark.parametrize("how", ["handles", "loop"])
async def test_48_dependency_order(steps, how, style):
    """48: each step once, none before what it needs, with the values of that, whatever the order of the list."""
    executed = []

    def execute(name, *inputs):
        executed.append(name)
        assert {each["name"] for each in inputs} == set(steps[name])
        return {"name": name, "input_count": len(inputs)}

    execute_step = style.task(execute)

    async def with_handles(ctx):
        handles = {}
        for name in TopologicalSorter(steps).static_order():
            handles[name] = ctx.submit(execute_step, name, *(handles[needed] for needed in steps[name]))
        return {name: await handle for name, handle in handles.items()}

    async def in_a_loop(ctx):
        done, remaining = {}, list(steps)
        while remaining:
            ready = [name for name in remaining if all(needed in done for needed in steps[name])]
            results = await asyncio.gather(*(execute_step(n, *(done[needed] for needed in steps[n])) for n in ready))
            done.update(zip(ready, results, strict=True))
            remaining = [name for name in remaining if name not in done]
        return done

    done = await within(with_handles if how == "handles" else in_a_loop)
    assert [done[name]["input_count"] for name in STEPS] == [0, 0, 1, 1, 2, 1]
    assert sorted(executed) == sorted(STEPS)
    for name, needs in STEPS.items():
        assert all(executed.index(needed) < executed.index(name) for needed in needs)


async def test_48_unequal_branches_do_not_wait_for_each_other():
    """48: the short branch is through before the first step of the long one ends: there are no levels."""
    order, short_is_through = [], asyncio.Event()

    @task
    async def step(name, *needed):
        if name == "extract_a":
            await short_is_through.wait()
        order.append(name)
        if name == "clean_b":
            short_is_through.set()
        return name

    async def parent(ctx):
        handles = {}
        for name in TopologicalSorter(STEPS).static_order():
            handles[name] = ctx.submit(step, name, *(handles[needed] for needed in STEPS[name]))
        return await handles["report"]

    async with asyncio.timeout(60):
        assert await within(parent) == "report"
    assert order == ["extract_b", "clean_b", "extract_a", "clean_a", "merge", "report"]


async def test_49_a_cycle_is_found_before_anything_runs():
    """49: a run-time table that cannot be ordered starts nothing, and its error comes out of the run as it is."""
    ran = []

    async def parent(ctx):
        for name in TopologicalSorter({"a": ["c"], "b": ["a"], "c": ["b"]}).static_order():
            await ctx.call(Task(name, lambda name=name: ran.append(name)))

    with pytest.raises(CycleError):
        await within(parent)
    assert ran == []


SIZES = [20, 30, 25, 40, 15]


def next_strategy(strategy, throughputs):
    """Look at the mean after every second batch, as the adaptive example does."""
    if len(throughputs) % 2:
        return strategy
    mean = sum(throughputs) / len(throughputs)
    return "optimized" if mean < 50 else "fast" if mean > 100 else "standard"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (SIZES, ["standard", "standard", "fast", "fast", "fast"]),
        ([4] * 5, ["standard", "standard", "optimized", "optimized", "optimized"]),
        ([5] * 4, ["standard"] * 4),
        ([10] * 4, ["standard"] * 4),
        ([], []),
    ],
)
async def test_53_adaptive(sizes, expected, style):
    """53: what was measured chooses the strategy of later batches; a loop and turns of one task give the same."""

    def process(batch, strategy):
        return {"strategy": strategy, "size": batch, "throughput": batch / 0.1}

    process_batch = style.task(process)

    @flow
    async def looping(sizes):
        strategy, results = "standard", []
        for size in sizes:
            results.append(await process_batch(size, strategy))
            strategy = next_strategy(strategy, [r["throughput"] for r in results])
        return results

    @task(inject_context=True)
    async def turning(ctx, state):
        sizes, strategy, results = state
        if not sizes:
            return results
        results = [*results, await process_batch(sizes[0], strategy)]
        strategy = next_strategy(strategy, [r["throughput"] for r in results])
        if sizes[1:]:
            ctx.next_iteration((sizes[1:], strategy, results))
        return results

    looped = await looping(sizes)
    assert [r["strategy"] for r in looped] == expected
    assert await turning((sizes, "standard", [])) == looped
    if sizes == SIZES:
        throughputs = [r["throughput"] for r in looped]
        assert [sum(throughputs[:n]) / n for n in (2, 4)] == pytest.approx([250, 287.5])
        assert sum(throughputs) / 5 == pytest.approx(260)
        assert sum(r["size"] for r in looped) == 130


def test_53_adaptive_in_a_plain_flow():
    """53: after one low result all later batches are treated otherwise."""
    process_batch = Task("process", lambda batch, strategy: (strategy, batch))

    @flow
    def adaptive(batches):
        strategy, used = "standard", []
        for batch in batches:
            strategy_used, result = process_batch(batch, strategy)  # pyright: ignore[reportGeneralTypeIssues]
            used.append(strategy_used)
            if result < 2:
                strategy = "optimized"
        return used

    assert adaptive([3, 1, 5, 9]) == ["standard", "standard", "optimized", "optimized"]


def test_53_turns_in_a_sync_run():
    """53: the same with `next_iteration` in a plain task of a drawn workflow."""

    @task(inject_context=True)
    def turning(ctx, batches, strategy="standard", used=()):
        used = (*used, strategy)
        if batches[1:]:
            ctx.next_iteration(batches=batches[1:], strategy="optimized" if batches[0] < 2 else strategy, used=used)
        return used

    assert Workflow("w", turning).execute(inputs={"batches": [3, 1, 5, 9]}) == (
        "standard",
        "standard",
        "optimized",
        "optimized",
    )
