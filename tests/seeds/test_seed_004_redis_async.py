"""The samples of seed 004 under "Distributed Execution", with `async def` tasks, awaited: in Redis, and without it."""

from __future__ import annotations

import os

import pytest

from graflow_async import (
    ChannelFactory,
    ParallelGroup,
    QueueBackend,
    RedisCoordinator,
    TaskQueueFactory,
    create_execution_context,
    task,
    workflow,
)

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for
WORKERS = ("worker-1", "worker-2")


@pytest.fixture(params=list(QueueBackend))
def backend(request, monkeypatch):
    """Say where everything is; the environment tells where Redis is, and two workers are there."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
        request.getfixturevalue("workers")(*WORKERS, queue="distributed_pipeline")
    return request.param


async def test_backend_setup(backend):
    """Redis Backend Setup: on a loop the verbs are awaited, and who waits for an item gets it."""
    queue = TaskQueueFactory.create(backend=backend, queue_name="my_workflow")
    channel = ChannelFactory.create(backend=str(backend), channel_name="my_channel")
    async with queue, channel:
        for number in range(3):
            await queue.enqueue(number)
        assert await queue.size() == 3
        assert [await queue.dequeue() for _ in range(3)] == [0, 1, 2]
        assert await queue.dequeue(timeout=0.01, default="nothing") == "nothing"
        await channel.set("key", {1: "one"})
        assert await channel.get("key") == {1: "one"}


def tasks_of_the_sample():
    """Make the tasks of the samples; each tells in which process it has run."""

    @task
    async def fetch():
        return 10, os.getpid()

    @task
    async def process_a(fetch):
        return fetch[0] + 1, os.getpid()

    @task
    async def process_b(fetch):
        return fetch[0] + 2, os.getpid()

    @task
    async def process_c(fetch):
        return fetch[0] + 3, os.getpid()

    @task
    async def aggregate(process_a, process_b, process_c):
        parts = (process_a, process_b, process_c)
        return sum(number for number, _ in parts), {pid for _, pid in parts}, os.getpid()

    return fetch, process_a, process_b, process_c, aggregate


async def test_distributed_workflow(backend):
    """Distributed Workflow: the context makes every task of the run travel; the values are those of a local run."""
    context = create_execution_context(
        queue_backend=backend, channel_backend=str(backend), queue_name="distributed_pipeline"
    )

    with workflow("distributed", execution_context=context) as wf:
        fetch, process_a, process_b, process_c, aggregate = tasks_of_the_sample()
        fetch >> (process_a | process_b | process_c) >> aggregate

    total, members, last = await wf.run("fetch")
    assert total == 36
    assert {pid == os.getpid() for pid in (*members, last)} == {backend == "memory"}


async def test_coordinator_for_parallel_groups(workers, redis_url):
    """Redis Coordinator: the members of that group run on workers, everything else stays where the run is."""
    workers(*WORKERS)
    coordinator = RedisCoordinator(redis_url=redis_url)
    fetch, process_a, process_b, process_c, aggregate = tasks_of_the_sample()
    group = ParallelGroup([process_a, process_b, process_c], name="distributed_group", coordinator=coordinator)

    with workflow("coordinated") as wf:
        fetch >> group >> aggregate

    total, members, last = await wf.run()
    assert "distributed_group" in wf.graph.nodes
    assert total == 36
    assert os.getpid() not in members
    assert last == os.getpid()
    assert not coordinator.is_open
