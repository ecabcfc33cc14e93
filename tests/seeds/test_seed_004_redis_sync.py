"""The samples of seed 004 under "Distributed Execution", with plain `def` tasks: in Redis, and without it."""

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
    """Say where everything is; the environment tells where Redis is."""
    if request.param == QueueBackend.REDIS:
        monkeypatch.setenv("GRAFLOW_REDIS_URL", request.getfixturevalue("redis_url"))
    return request.param


def test_backend_setup(backend):
    """Redis Backend Setup: the queue gives back in order what was put in, the channel what was written."""
    queue = TaskQueueFactory.create(backend=backend, queue_name="my_workflow")
    channel = ChannelFactory.create(backend=str(backend), channel_name="my_channel")
    with queue, channel:
        for item in ("first", {"second": 2}, (3, {4})):
            queue.enqueue(item)
        assert queue.size() == 3
        assert [queue.dequeue() for _ in range(4)] == ["first", {"second": 2}, (3, {4}), None]
        channel.set("key", {1: "one"})
        channel.append("log", "a")
        assert channel.append("log", "b") == 2
        assert (channel.get("key"), channel.get("log"), sorted(channel.keys())) == (
            {1: "one"},
            ["a", "b"],
            ["key", "log"],
        )


def tasks_of_the_sample():
    """Make the tasks of the samples; each tells in which process it has run."""

    @task
    def fetch():
        return 10, os.getpid()

    @task
    def process_a(fetch):
        return fetch[0] + 1, os.getpid()

    @task
    def process_b(fetch):
        return fetch[0] + 2, os.getpid()

    @task
    def process_c(fetch):
        return fetch[0] + 3, os.getpid()

    @task
    def aggregate(process_a, process_b, process_c):
        parts = (process_a, process_b, process_c)
        return sum(number for number, _ in parts), {pid for _, pid in parts}, os.getpid()

    return fetch, process_a, process_b, process_c, aggregate


def test_distributed_workflow(backend, request):
    """Distributed Workflow: the context makes every task of the run travel; the values are those of a local run."""
    if backend == QueueBackend.REDIS:
        request.getfixturevalue("workers")(*WORKERS, queue="distributed_pipeline")
    context = create_execution_context(
        queue_backend=backend, channel_backend=str(backend), queue_name="distributed_pipeline"
    )

    with workflow("distributed", execution_context=context) as wf:
        fetch, process_a, process_b, process_c, aggregate = tasks_of_the_sample()
        fetch >> (process_a | process_b | process_c) >> aggregate
        total, members, last = wf.execute("fetch")
    assert total == 36
    assert {pid == os.getpid() for pid in (*members, last)} == {backend == "memory"}


def test_coordinator_for_parallel_groups(workers, redis_url):
    """Redis Coordinator: the members of that group run on workers, everything else stays where the run is."""
    workers(*WORKERS)
    coordinator = RedisCoordinator(redis_url=redis_url)

    with workflow("coordinated") as wf:
        fetch, process_a, process_b, process_c, aggregate = tasks_of_the_sample()
        group = ParallelGroup([process_a, process_b, process_c], name="distributed_group", coordinator=coordinator)
        fetch >> group >> aggregate
        total, members, last = wf.execute()
    assert "distributed_group" in wf.graph.nodes
    assert total == 36
    assert os.getpid() not in members
    assert last == os.getpid()


def test_the_group_without_a_coordinator():
    """The same group without a coordinator gives the same result, here."""
    with workflow("alone") as wf:
        fetch, process_a, process_b, process_c, aggregate = tasks_of_the_sample()
        group = ParallelGroup([process_a, process_b, process_c], name="distributed_group", coordinator=None)
        fetch >> group >> aggregate
        assert wf.execute() == (36, {os.getpid()}, os.getpid())
