"""RedisStore: servers that die, refuse or are full, commands that are cancelled, and other processes."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from graflow_async.errors import StoreError, StoreUnavailableError
from graflow_async.store import MISSING, Change
from graflow_async.stores.redis import RedisStore
from tests.aids.redis_server import RedisServer

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).resolve().parents[2]
SEED = 20_261_122


@pytest.fixture
def server():
    with RedisServer() as server:
        yield server


async def in_thread(work):
    """Start or stop a server while the loop goes on."""
    return await asyncio.to_thread(work)


async def at_last(verb, *arguments):
    """Do what may be done twice until Redis answers in time: for little patience a slow machine is one away."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await verb(*arguments)
            except StoreUnavailableError:
                continue


async def start(*arguments):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.redis_worker", *arguments), cwd=ROOT
    )


async def test_processes_lose_nothing_between_them(redis_url):
    """Counters, lists, updates and locks are right when three processes change them at once."""
    count, names = 40, ("a", "b", "c")
    async with asyncio.timeout(60), RedisStore(redis_url) as store:
        async with store.watch("shared:ready", exact=True) as changes:
            workers = [await start("work", redis_url, name, str(count)) for name in names]
            while len((await anext(changes)).value) < len(names):
                pass
        await store.set("shared:default:go", 1)
        assert [await worker.wait() for worker in workers] == [0, 0, 0]
        total = count * len(names)
        for key in ("sum", "updated", "inside"):
            assert await store.get(f"shared:default:{key}") == total
        items = await store.get("shared:default:list")
        assert sorted(items) == [(name, number) for name in names for number in range(count)]
        for name in names:
            assert [number for who, number in items if who == name] == list(range(count))
        fences = await store.get("shared:default:fences")
        assert fences == sorted(set(fences))
        assert len(fences) == total


async def test_the_lock_of_a_killed_process_comes_free(redis_url):
    """A process that dies inside a lock delays the next one by a lease, and its fence is the lower one."""
    async with asyncio.timeout(60), RedisStore(redis_url) as store:
        async with store.watch("shared:fence", exact=True) as changes:
            worker = await start("hold", redis_url)
            fence = (await anext(changes)).value
        assert await worker.wait() == -signal.SIGKILL
        async with store.lock("shared:lock", 30) as later:
            assert later > fence


async def test_a_dead_server_fails_verbs_in_time_and_a_new_one_serves_again(server):
    """While Redis is away a verb fails after its patience; the same store works when it is back."""
    async with RedisStore(server.url, patience=0.3) as store:
        await at_last(store.set, "s:k", 1)
        await in_thread(server.kill)
        for call in (store.get("s:k"), store.add("s:k"), store.clear("s:"), store.keys(), store.pop("s:k")):
            with pytest.raises(StoreUnavailableError):
                await call
        with pytest.raises(StoreUnavailableError):
            async with store.lock("s:k"):
                pass
        await in_thread(server.start)
        assert await at_last(store.get, "s:k", MISSING) is MISSING
        await at_last(store.set, "s:k", 2)
        assert await at_last(store.get, "s:k") == 2


async def test_a_server_that_hangs_is_given_up(server):
    """A server that takes connections and does not answer counts as away, and many waiting verbs fail together."""
    async with RedisStore(server.url, patience=0.5, connections=2) as store:
        await at_last(store.set, "s:k", 1)
        server.signal(signal.SIGSTOP)
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(store.add("s:n") for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailableError}
        server.signal(signal.SIGCONT)
        assert await at_last(store.get, "s:k") == 1


async def test_closing_a_store_ends_what_is_under_way(server):
    """A verb that waits for an answer when its store is closed fails with an error of the store."""
    store = RedisStore(server.url)
    await store.set("s:k", 1)
    server.signal(signal.SIGSTOP)
    waiting = asyncio.create_task(store.get("s:k"))
    await asyncio.wait([waiting], timeout=0.1)
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await waiting
    server.signal(signal.SIGCONT)


async def test_a_verb_outlasts_a_restart(server):
    """A server that is back within the patience is all a verb needs, scripts included; watchers learn of the loss."""
    async with asyncio.timeout(60), RedisStore(server.url, patience=50) as store, store.watch("s:") as changes:
        await store.set("s:k", 1)
        await anext(changes)
        await in_thread(server.kill)
        calls = [asyncio.create_task(call) for call in (store.add("s:n"), store.append("s:l", 1), store.get("s:k"))]
        await asyncio.wait(calls, timeout=0.2)
        assert not any(call.done() for call in calls)
        await in_thread(server.start)
        assert await asyncio.gather(*calls) == [1, 1, None]
        assert await anext(changes) == Change("s:", None, "lost")
        await store.set("s:end", 1)
        while (change := await anext(changes)).key != "s:end":
            assert change.kind in {"set", "lost"}


