"""Scenarios 114 to 118 (group I): the channel as tasks see it."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest

from graflow_async import ChannelTypeError, MemoryStore, StoreError, task, workflow


class Point(TypedDict):
    """A model for typed channels."""

    x: int
    y: int


VALUES = {"s": "text", "f": 1.5, "b": False, "d": {"k": [1]}, "t": (1, 2), "i": {1: "one"}, "n": None, "set": {1}}


def test_114_values_come_back_as_they_went_in():
    """114 in threads: every kind of value, defaults for missing keys, keys, exists, delete, pop."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def one(ctx):
            channel = ctx.get_channel()
            for key, value in VALUES.items():
                channel.set(key, value)

        @task(inject_context=True)
        def two(ctx):
            channel = ctx.channel
            assert {key: channel.get(key, "missing") for key in VALUES} == VALUES
            assert isinstance(channel.get("t"), tuple)
            assert (channel.get("missing"), channel.get("missing", 3), channel.get("missing", default=4)) == (
                None,
                3,
                4,
            )
            assert set(channel.keys()) == set(VALUES)
            assert channel.exists("n")
            assert (channel.delete("n"), channel.delete("n"), channel.exists("n")) == (True, False, False)
            assert (channel.pop("s"), channel.pop("s", "gone")) == ("text", "gone")
            channel.clear()
            return list(channel.keys())

        one >> two
        assert wf.execute() == []


async def test_114_values_come_back_as_they_went_in_on_the_loop():
    """114 with async tasks; named channels are channels of their own."""
    with workflow("w") as wf:

        @task(inject_context=True)
        async def one(ctx):
            for key, value in VALUES.items():
                await ctx.channel.set(key, value)
            await ctx.get_channel("other").set("s", "other text")

        @task(inject_context=True)
        async def two(ctx):
            assert {key: await ctx.channel.get(key, "missing") for key in VALUES} == VALUES
            assert await ctx.get_channel("other").get("s") == "other text"
            assert await ctx.get_channel("other").keys() == ["s"]
            return await ctx.channel.pop("s"), await ctx.channel.exists("s")

        one >> two
    assert await wf.run() == ("text", False)


def test_115_lists_grow_at_both_ends():
    """115 in threads: new lengths come back; something else than a list is a TypeError."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def lists(ctx):
            channel = ctx.channel
            assert [channel.append("a", n) for n in (1, 2, 3)] == [1, 2, 3]
            assert [channel.prepend("p", n) for n in (1, 2, 3)] == [1, 2, 3]
            channel.set("x", 3)
            with pytest.raises(TypeError):
                channel.append("x", 1)
            return channel.get("a"), channel.get("p")

        assert wf.execute() == ([1, 2, 3], [3, 2, 1])


async def test_115_a_value_with_a_ttl_goes_and_a_plain_set_keeps_it():
    """115 and SPEC 10: the store's clock decides; a plain `set` clears an earlier ttl."""
    with workflow("w") as wf:

        @task(inject_context=True)
        async def expiring(ctx):
            await ctx.channel.set("short", 1, ttl=0.01)
            await ctx.channel.set("kept", 1, ttl=0.01)
            await ctx.channel.set("kept", 2)
            async with ctx.channel.watch("short") as changes:
                if await ctx.channel.exists("short"):
                    async for change in changes:
                        assert change.key == "short"
                        break
            return await ctx.channel.get("short", "gone"), await ctx.channel.get("kept")

    async with asyncio.timeout(60):
        assert await wf.run() == ("gone", 2)


def test_116_atomic_add_counts_from_nothing():
    """116 in threads: a missing key is 0, negative and float amounts are fine, no number is a TypeError."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def adds(ctx):
            channel = ctx.channel
            channel.set("text", "x")
            with pytest.raises(TypeError):
                channel.atomic_add("text", 1)
            return channel.atomic_add("n", 5), channel.atomic_add("n", -2), channel.atomic_add("n", 0.5)

        assert wf.execute() == (5, 3, 3.5)


async def test_117_a_held_lock_times_out_and_other_keys_are_free():
    """117: `lock(key, timeout=)` raises TimeoutError while held elsewhere; other keys are independent."""
    held, release = asyncio.Event(), asyncio.Event()
    with workflow("w") as wf:

        @task(inject_context=True)
        async def holder(ctx):
            async with ctx.channel.lock("k"):
                held.set()
                await release.wait()

        @task(inject_context=True)
        async def other(ctx):
            await held.wait()
            try:
                with pytest.raises(TimeoutError):
                    async with ctx.channel.lock("k", timeout=0.01):
                        pass
                async with ctx.channel.lock("free", timeout=0.01):
                    pass
            finally:
                release.set()
            async with ctx.channel.lock("k", timeout=60):
                return "had it"

        holder | other
    assert (await wf.run())["other"] == "had it"


def test_117_a_lock_in_a_thread():
    """117 in threads: the context manager is a plain one."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def holder(ctx):
            with ctx.channel.lock("k"):
                ctx.channel.set("n", ctx.channel.get("n", 0) + 1)

        first, second = holder(task_id="first"), holder(task_id="second")

        @task(inject_context=True)
        def after(ctx):
            return ctx.channel.get("n")

        (first | second) >> after
        assert wf.execute() == 2


