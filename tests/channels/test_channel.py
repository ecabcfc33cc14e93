"""The verbs of a channel, on a store that keeps references and on one that keeps copies."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from graflow_async.channel import Channel
from graflow_async.errors import LockTimeoutError
from graflow_async.store import MISSING, Change
from graflow_async.stores.memory import MemoryStore


class CopyingStore(MemoryStore):
    """Hands out copies, as every store outside this process does."""

    async def set(self, key, value, ttl=None):
        await super().set(key, copy.deepcopy(value), ttl)

    async def get(self, key, default=None):
        value = await super().get(key, MISSING)
        return default if value is MISSING else copy.deepcopy(value)

    async def compare_and_set(self, key, expected, value, ttl=None):
        value = value if value is MISSING else copy.deepcopy(value)
        return await super().compare_and_set(key, expected, value, ttl)


@pytest.fixture(params=[MemoryStore, CopyingStore])
def store(request):
    return request.param()


@pytest.fixture
def channel(store):
    return Channel(store, "run-1")


def spawn(coroutine):
    return asyncio.ensure_future(coroutine)


async def test_set_and_get(channel):
    """Plain values come back, a missing key gives the default, a stored None is a value."""
    for value in ("text", 1.5, True, {"a": [1]}, None):
        await channel.set("k", value)
        assert await channel.get("k", "default") == value
        assert await channel.exists("k")
    assert await channel.get("no") is None
    assert await channel.get("no", "default") == "default"
    assert not await channel.exists("no")


async def test_lists(channel):
    """Append keeps and prepend reverses the order; both give the length and refuse another value."""
    assert [await channel.append("log", n) for n in (1, 2, 3)] == [1, 2, 3]
    assert [await channel.prepend("rev", n) for n in (1, 2, 3)] == [1, 2, 3]
    assert (await channel.get("log"), await channel.get("rev")) == ([1, 2, 3], [3, 2, 1])
    await channel.set("text", "x")
    with pytest.raises(TypeError, match="not a list"):
        await channel.append("text", 1)


async def test_atomic_add(channel):
    """A missing key gives the amount; negative and float amounts count; a non-number is refused."""
    assert await channel.atomic_add("n", 5) == 5
    assert await channel.atomic_add("n") == 6
    assert await channel.atomic_add("n", -6.5) == -0.5
    await channel.set("text", "x")
    with pytest.raises(TypeError, match="int or float"):
        await channel.atomic_add("text")


async def test_keys_delete_pop_clear(channel):
    """The keys are the channel's own, without what the store puts before them."""
    await channel.set("a", 1)
    await channel.set("b:c", 2)
    await channel.set("", 3)
    assert sorted(await channel.keys()) == ["", "a", "b:c"]
    assert await channel.delete("a") is True
    assert await channel.delete("a") is False
    assert await channel.pop("b:c") == 2
    assert await channel.pop("b:c", "default") == "default"
    assert await channel.clear() == 1
    assert await channel.keys() == []


async def test_ttl_reaches_the_store(channel):
    """A ttl given to a verb is kept, and a plain set forgets it."""
    for verb in (channel.set, channel.append, channel.prepend):
        await verb("k", 1, ttl=0)
        assert not await channel.exists("k")
    await channel.set("k", 1, ttl=100)
    await channel.set("k", 2)
    assert channel.store._deadlines == {}


async def test_channels_do_not_mix(store):
    """Neither run nor name nor a colon in either makes one channel see the keys of another."""
    channels = [
        Channel(store, "r"),
        Channel(store, "r2"),
        Channel(store, "r", "a"),
        Channel(store, "r", "a:b"),
        Channel(store, "r", "a%3Ab"),
    ]
    for number, channel in enumerate(channels):
        await channel.set("b:k", number)
        await channel.set("k", number)
    for number, channel in enumerate(channels):
        assert await channel.get("k") == number
        assert await channel.get("b:k") == number
        assert sorted(await channel.keys()) == ["b:k", "k"]
    await channels[2].clear()
    assert [len(await channel.keys()) for channel in channels] == [2, 2, 0, 2, 2]


