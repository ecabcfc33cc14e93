"""The thread pool: outcomes, reuse, waking the loop. Giving calls up and closing is in test_thread_ends.py."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
import traceback
import weakref
from collections import deque
from typing import Any

import pytest

from graflow_async.executors.threads import ThreadPool


def test_value_comes_from_a_named_daemon_thread(run):
    """A call runs in a daemon thread of the pool and its value arrives on the loop."""

    async def main():
        pool = ThreadPool("graflow-here")
        thread = await pool.submit(threading.current_thread)
        await pool.aclose()
        return thread

    thread = run(main)
    assert thread.name.startswith("graflow-here-")
    assert thread.daemon
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_every_exception_becomes_the_futures(run, kind):
    """Whatever ends a body ends its future, the very object, and the thread lives on."""
    error = kind("no")

    def body():
        raise error

    async def main():
        pool = ThreadPool()
        future = pool.submit(body)
        await asyncio.wait((future,))
        assert future.exception() is error
        assert not future.cancelled()
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["body"]
        assert await pool.submit(lambda: 1) == 1
        assert pool._started == 1
        await pool.aclose()

    run(main)


def test_stop_iteration_is_wrapped(run):
    """StopIteration, which a future refuses, arrives as the cause of a RuntimeError."""

    async def main():
        pool = ThreadPool()
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await pool.submit(functools.partial(next, iter(())))
        await pool.aclose()
        return caught.value.__cause__

    assert isinstance(run(main), StopIteration)


def test_one_after_another_shares_a_thread(run):
    """The thread of an ended call is idle when its awaiter goes on."""

    async def main():
        pool = ThreadPool()
        used = {await pool.submit(threading.get_ident) for _ in range(200)}
        assert pool.busy == 0
        await pool.aclose()
        return used

    assert len(run(main)) == 1


def test_blocked_calls_starve_nobody(run):
    """A call starts at once however many others are blocked, and may be the one that frees them."""

    async def main():
        pool, event = ThreadPool(), threading.Event()
        blocked = [pool.submit(event.wait) for _ in range(100)]
        assert pool.busy == 100
        await pool.submit(event.set)
        assert all(await asyncio.gather(*blocked))
        assert pool.busy == 0
        await pool.aclose()

    run(main)


def test_bodies_may_wait_for_bodies(run):
    """A body that blocks until its child's body has ended gets its value, to any depth."""

    async def main():
        pool, loop = ThreadPool(), asyncio.get_running_loop()

        async def child(depth):
            return await pool.submit(functools.partial(body, depth))

        def body(depth):
            return 0 if depth == 0 else 1 + asyncio.run_coroutine_threadsafe(child(depth - 1), loop).result()

        value = await child(60)
        await pool.aclose()
        return value

    assert run(main) == 60


def test_ten_thousand_calls(run):
    """Each of 10,000 calls gives its own value once, with as many threads as calls were in flight."""

    async def main():
        pool, slots, called = ThreadPool(), asyncio.Semaphore(30), []

        def body(n):
            called.append(n)
            return -n

        async def one(n):
            async with slots:
                return await pool.submit(functools.partial(body, n))

        values = await asyncio.gather(*map(one, range(10_000)))
        assert values == [-n for n in range(10_000)]
        assert sorted(called) == list(range(10_000))
        assert pool._started <= 30
        await pool.aclose()

    run(main)


def test_outcomes_arrive_in_batches(run):
    """Calls that end while the loop is occupied cost it one wake-up and not one each."""
    calls = 60

    class Counting(deque):
        def append(self, item):
            super().append(item)
            added.release()

    class Loop:
        def __init__(self, loop):
            self.loop, self.woken = loop, 0

        def call_soon_threadsafe(self, callback):
            self.woken += 1
            return self.loop.call_soon_threadsafe(callback)

    added = threading.Semaphore(0)

    async def main():
        pool, event = ThreadPool(), threading.Event()
        pool._done = Counting()
        futures = [pool.submit(event.wait) for _ in range(calls)]
        real = asyncio.get_running_loop()
        counting: Any = Loop(real)
        pool._loop = counting
        event.set()
        for _ in range(calls):
            assert added.acquire(timeout=30)
        await asyncio.gather(*futures)
        pool._loop = real
        await pool.aclose()
        return counting.woken

    # Two threads may find nobody waking at the same instant, so it need not be exactly one.
    assert run(main) <= calls // 4


def test_idle_threads_are_bounded(run):
    """Of a burst of threads only `max_idle` stay."""

    async def main():
        pool, event = ThreadPool(max_idle=5), threading.Event()
        futures = [pool.submit(event.wait) for _ in range(50)]
        event.set()
        await asyncio.gather(*futures)
        again = threading.Event()
        futures = [pool.submit(again.wait) for _ in range(6)]
        assert pool._started == 51
        again.set()
        await asyncio.gather(*futures)
        await pool.aclose()

    run(main)


def test_idle_threads_hold_nothing(run):
    """Function, value and error of an ended call can be collected while its thread waits for the next."""

    class Thing:
        pass

    class ThingError(Exception):
        pass

    async def gone(pool, seen):
        event = threading.Event()
        weakref.finalize(seen, event.set)
        del seen
        await pool.submit(int)  # by the same thread, which lets go of one call before it takes the next
        gc.collect()
        assert await asyncio.to_thread(event.wait, 30)

    async def main():
        pool = ThreadPool()
        await gone(pool, await pool.submit(functools.partial(lambda given: given, Thing())))
        future = pool.submit(functools.partial(exec, "raise error", {"error": ThingError()}))
        await asyncio.wait((future,))
        error = future.exception()
        del future
        waiting = gone(pool, error)
        del error
        await waiting
        assert pool._started == 1
        await pool.aclose()

    run(main)


def test_context_variables_are_the_callers(run):
    """A call submitted with a context runs in it, and a thread carries nothing over to the next call."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        pool = ThreadPool()
        variable.set("caller")
        context = contextvars.copy_context()
        seen = [await pool.submit(functools.partial(context.run, variable.get)), await pool.submit(variable.get)]
        await pool.submit(lambda: context.run(variable.set, "body"))
        seen += [context[variable], variable.get(), await pool.submit(variable.get)]
        await pool.aclose()
        return seen

    assert run(main) == ["caller", "unset", "body", "caller", "unset"]
