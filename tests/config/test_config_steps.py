"""Workflows from configurations that are right: order, every step once, parameters, disabled steps, options, maps."""

from __future__ import annotations

import asyncio
import copy
import json
import random
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
    flow,
    task,
    workflow,
)

SIX = [
    {"id": "extract_a", "task": "work"},
    {"id": "extract_b", "task": "work"},
    {"id": "clean_a", "task": "work", "depends_on": ["extract_a"]},
    {"id": "join", "task": "work", "depends_on": ["clean_a", "extract_b"]},
    {"id": "clean_b", "task": "work", "depends_on": ["extract_b"]},
    {"id": "load", "task": "work", "depends_on": ["join"]},
]


class History:
    """Notes which steps ran, in order, and how many predecessors each had."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def registry(self) -> dict[str, Any]:
        @task
        async def work(ctx: TaskExecutionContext) -> str:
            self.ran.append(ctx.task_id)
            return ctx.task_id

        return {"work": work}


def check_order(ran: list[str], steps: list[dict[str, Any]]) -> None:
    """Fail unless every step ran once, after everything that it depends on: an interpreter of its own would allow it."""
    assert sorted(ran) == sorted(step["id"] for step in steps)
    position = {step_id: number for number, step_id in enumerate(ran)}
    late = [(s["id"], d) for s in steps for d in s.get("depends_on", ()) if position[d] > position[s["id"]]]
    assert not late, late


async def test_six_steps_run_once_and_in_order_however_they_are_listed() -> None:
    """The list order of steps does not matter: once each, none before what it depends on."""
    rng = random.Random(48)  # noqa: S311
    orders = [SIX, SIX[::-1], *(rng.sample(SIX, len(SIX)) for _ in range(20))]
    for steps in orders:
        history = History()
        await Workflow.from_config({"name": "etl", "steps": steps}, history.registry()).run()
        check_order(history.ran, steps)


async def test_input_counts_of_the_six_steps() -> None:
    """A step sees exactly the results of what it depends on."""
    counts: dict[str, int] = {}

    @task
    async def work(ctx: TaskExecutionContext) -> str:
        counts[ctx.task_id] = sum(before in ctx.results for before in ctx.graph.predecessors(ctx.task_id))
        return ctx.task_id

    wf = Workflow.from_config({"steps": SIX}, {"work": work})
    assert await wf.run() == {"clean_b": "clean_b", "load": "load"}
    assert [counts[step["id"]] for step in SIX] == [0, 0, 1, 2, 1, 1]


async def test_unequal_branches_do_not_wait_for_each_other() -> None:
    """There are no levels: a short branch is finished while the first step of another still runs."""
    release = asyncio.Event()

    @task
    async def slow() -> None:
        await release.wait()

    @task
    async def quick() -> None: ...

    @task
    async def last() -> None:
        release.set()

    steps = [
        {"id": "slow", "task": "slow"},
        {"id": "q1", "task": "quick"},
        {"id": "q2", "task": "quick", "depends_on": "q1"},
        {"id": "q3", "task": "last", "depends_on": "q2"},
    ]
    await asyncio.wait_for(
        Workflow.from_config({"steps": steps}, {"slow": slow, "quick": quick, "last": last}).run(), 10
    )


@pytest.mark.parametrize("shape", ["chain", "fan"])
async def test_a_thousand_steps(shape: str) -> None:
    """A thousand steps in a row or side by side are built and run, each once."""
    ids = [f"s{number}" for number in range(1000)]
    before = {ids[n]: [ids[n - 1 if shape == "chain" else 0]] for n in range(1, 1000)}
    steps = [{"id": i, "task": "work", "depends_on": before.get(i, [])} for i in ids]
    history = History()
    await Workflow.from_config({"steps": steps}, history.registry()).run()
    check_order(history.ran, steps)


async def test_random_graphs_against_a_plain_check() -> None:
    """300 random graphs, with disabled steps: who runs, and after whom, is what a naive reading of the data says."""
    for seed in range(300):
        rng = random.Random(seed)  # noqa: S311
        ids = [f"s{number}" for number in range(rng.randint(1, 14))]
        steps: list[dict[str, Any]] = []
        for number, step_id in enumerate(ids):
            before = rng.sample(ids[:number], rng.randint(0, min(number, 3)))
            enabled = number == 0 or rng.random() < 0.8
            steps.append({"id": step_id, "task": "work", "depends_on": before, "enabled": enabled})
        rng.shuffle(steps)
        by_id = {step["id"]: step for step in steps}

        def above(step_id: str, known: dict[str, Any] = by_id) -> set[str]:
            found: set[str] = set()
            for name in known[step_id]["depends_on"]:
                found |= {name} if known[name]["enabled"] else above(name)
            return found

        history = History()
        wf = Workflow.from_config({"steps": steps}, history.registry())
        await wf.run()
        expected = [{"id": s["id"], "depends_on": above(s["id"])} for s in steps if s["enabled"]]
        try:
            check_order(history.ran, expected)
            assert all(set(wf.graph.predecessors(s["id"])) == s["depends_on"] for s in expected)
        except AssertionError:
            print(f"seed {seed}: {steps}")
            raise


async def test_every_enabled_step_runs_also_alone_and_as_a_child_run() -> None:
    """A step without edges runs beside connected ones, in a run of its own and in a child run."""
    steps = [*SIX, {"id": "alone", "task": "work"}]
    history = History()
    wf = Workflow.from_config({"steps": steps}, history.registry())
    await wf.run()
    assert "alone" in history.ran

    @task
    async def parent(ctx: TaskExecutionContext) -> Any:
        return await ctx.run_workflow(wf)

    history.ran.clear()
    assert (await parent)["alone"] == "alone"
    assert len(history.ran) == 7


async def test_disabled_steps_are_passed_over() -> None:
    """Only enabled steps are nodes; who depends on a disabled one depends on what that depended on, also twice removed."""
    history = History()
    steps = [
        {"id": "first", "task": "work"},
        {"id": "off1", "task": "not registered", "depends_on": ["first"], "enabled": False},
        {"id": "off2", "task": "work", "depends_on": ["off1"], "enabled": False},
        {"id": "last", "task": "work", "depends_on": ["off2"], "enabled": True},
    ]
    wf = Workflow.from_config({"steps": steps}, history.registry())
    assert wf.graph.nodes == ["first", "last"]
    assert wf.graph.edges == [("first", "last")]
    assert await wf.run() == "last"
    assert history.ran == ["first", "last"]


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


async def test_nothing_joins_an_open_block() -> None:
    """Building from data inside a block leaves that block's workflow alone, and runs nothing in a plain flow."""
    history = History()
    registry = history.registry()
    with workflow("outer") as outer:
        Workflow.from_config({"steps": SIX}, registry)
    assert outer.graph.nodes == []

    @flow
    def building() -> list[str]:
        return Workflow.from_config(
            {"steps": [{"id": "x", "task": "add", "params": {"x": 1}}]}, {"add": add}
        ).graph.nodes

    @task
    async def add(x: int) -> int:
        raise AssertionError(x)

    assert await building() == ["x"]
    assert history.ran == []


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
