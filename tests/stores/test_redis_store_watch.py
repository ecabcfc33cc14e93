"""RedisStore: what watchers see of other processes, of large values, and of a connection that breaks."""

from __future__ import annotations

import asyncio
import gc

import pytest

from graflow_async.channel import Channel
from graflow_async.store import Change
from graflow_async.stores.redis import RedisStore


@pytest.fixture
async def store(redis_url):
    async with asyncio.timeout(60), RedisStore(redis_url) as store:
        yield store


@pytest.fixture
async def other(redis_url):
    async with RedisStore(redis_url) as store:
        yield store


async def take(changes, count):
    return [await anext(changes) for _ in range(count)]


async def listeners(client):
    """Give the channels and the number of patterns that somebody listens to."""
    return sorted(await client.pubsub_channels()), await client.pubsub_numpat()


async def until_nobody_listens(client):
    while await listeners(client) != ([], 0):
        await client.ping()


async def test_large_values_are_seen_whole(store, other):
    """A value that is too large to be told, and a list with more items than are told, come as they were."""
    large = b"x" * 3_000_000
    async with store.watch("s:") as changes:
        await other.set("s:large", large)
        assert await anext(changes) == Change("s:large", large, "set")
        await other.set("s:list", list(range(200)))
        for number in range(200, 300):
            await other.append("s:list", number)
        seen = await take(changes, 101)
        assert [change.value for change in seen] == [list(range(number)) for number in range(200, 301)]
        await other.set("s:items", [large])
        await anext(changes)
        assert await other.prepend("s:items", "first") == 2
        assert await anext(changes) == Change("s:items", ["first", large], "set")


async def test_a_large_value_that_is_gone_already_counts_as_lost(store, other):
    """What can no longer be read when the watcher hears of it is not left out in silence."""
    async with store.watch("s:") as changes:
        await asyncio.gather(other.set("s:k", b"x" * 200_000), *(other.set("s:k", b"y" * 200_000) for _ in range(20)))
        last = await other.get("s:k")
        seen: list[Change] = []
        while not seen or seen[-1].value != last or len(seen) < 21:
            seen.append(await anext(changes))
        assert {change.kind for change in seen} <= {"set", "lost"}
        assert {change.key for change in seen if change.kind == "lost"} <= {"s:"}
        await other.set("s:end", 1)
        assert await anext(changes) == Change("s:end", 1, "set")


async def test_a_watch_of_everything_sees_every_namespace(store, other):
    """A prefix that is no whole namespace covers those that exist and those that come later, each change once."""
    await other.set("run1:a", 1, ttl=0.3)
    async with store.watch() as all_changes, store.watch("run") as runs, store.watch("run2:") as second:
        await other.set("run2:b", 2)
        await other.set("else/c", 3)
        await other.set("run3:d", 4, ttl=0.2)
        expected = [Change("run2:b", 2, "set"), Change("else/c", 3, "set"), Change("run3:d", 4, "set")]
        expired = {("run1:a", "expire"), ("run3:d", "expire")}
        for changes, written in ((all_changes, expected), (runs, [expected[0], expected[2]])):
            seen = await take(changes, len(written) + 2)  # on a slow machine a key expires before the last one is set
            assert [change for change in seen if change.kind == "set"] == written
            assert {(change.key, change.kind) for change in seen if change.kind != "set"} == expired
        await other.set("run2:b", 5)
        assert await take(second, 2) == [expected[0], Change("run2:b", 5, "set")]


async def test_changes_during_a_broken_connection_are_told_as_lost(store, other, client):
    """Whoever watches learns that something was missed, and sees what comes afterwards."""
    async with store.watch("s:") as changes, store.watch("t:") as quiet, store.watch() as everything:
        await other.set("s:k", 0)
        assert (await anext(changes)).value == 0
        assert (await anext(everything)).value == 0
        # In one transaction, so that the change is made before the listener can be back.
        async with client.pipeline(transaction=True) as pipe:
            pipe.client_kill_filter(_type="pubsub")
            pipe.set("graflow:{s}:kv:r", "9" * 15)
            await pipe.execute()
        assert await anext(changes) == Change("s:", None, "lost")
        assert await anext(everything) == Change("", None, "lost")
        await other.set("s:k", 2)
        await other.set("t:k", 3)
        assert await anext(changes) == Change("s:k", 2, "set")
        assert await anext(quiet) == Change("t:k", 3, "set")


