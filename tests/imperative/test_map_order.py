"""Scenarios 9, 10, 20, 21, 22 and 24: order, bounds, how far an input is read ahead, scale, threads and the loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from graflow_async import Task, task
from tests.aids.simloop import run_sim
from tests.imperative.parts import Source, within
from tests.runtime.parts import SEEDS, Crowd, now

MANY = 10_000
WINDOW = 1000


@pytest.mark.parametrize("seed", SEEDS)
def test_9_results_keep_the_order_of_the_input(seed):
    """9: the last item ends first; all are under way at once, so the whole takes as long as the longest."""

    async def main():
        ended = []

        @task
        async def item(n):
            await asyncio.sleep((20 - n) / 100)
            ended.append(n)
            return n

        async def parent(ctx):
            return await ctx.map(item, range(20))

        assert await within(parent) == list(range(20))
        assert ended == list(range(19, -1, -1))
        assert now() == pytest.approx(0.2)

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [range, Source, lambda count: Source(count).slowly()], ids=["sized", "lazy", "async"])
@pytest.mark.parametrize("bound", [1, 3])
def test_10_a_map_bounds_itself(bound, make, seed):
    """10: never more bodies at once than allowed, and that many at some time; one at a time go in input order."""

    async def main():
        crowd, order = Crowd(), []

        @task
        async def item(n):
            with crowd:
                order.append(n)
                await asyncio.sleep(0.01)

        async def parent(ctx):
            await ctx.map(item, make(30), max_concurrency=bound)

        await within(parent)
        assert (crowd.most, crowd.total) == (bound, 30)
        if bound == 1:
            assert order == list(range(30))

    run_sim(main, seed)


async def test_10_sync_items_are_bounded_as_well():
    """10: three plain tasks meet in their threads, which they can only do together; a fourth is never there."""
    barrier, lock, crowd = threading.Barrier(3), threading.Lock(), Crowd()

    @task
    def item(n):
        with lock:
            crowd.__enter__()
        barrier.wait(timeout=60)
        with lock:
            crowd.__exit__()
        return n

    async def parent(ctx):
        return await ctx.map(item, range(30), max_concurrency=3)

    assert await within(parent) == list(range(30))
    assert crowd.most == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_20_results_in_the_order_of_their_ends(seed):
    """20: handles come as their children end, whatever the order in which they were started."""

    async def main():
        @task
        async def item(n, delay):
            await asyncio.sleep(delay)
            return n

        async def parent(ctx):
            handles = [ctx.submit(item, n, delay) for n, delay in enumerate([0.3, 0.1, 0.2, 0, 0.05])]
            return [await handle async for handle in ctx.as_completed(handles)]

        assert await within(parent) == [3, 4, 1, 2, 0]

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["generator", "async generator"])
def test_20_a_map_that_is_left_early_closes_its_input(asynchronous, seed):
    """20: cancelling the wait over an endless input cancels what runs, reads no further and closes the generator."""

    async def main():
        source, running = Source(10**9), set()

        @task
        async def item(n):
            running.add(n)
            try:
                await asyncio.sleep(1)
            finally:
                running.remove(n)

        async def parent(ctx):
            given = source.slowly() if asynchronous else iter(source)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10.5):
                    await ctx.map(item, given, max_concurrency=10)
            assert running == set()
            assert source.pulled == 110
            if asynchronous:
                assert source.is_closed

        await within(parent)

    run_sim(main, seed)


async def test_21_the_loop_turns_while_sync_items_block():
    """21: twenty plain tasks wait in threads until the loop has turned a thousand times."""
    enough = threading.Event()

    @task
    def item(n):
        assert enough.wait(timeout=60)
        return n

    async def heart():
        for _ in range(1000):
            await asyncio.sleep(0)
        enough.set()

    async def parent(ctx):
        beating = asyncio.create_task(heart())
        results = await ctx.map(item, range(20))
        await beating
        return results

    assert await within(parent) == list(range(20))


async def test_22_one_loop_serves_all():
    """22: a lock, a queue and a connection made by the parent work in a hundred mapped tasks."""

    async def reply(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def parent(ctx):
        lock, queue, threads = asyncio.Lock(), asyncio.Queue(), set()
        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])

        @task
        async def item(n):
            threads.add(threading.get_ident())
            async with lock:
                writer.write(f"n{n}\n".encode())
                await writer.drain()
                answer = await reader.readline()
            await queue.put(n)
            return answer.decode().strip()

        answers = await ctx.map(item, range(100))
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert threads == {threading.get_ident()}
        assert queue.qsize() == 100
        return answers

    assert await within(parent) == [f"N{n}" for n in range(100)]


@pytest.mark.parametrize("kind", ["async", "inline", "thread"])
async def test_24_ten_thousand_items(kind):
    """24: right and in order; async items need no thread at all, plain ones never more than `max_threads`."""
    before, seen = threading.active_count(), set()

    def plain(n):
        seen.add(threading.get_ident())
        return n * 2

    async def coroutine(n):
        return plain(n)

    item = Task("item", coroutine) if kind == "async" else Task("item", plain, executor=kind)

    async def parent(ctx):
        return await ctx.map(item, range(MANY))

    assert await within(parent, max_threads=4) == [n * 2 for n in range(MANY)]
    if kind == "thread":
        assert len(seen) <= 4
        assert threading.get_ident() not in seen
    else:
        assert seen == {threading.get_ident()}
        assert threading.active_count() == before


class Parcel:
    """An element that can be counted while it lives."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


