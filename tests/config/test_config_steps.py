"""Workflows from configurations that are right: order, every step once, disabled steps, thousands and random graphs."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from graflow_async import TaskExecutionContext, Workflow, flow, task, workflow

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


def check_order(ran: list[str], steps: list[dict[str, Any]], said: str = "") -> None:
    """Fail unless every step ran once, after everything that it depends on."""
    assert sorted(ran) == sorted(step["id"] for step in steps), said
    position = {step_id: number for number, step_id in enumerate(ran)}
    late = [(s["id"], d) for s in steps for d in s.get("depends_on", ()) if position[d] > position[s["id"]]]
    assert not late, f"{late} {said}"


async def test_six_steps_run_once_and_in_order_however_they_are_listed() -> None:
    """The list order of steps does not matter: once each, none before what it depends on."""
    rng = random.Random(48)
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
        Workflow.from_config({"steps": steps}, {"slow": slow, "quick": quick, "last": last}).run(), 60
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
        rng = random.Random(seed)
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
        said = f"seed {seed}: {steps}"
        check_order(history.ran, expected, said)
        assert all(set(wf.graph.predecessors(s["id"])) == s["depends_on"] for s in expected), said


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
    """Only enabled steps are nodes; who depends on a disabled one depends on what that depended on."""
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

    bound: Any = building()
    assert await bound == ["x"]
    assert history.ran == []
