"""Conditions of steps: what they test, what a skipped step means for others, and that parameters do not notice them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from graflow_async import BindingError, GraphCompilationError, TaskExecutionContext, TaskSkipped, Workflow, task


@task
async def say(ctx: TaskExecutionContext) -> str:
    return ctx.task_id


def registry(value: Any, **more: Any) -> dict[str, Any]:
    """Give tasks: `give` returns `value`, `say` its own id."""
    return {"give": task("give")(lambda: value), "say": say, **more}


def branch(condition: Any) -> list[dict[str, Any]]:
    """Write down two steps, the second under a condition."""
    return [{"id": "a", "task": "give"}, {"id": "b", "task": "say", "depends_on": ["a"], "when": condition}]


RESULT = {"level": "HIGH", "score": 0.9, "tags": ["x", "y"], "deep": [{"n": 1}], "object": SimpleNamespace(size=3)}
CASES = [
    ({"field": "level", "equals": "HIGH"}, True),
    ({"field": "level", "equals": "LOW"}, False),
    ({"field": "level", "not_equals": "LOW"}, True),
    ({"field": "score", "gte": 0.9}, True),
    ({"field": "score", "gt": 0.9}, False),
    ({"field": "score", "lte": 0.9}, True),
    ({"field": "score", "lt": 0.9}, False),
    ({"field": "score", "gt": 0.5, "lt": 0.8}, False),
    ({"field": "score", "gt": 0.5, "lt": 1}, True),
    ({"field": "level", "in": ["HIGH", "MID"]}, True),
    ({"field": "level", "not_in": ["HIGH"]}, False),
    ({"field": "tags", "contains": "y"}, True),
    ({"field": "tags", "contains": "z"}, False),
    ({"field": ["deep", 0, "n"], "equals": 1}, True),
    ({"field": ["object", "size"], "equals": 3}, True),
    ({"field": ["object", "__class__"], "exists": True}, False),
    ({"field": "nope", "exists": False}, True),
    ({"field": "nope", "exists": True, "gt": 3}, False),
    ({"field": "nope", "default": 4, "gt": 3}, True),
    ({"field": ["deep", 5], "exists": True}, False),
    ({"field": "tags"}, True),
    ({"field": "nope", "default": 0}, False),
]


@pytest.mark.parametrize(("test", "expected"), CASES)
async def test_every_test(test: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    """Each test says what its name says, and `not` says the opposite."""
    for condition, wanted in (
        ({"result_of": "a", **test}, expected),
        ({"not": {"result_of": "a", **test}}, not expected),
    ):
        async with Workflow.from_config({"steps": branch(condition)}, registry(RESULT)).start(validate=True) as run:
            assert await run == ("b" if wanted else None)
        assert ("b" in run.results) is wanted


@pytest.mark.parametrize("a", [0, 1])
@pytest.mark.parametrize("b", [0, 1])
async def test_connectives(a: int, b: int) -> None:
    """`all` and `any` combine to any depth, and look no further than needed."""
    is_a, is_b = {"result_of": "a", "field": "a"}, {"result_of": "a", "field": "b"}
    broken = {"result_of": "a", "field": "missing", "equals": 1}
    conditions = [
        ({"all": [is_a, is_b]}, a and b),
        ({"any": [is_a, is_b]}, a or b),
        ({"any": [{"all": [is_a, {"not": is_b}]}, {"all": [is_b, {"not": is_a}]}]}, a != b),
        ({"all": [{"not": {"any": [is_a, {"not": is_a}]}}, broken]}, False),
    ]
    for condition, expected in conditions:
        value = await Workflow.from_config({"steps": branch(condition)}, registry({"a": a, "b": b})).run()
        assert value == ("b" if expected else None)


@pytest.mark.parametrize(("level", "ran"), [("HIGH", ["high", "join"]), ("LOW", ["low", "join"]), ("MID", [])])
async def test_joins_run_if_one_predecessor_delivered(level: str, ran: list[str]) -> None:
    """A skipped step has no result and a story that says so; joins after it run if another one delivered."""
    steps = [
        {"id": "a", "task": "give"},
        {"id": "high", "task": "say", "depends_on": ["a"], "when": {"result_of": "a", "equals": "HIGH"}},
        {"id": "low", "task": "say", "depends_on": ["a"], "when": {"result_of": "a", "equals": "LOW"}},
        {"id": "join", "task": "say", "depends_on": ["high", "low"]},
    ]
    async with Workflow.from_config({"steps": steps}, registry(level)).start() as run:
        assert await run == ("join" if ran else None)
    skipped = [event.task_id async for event in run.events() if isinstance(event, TaskSkipped)]
    assert set(skipped) == {"high", "low", "join"} - set(ran)
    assert [step for step in ("high", "low", "join") if step in run.results] == ran


async def test_a_skipped_step_does_not_look_for_parameters() -> None:
    """A step whose condition is false cannot fail for parameters that nothing gives; one that runs does."""

    @task
    async def demanding(nobody: int, gives_these: int) -> int:
        return nobody + gives_these

    steps = branch({"result_of": "a", "equals": 1})
    steps[1]["task"] = "demanding"
    assert await Workflow.from_config({"steps": steps}, registry(2, demanding=demanding)).run() is None
    with pytest.raises(BindingError, match="nobody"):
        await Workflow.from_config({"steps": steps}, registry(1, demanding=demanding)).run()


async def test_parameters_are_found_as_without_a_condition() -> None:
    """Keys of mappings, the only predecessor's result and results by id reach a conditional step unchanged."""

    @task
    async def left() -> dict[str, int]:
        return {"x": 1}

    @task
    async def right() -> dict[str, int]:
        return {"y": 2}

    @task
    async def by_key(x: int, y: int) -> Any:
        return x, y

    @task
    async def whole(anything: Any) -> Any:
        return anything

    @task
    async def by_id(left: Any, right: Any) -> Any:
        return left, right

    both, one = {"result_of": "right", "field": "y", "equals": 2}, {"result_of": "left", "exists": True}
    plain = [
        {"id": "left", "task": "left"},
        {"id": "right", "task": "right"},
        {"id": "by_key", "task": "by_key", "depends_on": ["left", "right"]},
        {"id": "whole", "task": "whole", "depends_on": ["left"]},
        {"id": "by_id", "task": "by_id", "depends_on": ["left", "right"]},
    ]
    conditional = [*plain[:2], {**plain[2], "when": both}, {**plain[3], "when": one}, {**plain[4], "when": both}]
    tasks = {"left": left, "right": right, "by_key": by_key, "whole": whole, "by_id": by_id}
    expected = {"by_key": (1, 2), "whole": {"x": 1}, "by_id": ({"x": 1}, {"y": 2})}
    for steps in (plain, conditional):
        assert await Workflow.from_config({"steps": steps}, tasks).run() == expected


