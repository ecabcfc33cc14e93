"""The sample of seed 000 under "With Distributed Execution", with plain `def` tasks: on workers, and without Redis."""

from __future__ import annotations

import os

import pytest

from graflow_async import QueueBackend, SyncTaskExecutionContext, TaskWrapper, task, workflow

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for


@pytest.fixture(params=list(QueueBackend))
def backend(request, monkeypatch):
    """Say where tasks wait; with Redis two workers are there, and the environment tells where."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
        request.getfixturevalue("workers")("worker-1", "worker-2")
    return request.param


def is_elsewhere(pid):
    return pid != os.getpid()


def test_dynamic_tasks_work_with_distribution(backend):
    """Integration: tasks that a running task makes are done as locally, and on workers if the queue is in Redis."""
    with workflow("dynamic") as ctx:

        @task(inject_context=True)
        def start(context: SyncTaskExecutionContext):
            for n in range(5):
                context.next_task(TaskWrapper(f"square_{n}", lambda n=n: (n * n, os.getpid())))
            return os.getpid()

        ctx.execute("start", queue_backend=backend, max_steps=1000)
        results = {n: ctx.get_result(f"square_{n}") for n in range(5)}
        started_by = ctx.get_result("start")
    assert {n: square for n, (square, _) in results.items()} == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    pids = {started_by, *(pid for _, pid in results.values())}
    assert all(is_elsewhere(pid) == (backend == "redis") for pid in pids)


def test_a_task_iterates_on_workers(backend):
    """`next_iteration` asks for another turn from wherever the task runs, and `max_steps` bounds them all."""
    with workflow("training") as ctx:

        @task(inject_context=True)
        def train(context: SyncTaskExecutionContext, accuracy=0.5):
            if accuracy < 0.9:
                context.next_iteration(accuracy=round(accuracy + 0.15, 2))
            return accuracy, context.cycle_count, is_elsewhere(os.getpid())

        value = ctx.execute("train", queue_backend=backend, max_steps=1000)
    accuracy, turns, elsewhere = value
    assert (accuracy, turns) == (0.95, 4)
    assert isinstance(elsewhere, bool)


def test_channels_hold_the_state(backend):
    """With Channels: what one task wrote the next one reads, whichever worker runs it."""
    with workflow("counting") as ctx:

        @task(inject_context=True)
        def count(context: SyncTaskExecutionContext):
            channel = context.get_channel()
            seen = channel.get("seen", default=[])
            channel.set("seen", [*seen, context.cycle_count])
            if context.cycle_count < 4:
                context.next_iteration()
            return channel.get("seen")

        assert ctx.execute("count", queue_backend=backend, channel_backend=backend, max_steps=1000) == [1, 2, 3, 4]
