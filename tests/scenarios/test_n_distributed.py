"""Scenarios 158 to 169: queues, channels, workers, groups that travel. 160 to 163 are told by the seeds, too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any, cast

import pytest
import redis

from graflow_async import (
    ChannelFactory,
    ParallelGroup,
    ParallelGroupError,
    QueueBackend,
    RedisCoordinator,
    TaskExecutionContext,
    TaskQueueFactory,
    Workflow,
    chain,
    create_execution_context,
    parallel,
    task,
)
from tests.aids.workers import ROOT

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for
ROLL = "graflow:{q~default}:w"  # where workers stand with the ends of their leases


def local() -> int:
    return os.getpid()


# -- 158 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", list(QueueBackend))
async def test_158_queues_and_channels_are_usable(backend: QueueBackend, redis_url: str) -> None:
    """What the factories give stores and gives back; by its name a second one in Redis finds the same."""
    async with (
        TaskQueueFactory.create(backend=backend, queue_name="my_workflow", redis_url=redis_url) as queue,
        ChannelFactory.create(backend=backend, channel_name="my_channel", redis_url=redis_url) as channel,
        TaskQueueFactory.create(backend, "my_workflow", redis_url) as twin,
        ChannelFactory.create(backend, "my_channel", redis_url) as echo,
    ):
        await queue.enqueue([1])
        await channel.set("k", (1, {2: 3}))
        assert await channel.get("k") == (1, {2: 3})
        shared = backend == QueueBackend.REDIS
        assert await echo.get("k") == ((1, {2: 3}) if shared else None)
        assert await twin.size() == (1 if shared else 0)
        assert await queue.dequeue() == [1]
        assert await queue.size() == await twin.size() == 0


# -- 159 ------------------------------------------------------------------------------------------------------


def test_159_two_workers_serve_one_queue_and_stop_cleanly(workers: Any, redis_url: str) -> None:
    """Two processes share the tasks of one run, `--help` lists the options, SIGTERM ends with code 0."""
    pair = workers("worker-1", "worker-2", options=("--concurrency", "1"))

    async def meet(ctx: TaskExecutionContext, mine: str, other: str) -> int:
        """Wait for the other one: each worker has room for one of the two."""
        channel = ctx.get_channel()
        await channel.set(mine, os.getpid())
        await channel.wait(other, timeout=60)
        return os.getpid()

    one = task("one", inject_context=True)(meet)(mine="one", other="two", task_id="one")
    two = task("two", inject_context=True)(meet)(mine="two", other="one", task_id="two")
    value = Workflow("pair", parallel(one, two)).execute(queue_backend="redis", redis_url=redis_url)
    assert set(value.values()) == set(pair.pids)
    assert pair.stop("worker-1") == pair.stop("worker-2") == 0
    shown = subprocess.run(
        [sys.executable, "-m", "graflow_async.worker", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for option in ("--worker-id", "--redis-url", "--queue", "--concurrency", "--lease", "--grace", "--modules"):
        assert option in shown


# -- 160 to 163 -----------------------------------------------------------------------------------------------


async def test_160_each_runs_once_and_the_last_sees_all(workers: Any, redis_url: str) -> None:
    """With two workers every task of the context's workflow runs exactly once, the join after all of its branches."""
    workers("worker-1", "worker-2", queue="pipeline")
    context = create_execution_context(QueueBackend.REDIS, "redis", "pipeline", redis_url)

    def noting(name: str) -> Any:
        @task(id=name, inject_context=True)
        async def body(ctx: TaskExecutionContext) -> str:
            await ctx.get_channel().append("ran", name)
            return name.upper()

        return body

    fetch, a, b, c = map(noting, ("fetch", "a", "b", "c"))

    @task(inject_context=True)
    async def aggregate(ctx: TaskExecutionContext, a: str, b: str, c: str) -> tuple[str, list[str]]:
        return a + b + c, await ctx.get_channel().get("ran")

    wf = Workflow("distributed", fetch >> (a | b | c) >> aggregate, execution_context=context)
    letters, ran = await wf.run("fetch")
    assert letters == "ABC"
    assert (ran[0], sorted(ran)) == ("fetch", ["a", "b", "c", "fetch"])


