"""Tasks of steps: parameters and references, options, maps, what may be registered, and the same from files."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    BindingError,
    Cache,
    MemoryStore,
    RetryPolicy,
    TaskExecutionContext,
    Workflow,
    config,
    flow,
    task,
)


async def test_parameters_literal_referred_and_found() -> None:
    """Literals, references at any depth and parameters found as usual meet in one call."""

    @task
    async def numbers() -> dict[str, Any]:
        return {"rows": [1, 2, 3], "total": 6}

    @task
    def use(total: int, rows: list[int], extra: dict[str, Any], scale: int = 1, *, note: str = "-") -> Any:
        return total, rows, extra, scale, note

    config = {
        "steps": [
            {"id": "numbers", "task": "numbers"},
            {
                "id": "use",
                "task": "use",
                "depends_on": ["numbers"],
                "params": {
                    "rows": {"result_of": "numbers", "field": "rows"},
                    "extra": {
                        "last": {"result_of": "numbers", "field": ["rows", -1]},
                        "list": [0, {"result_of": "numbers", "field": "total"}],
                        "raw": {"literal": {"result_of": "nobody"}},
                        "missing": {"result_of": "numbers", "field": "nope", "default": None},
                    },
                    "note": "hi",
                },
            },
        ]
    }
    before = copy.deepcopy(config)
    wf = Workflow.from_config(config, {"numbers": numbers, "use": use})
    extra = {"last": 3, "list": [0, 6], "raw": {"result_of": "nobody"}, "missing": None}
    for _ in range(2):
        assert await wf.run() == (6, [1, 2, 3], extra, 1, "hi")
    assert config == before


async def test_a_reference_is_a_dependency() -> None:
    """A step waits for what it refers to, and no edge is drawn to what depends_on reaches already."""

    @task
    async def one() -> int:
        return 1

    @task
    async def add(x: int, y: int = 0) -> int:
        return x + y

    steps = [
        {"id": "sum", "task": "add", "params": {"x": {"result_of": "b"}, "y": {"result_of": "a"}}, "depends_on": ["b"]},
        {"id": "b", "task": "add", "params": {"x": {"result_of": "a"}}},
        {"id": "a", "task": "one"},
    ]
    wf = Workflow.from_config({"steps": steps}, {"one": one, "add": add})
    assert sorted(wf.graph.edges) == [("a", "b"), ("b", "sum")]
    assert await wf.run() == 2


async def test_a_reference_that_leads_nowhere_names_its_place() -> None:
    """A part that is not there is an error that says where the reference is written and what there was."""

    @task
    async def give() -> dict[str, int]:
        return {"score": 1}

    @task
    async def take(x: int) -> int:
        return x

    steps = [
        {"id": "give", "task": "give"},
        {"id": "take", "task": "take", "params": {"x": {"result_of": "give", "field": "scroe"}}},
    ]
    with pytest.raises(BindingError, match=r"steps\[1\]\.params\.x.*'give'.*\['score'\].*'scroe'.*default"):
        await Workflow.from_config({"steps": steps}, {"give": give, "take": take}).run()


@pytest.mark.parametrize("executor", ["auto", "inline", "thread", "process"])
async def test_references_work_wherever_the_task_runs(executor: str) -> None:
    """A plain function gets values that were looked up for it, also in another process."""
    steps = [
        {"id": "one", "task": "one"},
        {"id": "two", "task": "double", "executor": executor, "params": {"x": {"result_of": "one"}}},
    ]

    def double(x: int) -> int:
        return 2 * x

    wf = Workflow.from_config({"steps": steps}, {"one": lambda_one(), "double": double})
    assert await wf.run() == 2


async def test_a_default_executor_takes_nothing_that_needs_results() -> None:
    """With another process as the run's default, conditions and references are still looked up here."""
    steps = [
        {"id": "one", "task": "one"},
        {"id": "two", "task": "plus", "params": {"x": {"result_of": "one"}}, "when": {"result_of": "one", "gt": 0}},
    ]
    registry = {"one": lambda_one(), "plus": task("plus")(lambda x: x + 1)}
    assert await Workflow.from_config({"steps": steps}, registry).run(executor="process") == 2