async def test_a_conditional_join_sees_only_what_delivered() -> None:
    """With one of two predecessors skipped, the other is the only one: its result fills the open parameter."""

    @task
    async def whole(anything: Any) -> Any:
        return anything

    steps = [
        *branch({"result_of": "a", "equals": "never"}),
        {"id": "c", "task": "say", "depends_on": ["a"]},
        {"id": "end", "task": "whole", "depends_on": ["b", "c"], "when": {"result_of": "b", "exists": False}},
    ]
    assert await Workflow.from_config({"steps": steps}, registry(1, whole=whole)).run() == "c"


async def test_a_condition_on_a_map_and_on_references() -> None:
    """A condition goes with map and params in one step."""

    @task
    async def add(x: int, y: int) -> int:
        return x + y

    for limit, expected in ((2, [11, 12, 13]), (5, None)):
        step = {"map": "a", "params": {"y": {"result_of": "ten"}}, "when": {"result_of": "a", "contains": limit}}
        steps = [{"id": "a", "task": "give"}, {"id": "ten", "task": "ten"}, {"id": "m", "task": "add", **step}]
        tasks = registry([1, 2, 3], add=add, ten=task("ten")(lambda: 10))
        assert await Workflow.from_config({"steps": steps}, tasks).run() == expected


async def test_values_that_cannot_be_compared() -> None:
    """A comparison that makes no sense is an error that names the condition, not a silent no."""
    wf = Workflow.from_config({"steps": branch({"result_of": "a", "gt": 3})}, registry("text"))
    with pytest.raises(TypeError, match=r"steps\[1\]\.when\.gt: gt does not apply to 'text'.*3"):
        await wf.run()


async def test_a_field_that_is_not_there() -> None:
    """A test of something that is not there is an error, unless a default or `exists` says what then."""
    wf = Workflow.from_config({"steps": branch({"result_of": "a", "field": "scroe", "gt": 3})}, registry({"score": 1}))
    with pytest.raises(BindingError, match=r"steps\[1\]\.when.*\['score'\].*'scroe'.*default"):
        await wf.run()


async def test_conditions_on_disabled_steps() -> None:
    """With a default, or a test for existence, a condition may look at a disabled step."""
    for test, expected in (
        ({"default": 1, "equals": 1}, "b"),
        ({"default": 1, "equals": 2}, None),
        ({"exists": False}, "b"),
    ):
        steps = branch({"result_of": "a", **test})
        steps[0]["enabled"] = False
        assert await Workflow.from_config({"steps": steps}, registry(0)).run() == expected
    with pytest.raises(GraphCompilationError, match=r"steps\[1\]\.when: step 'b' refers to 'a', which is disabled"):
        Workflow.from_config({"steps": [{**steps[0]}, {**steps[1], "when": {"result_of": "a", "gt": 1}}]}, registry(0))


async def test_a_condition_of_a_thousand_dependencies() -> None:
    """A conditional join of a thousand steps runs once, with every result."""

    @task
    async def count(ctx: TaskExecutionContext) -> int:
        return sum(f"s{n}" in ctx.results for n in range(1000))

    steps: list[dict[str, Any]] = [{"id": f"s{n}", "task": "say"} for n in range(1000)]
    before = [step["id"] for step in steps]
    steps.append({"id": "end", "task": "count", "depends_on": before, "when": {"result_of": "s999"}})
    assert await Workflow.from_config({"steps": steps}, registry(0, count=count)).run() == 1000
