"""The blocking face of channels, used from real threads against a real loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, TypedDict

import pytest

from graflow_async.channel import Channel, SyncChannel
from graflow_async.errors import ChannelTypeError, LockTimeoutError, StoreError
from graflow_async.store import Change
from graflow_async.stores.memory import MemoryStore


class Progress(TypedDict):
    name: str
    done: int


@pytest.fixture
async def channel():
    return Channel(MemoryStore(), "run-1")


@pytest.fixture
async def sync(channel) -> SyncChannel:
    """The same channel for threads, on the loop that runs the test."""
    loop = asyncio.get_running_loop()

    def call(function, *args) -> Any:
        async def run():
            return await function(*args)

        assert threading.current_thread() is not threading.main_thread()
        return asyncio.run_coroutine_threadsafe(run(), loop).result(timeout=20)

    return SyncChannel(channel, call)


async def test_every_plain_verb(channel, sync):
    """The verbs have the names, arguments and values of the asynchronous ones, and act on the same keys."""

    def body():
        sync.set("state", "START")
        got = [sync.get("state", "no"), sync.get("no", "default"), sync.exists("state"), sync.exists("no")]
        got += [sync.append("l", 1), sync.append("l", 2), sync.prepend("l", 0), sync.get("l")]
        got += [sync.atomic_add("n"), sync.atomic_add("n", 2.5), sorted(sync.keys())]
        got += [sync.delete("state"), sync.delete("state"), sync.pop("n"), sync.pop("n", "default")]
        sync.set("short", 1, ttl=0)
        got += [sync.clear(), sync.keys(), sync.name, repr(sync)]
        return got

    assert await asyncio.to_thread(body) == [
        *["START", "default", True, False],
        *[1, 2, 3, [0, 1, 2]],
        *[1, 3.5, ["l", "n", "state"]],
        *[True, False, 3.5, "default"],
        *[1, [], "default", "SyncChannel('default' of 'run-1')"],
    ]


async def test_threads_and_tasks_share_the_channel(channel, sync):
    """Atomic verbs from threads and from the loop add up, and an error keeps its type on the way."""

    def body():
        for number in range(20):
            sync.atomic_add("n")
            sync.append("log", number)
        with pytest.raises(TypeError, match="not a list"):
            sync.append("n", 1)

    async def task():
        for number in range(20):
            await channel.atomic_add("n")
            await channel.append("log", number)
            await asyncio.sleep(0)

    await asyncio.gather(*(asyncio.to_thread(body) for _ in range(4)), task())
    assert await channel.get("n") == 100
    assert len(await channel.get("log")) == 100


async def test_update_runs_in_the_thread_and_loses_nothing(channel, sync):
    """Functions that change the value in place all count, from threads and tasks; a thread's run in that thread."""
    threads = set()

    def add_one(value):
        threads.add(threading.current_thread())
        seen = value["n"]
        sync.exists("k")  # a trip to the loop, in which another thread could overtake
        value["n"] = seen + 1
        return value

    def body():
        return [sync.update("k", add_one)["n"] for _ in range(10)]

    async def slow(value):
        seen = value["n"]
        await asyncio.sleep(0)
        value["n"] = seen + 1
        return value

    await channel.set("k", {"n": 0})
    await asyncio.gather(*(asyncio.to_thread(body) for _ in range(4)), *(channel.update("k", slow) for _ in range(60)))
    assert await channel.get("k") == {"n": 100}
    assert threading.main_thread() not in threads


async def test_update_starts_over_and_may_fail(channel, sync):
    """A write in between is seen by the next try; a default stands in; an error changes nothing; a coroutine is run."""
    seen = []

    def overtaken(value):
        seen.append(value)
        if len(seen) == 1:
            sync.set("k", 10)
        return value + 1

    async def waits(value):
        await asyncio.sleep(0)
        return value * 2

    def body():
        assert sync.update("k", overtaken, default=1) == 11
        with pytest.raises(ZeroDivisionError):
            sync.update("k", lambda value: value / 0)
        return sync.update("k", waits)

    assert await asyncio.to_thread(body) == 22
    assert seen == [1, 10]


async def test_lock_between_threads_and_tasks(channel, sync):
    """One holder at a time, whether thread or task: an unguarded count under the lock comes out right."""

    def body():
        for _ in range(5):
            with sync.lock("k", timeout=20):
                sync.set("n", sync.get("n", 0) + 1)

    async def task():
        for _ in range(5):
            async with channel.lock("k", timeout=20):
                seen = await channel.get("n", 0)
                await asyncio.sleep(0)
                await channel.set("n", seen + 1)

    await asyncio.gather(*(asyncio.to_thread(body) for _ in range(4)), *(task() for _ in range(4)))
    assert await channel.get("n") == 40