async def test_a_step_that_fails_stops_what_depends_on_it() -> None:
    """The task's own error comes out, with the step's id on it, and no dependent starts."""
    ran: list[str] = []

    @task
    async def broken() -> None:
        raise LookupError("gone")

    @task
    async def after(ctx: TaskExecutionContext) -> None:
        ran.append(ctx.task_id)

    steps = [{"id": "source", "task": "broken"}, {"id": "sink", "task": "after", "depends_on": ["source"]}]
    with pytest.raises(LookupError, match="gone") as caught:
        await Workflow.from_config({"steps": steps}, {"broken": broken, "after": after}).run()
    assert "'source'" in "".join(caught.value.__notes__)
    assert ran == []


def lambda_one() -> Any:
    """Make a task that gives 1."""
    return task("one")(lambda: 1)


async def test_the_context_of_a_step_with_references_is_its_own() -> None:
    """A body sees the step's id and may jump: a reference does not put the task into another one."""

    @task(inject_context=True)
    async def jump(ctx: TaskExecutionContext, x: int) -> str:
        ctx.next_task(ctx.graph.get_node("end"), goto=True)
        return f"{ctx.task_id} {x}"

    @task
    async def end(jump_step: str) -> str:
        return jump_step

    @task
    async def never() -> str:
        return "never"

    steps = [
        {"id": "one", "task": "one"},
        {"id": "jump_step", "task": "jump", "params": {"x": {"result_of": "one"}}},
        {"id": "middle", "task": "never", "depends_on": ["jump_step"]},
        {"id": "end", "task": "end", "depends_on": ["middle", "jump_step"]},
    ]
    registry = {"one": lambda_one(), "jump": jump, "end": end, "never": never}
    async with Workflow.from_config({"steps": steps}, registry).start() as run:
        assert await run == "jump_step 1"
    assert "middle" not in run.results


async def test_a_cached_task_is_cached_by_what_is_referred_to() -> None:
    """Values that were looked up belong to the key: another value is no hit."""
    calls: list[int] = []

    @task(cache=Cache())
    async def square(x: int) -> int:
        calls.append(x)
        return x * x

    steps = [{"id": "n", "task": "number"}, {"id": "sq", "task": "square", "params": {"x": {"result_of": "n"}}}]
    store = MemoryStore()
    values = [2, 3, 2]

    @task
    async def number() -> int:
        return values.pop(0)

    wf = Workflow.from_config({"steps": steps}, {"number": number, "square": square})
    assert [await wf.run(store=store) for _ in range(3)] == [4, 9, 4]
    assert calls == [2, 3]


async def test_task_options_of_a_step() -> None:
    """Options of a step change the registered task's for this step alone; the waits of its policy stay."""
    tries: list[str] = []

    @task(retry_policy=RetryPolicy(max_retries=0, initial_interval=0.0))
    async def fragile(ctx: TaskExecutionContext) -> str:
        tries.append(ctx.task_id)
        if len(tries) < 3:
            raise ValueError(len(tries))
        return "ok"

    steps = [{"id": "go", "task": "fragile", "max_retries": 2, "limits": ["db"], "tags": ["x"], "timeout": 5}]
    wf = Workflow.from_config({"steps": steps}, {"fragile": fragile})
    assert await wf.run(limits={"db": 1}) == "ok"
    assert tries == ["go"] * 3
    definition = wf.graph.get_node("go").definition
    assert (definition.limits, definition.tags, definition.timeout) == (("db",), ("x",), 5)
    assert fragile.definition.limits == ()


@pytest.mark.parametrize("over", ["rows", {"result_of": "rows"}, [1, {"result_of": "rows", "field": 1}, 3]])
async def test_maps(over: Any) -> None:
    """The task runs once for each element of a result (or a list), with the other parameters the same."""

    @task
    async def rows() -> list[int]:
        return [1, 2, 3]

    @task
    async def scale(row: int, by: int, offset: int = 0) -> int:
        return row * by + offset

    params = {"by": 10, "offset": {"result_of": "rows", "field": 0}}
    steps = [
        {"id": "rows", "task": "rows"},
        {"id": "scaled", "task": "scale", "map": over, "params": params},
        {"id": "total", "task": "total", "depends_on": ["scaled"]},
    ]
    wf = Workflow.from_config({"steps": steps}, {"rows": rows, "scale": scale, "total": task("total")(sum_of)})
    async with wf.start() as run:
        assert await run == 63
    assert run.results["scaled"] == [11, 21, 31]
    assert wf.graph.edges == [("rows", "scaled"), ("scaled", "total")]


