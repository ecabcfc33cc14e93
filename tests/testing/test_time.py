"""Virtual time: days take nothing, threads and the outside are waited for, and what is left behind is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from graflow_async import (
    MemoryCheckpointer,
    RetryPolicy,
    SyncTaskExecutionContext,
    Task,
    TaskCompleted,
    TaskExecutionContext,
    TaskTimeoutError,
    Workflow,
)
from graflow_async.testing import DeadlockError, EventRecorder, FakeClock, LeakError, run_sync, simulate
from graflow_async.testing.loop import EPOCH

DAY = 86_400.0


def at() -> float:
    return asyncio.get_running_loop().time()


# -- time takes nothing -------------------------------------------------------------------------------------------


def test_days_of_all_kinds_take_no_time():
    """Durable sleep, plain sleep, pauses between attempts and delays of children pass at once, and add up."""
    tries: list[int] = []

    async def sleeps(ctx: TaskExecutionContext) -> None:
        await ctx.sleep(3 * DAY)
        await asyncio.sleep(2 * DAY)
        ctx.next_task(Task("later", flaky, retry_policy=policy), delay=DAY)

    async def flaky() -> None:
        tries.append(1)
        if len(tries) < 2:
            raise OSError("not yet")

    async def main() -> float:
        await Workflow("w", Task("sleeps", sleeps)).run(listeners=[recorder])
        return at()

    policy = RetryPolicy(max_retries=1, initial_interval=DAY, max_interval=DAY, jitter=False)
    recorder = EventRecorder()
    assert run_sync(main) == pytest.approx(7 * DAY)
    assert recorder.of(TaskCompleted)[-1].at == pytest.approx(EPOCH + 7 * DAY)


def test_a_timeout_comes_at_once_in_a_task_that_never_ends():
    """A task's timeout of a day is a day of virtual time."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def main() -> float:
        with pytest.raises(TaskTimeoutError):
            await Workflow("w", Task("hangs", hangs, timeout=DAY)).run()
        return at()

    assert run_sync(main) == pytest.approx(DAY)


def test_a_time_to_live_is_virtual():
    """What a channel keeps for an hour is there for an hour of virtual time, and gone then."""

    async def keeps(ctx: TaskExecutionContext) -> list[bool]:
        await ctx.channel.set("k", 1, ttl=3600)
        seen = [await ctx.channel.exists("k")]
        for pause in (3500, 200):
            await asyncio.sleep(pause)
            seen.append(await ctx.channel.exists("k"))
        return seen

    assert run_sync(Workflow("w", Task("keeps", keeps))) == [True, True, False]


@pytest.mark.parametrize("seed", [None, 1])
def test_sync_tasks_sleep_in_virtual_time(seed: int | None):
    """A blocking `ctx.sleep` in a thread lets the clock jump; work of the thread itself does not."""

    def sleeps(ctx: SyncTaskExecutionContext) -> int:
        ctx.sleep(3 * DAY)
        return sum(range(10_000))

    flow = Workflow("w", Task("sleeps", sleeps) >> Task("end", lambda sleeps: sleeps, max_retries=0))
    assert run_sync(flow, seed=seed) == sum(range(10_000))


def test_the_clock_waits_for_threads():
    """While a thread works, no timer far ahead fires: it has its result long before its timeout."""
    released = threading.Event()

    def work() -> str:
        released.wait(5)
        return "done"

    async def main() -> str:
        working = asyncio.create_task(asyncio.to_thread(work))
        asyncio.get_running_loop().call_later(0.001, released.set)
        async with asyncio.timeout(DAY):
            return await working

    assert run_sync(main) == "done"


def test_a_busy_thread_holds_the_clock():
    """A thread that computes delays a jump: its result comes before a timer of a day."""

    def work() -> str:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        return "thread"

    async def main() -> str:
        working = asyncio.create_task(asyncio.to_thread(work), name="thread")
        napping = asyncio.create_task(asyncio.sleep(DAY, "timer"))
        done, _ = await asyncio.wait((working, napping), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(working, napping)
        return done.pop().result()

    assert run_sync(main) == "thread"


def test_sockets_are_listened_to_before_a_jump():
    """What somebody at the other end of a connection says is heard before a timer of a day."""

    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(DAY):
            writer.write(b"hello\n")
            line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return line

    assert run_sync(main) == b"hello\n"


def test_a_recorded_run_goes_on_at_the_virtual_time():
    """A sleep that a run was cancelled in ends, for the run that goes on, when it would have."""

    async def sleeps(ctx: TaskExecutionContext) -> str:
        await ctx.sleep(3 * DAY)
        return "slept"

    async def main() -> tuple[Any, float]:
        flow, kept = Workflow("w", Task("sleeps", sleeps)), MemoryCheckpointer(keep_code=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DAY):
                await flow.run(checkpointer=kept, run_id="r")
        return await flow.resume("r", checkpointer=kept), at()

    value, seconds = run_sync(main)
    assert (value, seconds) == ("slept", pytest.approx(3 * DAY))


# -- what run_sync refuses, and what it finds ---------------------------------------------------------------------


async def leaves_a_task() -> None:
    asyncio.get_running_loop().left = asyncio.create_task(asyncio.sleep(1), name="stray")  # type: ignore[attr-defined]


def test_a_task_that_is_left_behind_is_an_error():
    """The error names the task and where it stands; it can be allowed."""
    with pytest.raises(LeakError, match=r"stray at .*tasks\.py"):
        run_sync(leaves_a_task)
    run_sync(leaves_a_task, leaks=True)


def test_a_thread_that_is_left_behind_is_an_error(monkeypatch: pytest.MonkeyPatch):
    """The error names the thread."""
    monkeypatch.setattr("graflow_async.testing.running._LET_GO", 0.01)
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="forgotten")

    async def main() -> None:
        thread.start()

    try:
        with pytest.raises(LeakError, match=r"forgotten at "):
            run_sync(main)
    finally:
        release.set()
        thread.join()


