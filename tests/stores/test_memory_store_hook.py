"""The write hook of MemoryStore, with which the writes of unfinished tasks can be undone."""

from __future__ import annotations

import pytest

from graflow_async.store import MISSING
from graflow_async.stores.memory import MemoryStore


async def test_the_write_hook_sees_every_change_before_it_is_made():
    """The hook gets key, old and new value for each verb, and what was old stays as it was."""
    store, writes = MemoryStore(), []
    await store.append("l", 1)

    def note(key, old, new):
        writes.append((key, old, new))
        assert store.peek_many([key]).get(key, MISSING) == old

    store.on_write = note
    await store.set("a", 1, ttl=100)
    await store.set("a", 2)
    await store.add("a", 3)
    await store.compare_and_set("a", 0, 1)
    await store.compare_and_set("a", 5, 6)
    await store.append("l", 2)
    await store.append("l", 3)
    await store.prepend("l", 0)
    await store.delete("a")
    await store.delete("a")
    await store.pop("a")
    await store.set("b", None)
    await store.clear()
    assert writes == [
        ("a", MISSING, 1),
        ("a", 1, 2),
        ("a", 2, 5),
        ("a", 5, 6),
        ("l", [1], [1, 2]),
        ("l", [1, 2], [1, 2, 3]),
        ("l", [1, 2, 3], [0, 1, 2, 3]),
        ("a", 6, MISSING),
        ("b", MISSING, None),
        ("l", [0, 1, 2, 3], MISSING),
        ("b", None, MISSING),
    ]


async def test_the_write_hook_can_refuse():
    """What the hook raises comes out of the verb, and nothing has changed or been published."""
    store = MemoryStore()
    await store.set("k", [1], ttl=100)

    def refuse(key, old, new):
        raise LookupError(key)

    store.on_write = refuse
    async with store.watch("") as changes:
        for write in (store.set("k", 2), store.append("k", 2), store.delete("k"), store.pop("k"), store.add("n")):
            with pytest.raises(LookupError):
                await write
        store.on_write = None
        await store.set("end", 1)
        assert (await anext(changes)).key == "end"
    assert await store.get("k") == [1]
    assert await store.keys() == ["k", "end"]


async def test_the_write_hook_is_not_asked_about_expiry():
    """A key whose time is up was written by nobody."""
    now, writes = 0.0, []
    store = MemoryStore(time=lambda: now)
    await store.set("k", 1, ttl=1)
    store.on_write = lambda *write: writes.append(write)
    now += 1
    assert not await store.exists("k")
    await store.set("k", 2)
    assert writes == [("k", MISSING, 2)]