@pytest.mark.parametrize("bad", [{"x": 1}, {"x": 1, "y": 2, "z": 3}, {"x": 1, "y": "2"}, 3])
def test_118_a_typed_channel_refuses_what_does_not_fit(bad):
    """118 as SPEC 3: missing, extra and wrong fields are a ChannelTypeError (a TypeError) on write, None on read."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def typed(ctx):
            points = ctx.get_typed_channel(Point)
            points.set("p", {"x": 1, "y": 2})
            with pytest.raises(ChannelTypeError) as caught:
                points.set("p", bad)
            assert isinstance(caught.value, TypeError)
            assert isinstance(caught.value, StoreError)
            ctx.channel.set("bad", bad)
            with pytest.raises(ValueError):
                ctx.get_typed_channel(int)
            return points.get("p"), points.get("bad")

        assert wf.execute() == ({"x": 1, "y": 2}, None)


async def test_118_a_typed_channel_on_the_loop():
    """118 with async tasks."""
    with workflow("w") as wf:

        @task(inject_context=True)
        async def typed(ctx):
            points = ctx.get_typed_channel(Point)
            await points.set("p", {"x": 1, "y": 2})
            with pytest.raises(ChannelTypeError):
                await points.set("p", {"x": "1", "y": 2})
            return await points.get("p")

    assert await wf.run() == {"x": 1, "y": 2}


async def test_waiting_for_a_value_that_another_task_writes():
    """SPEC 3: `wait(key, predicate)` gives the value; `watch` gives changes with key, value and kind."""
    watching = asyncio.Event()
    with workflow("w") as wf:

        @task(inject_context=True)
        async def waits(ctx):
            return await ctx.channel.wait("n", lambda n: n >= 3)

        @task(inject_context=True)
        async def watches(ctx):
            seen = []
            async with ctx.channel.watch("n") as changes:
                watching.set()
                async for change in changes:
                    seen.append((change.key, change.value))
                    if change.value == 3:
                        return seen
            return seen

        @task(inject_context=True)
        async def writes(ctx):
            await watching.wait()
            for n in (1, 2, 3):
                await ctx.channel.set("n", n)

        waits | watches | writes
    value = await wf.run()
    assert value == {"waits": 3, "watches": [("n", 1), ("n", 2), ("n", 3)], "writes": None}


def test_waiting_in_a_thread():
    """SPEC 3: a sync task waits without holding the other's thread slot."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def waits(ctx):
            return ctx.channel.wait("n", timeout=60)

        @task(inject_context=True)
        def writes(ctx):
            ctx.channel.set("n", 7)

        waits | writes
        assert wf.execute(max_threads=1) == {"waits": 7, "writes": None}


def test_a_lock_awaited_in_a_thread():
    """SPEC 2.4 and 2.7: waiting for a lock holds no thread slot, so that its holder can go on and release it."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def holder(ctx):
            with ctx.channel.lock("k"):
                ctx.channel.set("held", "yes")
                ctx.sleep(0.01)

        @task(inject_context=True)
        def other(ctx):
            with ctx.channel.lock("k", timeout=60):
                return "had it"

        holder | other
        assert wf.execute(max_threads=1) == {"holder": None, "other": "had it"}


def test_waiting_too_long_is_a_timeout():
    """SPEC 3: TimeoutError in the task."""
    with workflow("w") as wf:

        @task(inject_context=True)
        def waits(ctx):
            with pytest.raises(TimeoutError):
                ctx.channel.wait("n", timeout=0.01)
            return "over"

        assert wf.execute() == "over"


async def test_a_store_that_is_given_keeps_runs_apart():
    """SPEC 3: a channel is one namespace of a store for one run."""
    store = MemoryStore()
    with workflow("w") as wf:

        @task(inject_context=True)
        async def count(ctx):
            return await ctx.channel.atomic_add("n")

    assert [await wf.run(store=store) for _ in range(3)] == [1, 1, 1]