async def test_161_a_coordinator_beats_the_executor_and_the_backend(workers: Any, redis_url: str) -> None:
    """Coordinator before `executor=`, that before the run's backend, and a task's own choice before all of them."""
    elsewhere = workers("worker-1", queue="group")
    usual = workers("worker-2")
    a, b, c = (task(id=name)(local) for name in "abc")
    own = task(id="own", executor="thread")(local)
    coordinator = RedisCoordinator(redis_url, "group")
    group = ParallelGroup([a, b, own], name="distributed_group", executor="process", coordinator=coordinator)
    nearby = ParallelGroup([c], name="nearby", executor="process")
    last = task(id="last")(local)
    wf = Workflow("w", chain(group, nearby, last))
    async with wf.start(queue_backend="redis", redis_url=redis_url) as run:
        await run
    assert {run.results["a"], run.results["b"]} == set(elsewhere.pids)
    assert run.results["own"] == os.getpid()
    assert run.results["c"] not in {os.getpid(), *elsewhere.pids, *usual.pids}
    assert {run.results["last"]} == set(usual.pids)


async def test_161_a_coordinator_and_the_run_may_share_a_queue(workers: Any, redis_url: str) -> None:
    """A group and its run that name the same queue do not shut each other out."""
    workers("worker-1")
    group = ParallelGroup([task(id="a")(local)], name="g", coordinator=RedisCoordinator(redis_url))
    last = task(id="last")(local)
    value = await Workflow("w", group >> last).run(queue_backend="redis", redis_url=redis_url)
    assert value != os.getpid()


async def test_162_distributed_and_local_runs_agree(workers: Any, redis_url: str) -> None:
    """The same workflow gives the same value wherever its tasks run."""
    workers("worker-1")

    @task
    def start() -> list[int]:
        return [3, 1, 2]

    @task
    async def order(start: list[int]) -> list[int]:
        return sorted(start)

    wf = Workflow("w", start >> order)
    here = await wf.run("start", queue_backend=QueueBackend.MEMORY, max_steps=1000)
    there = await wf.run("start", queue_backend=QueueBackend.REDIS, redis_url=redis_url, max_steps=1000)
    assert here == there == [1, 2, 3]


# -- 164, 165 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel_backend", ["memory", "redis"])
async def test_164_channels_reach_members_and_results_successors(
    workers: Any, redis_url: str, channel_backend: str
) -> None:
    """A remote member reads what was set before its group, and its result is there for the task after the group."""
    workers("worker-1")

    @task(inject_context=True)
    async def before(ctx: TaskExecutionContext) -> None:
        await ctx.get_channel().set("rate", 3)

    @task(inject_context=True)
    def member(ctx: Any) -> int:
        return ctx.get_channel().get("rate") * 7

    @task
    def after(member: int) -> int:
        return member + 1

    group = ParallelGroup([member], name="g", coordinator=RedisCoordinator(redis_url))
    wf = Workflow("w", before >> group >> after)
    assert await wf.run(channel_backend=channel_backend, redis_url=redis_url) == 22


@pytest.mark.parametrize("policy", ["strict", "best_effort"])
async def test_165_a_failure_on_a_worker_is_judged_by_the_policy(workers: Any, redis_url: str, policy: str) -> None:
    """A member that raises on a worker is a failed member, with its own exception and message."""
    workers("worker-1")

    @task
    def bad() -> None:
        raise ValueError("no such thing")

    good = task(id="good")(local)
    group = ParallelGroup([good, bad], name="g", policy=policy, coordinator=RedisCoordinator(redis_url))
    run = Workflow("w", group).start()
    if policy == "strict":
        with pytest.raises(ParallelGroupError, match="g") as caught:
            async with run:
                await run
        assert repr(caught.value.failed["bad"]) == "ValueError('no such thing')"
    else:
        async with run:
            await run
        assert repr(run.failures["bad"]) == "ValueError('no such thing')"
        assert run.results["good"] != os.getpid()


# -- 166, 167 -------------------------------------------------------------------------------------------------


async def test_166_another_worker_takes_over(workers: Any, redis_url: str) -> None:
    """SIGKILL in the middle of a member: another worker runs it again, the group completes, each member counts once."""
    dying = workers("worker-1")

    @task(inject_context=True)
    async def victim(ctx: TaskExecutionContext) -> int:
        await ctx.get_channel().append("pids", os.getpid())
        await ctx.get_channel().wait("go")
        return os.getpid()

    quick = task(id="quick")(local)
    group = ParallelGroup([victim, quick], name="g", coordinator=RedisCoordinator(redis_url))
    async with Workflow("w", group).start(redis_url=redis_url) as run:
        assert set(await run.channel.wait("pids", timeout=60)) == set(dying.pids)
        await asyncio.to_thread(dying.kill, "worker-1")
        with redis.Redis.from_url(redis_url) as client:
            (dead,) = cast("list[bytes]", client.zrange(ROLL, 0, -1))
            client.zadd(ROLL, {dead: 1})  # its lease ends at once: one that nobody waits for may be a long one
        other = await asyncio.to_thread(workers, "worker-2")
        await run.channel.wait("pids", lambda pids: len(pids) == 2, timeout=60)
        await run.channel.set("go", 1)
        await run
    assert {run.results["victim"]} == set(other.pids)
    assert set(run.results) == {"g", "victim", "quick"}


