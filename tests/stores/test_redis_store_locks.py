"""RedisStore: locks as leases, between stores and after a holder's death."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async.errors import LockTimeoutError, StoreError
from graflow_async.stores.redis import RedisStore


async def queue_length(client):
    return sum([await client.zcard(name) for name in await client.keys("*:lock:q")])


async def until_queued(client, length):
    while await queue_length(client) != length:
        await client.ping()


async def test_who_waits_longest_is_next_over_all_stores(redis_url, client):
    """A lock goes from store to store in the order in which they asked."""
    stores = [RedisStore(redis_url) for _ in range(5)]
    order: list[int] = []

    async def take(number):
        async with stores[number].lock("s:k"):
            order.append(number)

    async with stores[0].lock("s:k"):
        waiting: list[asyncio.Task[None]] = []
        for number in (3, 1, 4, 2):
            waiting.append(asyncio.create_task(take(number)))
            await until_queued(client, len(waiting))
    await asyncio.gather(*waiting)
    assert order == [3, 1, 4, 2]
    for store in stores:
        await store.aclose()


async def test_a_lock_is_renewed_while_it_is_held(redis_url, client):
    """A block that takes longer than a lease keeps the lock: the lease is put off long before it ends."""
    async with RedisStore(redis_url, lease=5.0) as store, RedisStore(redis_url) as other:
        async with store.lock("s:k") as fence:
            (place,) = await client.keys("*:lock:h")
            first = int(await client.hget(place, "until"))
            while int(await client.hget(place, "until")) == first:  # noqa: ASYNC110  # only time has it renewed
                await asyncio.sleep(0.02)
            with pytest.raises(LockTimeoutError):
                async with other.lock("s:k", 0):
                    pass
        async with other.lock("s:k", 0) as later:
            assert later > fence


async def test_the_lock_of_a_dead_holder_comes_free(redis_url, client):
    """Who waits gets the lock when the lease ends, with a higher fence; a dead one in the queue stops nobody."""
    dead = ["someone:1", "0" * 16 + ":1"]
    async with RedisStore(redis_url, lease=0.3) as store:
        async with store.lock("s:k") as fence:
            pass
        place = (await client.keys("*:lock:h"))[0]
        seconds, micros = await client.time()
        now = seconds * 1_000_000 + micros
        await client.hset(place, mapping={"holder": dead[0], "until": now + 300_000, "fence": fence + 1})
        queue = place[:-1]
        await client.zadd(queue + b"q", {dead[1]: now - 10})
        await client.hset(queue + b"a", dead[1], now + 100_000)
        async with store.lock("s:k", 30) as later:
            assert later > fence + 1
        assert await queue_length(client) == 0


async def test_losing_the_lock_is_told(redis_url, client):
    """A block whose lock Redis forgot, or gave to somebody else, ends with an error; its own error goes first."""
    async with RedisStore(redis_url, lease=0.2) as store:

        async def lose():
            for name in await client.keys("*:lock:h"):
                await client.hset(name, "holder", "someone:1")

        with pytest.raises(StoreError, match="was lost"):
            async with store.lock("s:k"):
                await lose()
        await client.flushall()
        with pytest.raises(StoreError, match="was lost"):
            async with store.lock("s:k"):
                await client.flushall()

        async def fail():
            await lose()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with store.lock("s:k"):
                await fail()
        await client.flushall()
        async with store.lock("s:k", 0):
            pass


async def test_a_lost_lock_is_noticed_by_renewing(redis_url, client, caplog):
    """The log tells of a lost lock while its block still runs."""
    async with RedisStore(redis_url, lease=0.1) as store:

        async def hold():
            await client.flushall()
            async with asyncio.timeout(60):
                while "was lost while it was held" not in caplog.text:
                    await client.ping()

        with pytest.raises(StoreError, match="was lost"):
            async with store.lock("s:k"):
                await hold()


async def test_fences_grow_although_redis_forgets(redis_url, client):
    """A fencing number is greater than all before it, also when the last one is no longer known."""
    async with RedisStore(redis_url) as store:
        fences: list[int] = []
        for _ in range(5):
            async with store.lock("s:k") as fence:
                fences.append(fence)
            await client.flushall()
        assert fences == sorted(set(fences))


async def test_a_lock_is_taken_again_by_its_holder_only_here(redis_url):
    """Re-entering costs nothing and keeps the fence; leaving the inner block does not free it for another store."""
    async with RedisStore(redis_url) as store, RedisStore(redis_url) as other:
        async with store.lock("s:k") as outer:
            async with store.lock("s:k", 0) as inner:
                assert inner == outer
            with pytest.raises(LockTimeoutError):
                async with other.lock("s:k", 0):
                    pass
        async with other.lock("s:k", 0) as later:
            assert later > outer


async def test_a_cancelled_waiter_leaves_the_queue(redis_url, client):
    """Cancelling one who waits for another store's lock, at any moment, costs nobody the lock."""
    async with asyncio.timeout(60), RedisStore(redis_url) as store, RedisStore(redis_url) as other:

        async def take():
            async with other.lock("s:k"):
                pass

        async with store.lock("s:k"):
            waiting = asyncio.create_task(take())
            await until_queued(client, 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            await until_queued(client, 0)
        for steps in range(40):
            waiting = asyncio.create_task(take())
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            async with store.lock("s:k", 30):
                pass


async def test_closing_a_store_ends_its_waiting_and_frees_its_locks(redis_url, client):
    """Who waits for a lock of a store that is closed gets an error; what the store held is free at once."""
    async with RedisStore(redis_url) as store:
        other = RedisStore(redis_url)
        held = other.lock("s:mine")
        await held.__aenter__()
        async with store.lock("s:k"):

            async def take():
                async with other.lock("s:k"):
                    pass

            waiting = asyncio.create_task(take())
            await until_queued(client, 1)
            await other.aclose()
            with pytest.raises(StoreError, match="closed"):
                await waiting
        async with store.lock("s:mine", 0):
            pass
        await held.__aexit__(None, None, None)
