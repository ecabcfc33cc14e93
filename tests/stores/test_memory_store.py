"""MemoryStore: the published suite, and what only a store in this process promises."""

from __future__ import annotations

import asyncio
import gc
import inspect

import pytest

from graflow_async.errors import LockTimeoutError
from graflow_async.store import Change, KeyValueStore, Peekable
from graflow_async.stores.memory import MemoryStore
from graflow_async.testing.stores import KeyValueStoreSuite
from tests.stores.file_changes import Clock


class TestMemoryStore(KeyValueStoreSuite):
    """The suite, with a clock moved by hand."""

    async def make_store(self) -> KeyValueStore:
        self.clock = Clock()
        self.store = MemoryStore(time=self.clock)
        return self.store

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.store.drop_due()


class TestMemoryStoreInRealTime(KeyValueStoreSuite):
    """The suite as third parties run it, on the real clock and the loop's own timers."""

    ttl = 0.02

    async def make_store(self) -> KeyValueStore:
        return MemoryStore()


def run_without_loop(coroutine):
    """Drive a coroutine that must not suspend; fail if it does."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def test_no_verb_suspends():
    """Every verb but waiting finishes in one step, without any event loop."""
    store = MemoryStore()
    steps = [
        store.set("k", 1, ttl=10),
        store.get("k"),
        store.get_many(["k"]),
        store.exists("k"),
        store.keys(),
        store.add("k"),
        store.append("l", 1),
        store.prepend("l", 1),
        store.compare_and_set("k", 2, 3),
        store.pop("l"),
        store.delete("k"),
        store.clear(),
        store.aclose(),
    ]
    assert [run_without_loop(step) for step in steps] == [
        None,
        1,
        {"k": 1},
        True,
        ["k"],
        2,
        1,
        2,
        True,
        [1, 1],
        True,
        0,
        None,
    ]


async def test_values_are_kept_by_reference():
    """What goes in is what comes out, the very object, also through peek_many and pop."""
    store, value = MemoryStore(), {"big": [1]}
    await store.set("k", value)
    assert await store.get("k") is value
    assert store.peek_many(["k", "no"])["k"] is value
    assert (await store.get_many(["k"]))["k"] is value
    assert await store.pop("k") is value
    assert isinstance(store, Peekable)


async def test_peeking_sees_no_key_whose_time_is_up():
    """The synchronous reading keeps the rules of the others."""
    clock = Clock()
    store = MemoryStore(time=clock)
    await store.set("k", 1, ttl=5)
    clock.now += 4.9
    assert store.peek_many(["k"]) == {"k": 1}
    clock.now += 0.1
    assert store.peek_many(["k"]) == {}


async def test_a_list_that_was_peeked_or_seen_by_a_watcher_does_not_grow():
    """Every way of handing out a list gives a snapshot."""
    store = MemoryStore()
    await store.append("k", 1)
    await store.append("k", 2)
    peeked = store.peek_many(["k"])["k"]
    await store.append("k", 3)
    async with store.watch("k") as changes:
        await store.append("k", 4)
        await store.append("k", 5)
        assert [(await anext(changes)).value for _ in range(2)] == [[1, 2, 3, 4], [1, 2, 3, 4, 5]]
    await store.append("k", 6)
    assert peeked == [1, 2]


async def test_appending_to_an_unread_list_does_not_copy_it():
    """Building a long log costs one step an item: the list grows in place until somebody reads it."""
    store = MemoryStore()
    await store.append("k", 0)
    inside = store._values["k"]
    for number in range(1, 100):
        await store.append("k", number)
    assert store._values["k"] is inside
    assert await store.get("k") == list(range(100))
    await store.append("k", 100)
    assert store._values["k"] is not inside


async def test_an_expired_list_starts_anew():
    """A ttl of zero on an append leaves nothing for the next append to lengthen."""
    store = MemoryStore()
    await store.append("k", 1, ttl=0)
    assert await store.append("k", 2) == 1
    assert await store.append("k", 3, ttl=0) == 2
    assert await store.append("k", 4) == 1
    assert await store.get("k") == [4]


async def test_keys_that_nobody_reads_again_are_swept_out():
    """Keys with a ttl do not pile up for ever, although nothing looks at them."""
    clock = Clock()
    store = MemoryStore(time=clock)
    for number in range(10_000):
        await store.set(f"k{number}", number, ttl=10)
        clock.now += 1
    assert len(store._values) < 200


async def test_only_watched_keys_get_a_timer():
    """A key with a ttl costs the loop nothing unless somebody watches it, and none is left at the end."""
    store = MemoryStore()
    await store.set("a:1", 1, ttl=100)
    await store.set("b:1", 1, ttl=100)
    assert store._timers == {}
    async with store.watch("a:"):
        assert set(store._timers) == {"a:1"}
        await store.set("a:2", 1, ttl=100)
        await store.set("b:2", 1, ttl=100)
        assert set(store._timers) == {"a:1", "a:2"}
        await store.set("a:1", 2)
        await store.delete("a:2")
        assert store._timers == {}
        await store.set("a:3", 1, ttl=100)
        first = store._timers["a:3"]
        await store.add("a:3", 1, ttl=200)
        assert first.cancelled()
    second = store._timers["a:3"]
    await store.aclose()
    assert second.cancelled()


async def test_a_timer_that_fires_early_is_set_again():
    """Where the loop's clock runs ahead of the store's, the key still lives for its full time."""
    asked = asyncio.Event()
    now = 1000.0

    def clock():
        asked.set()
        return now

    store = MemoryStore(time=clock)
    async with store.watch("k", exact=True) as changes:
        await store.set("k", 1, ttl=0.01)
        await anext(changes)
        asked.clear()
        await asked.wait()
        assert await store.exists("k")
        now += 0.01
        assert await anext(changes) == Change("k", None, "expire")


async def test_a_slow_watcher_is_told_what_it_lost():
    """A full queue drops the oldest changes, says how many, and goes on with what is left, in order."""
    store = MemoryStore(watch_limit=3)
    async with store.watch("k") as changes:
        for number in range(10):
            await store.set("k", number)
        seen = [await anext(changes) for _ in range(4)]
        assert seen == [Change("k", 7, "lost"), *(Change("k", number, "set") for number in (7, 8, 9))]
        await store.set("k", 10)
        assert await anext(changes) == Change("k", 10, "set")


async def test_a_dropped_watch_costs_nothing():
    """A reader that leaves its loop without closing is forgotten, for every kind of watch."""
    store = MemoryStore()
    for number in range(100):
        changes = store.watch("k", exact=number % 2 == 0)
        await store.set("k", number)
        async for change in changes:
            assert change.value == number
            break
    assert store._watches is not None
    assert store._watches.active
    del changes
    gc.collect()
    await store.set("k", 1)
    assert not store._watches.active
    for number in range(1000):
        store.watch(f"never written {number}", exact=True)
        store.watch(f"never written {number}")
    gc.collect()
    store.watch("last")
    assert store._watches is not None
    assert len(store._watches) < 200


async def test_one_reader_per_watch():
    """A second task that waits on the same watch is told so, instead of stealing changes."""
    store = MemoryStore()
    async with store.watch("k") as changes:
        first = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(changes)
        await store.set("k", 1)
        assert await first == Change("k", 1, "set")


async def test_a_cancelled_reader_loses_no_change():
    """After a cancelled wait the same watch can be read on."""
    store = MemoryStore()
    async with store.watch("k") as changes:
        reader = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        await store.set("k", 1)
        assert await anext(changes) == Change("k", 1, "set")


async def test_locks_are_fair():
    """The lock goes round in the order in which it was asked for, and nobody overtakes."""
    store, order = MemoryStore(), []

    async def take(name):
        for _ in range(3):
            async with store.lock("k"):
                order.append(name)
                await asyncio.sleep(0)

    await asyncio.gather(*(take(name) for name in "abc"))
    assert "".join(order) == "abcabcabc"


async def test_a_lock_is_released_by_its_holder_only():
    """Leaving a lock twice is an error that says so, and takes it from nobody."""
    store = MemoryStore()
    lock = store.lock("k")
    async with lock:
        pass
    with pytest.raises(RuntimeError, match="does not hold it"):
        await lock.__aexit__(None, None, None)

    async def hold(inside, leave):
        async with store.lock("k"):
            inside.set()
            await leave.wait()

    inside, leave = asyncio.Event(), asyncio.Event()
    other = asyncio.create_task(hold(inside, leave))
    await inside.wait()
    with pytest.raises(RuntimeError, match="does not hold it"):
        await lock.__aexit__(None, None, None)
    leave.set()
    await other


async def test_locks_leave_nothing_behind():
    """A lock exists only while somebody has it; those who gave up waiting are forgotten at once."""
    store = MemoryStore()

    async def try_it():
        async with store.lock("k", 0.001):
            pass

    async with store.lock("k"):
        for _ in range(3):
            with pytest.raises(LockTimeoutError, match=r"not free within 0\.001 s"):
                await asyncio.create_task(try_it())
        assert store._locks is not None
        assert not store._locks._locks["k"].waiting
    assert store._locks._locks == {}


class Odd:
    """Like an array: comparing gives something without a truth value."""

    def __init__(self, error):
        self.error = error

    def __eq__(self, other):
        raise self.error("no truth value")

    def __hash__(self):
        return 0


@pytest.mark.parametrize("error", [ValueError, TypeError])
async def test_incomparable_values_are_replaced_only_as_themselves(error):
    """A value that cannot be compared equals itself and nothing else."""
    store, value = MemoryStore(), Odd(error)
    await store.set("k", value)
    assert not await store.compare_and_set("k", Odd(error), 1)
    assert await store.compare_and_set("k", value, 1)


async def test_equal_values_of_another_type_are_not_the_same():
    """1, 1.0 and True are three values."""
    store = MemoryStore()
    await store.set("k", 1)
    assert not await store.compare_and_set("k", True, 2)  # noqa: FBT003
    assert not await store.compare_and_set("k", 1.0, 2)


def test_a_store_outlives_its_loop():
    """Values written in one event loop are there in the next, with their locks and watches in order."""
    store = MemoryStore()

    async def first():
        async with store.watch("k"), store.lock("k"):
            await store.set("k", 1, ttl=100)

    async def second():
        async with store.watch("k") as changes, store.lock("k", 0):
            assert await store.add("k") == 2
            assert await anext(changes) == Change("k", 2, "set")
            await store.set("k", 3, ttl=100)
        await store.aclose()
        return await store.get("k")

    asyncio.run(first())
    assert asyncio.run(second()) == 3


def test_lock_and_watch_are_plain_calls():
    """The two doors that give an object are no coroutine functions, so `async with` and `async for` take them."""
    assert not inspect.iscoroutinefunction(MemoryStore.lock)
    assert not inspect.iscoroutinefunction(MemoryStore.watch)
