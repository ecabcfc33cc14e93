"""Queues and channels of no run: the same from a loop, from a sync task and from plain code; closed without a trace."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest

from graflow_async import (
    Channel,
    ChannelFactory,
    ConfigError,
    MemoryStore,
    QueueBackend,
    SharedChannel,
    StoreError,
    TaskQueue,
    TaskQueueFactory,
    task,
    workflow,
)
from graflow_async.places import Home

BACKENDS = list(QueueBackend)


class Point(TypedDict):
    """What a typed channel holds here."""

    x: int


@pytest.fixture(params=BACKENDS)
def queue(request: pytest.FixtureRequest) -> TaskQueue:
    """A queue; the test closes it."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return TaskQueueFactory.create(request.param, "my: queue", url)


@pytest.fixture(params=BACKENDS)
def channel(request: pytest.FixtureRequest) -> SharedChannel:
    """A channel; the test closes it."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return ChannelFactory.create(request.param, "my/channel", url)


# -- queues ---------------------------------------------------------------------------------------------------


def test_a_waiting_thread_gets_the_next_item(queue: TaskQueue) -> None:
    """`timeout=None` blocks the thread until an item comes from another one."""
    with queue, ThreadPoolExecutor(1) as pool:
        found = pool.submit(queue.dequeue, None)
        queue.enqueue(None)
        assert found.result(60) is None
        assert queue.dequeue(default="empty") == "empty"
        assert queue.dequeue(timeout=0.01, default="empty") == "empty"


async def test_who_waits_on_a_loop_gets_one_item_each(queue: TaskQueue) -> None:
    """Several who wait get different items, and a wait that is cancelled takes none."""
    async with queue:
        waiting = [asyncio.create_task(queue.dequeue(None)) for _ in range(4)]
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        for number in range(3):
            await queue.enqueue(number)
        assert sorted(await asyncio.gather(*waiting[1:])) == [0, 1, 2]
        assert await queue.size() == 0


async def test_clear_empties(queue: TaskQueue) -> None:
    """What was there is gone and counted; what comes later is first."""
    async with queue:
        for number in range(3):
            await queue.enqueue(number)
        assert await queue.clear() == 3
        assert await queue.clear() == await queue.size() == 0
        await queue.enqueue("next")
        assert await queue.dequeue() == "next"


async def test_an_item_whose_taker_died_is_passed_over(queue: TaskQueue) -> None:
    """Who dies between taking an item and saying so leaves a gap, at which nobody stops."""
    async with queue:
        for number in range(3):
            await queue.enqueue(number)
        channel = queue._place._channel  # as somebody who dies would leave it
        await channel.pop("item 0")
        assert [await queue.dequeue() for _ in range(3)] == [1, 2, None]


def test_closing_ends_who_waits() -> None:
    """A thread that waits for something hears that it was closed."""
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    home = Home(Channel(MemoryStore(), "n"))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(home.call, wait)
        assert begun.wait(60)
        home.close()
        with pytest.raises(StoreError, match="closed"):
            found.result(60)


# -- channels -------------------------------------------------------------------------------------------------


def verbs_of_plain_code(channel: Any) -> None:
    """Use every verb, blocking."""
    channel.set("x", 1)
    assert (channel.get("x"), channel.exists("x"), channel.get("y", "none")) == (1, True, "none")
    assert (channel.append("l", 2), channel.prepend("l", 1), channel.get("l")) == (1, 2, [1, 2])
    assert (channel.atomic_add("n", 2), channel.update("n", lambda n: n * 5)) == (2, 10)
    assert sorted(channel.keys()) == ["l", "n", "x"]
    assert (channel.pop("x"), channel.delete("x")) == (1, False)
    assert channel.wait("n", lambda n: n == 10, 60) == 10
    with channel.lock("door") as fence:
        assert fence >= 1
    channel.typed(Point).set("p", {"x": 3})
    assert channel.typed(Point).get("p") == {"x": 3}
    with channel.watch("seen") as changes:
        channel.set("seen", 1)
        assert next(changes).key == "seen"
    assert channel.clear() == 4


def test_a_channel_in_plain_code(channel: SharedChannel) -> None:
    """Every verb blocks and gives its value; a lock is held from one call to the next."""
    with channel:
        verbs_of_plain_code(channel)


async def test_a_channel_on_a_loop(channel: SharedChannel) -> None:
    """Every verb is awaited, and is the one of the channels of runs."""
    async with channel:
        await channel.set("x", 1)
        assert (await channel.get("x"), await channel.exists("x")) == (1, True)
        assert (await channel.append("l", 2), await channel.prepend("l", 1)) == (1, 2)
        assert await channel.update("n", lambda n: n + 1, 4) == 5
        assert await channel.atomic_add("n", 5) == await channel.wait("n", timeout=60) == 10
        assert sorted(await channel.keys()) == ["l", "n", "x"]
        async with channel.lock("door") as fence:
            assert fence >= 1
        async with channel.watch("seen") as changes:
            await channel.set("seen", 1)
            assert (await anext(changes)).key == "seen"
        assert await channel.pop("seen") == 1
        assert await channel.delete("l")
        assert await channel.clear() == 2


def test_a_channel_in_a_sync_task(channel: SharedChannel) -> None:
    """A sync task uses it as plain code does, on the loop of its run."""
    with workflow("w") as wf:

        @task
        def use() -> str:
            verbs_of_plain_code(channel)
            return "done"

        with channel:
            assert wf.execute() == "done"


def test_names_lead_to_one_place_each(redis_url: str) -> None:
    """Who names the same channel sees the same; other names, queues of the name, and runs of the name do not."""
    names = ["a", "a:b", "a/b", "a%3Ab", "A"]
    channels = [ChannelFactory.create("redis", name, redis_url) for name in names]
    for channel in channels:
        with channel:
            channel.set("name", channel.name)
    for name in names:
        with ChannelFactory.create("redis", name, redis_url) as again:
            assert (again.keys(), again.get("name")) == (["name"], name)
    with TaskQueueFactory.create("redis", "a", redis_url) as queue:
        assert queue.size() == 0


# -- life -----------------------------------------------------------------------------------------------------


def homes() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name == "graflow-home"}


def test_what_nobody_has_any_more_is_closed(queue: TaskQueue) -> None:
    """Without a `close` the thread ends with the object; with one it ends at once, and the next verb starts another."""
    made = ChannelFactory.create()
    made.set("x", 1)
    assert homes()
    del made
    gc.collect()
    assert not homes()
    queue.enqueue(1)
    queue.close()
    assert not homes()
    assert queue.size() in (0, 1)  # of memory nothing is left
    queue.close()
    queue.close()


def test_nothing_is_opened_before_it_is_used() -> None:
    """Making them needs neither a Redis nor a thread, and on a loop no thread is ever started."""
    url = "unix:///no/such/redis.sock"
    made = TaskQueueFactory.create("redis", "q", url), ChannelFactory.create("redis", "c", url)
    assert not homes()
    assert [item.name for item in made] == ["q", "c"]

    async def use() -> None:
        async with ChannelFactory.create() as channel:
            await channel.set("x", 1)
            assert not homes()

    asyncio.run(use())


@pytest.mark.parametrize("factory", [TaskQueueFactory, ChannelFactory])
@pytest.mark.parametrize(
    ("backend", "name"), [("kafka", "a"), (None, "a"), ("memory", ""), ("memory", 3), ("redis", "a\n")]
)
def test_wrong_arguments_are_refused(factory: Any, backend: Any, name: Any) -> None:
    """No such backend, no usable name: refused before anything is connected."""
    with pytest.raises(ConfigError):
        factory.create(backend, name)
