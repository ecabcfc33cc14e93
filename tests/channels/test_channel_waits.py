"""Waiting for values of a channel and watching its changes."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async.channel import Channel
from graflow_async.errors import StoreError
from graflow_async.store import Change
from graflow_async.stores.memory import MemoryStore


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def channel(store):
    return Channel(store, "run-1")


def spawn(coroutine):
    return asyncio.ensure_future(coroutine)


async def test_wait_gives_a_value_that_is_there(channel):
    """Waiting for what has happened already returns at once, also with no time to wait."""
    await channel.set("k", None)
    assert await channel.wait("k") is None
    await channel.set("k", 3)
    assert await channel.wait("k", lambda value: value > 2, timeout=0) == 3


async def test_wait_for_a_key_to_appear(channel):
    """Without a predicate the first value ends the wait, whichever verb wrote it; other keys do not."""
    waiting = spawn(channel.wait("k"))
    await asyncio.sleep(0)
    await channel.set("k2", 1)
    assert not waiting.done()
    await channel.append("k", "first")
    assert await waiting == ["first"]


async def test_wait_for_a_predicate(channel):
    """Each value is put to the predicate, sync or async; a deleted key is not a value."""
    seen = []

    async def is_big(value):
        seen.append(value)
        await asyncio.sleep(0)
        return value >= 3

    await channel.set("n", 1)
    waiting = [spawn(channel.wait("n", is_big)), spawn(channel.wait("n", lambda value: value == 2))]
    await asyncio.sleep(0)
    await channel.delete("n")
    for number in (2, 3, 4):
        await channel.set("n", number)
    assert await asyncio.gather(*waiting) == [3, 2]
    assert seen == [1, 2, 3]


async def test_a_slow_predicate_ends_with_the_present_value(channel):
    """A waiter that falls so far behind that it loses changes looks at the value itself."""
    store = MemoryStore(watch_limit=2)
    channel = Channel(store, "run-1")
    gate = asyncio.Event()

    async def is_last(value):
        await gate.wait()
        return value == "last"

    await channel.set("k", 0)
    waiting = spawn(channel.wait("k", is_last))
    await asyncio.sleep(0)
    for value in (1, "last", 2, 3, 4, "last"):
        await channel.set("k", value)
    gate.set()
    assert await waiting == "last"


class LossyWatch:
    """Tells of no change but that it was lost, as after a broken connection."""

    def __init__(self, watch):
        self.watch = watch

    def __aiter__(self):
        return self

    async def __anext__(self):
        return Change((await anext(self.watch)).key, None, "lost")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.watch.aclose()

    async def aclose(self):
        await self.watch.aclose()


class LossyStore(MemoryStore):
    def watch(self, prefix="", *, exact=False):
        return LossyWatch(super().watch(prefix, exact=exact))


async def test_wait_looks_again_after_a_loss():
    """Where a store can only say that something was lost, the waiter reads the key itself."""
    channel = Channel(LossyStore(), "run-1")
    waiting = spawn(channel.wait("k", lambda value: value == 2))
    for number in (0, 1, 2):
        await asyncio.sleep(0)
        await channel.set("k", number)
    assert await waiting == 2


async def test_wait_times_out(channel):
    """The error names the key and the time; nobody watches any more afterwards."""
    with pytest.raises(TimeoutError, match=r"'k' of Channel.*0\.01 s"):
        await channel.wait("k", timeout=0.01)
    await channel.set("k", 1)
    with pytest.raises(TimeoutError):
        await channel.wait("k", lambda value: value > 1, timeout=0)
    assert not channel.store._watches.active


async def test_a_timeout_inside_the_predicate_is_its_own(channel):
    """What a predicate raises is not mistaken for the end of the wait."""

    def fails(value):
        raise TimeoutError("mine")

    await channel.set("k", 1)
    with pytest.raises(TimeoutError, match=r"^mine$"):
        await channel.wait("k", fails, timeout=10)


async def test_a_cancelled_wait_leaves_nothing(channel):
    """Cancelling the waiter cancels it, and its watch is gone."""
    waiting = spawn(channel.wait("k"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not channel.store._watches.active


async def test_waiting_on_a_closing_store_fails(channel):
    """Nobody waits for ever on a store that is gone."""
    waiting = spawn(channel.wait("k"))
    await asyncio.sleep(0)
    await channel.store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await waiting


async def test_watch_the_whole_channel(channel, store):
    """Changes carry the channel's own keys, and those of other channels are not seen."""
    async with channel.watch() as changes:
        await Channel(store, "run-2").set("a", 0)
        await channel.set("a", 1)
        await channel.delete("a")
        await channel.append("b:c", 2)
        seen = [await anext(changes) for _ in range(3)]
    assert seen == [Change("a", 1, "set"), Change("a", None, "delete"), Change("b:c", [2], "set")]
    assert [change async for change in changes] == []


async def test_watch_one_key(channel):
    """Watching a key leaves out those that begin like it; `async for` alone is enough."""
    changes = channel.watch("k")
    await channel.set("key", 0)
    await channel.set("k", 1)
    async for change in changes:
        assert change == Change("k", 1, "set")
        await changes.aclose()


async def test_the_lost_marker_reaches_the_reader(channel):
    """A reader that was too slow hears of it under the channel's own names."""
    channel = Channel(MemoryStore(watch_limit=1), "run-1")
    async with channel.watch() as everything, channel.watch("k") as one:
        await channel.set("k", 1)
        await channel.set("k", 2)
        assert await anext(everything) == Change("", 1, "lost")
        assert await anext(one) == Change("k", 1, "lost")