async def test_appends_are_made_once_through_restarts(tmp_path):
    """With a server that keeps what it acknowledged, every append is there once, in spite of kills."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with asyncio.timeout(60), RedisStore(server.url, patience=50) as store:

            async def fill(name):
                for number in range(60):
                    await store.append("s:l", (name, number))

            filling = [asyncio.create_task(fill(name)) for name in range(4)]
            for _ in range(4):
                await asyncio.wait(filling, timeout=0.1)
                await in_thread(server.restart)
            await asyncio.gather(*filling)
            items = await store.get("s:l")
            assert sorted(items) == [(name, number) for name in range(4) for number in range(60)]


async def test_a_full_server_refuses_whole_changes(server):
    """Out of memory is a StoreError, nothing is half written, and what makes room still works."""
    async with RedisStore(server.url) as store, Redis.from_url(server.url) as client:
        await store.set("s:k", "small")
        await store.append("s:l", 1)
        await store.set("s:gone", 1)
        before = {name: await client.dump(name) for name in await client.keys("*")}
        await client.config_set("maxmemory", 1)
        for call in (
            store.set("s:new", b"x" * 100_000),
            store.set("s:k", 2),
            store.append("s:l", 2),
            store.append("s:new", 2),
            store.add("s:n"),
            store.compare_and_set("s:k", "small", "other"),
        ):
            with pytest.raises(StoreError) as caught:
                await call
            assert not isinstance(caught.value, StoreUnavailableError)
        assert {name: await client.dump(name) for name in await client.keys("*")} == before
        assert await store.get("s:k") == "small"
        assert await store.delete("s:gone") is True
        assert await store.pop("s:l") == [1]
        assert await store.clear("s:") == 1
        await client.config_set("maxmemory", 0)
        await store.set("s:k", 2)
        assert await store.keys("s:") == ["s:k"]


async def test_a_replica_is_waited_for_to_become_the_master():
    """READONLY passes: a verb waits for the end of a failover, and fails as unavailable if there is none."""
    with RedisServer() as replica:
        hasty, store = RedisStore(replica.url, patience=0.3), RedisStore(replica.url)
        async with hasty, store, Redis.from_url(replica.url) as client:
            await client.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreUnavailableError):
                await hasty.set("s:k", 1)
            setting = asyncio.create_task(store.set("s:k", 2))
            await asyncio.wait([setting], timeout=0.2)
            assert not setting.done()
            await client.execute_command("REPLICAOF", "NO", "ONE")
            await setting
            assert await store.get("s:k") == 2


async def test_cancelled_calls_leave_sound_connections(redis_url):
    """After thousands of cancelled reads and waits every answer belongs to its question."""
    sys.stdout.write(f"seed {SEED}\n")
    chance = random.Random(SEED)
    async with asyncio.timeout(60), RedisStore(redis_url, connections=4) as store:
        for number in range(20):
            await store.set(f"s:{number}", number)
        for _ in range(200):
            tasks = [asyncio.create_task(store.get(f"s:{chance.randrange(20)}")) for _ in range(9)]
            changes = store.watch("s:never", exact=True)
            tasks.append(asyncio.ensure_future(anext(changes)))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await changes.aclose()
            number = chance.randrange(20)
            assert await store.get(f"s:{number}") == number
        assert await asyncio.gather(*(store.get(f"s:{number}") for number in range(20))) == list(range(20))


async def test_a_cancelled_change_is_made_once_or_not_at_all(redis_url):
    """Changes that were cancelled at any moment are whole, and do not come back later."""
    sys.stdout.write(f"seed {SEED}\n")
    chance = random.Random(SEED)
    async with asyncio.timeout(60), RedisStore(redis_url, connections=4) as store:
        sure, maybe = 0, 0
        for number in range(200):
            tasks = [asyncio.create_task(store.append("s:l", (number, turn))) for turn in range(4)]
            for _ in range(chance.randrange(14)):
                await asyncio.sleep(0)
            victim = chance.choice(tasks)
            victim.cancel()
            await asyncio.wait(tasks)
            sure += sum(not task.cancelled() for task in tasks)
            maybe += victim.cancelled()
        items = await store.get("s:l")
        assert len(set(items)) == len(items)
        assert sure <= len(items) <= sure + maybe
        assert maybe > 0
        assert await store.append("s:l", "end") == len(items) + 1
