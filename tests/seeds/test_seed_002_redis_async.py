"""The sample of seed 002 under "Integration with Distributed Execution", with `async def` tasks, awaited."""

# The sample binds its loop variable late, as its readers do.
# ruff: noqa: B023

from __future__ import annotations

import asyncio
import os

import pytest

from graflow_async import QueueBackend, Workflow, task, workflow

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for


@pytest.fixture(params=list(QueueBackend))
def backend(request, monkeypatch):
    """Say where tasks wait; with Redis two workers are there, and the environment tells where."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
        request.getfixturevalue("workers")("worker-1", "worker-2")
    return request.param


def hundred_tasks() -> Workflow:
    """Make the sample's workflow."""

    async def heavy_computation(number):
        await asyncio.sleep(0)
        return number, os.getpid()

    with workflow("distributed_dynamic") as wf:
        for i in range(100):

            @task(id=f"worker_task_{i}")
            async def process():
                return await heavy_computation(i)

    return wf


async def test_the_named_task_travels(backend):
    """The one that is named runs, serialized with its closure, and its result comes back."""
    number, pid = await hundred_tasks().run(start_node="worker_task_0", queue_backend=backend)
    assert number == 99  # late binding
    assert (pid != os.getpid()) == (backend == "redis")


async def test_all_tasks_travel(backend):
    """Without a start all hundred run, none of them here if the queue is in Redis."""
    results = await hundred_tasks().run(queue_backend=backend)
    assert set(results) == {f"worker_task_{n}" for n in range(100)}
    assert {number for number, _ in results.values()} == {99}
    assert (os.getpid() not in {pid for _, pid in results.values()}) == (backend == "redis")
