"""The sample of seed 000 under "With Distributed Execution", with `async def` tasks: on workers, and without Redis."""

from __future__ import annotations

import os

import pytest

from graflow_async import QueueBackend, TaskExecutionContext, TaskWrapper, task, workflow

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for


@pytest.fixture(params=list(QueueBackend))
def backend(request, monkeypatch):
    """Say where tasks wait; with Redis two workers are there, and the environment tells where."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
        request.getfixturevalue("workers")("worker-1", "worker-2")
    return request.param


async def test_dynamic_tasks_work_with_distribution(backend):
    """Integration: tasks that a running task makes are done as locally, and on workers if the queue is in Redis."""
    with workflow("dynamic") as wf:

        @task(inject_context=True)
        async def start(context: TaskExecutionContext):
            async def square(n):
                return n * n, os.getpid()

            for n in range(5):
                context.next_task(TaskWrapper(f"square_{n}", lambda n=n: square(n)))
            return os.getpid()

    await wf.run("start", queue_backend=backend, max_steps=1000)
    results = {n: wf.get_result(f"square_{n}") for n in range(5)}
    assert {n: square for n, (square, _) in results.items()} == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    pids = {wf.get_result("start"), *(pid for _, pid in results.values())}
    assert all((pid != os.getpid()) == (backend == "redis") for pid in pids)


async def test_a_state_machine_goes_through_its_states(backend):
    """Integration: a state in the channel, a turn for each state, on workers as here."""
    after = {"START": "WORK", "WORK": "CHECK", "CHECK": "END"}

    with workflow("machine") as wf:

        @task(inject_context=True)
        async def step(context: TaskExecutionContext):
            channel = context.get_channel()
            state = await channel.get("state", default="START")
            await channel.append("story", state)
            if state in after:
                await channel.set("state", after[state])
                context.next_iteration()
            return await channel.get("story")

    value = await wf.run("step", queue_backend=backend, channel_backend=backend, max_steps=1000)
    assert value == ["START", "WORK", "CHECK", "END"]
