"""`retry_policy` of a step: what it means, what it leaves as it was, and every mistake in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from graflow_async import GraphCompilationError, RetryPolicy, Workflow, task
from tests.aids.simloop import run_sim

FIELDS = {"max_retries": 4, "initial_interval": 0.5, "backoff_factor": 3, "max_interval": 2.0, "jitter": True}


@task
async def plain(x: int = 0) -> int:
    return x


@task(retry_policy=RetryPolicy(7, 5.0, 1.5, 40.0, jitter=True, retry_on=KeyError))
async def patient(x: int = 0) -> int:
    return x


def policy_of(task_name: str, **step: Any) -> dict[str, Any]:
    """Give the fields of the policy that a step's task ends up with."""
    wf = Workflow.from_config(
        {"steps": [{"id": "it", "task": task_name, **step}]}, {"plain": plain, "patient": patient}
    )
    policy = wf.graph.get_node("it").definition.retry
    return {name: getattr(policy, name) for name in RetryPolicy.__slots__}


def test_every_field_is_taken() -> None:
    """The mapping has the fields of a RetryPolicy, which mean the same."""
    assert policy_of("plain", retry_policy=FIELDS) == {**FIELDS, "retry_on": Exception}


def test_fields_that_are_not_given() -> None:
    """They stay as the task has them, its exceptions included; without a policy they are those of RetryPolicy."""
    default = RetryPolicy()
    expected = {name: getattr(default, name) for name in RetryPolicy.__slots__}
    assert policy_of("plain", retry_policy={}) == expected
    assert policy_of("plain", retry_policy={"jitter": True}) == {**expected, "jitter": True}
    changed = policy_of("patient", retry_policy={"initial_interval": 0.1})
    assert changed == {
        "max_retries": 7,
        "initial_interval": 0.1,
        "backoff_factor": 1.5,
        "max_interval": 40.0,
        "jitter": True,
        "retry_on": KeyError,
    }
    assert policy_of("patient", retry_policy={"max_retries": 1}) == policy_of("patient", max_retries=1)
    assert policy_of("patient", retry_policy=None)["max_retries"] == 7


@pytest.mark.parametrize("more", [{}, {"map": [3]}, {"params": {"x": {"result_of": "first"}}}])
def test_a_step_waits_as_its_policy_says(more: dict[str, Any]) -> None:
    """Waits of 0.5, 1.5 and (bounded) 2 seconds: for a plain step, the items of a map, and one with references."""

    async def main() -> list[float]:
        at: list[float] = []

        @task
        async def fragile(x: int = 3) -> int:
            at.append(asyncio.get_running_loop().time())
            if len(at) < 4:
                raise ValueError(x)
            return x

        step = {"id": "it", "task": "fragile", "retry_policy": {**FIELDS, "jitter": False}, **more}
        config = {"steps": [{"id": "first", "task": "plain", "params": {"x": 3}}, step]}
        value = await Workflow.from_config(config, {"plain": plain, "fragile": fragile}).run()
        assert value["it"] == ([3] if "map" in more else 3) if isinstance(value, dict) else value == 3
        return at

    assert run_sim(main, 1) == [0, 0.5, 2.0, 4.0]


def test_from_a_file(tmp_path: Path) -> None:
    """YAML says it in one line."""
    pytest.importorskip("yaml")
    path = tmp_path / "flow.yaml"
    path.write_text("steps:\n  - {id: it, task: plain, retry_policy: {max_retries: 2, max_interval: 9}}\n")
    policy = Workflow.from_config(path, {"plain": plain}).graph.get_node("it").definition.retry
    assert policy is not None
    assert (policy.max_retries, policy.initial_interval, policy.max_interval) == (2, 1.0, 9)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"retry_policy": 3}, "retry_policy: retry_policy is a mapping with the keys max_retries, initial_interval"),
        ({"retry_policy": [1]}, "retry_policy: retry_policy is a mapping with the keys"),
        ({"retry_policy": {"max_retry": 1}}, "retry_policy.max_retry: unknown key 'max_retry'; did you mean 'max_retr"),
        ({"retry_policy": {"retry_on": "ValueError"}}, "retry_policy.retry_on: unknown key 'retry_on'"),
        ({"retry_policy": {"max_retries": 1.5}}, "retry_policy.max_retries: max_retries must be a whole number"),
        ({"retry_policy": {"max_retries": -1}}, "retry_policy.max_retries: max_retries must be at least 0"),
        ({"retry_policy": {"initial_interval": "1s"}}, "retry_policy.initial_interval: initial_interval must be a num"),
        ({"retry_policy": {"backoff_factor": 0}}, "retry_policy.backoff_factor: backoff_factor must be greater than 0"),
        ({"retry_policy": {"max_interval": None}}, "retry_policy.max_interval: max_interval must be a number"),
        ({"retry_policy": {"jitter": 0.5}}, "retry_policy.jitter: jitter is true or false, not 0.5"),
        ({"retry_policy": {}, "max_retries": 2}, "retry_policy: retry_policy and max_retries both say how often"),
    ],
)
def test_every_fault_of_a_policy(step: dict[str, Any], expected: str) -> None:
    """Each mistake is one problem with its place."""
    with pytest.raises(GraphCompilationError, match="1 problem, nothing was built") as caught:
        policy_of("plain", **step)
    assert f"steps[0].{expected}" in str(caught.value)


def test_all_faults_at_once() -> None:
    """One error tells of every wrong field, of the rest of the step, and of a disabled step's policy, too."""
    wrong = {"max_retries": "x", "initial_interval": -1, "backoff_factor": 0, "max_interval": "y", "jitter": 1, "z": 1}
    steps = [
        {"id": "it", "task": "plian", "retry_policy": wrong, "timeout": 0},
        {"id": "off", "task": "plain", "enabled": False, "retry_policy": {"jitter": "no"}},
    ]
    with pytest.raises(GraphCompilationError, match="9 problems, nothing was built") as caught:
        Workflow.from_config({"steps": steps}, {"plain": plain})
    places = [f"steps[0].retry_policy.{name}:" for name in wrong]
    places += ["steps[0].task:", "steps[0].timeout:", "steps[1].retry_policy.jitter:"]
    assert all(place in str(caught.value) for place in places)
