"""The sample of seed 002 under "Integration with Distributed Execution", with plain `def` tasks."""

# The sample binds its loop variable late, as its readers do.
# ruff: noqa: B023

from __future__ import annotations

import os

import pytest

from graflow_async import QueueBackend, task, workflow

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for


@pytest.fixture(params=list(QueueBackend))
def backend(request, monkeypatch):
    """Say where tasks wait; with Redis two workers are there, and the environment tells where."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
        request.getfixturevalue("workers")("worker-1", "worker-2")
    return request.param


def hundred_tasks():
    """Make the sample's tasks in the open block."""

    def heavy_computation(number):
        return number, os.getpid()

    tasks = []
    for i in range(100):

        @task(id=f"worker_task_{i}")
        def process():
            return heavy_computation(i)

        tasks.append(process)
    return tasks


def test_the_named_task_travels(backend):
    """The sample as it stands: the one that is named runs, serialized with its closure, and its result comes back."""
    with workflow("distributed_dynamic") as ctx:
        tasks = hundred_tasks()
        number, pid = ctx.execute(start_node="worker_task_0", queue_backend=backend)
        others = [ctx.get_result(f"worker_task_{n}") for n in range(1, 100)]
    assert len(tasks) == 100
    assert number == 99  # late binding
    assert (pid != os.getpid()) == (backend == "redis")
    assert others == [None] * 99


def test_all_tasks_travel(backend):
    """What the text under the sample says of all tasks is met by leaving out where to start."""
    with workflow("distributed_dynamic") as ctx:
        hundred_tasks()
        results = ctx.execute(queue_backend=backend)
    assert set(results) == {f"worker_task_{n}" for n in range(100)}
    assert {number for number, _ in results.values()} == {99}
    assert (os.getpid() not in {pid for _, pid in results.values()}) == (backend == "redis")
