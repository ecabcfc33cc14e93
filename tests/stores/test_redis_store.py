"""RedisStore: the published suite on a real server, and what only values in Redis promise."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict

import pytest

from graflow_async import task, workflow
from graflow_async.channel import Channel
from graflow_async.errors import LockTimeoutError
from graflow_async.store import Change, KeyValueStore
from graflow_async.stores.redis import RedisStore
from graflow_async.testing.shared_stores import SharedStoreSuite

SEED = 20_261_121


class TestRedisStore(SharedStoreSuite):
    """The suite, by the clock of the server."""

    ttl = 0.3

    @pytest.fixture(autouse=True)
    def place(self, redis_url):
        self.url = redis_url

    async def make_store(self) -> KeyValueStore:
        return RedisStore(self.url)

    async def make_another(self) -> KeyValueStore:
        return RedisStore(self.url)


class TestRedisStoreWithSmallMeans(TestRedisStore):
    """The suite over a single connection for verbs, unsigned, with nothing that expires by itself."""

    @pytest.fixture(autouse=True)
    def unsigned(self, monkeypatch):
        monkeypatch.delenv("GRAFLOW_SECRET_KEY")

    async def make_store(self) -> KeyValueStore:
        return RedisStore(self.url, prefix="other-app", expire_after=None, connections=1)

    async def make_another(self) -> KeyValueStore:
        return await self.make_store()


class Plain:
    """Says nothing about when two of it are equal."""

    def __init__(self, number):
        self.number = number


async def test_values_of_many_kinds_and_sizes_come_back(store):
    """Large values, long lists, odd keys and texts are the same after a round trip."""
    large = random.Random(SEED).randbytes(5_000_000)
    await store.set("s:large", large)
    assert await store.get("s:large") == large
    for key in (
        "",
        ":",
        "/",
        "s",
        "s:\udc80",
        "s:\x00\xff",
        "s:zwölf \U0001f600",
        "{x}:y",
        "s:*?[a]",
        "s:a\nb",
        "a/b:c",
    ):
        await store.set(key, [key, ()])
        assert await store.append(key, key) == 3
        assert await store.get(key) == [key, (), key]
    assert len(await store.keys()) == 12
    assert await store.pop("s:large") == large


async def test_a_long_list_is_read_in_pages(store):
    """A list with a middle that was set at once and thousands of items around it keeps their order."""
    await store.set("s:l", ["middle"])
    await asyncio.gather(*(store.append("s:l", 1) for _ in range(700)))
    await asyncio.gather(*(store.prepend("s:l", 0) for _ in range(1500)))
    expected = [*[0] * 1500, "middle", *[1] * 700]
    assert await store.get("s:l") == expected
    assert await store.get_many(["s:l", "s:none"]) == {"s:l": expected}
    async with store.watch("s:l", exact=True) as changes:
        assert await store.append("s:l", 2) == 2202
        assert await anext(changes) == Change("s:l", [*expected, 2], "set")
    assert await store.pop("s:l") == [*expected, 2]
    assert not await store.exists("s:l")


async def test_an_empty_list_and_a_subclass_of_list_can_grow(store):
    """What counts as a list is what Python says; the result is a plain list."""
    await store.set("s:empty", [])
    assert await store.append("s:empty", 1) == 1
    await store.set("s:own", type("Own", (list,), {"__reduce__": lambda self: (list, (tuple(self),))})([1]))
    assert await store.prepend("s:own", 0) == 2
    await store.set("s:deep", OrderedDict(a=1))
    assert (await store.get("s:empty"), await store.get("s:own")) == ([1], [0, 1])
    assert type(await store.get("s:deep")) is OrderedDict


async def test_sums_are_exact(store):
    """Integers beyond what a double can hold stay exact, and floats stay floats."""
    await store.set("s:n", 2**53)
    assert await store.add("s:n") == 2**53 + 1
    assert await store.add("s:n", -(2**80)) == 2**53 + 1 - 2**80
    assert await store.add("s:f", 0.1) == 0.1
    assert await store.add("s:f", 0.2) == 0.1 + 0.2
    total = await store.add("s:f", 1)
    assert type(total) is float
    assert await store.add("s:b", True) == 1  # noqa: FBT003  # a bool is an int


async def test_values_without_equality_can_be_compared(store):
    """A copy of an object that says nothing about equality, or of nan, is known again; another one is not."""
    for value, other in ((Plain(1), Plain(2)), (float("nan"), 1.0), ({"a": Plain([1])}, {"a": Plain([2])})):
        await store.set("s:k", value)
        assert await store.compare_and_set("s:k", other, "wrong") is False
        assert await store.compare_and_set("s:k", await store.get("s:k"), "right") is True
    channel = Channel(store, "s")
    await channel.set("k", Plain(1))

    def more(value):
        value.number += 1
        return value

    assert (await channel.update("k", more)).number == 2


async def test_a_ttl_is_exact_and_may_be_long(store, client):
    """A key lives as long as it was told to, also beyond the life of its namespace, and for ever by infinity."""
    await store.set("s:long", 1, ttl=30 * 86_400)
    names = await client.keys("*:kv:m")
    assert 29 * 86_400 < await client.ttl(names[0]) <= 30 * 86_400 + 1
    for ttl in (float("inf"), 1e300):
        await store.set("s:ever", 1, ttl=ttl)
        assert await store.exists("s:ever")
    for ttl in (-1, -1e300, 0):
        assert await store.append("s:none", 1, ttl=ttl) == 1
        assert not await store.exists("s:none")
    with pytest.raises(ValueError, match="nan"):
        await store.set("s:ever", 1, ttl=float("nan"))


async def test_everything_in_redis_expires(redis_url, client):
    """No key is left for good by any verb, and each write begins the time anew."""
    async with RedisStore(redis_url, expire_after=1000) as store:
        await store.set("s:a", 1)
        await store.set("s:t", 1, ttl=0.001)
        await store.append("s:l", 1)
        await store.add("t/n", 1)
        await store.compare_and_set("s:a", 1, 2)
        async with store.watch("s:"), store.lock("s:a"), store.watch():
            await asyncio.create_task(_times_out(store))
        await store.pop("s:a")
        await store.delete("t/n")
        await store.clear("s:")
        await store.set("s:last", 1)
        names = await client.keys("*")
        assert len(names) > 6
        ttls = {name: await client.pttl(name) for name in names}
        assert [name for name, ttl in ttls.items() if ttl < 0] == []
        for name in names:
            await client.pexpire(name, 5000)
        await store.append("s:l", 2)
        assert await client.pttl("graflow:{s}:kv:m") > 900_000


async def _times_out(store):
    with pytest.raises(LockTimeoutError):
        async with store.lock("s:a", 0.01):
            pass


async def test_a_namespace_that_nobody_uses_goes(redis_url, client):
    """Where nothing happens for `expire_after`, nothing stays; a watch is use."""
    async with RedisStore(redis_url, expire_after=0.2) as hasty, RedisStore(redis_url, expire_after=6.0) as store:
        await hasty.set("gone:k", 1)
        await store.set("kept:k", 1)
        async with store.watch("kept:"):
            left = least = await client.pttl("graflow:{kept}:kv:m")
            while left <= least:  # until the watch gives it more time: only time makes it do so
                await asyncio.sleep(0.02)
                least, left = min(least, left), await client.pttl("graflow:{kept}:kv:m")
            assert await store.exists("kept:k")
            while await client.exists("graflow:{gone}:kv:m"):  # noqa: ASYNC110  # only time ends it
                await asyncio.sleep(0.02)
            assert not await store.exists("gone:k")
            assert {name for name in await client.keys("*") if b"gone" in name and b":o:" not in name} == set()


async def test_clearing_one_run_does_not_look_at_others(store, client):
    """What a prefix costs does not depend on how many keys other runs have."""
    await asyncio.gather(*(store.set(f"run{number}:c:k", 1) for number in range(300)))
    await asyncio.gather(*(store.set(f"run1:c:{number}", 1) for number in range(700)))
    await client.config_resetstat()
    assert await store.clear("run1:c:") == 701
    called = {name: stats["calls"] for name, stats in (await client.info("commandstats")).items()}
    assert "cmdstat_scan" not in called
    assert "cmdstat_keys" not in called
    assert called["cmdstat_evalsha"] < 20
    assert sorted(await store.keys("run2:")) == ["run2:c:k"]
    assert len(await store.keys("run2")) == 1 + 10 + 100
    assert await store.clear("run29") == 11
    assert len(await store.keys()) == 288


def test_a_store_goes_from_loop_to_loop(redis_url):
    """A store that was not closed leaves nothing open on a loop that ended, and works on the next one."""
    store = RedisStore(redis_url)

    async def use(number):
        async with store.watch("s:") as changes:
            assert await store.add("s:n") == number
            assert (await anext(changes)).value == number
        # Left open on purpose: the end of the loop is what closes them.
        await store.watch("s:").__aenter__()
        await store.lock("s:k", 0).__aenter__()
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, store.append("s:l", number))

    for number in (1, 2, 3):
        asyncio.run(use(number))


def test_workflows_share_a_store(redis_url):
    """Tasks of every kind use the channel of a run in Redis, one run after the other."""
    store = RedisStore(redis_url)

    @task(inject_context=True)
    def sync(context):
        channel = context.get_channel()
        channel.set("state", (1, {2: None}))
        with channel.lock("lock"):
            channel.append("seen", "sync")
        return channel.get("state")

    @task(inject_context=True)
    async def coroutine(context):
        await context.channel.update("seen", lambda seen: [*seen, "coroutine"])
        return await context.channel.get("seen")

    with workflow("shared") as shared:
        sync >> coroutine
    assert [shared.execute(store=store) for _ in range(3)] == [["sync", "coroutine"]] * 3
    assert len(asyncio.run(store.keys())) == 6