def sum_of(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


async def test_options_of_a_map() -> None:
    """max_concurrency bounds the items, return_exceptions puts failures in place, max_retries goes for each item."""
    running = most = 0
    tries: dict[int, int] = {}

    @task
    async def item(x: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        tries[x] = tries.get(x, 0) + 1
        if x == 3:
            raise ValueError(x)
        return x

    step = {"map": [1, 2, 3, 4], "max_concurrency": 2, "return_exceptions": True, "max_retries": 1}
    value = await Workflow.from_config({"steps": [{"id": "all", "task": "item", **step}]}, {"item": item}).run()
    assert most == 2
    assert [str(v) for v in value] == ["1", "2", "3", "4"]
    assert isinstance(value[2], ValueError)
    assert tries == {1: 1, 2: 1, 3: 2, 4: 1}


async def test_registered_things() -> None:
    """Bound tasks keep their arguments, plain functions and flows are taken, one task may serve many steps."""

    @task
    async def add(x: int, y: int) -> int:
        return x + y

    @flow
    async def outer(n: int) -> int:
        return await add(n, 1)

    steps = [
        {"id": "a", "task": "plus5", "params": {"y": 1}},
        {"id": "b", "task": "plus5", "params": {"y": {"result_of": "a"}}},
        {"id": "c", "task": "plain", "params": {"n": {"result_of": "b"}}},
        {"id": "d", "task": "outer", "params": {"n": {"result_of": "c"}}},
    ]

    def plain(n: int) -> int:
        return n * 2

    registry = {"plus5": add(x=5), "plain": plain, "outer": outer}
    assert await Workflow.from_config({"steps": steps}, registry).run() == 23


async def test_the_form_in_the_documentation() -> None:
    """The example that explains the form is valid and does what its words say."""
    yaml = pytest.importorskip("yaml")
    example = (config.__doc__ or "").split("The form::\n")[1].split("\n\n**References.**")[0]
    registry = {
        "extract": task("extract")(lambda source: {"rows": [source]}),
        "assess": task("assess")(lambda rows: {"risk": "HIGH", "rows": rows}),
        "notify": task("notify")(lambda assess: assess["rows"]),
        "score": task("score")(len),
    }
    data = yaml.safe_load(example)
    wf = Workflow.from_config(data, registry)
    assert wf.name == "review"
    assert await wf.run() == ["a.csv"]
    data["steps"][3]["enabled"] = True
    assert await Workflow.from_config(data, registry).run() == {"escalate": ["a.csv"], "score": [5]}


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
async def test_files_and_mappings_say_the_same(tmp_path: Path, suffix: str) -> None:
    """One configuration as mapping, JSON and YAML gives the same graph and the same value; the file gives the name."""
    yaml = pytest.importorskip("yaml")
    data = {
        "steps": [
            {"id": "n", "task": "n", "params": {"k": 3}},
            {"id": "big", "task": "show", "when": {"result_of": "n", "gte": 3}, "params": {"x": {"result_of": "n"}}},
        ]
    }

    def show(x: int, note: str = "ü") -> str:
        return f"{x}{note}"

    registry = {"n": task("n")(lambda k: k), "show": show}
    file = tmp_path / f"review{suffix}"
    file.write_text(json.dumps(data) if suffix == ".json" else yaml.safe_dump(data), encoding="utf-8")
    direct = Workflow.from_config(data, registry)
    for source in (file, str(file)):
        read = Workflow.from_config(source, registry)
        assert read.name == "review"
        assert (read.graph.nodes, read.graph.edges) == (direct.graph.nodes, direct.graph.edges)
        assert await read.run() == await direct.run() == "3ü"