async def test_members_share_one_channel(channel):
    """Two members of a group add a hundred times each and append to a new list: nothing is lost, nothing reset."""
    await channel.set("k", "old")

    async def fast():
        await channel.set("k", "A")
        for _ in range(100):
            await channel.atomic_add("n", 1)
            await asyncio.sleep(0)
        await channel.append("log", "fast")

    async def slow():
        for _ in range(100):
            await asyncio.sleep(0)
            await channel.atomic_add("n", 1)
        await channel.append("log", "slow")

    await asyncio.gather(fast(), slow())
    assert await channel.get("n") == 200
    assert sorted(await channel.get("log")) == ["fast", "slow"]
    assert await channel.get("k") == "A"


async def test_update(channel):
    """`update` takes a sync or an async function, starts from the default, and gives the new value."""

    async def double(value):
        await asyncio.sleep(0)
        return value * 2

    assert await channel.update("n", lambda value: value + 1, default=9) == 10
    assert await channel.update("n", double) == 20
    assert await channel.update("none", lambda value: [value]) == [None]
    assert await channel.get("n") == 20


async def test_competing_updates_in_place(channel):
    """Functions that change the value they get, waiting in between, lose nothing to each other."""

    async def slow(value):
        seen = value["n"]
        await asyncio.sleep(0)
        value["n"] = seen + 1
        return value

    def quick(value):
        value["n"] += 1
        return value

    await channel.set("k", {"n": 0})
    await asyncio.gather(*(channel.update("k", slow if number % 2 else quick) for number in range(100)))
    assert await channel.get("k") == {"n": 100}


async def test_update_starts_over_when_another_verb_writes(channel):
    """A plain set during an update is not overwritten blindly: the function sees it."""
    seen = []
    reading, written = asyncio.Event(), asyncio.Event()

    async def add_one(value):
        seen.append(value)
        reading.set()
        await written.wait()
        return value + 1

    await channel.set("n", 1)
    updating = spawn(channel.update("n", add_one))
    await reading.wait()
    await channel.set("n", 10)
    written.set()
    assert await updating == 11
    assert seen == [1, 10]
    assert await channel.get("n") == 11


async def test_a_failing_update_changes_nothing(channel):
    """What the function raises comes out, the value stays, and the key can be updated again."""
    await channel.set("n", 1)
    with pytest.raises(ZeroDivisionError):
        await channel.update("n", lambda value: value / 0)
    assert await channel.update("n", lambda value: value + 1) == 2


async def test_update_under_the_users_own_lock(channel):
    """Holding the lock of a key does not keep its own, or a child's, update waiting."""
    async with channel.lock("n"):
        assert await channel.update("n", lambda value: value + 1, 0) == 1
        assert await spawn(channel.update("n", lambda value: value + 1, 0)) == 2


async def test_lock(channel):
    """A lock held elsewhere times out with a TimeoutError; other keys and the holder itself are free to go on."""

    async def take(key):
        async with channel.lock(key, timeout=0.01) as fence:
            return fence

    async with channel.lock("k") as fence, channel.lock("k") as again:
        assert fence == again
        with pytest.raises(LockTimeoutError) as caught:
            await spawn(take("k"))
        assert isinstance(caught.value, TimeoutError)
        assert await spawn(take("other")) > fence
    assert await spawn(take("k")) > fence
    assert await channel.keys() == []


def test_a_change_compares_and_shows_itself():
    """Changes are equal by content, differ from other things, and print what they are."""
    assert Change("k", [1], "set") == Change("k", [1], "set")
    assert Change("k", 1, "set") != Change("k", 1, "delete")
    assert Change("k", 1, "set") != ("k", 1, "set")
    assert repr(Change("k", 1, "set")) == "Change(key='k', value=1, kind='set')"
    with pytest.raises(TypeError):
        hash(Change("k", 1, "set"))


def test_missing_is_one_object():
    """The sentinel survives copying and pickling as itself, and prints its name."""
    assert copy.deepcopy(MISSING) is MISSING
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert repr(MISSING) == "MISSING"