def test_waiting_for_ever_is_an_error():
    """A task that nobody can wake is named with its place, instead of hanging; a thread that waits is named, too."""
    asleep = threading.Event()

    async def main() -> None:
        waiting = asyncio.create_task(asyncio.to_thread(asleep.wait), name="waits")
        try:
            await waiting
        finally:
            asleep.set()

    with pytest.raises(DeadlockError, match=r"waits at .*; threads: asyncio_0 at "):
        run_sync(main)


def test_values_and_errors_come_out():
    """A coroutine, a function and a workflow give their value; what they raise comes out as it is."""

    async def value() -> int:
        return 1

    async def fails() -> int:
        raise KeyError("mine")

    assert run_sync(value()) + run_sync(value) == 2
    assert run_sync(Workflow("w", Task("a", value)), max_steps=5) == 1
    with pytest.raises(KeyError, match="mine") as caught:
        run_sync(fails(), seed=3)
    assert "seed=3" in caught.value.__notes__[-1]
    assert not hasattr(_raised(lambda: run_sync(fails())), "__notes__")


def _raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(KeyError) as caught:
        call()
    return caught.value


def test_what_cannot_be_run_is_refused():
    """Neither work nor options that make no sense begin anything."""
    wrong: Any = 5
    with pytest.raises(TypeError, match="a workflow, a coroutine or a coroutine function, not 5"):
        run_sync(wrong)
    with pytest.raises(TypeError, match="only a workflow takes"):
        run_sync(leaves_a_task, max_steps=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def test_a_running_loop_is_no_place_for_it():
    """On a loop it says so, and leaves no coroutine without an owner."""
    with pytest.raises(RuntimeError, match="a loop runs here already"):
        run_sync(asyncio.sleep(0))


# -- the clock for loops of others --------------------------------------------------------------------------------


async def test_a_fake_clock_moves_when_told():
    """On any loop: the runtime's own waits end when the clock is moved there, in their order."""
    clock, woken = FakeClock(), list[str]()

    async def sleeps(ctx: TaskExecutionContext, days: float) -> None:
        await ctx.sleep(days * DAY)
        woken.append(ctx.task_id)

    flow = Workflow("w", Task("two", sleeps)(days=2) | Task("one", sleeps)(days=1))
    async with flow.start(clock=clock) as run:
        await clock.advance(DAY - 1)
        assert woken == []
        assert await clock.jump() == 1
        assert woken == ["one_1"]
        await clock.advance(DAY)
        assert woken == ["one_1", "two_1"]
        await run
    assert (clock.monotonic(), clock.time()) == (2 * DAY, EPOCH + 2 * DAY)
    assert await clock.jump() == 0


async def test_a_fake_clock_forgets_cancelled_timers():
    """A timer that was cancelled does not fire, and is nothing to jump to."""
    clock, fired = FakeClock(start=0.0), list[str]()
    clock.call_later(5, lambda: fired.append("cancelled")).cancel()
    clock.call_later(0, lambda: fired.append("at once"))
    clock.call_later(7, lambda: fired.append("later"))
    assert await clock.jump() == 7
    assert fired == ["at once", "later"]


def test_seeds_repeat_threads_too():
    """Sync tasks in threads come in the same order under the same seed, and in several orders under several."""

    def order(seed: int) -> tuple[str, ...]:
        seen: list[str] = []

        def note(ctx: SyncTaskExecutionContext) -> None:
            for _ in range(2):
                ctx.sleep(1)
                seen.append(ctx.task_id)

        async def main() -> None:
            a, b, c = (Task(name, note) for name in "abc")
            await Workflow("w", a | b | c).run()

        simulate(main, seed=seed)
        return tuple(seen)

    orders = [order(seed) for seed in range(10)]
    assert orders == [order(seed) for seed in range(10)]
    assert len(set(orders)) > 1