async def test_167_a_group_may_last_longer_than_a_lease(workers: Any, redis_url: str) -> None:
    """A member that runs on while leases are renewed is not started twice: nothing limits how long it takes."""
    workers("worker-1", "worker-2", options=("--lease", "6"))

    @task(inject_context=True)
    async def long(ctx: TaskExecutionContext) -> int:
        starts = await ctx.get_channel().atomic_add("starts", 1)
        await ctx.get_channel().wait("go")
        return starts

    group = ParallelGroup([long], name="g", coordinator=RedisCoordinator(redis_url))
    with redis.Redis.from_url(redis_url) as client:

        def ends() -> dict[bytes, float]:
            return dict(cast("list[tuple[bytes, float]]", client.zrange(ROLL, 0, -1, withscores=True)))

        async with Workflow("w", group).start() as run:
            await run.channel.wait("starts", timeout=60)
            before = ends()
            while not all(ends().get(worker, 0) > end for worker, end in before.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # only time has them renewed
            await run.channel.set("go", 1)
            await run
            assert len(before) == 2
            assert run.results["long"] == 1


async def test_167_runs_with_the_same_group_name_stay_apart(workers: Any, redis_url: str) -> None:
    """Two runs at once whose groups and tasks have the same names give each its own results."""
    workers("worker-1", "worker-2")
    coordinator = RedisCoordinator(redis_url)

    @task
    async def a(number: int) -> int:
        return number

    @task
    def b(number: int) -> int:
        return -number

    wf = Workflow("w", ParallelGroup([a, b], name="distributed_group", coordinator=coordinator))
    values = await asyncio.gather(*(wf.run(inputs={"number": n}) for n in range(1, 9)))
    assert values == [{"a": n, "b": -n} for n in range(1, 9)]
    assert not coordinator.is_open


# -- 168, 169 -------------------------------------------------------------------------------------------------


async def test_168_nested_groups_travel(workers: Any, redis_url: str) -> None:
    """Groups in groups, three deep and each with a coordinator of its own, complete with everything below them."""
    workers("worker-1", "worker-2")

    def remote(*members: Any, name: str) -> ParallelGroup:
        return ParallelGroup(members, name=name, coordinator=RedisCoordinator(redis_url))

    tasks = {name: task(id=name)(local) for name in ("w", "x", "y", "z")}
    inner = remote(tasks["y"], tasks["z"], name="inner")
    middle = remote(tasks["x"], inner, name="middle")
    outer = remote(tasks["w"], middle, name="outer")
    async with Workflow("w", outer).start() as run:
        value = await run
    assert os.getpid() not in {run.results[name] for name in tasks}
    assert value["middle"]["inner"] == {"y": run.results["y"], "z": run.results["z"]}


@pytest.mark.parametrize("backend", list(QueueBackend))
async def test_169_a_queue_is_first_in_first_out(backend: QueueBackend, redis_url: str) -> None:
    """Items come out in the order in which they went in, each once, also with several who take them."""
    async with TaskQueueFactory.create(backend, "fifo", redis_url) as queue:
        for number in range(20):
            await queue.enqueue(number)
        assert [await queue.dequeue() for _ in range(10)] == list(range(10))
        taken = await asyncio.gather(*(queue.dequeue() for _ in range(12)))
        assert sorted(x for x in taken if x is not None) == list(range(10, 20))


async def test_169_dispatched_members_begin_in_order(workers: Any, redis_url: str) -> None:
    """One worker with room for one task takes the members of a group in the order in which they were written."""
    workers("worker-1", options=("--concurrency", "1"))

    def noting(name: str) -> Any:
        @task(id=name, inject_context=True)
        async def body(ctx: TaskExecutionContext) -> None:
            await ctx.get_channel().append("order", name)

        return body

    names = [f"m{number:02}" for number in range(12)]
    group = ParallelGroup(list(map(noting, names)), name="g", coordinator=RedisCoordinator(redis_url))
    async with Workflow("w", group).start() as run:
        await run
        assert await run.channel.get("order") == names