async def test_a_connection_that_broke_in_peace_costs_nothing(store, other, client):
    """Where nothing was changed meanwhile, nothing is lost; the wait of a channel goes on in any case."""
    await other.set("s:k", 0)
    async with store.watch("s:") as changes:
        waiting = asyncio.create_task(Channel(store, "s").wait("k", lambda value: value == 5))
        for number in range(1, 6):
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            while b"graflow:{s}:kv:c" not in (await listeners(client))[0]:
                await client.ping()
            # Confirmed to Redis is not yet known here; joining again waits for that.
            async with store.watch("s:other", exact=True):
                await other.set("s:k", number)
            change = await anext(changes)
            assert change == Change("s:k", number, "set") or change.kind == "lost"
        await Channel(other, "s").set("k", 5)
        assert await waiting == 5


async def test_a_gap_in_what_is_told_is_noticed(store, other, client):
    """A revision that nobody told of, as after a restart, is a loss for those who watch that namespace."""
    async with store.watch("s:") as changes, store.watch("t:") as quiet:
        await other.set("s:k", 1)
        assert (await anext(changes)).value == 1
        await client.incrby("graflow:{s}:kv:r", 7)
        await other.set("s:k", 2)
        assert await take(changes, 2) == [Change("s:", None, "lost"), Change("s:k", 2, "set")]
        await other.set("t:k", 3)
        assert await anext(quiet) == Change("t:k", 3, "set")


async def test_what_is_no_change_does_not_stop_the_others(store, other, client):
    """A message or a value that nobody signed is not shown, is not passed over in silence, and harms no later one."""
    async with store.watch("s:") as changes:
        await client.publish("graflow:{s}:kv:c", b"\xff nonsense")
        assert (await anext(changes)).kind == "lost"
        await other.set("s:k", 1)
        assert await anext(changes) == Change("s:k", 1, "set")
        revision = int(await client.get("graflow:{s}:kv:r"))
        forged = f"set {revision} {revision + 1} -1 3 -1 1 0 0 5\ns:kbytes"
        await client.publish("graflow:{s}:kv:c", forged)
        assert await anext(changes) == Change("s:", None, "lost")
        await client.set("graflow:{s}:kv:r", revision + 1)
        await other.set("s:k", 3)
        assert await anext(changes) == Change("s:k", 3, "set")


async def test_a_slow_reader_loses_the_oldest_changes(redis_url, other):
    """A watcher keeps a limited number of changes, and says how many it dropped."""
    async with RedisStore(redis_url, watch_limit=5) as store, store.watch("s:") as changes:
        async with store.watch("s:end", exact=True) as end:
            for number in range(20):
                await other.set("s:k", number)
            await other.set("s:end", 1)
            await anext(end)
        first = await anext(changes)
        assert (first.kind, first.value) == ("lost", 16)
        assert [change.value for change in await take(changes, 5)] == [16, 17, 18, 19, 1]


async def test_watches_begin_with_their_first_step_and_leave_nothing_behind(store, client):
    """A watch that was not entered begins when it is read; closed ones are no longer listened for."""
    changes = store.watch("s:k", exact=True)
    await until_nobody_listens(client)
    first = asyncio.ensure_future(anext(changes))
    while not (await listeners(client))[0]:
        await client.ping()
    async with store.watch("s:"), store.watch():
        await store.set("s:k", 1)
        assert (await first).value == 1
        assert await listeners(client) == ([b"graflow:{s}:kv:c"], 1)
    await changes.aclose()
    await store.set("s:k", 2)
    await until_nobody_listens(client)
    assert [change async for change in changes] == []
    never = store.watch("s:")
    await never.aclose()
    assert [change async for change in never] == []


async def test_a_dropped_watch_is_forgotten(store, client):
    """A reader that leaves without closing costs nothing once something else is closed."""
    changes = store.watch("dropped:")
    await changes.__aenter__()
    del changes
    gc.collect()
    async with store.watch("s:"):
        pass
    await until_nobody_listens(client)


async def test_many_watches_share_one_connection(store, other, client):
    """A hundred watches of a hundred namespaces cost one connection, and each sees its own."""
    watches = [store.watch(f"run{number}:") for number in range(100)]
    await asyncio.gather(*(watch.__aenter__() for watch in watches))
    await asyncio.gather(*(other.set(f"run{number}:k", number) for number in range(100)))
    assert [(await anext(watch)).value for watch in watches] == list(range(100))
    assert len([each for each in await client.client_list() if int(each["sub"])]) == 1
    for watch in watches:
        await watch.aclose()
    await until_nobody_listens(client)


async def test_a_watch_may_begin_while_the_connection_breaks(store, other, client):
    """Whatever moment the connection breaks in, a watch that has begun sees what comes, or that it lost something."""
    async with store.watch("s:") as first:
        for number in range(40):
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            for _ in range(number // 2):
                await asyncio.sleep(0)
            async with store.watch(f"run{number}:") as changes:
                await other.set(f"run{number}:k", number)
                assert (await anext(changes)).kind in {"set", "lost"}
        await other.set("s:k", "end")
        while (await anext(first)).value != "end":
            pass
