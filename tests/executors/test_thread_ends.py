"""The thread pool: calls that nobody waits for any more, closing, loops that are gone."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
import time

import pytest

from graflow_async.executors.threads import ThreadPool


async def forgotten(pool: ThreadPool, release: threading.Event) -> None:
    """Close the pool, let its abandoned calls end, and wait until their threads are gone."""
    await pool.aclose()
    left = [thread for thread in threading.enumerate() if thread.name.startswith("graflow")]
    release.set()
    for thread in left:
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


def test_cancelled_future_drops_the_late_outcome(run, caplog):
    """Cancelling stops waiting, not the body; its late value or error disappears without a word."""

    async def main():
        pool, event = ThreadPool(), threading.Event()

        def fails():
            event.wait()
            raise ValueError("late")

        futures = [pool.submit(event.wait), pool.submit(fails)]
        for future in futures:
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
        assert pool.busy == 2
        await forgotten(pool, event)
        assert pool.busy == 0
        assert all(future.cancelled() for future in futures)

    run(main)
    assert not caplog.records


def test_abandoned_future_fails_in_silence(run, caplog):
    """Nobody is told of the error of a call whose future nobody kept."""

    async def main():
        pool, event = ThreadPool(), threading.Event()

        def fails():
            event.wait()
            raise ValueError("late")

        await asyncio.wait((pool.submit(fails),), timeout=0)
        await forgotten(pool, event)
        assert pool.busy == 0

    run(main)
    assert not caplog.records


def test_aclose_waits_for_idle_threads_only(run):
    """Closing returns when the idle threads are gone, though a call still blocks; its thread ends by itself."""

    async def main():
        pool, event, other = ThreadPool(), threading.Event(), threading.Event()
        stuck = pool.submit(event.wait)
        idle = [pool.submit(other.wait) for _ in range(20)]
        other.set()
        await asyncio.gather(*idle)
        await pool.aclose()
        assert len([thread for thread in threading.enumerate() if thread.name.startswith("graflow")]) == 1
        with pytest.raises(RuntimeError, match="closed"):
            pool.submit(int)
        await forgotten(pool, event)
        assert await stuck is True
        await pool.aclose()

    run(main)


def test_no_thread_is_alive_when_aclose_returns(run):
    """Closing does not come back at the last breath of a thread but after it."""

    async def main():
        for _ in range(40):
            pool, event = ThreadPool(), threading.Event()
            futures = [pool.submit(event.wait) for _ in range(20)]
            threads = list(pool._threads)
            event.set()
            await asyncio.gather(*futures)
            await pool.aclose()
            assert not any(thread.is_alive() for thread in threads)
            assert not any(thread.name.startswith("graflow") for thread in threading.enumerate())

    run(main)


def test_aclose_is_idempotent_and_needs_no_use(run):
    """Closing an unused pool, twice or twice at once, is nothing special."""

    async def main():
        pool = ThreadPool()
        await pool.aclose()
        used = ThreadPool()
        await asyncio.gather(*(used.submit(int) for _ in range(5)))
        await asyncio.gather(used.aclose(), used.aclose())
        await used.aclose()
        assert not used._threads

    run(main)


def test_cancelled_aclose_still_stops_the_threads(run):
    """A closing that is cancelled has already given the orders to stop."""

    async def main():
        pool = ThreadPool()
        await asyncio.gather(*(pool.submit(functools.partial(time.sleep, 0)) for _ in range(5)))
        threads = list(pool._threads)
        closing = asyncio.create_task(pool.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await pool.aclose()

    run(main)


def test_late_outcome_after_the_loop_closed_is_silent(run, capfd, caplog):
    """A call that outlives its loop prints nothing, and takes the pool's idle threads along when it ends."""
    event = threading.Event()

    async def main():
        pool = ThreadPool()
        pool.submit(event.wait)
        await pool.submit(int)

    run(main)
    left = [thread for thread in threading.enumerate() if thread.name.startswith("graflow")]
    assert len(left) == 2
    event.set()
    for thread in left:
        thread.join(30)
        assert not thread.is_alive()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_another_loop_is_refused(run):
    """A pool says so when it is used from a second loop."""
    pools = []

    async def first():
        pools.append(ThreadPool())
        await pools[0].submit(int)
        await pools[0].aclose()

    async def second():
        with pytest.raises(RuntimeError, match="another event loop"):
            pools[0].submit(int)

    run(first)
    run(second)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls_settle(run, seed):
    """Under random values, errors and cancellations every future settles as its call did."""
    dice = random.Random(seed)

    async def one(pool, slots, n, kind):
        async with slots:
            future = pool.submit(functools.partial([int, str, int][kind], "x" if kind == 2 else n))
            if kind == 1 and n % 3 == 0:
                future.cancel()
            await asyncio.wait((future,))
            return future

    async def main():
        pool, slots = ThreadPool(max_idle=8), asyncio.Semaphore(20)
        kinds = [dice.randrange(3) for _ in range(2_000)]
        futures = await asyncio.gather(*(one(pool, slots, n, kind) for n, kind in enumerate(kinds)))
        for n, (kind, future) in enumerate(zip(kinds, futures, strict=True)):
            if future.cancelled():
                assert (kind, n % 3) == (1, 0)
            elif kind == 2:
                assert isinstance(future.exception(), ValueError)
            else:
                assert future.result() == [n, str(n)][kind]
        await forgotten(pool, threading.Event())
        assert pool.busy == 0

    run(main)