async def test_lock_is_re_entrant_in_its_thread_only(channel, sync):
    """The thread may take its lock again; another thread or task times out, and gets it after the last release."""

    def try_lock():
        with sync.lock("k", timeout=0) as fence:
            return fence

    async def try_task():
        async with channel.lock("k", timeout=0) as fence:
            return fence

    held, go_on = threading.Event(), threading.Event()

    def body():
        lock = sync.lock("k")
        with lock as outer, lock as same, sync.lock("k", timeout=0) as inner:
            held.set()
            assert go_on.wait(20)
        return outer, same, inner

    thread = asyncio.ensure_future(asyncio.to_thread(body))
    assert await asyncio.to_thread(held.wait, 20)
    for attempt in (asyncio.to_thread(try_lock), try_task()):
        with pytest.raises(LockTimeoutError):
            await attempt
    go_on.set()
    outer, same, inner = await thread
    assert outer == same == inner
    assert await try_task() > outer
    assert await asyncio.to_thread(try_lock) > outer


async def test_lock_is_free_after_an_error(channel, sync):
    """An exception passes through the lock unchanged and leaves it free."""

    def body():
        with pytest.raises(ZeroDivisionError), sync.lock("k"):
            raise ZeroDivisionError

    await asyncio.to_thread(body)
    async with channel.lock("k", timeout=0):
        pass


async def test_wait(channel, sync):
    """A thread waits for a key or for a predicate, which runs in that thread and sees every value."""
    seen = []
    looking, looking_too = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def is_big(value):
        seen.append((value, threading.current_thread() is threading.main_thread()))
        loop.call_soon_threadsafe(looking.set)
        return value > 2

    async def slow(value):
        looking_too.set()
        await asyncio.sleep(0)
        return value == 2

    waiting = asyncio.gather(asyncio.to_thread(sync.wait, "n", is_big), asyncio.to_thread(sync.wait, "n", slow, 20))
    await channel.set("n", 1)
    await looking.wait()
    await looking_too.wait()
    for number in (2, 3, 4):
        await channel.set("n", number)
    assert await waiting == [3, 2]
    assert seen == [(1, False), (2, False), (3, False)]
    assert await asyncio.to_thread(sync.wait, "n") == 4
    assert not channel.store._watches.active


async def test_wait_times_out(channel, sync):
    """With and without a predicate the wait ends with a TimeoutError that names the key; a closed store ends it too."""
    await channel.set("n", 1)

    def never(value):
        return False

    def fails(value):
        raise TimeoutError("mine")

    for args in (("no", None, 0.01), ("n", never, 0.01), ("no", never, 0)):
        with pytest.raises(TimeoutError, match=f"'{args[0]}' of Channel"):
            await asyncio.to_thread(sync.wait, *args)
    with pytest.raises(TimeoutError, match=r"^mine$"):
        await asyncio.to_thread(sync.wait, "n", fails, 20)
    looking = threading.Event()

    def look(value):
        looking.set()
        return False

    thread = asyncio.ensure_future(asyncio.to_thread(sync.wait, "n", look))
    assert await asyncio.to_thread(looking.wait, 20)
    await channel.store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await thread
    assert not channel.store._watches.active


async def test_watch(channel, sync):
    """A thread iterates over changes, from the call of `watch` on, until it or the store closes the watch."""
    opened = threading.Event()

    def read_two():
        with sync.watch() as changes:
            opened.set()
            return [next(changes), next(changes)]

    def read_all():
        changes = sync.watch("k")
        opened.set()
        return list(changes)

    reading = asyncio.ensure_future(asyncio.to_thread(read_two))
    assert await asyncio.to_thread(opened.wait, 20)
    await channel.set("a", 1)
    await channel.delete("a")
    assert await reading == [Change("a", 1, "set"), Change("a", None, "delete")]
    assert not channel.store._watches.active
    opened.clear()
    reading = asyncio.ensure_future(asyncio.to_thread(read_all))
    assert await asyncio.to_thread(opened.wait, 20)
    await channel.set("k2", 1)
    await channel.set("k", 2)
    await channel.store.aclose()
    assert await reading == [Change("k", 2, "set")]


async def test_typed(channel, sync):
    """The typed face checks in the thread: writes, reads, updates, waits and watches."""

    def body():
        typed = sync.typed(Progress)
        assert typed.model is Progress
        with pytest.raises(ChannelTypeError, match=r"\.done is missing"):
            typed.set("k", {"name": "a"})
        assert typed.get("k") is None
        assert not typed.exists("k")
        with typed.watch("k") as changes:
            sync.set("k", "garbage")
            typed.set("k", {"name": "a", "done": 1})
            assert [next(changes).value for _ in range(2)] == [None, {"name": "a", "done": 1}]
        with pytest.raises(ChannelTypeError):
            typed.update("k", lambda value: {})
        with typed.lock("k"):
            assert typed.update("k", lambda value: {**value, "done": 2})["done"] == 2
        assert typed.wait("k", lambda value: value["done"] == 2)["done"] == 2
        assert typed.wait("k", timeout=0)["done"] == 2
        sync.set("bad", 1)
        assert typed.get("bad") is None
        assert typed.pop("bad", {"name": "d", "done": 0}) == {"name": "d", "done": 0}
        assert typed.update("bad", lambda value: value, {"name": "d", "done": 0})["name"] == "d"
        assert sorted(typed.keys()) == ["bad", "k"]
        assert typed.pop("k") == {"name": "a", "done": 2}
        assert typed.delete("bad") is True
        assert typed.clear() == 0
        with pytest.raises(ValueError, match="not a model"):
            sync.typed(int)

    await asyncio.to_thread(body)