async def watched_map(count, bound, step, *, asynchronous=False):
    """Map over `count` parcels; give how far the input was read ahead and how many parcels lived at once at most."""
    alive: weakref.WeakSet[Parcel] = weakref.WeakSet()
    pulled = done = ahead = most_alive = 0

    def take():
        nonlocal pulled, ahead
        pulled += 1
        ahead = max(ahead, pulled - done)
        return Parcel(pulled - 1)

    def parcels():
        for _ in range(count):
            yield take()

    async def async_parcels():
        for _ in range(count):
            yield take()

    @task
    async def item(parcel):
        nonlocal done, most_alive
        if parcel.number % step == 0:
            alive.add(parcel)
            await asyncio.sleep(0)
            most_alive = max(most_alive, len(alive))
        done += 1
        return parcel.number & 1

    async def parent(ctx):
        source = async_parcels() if asynchronous else parcels()
        results = await ctx.map(item, source, max_concurrency=bound)
        assert sum(results) == count // 2
        assert len(results) == count

    await within(parent)
    del parent
    gc.collect()
    assert len(alive) == 0
    return ahead, most_alive


@pytest.mark.unrecorded
@pytest.mark.parametrize("asynchronous", [False, True], ids=["generator", "async generator"])
@pytest.mark.parametrize("bound", [1, 7, 100, None])
async def test_24_a_generator_is_read_as_slots_free_up(bound, asynchronous):
    """24, 20: no more elements are taken or kept than may run; without a bound the window is a thousand."""
    ahead, most_alive = await watched_map(20_000 if bound != 1 else 2_000, bound, 1, asynchronous=asynchronous)
    window = bound or WINDOW
    assert ahead <= window
    assert most_alive <= window + 1  # one is in the hands of the generator


@pytest.mark.unrecorded
@pytest.mark.slow
async def test_24_a_million_elements():
    """24: a million elements pass through a window of a hundred; only that many are ever kept."""
    ahead, most_alive = await watched_map(1_000_000, 100, 1000)
    assert ahead <= 100
    assert most_alive <= 101


async def test_24_a_million_elements_of_which_few_are_needed():
    """24: a failure early in a million elements ends the map with the rest unread."""
    source, error = Source(1_000_000), ValueError("enough")

    @task
    async def item(n):
        await asyncio.sleep(0)
        if n == 5000:
            raise error

    async def parent(ctx):
        await ctx.map(item, iter(source), max_concurrency=100)

    with pytest.raises(ValueError, match="enough") as caught:
        await within(parent)
    assert caught.value is error
    assert source.pulled <= 5000 + 1 + 100
