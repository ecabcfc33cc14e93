"""How bodies elsewhere end that do not end by themselves: cancellation, timeouts, slots that they wait for."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from graflow_async import (
    GraflowWorkflowCanceledError,
    MemoryStore,
    ParallelGroupError,
    Task,
    TaskTimeoutError,
    Workflow,
    parallel,
    task,
)
from graflow_async._runtime.encoding import NO_GRAPH
from graflow_async._runtime.talk import Talk
from tests.aids.loopback import Loopback
from tests.aids.simloop import run_sim
from tests.far import parts
from tests.far.parts import alone, double, far

pytestmark = pytest.mark.near  # it crosses a border of its own


@task
async def stays() -> None:
    """Wait until cancelled, and tell both."""
    parts.event("stays").set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        parts.count["cleaned"] += 1
        raise


@task(inject_context=True)
async def cleans(ctx: Any) -> None:
    """Use the run while it is being cancelled."""
    parts.event("cleans").set()
    try:
        await ctx.channel.wait("never")
    finally:
        await ctx.channel.set("cleaned", 1)
        parts.count["cleaned"] += 1


async def reached(*names: str) -> None:
    """Wait until bodies have reached these places."""
    async with asyncio.timeout(60):
        for name in names:
            await parts.event(name).wait()


# -- cancellation ------------------------------------------------------------------------------------------------


async def test_a_cancelled_run_stops_bodies():
    """They clean up, with the run at hand, before the run ends."""
    store = MemoryStore()
    async with Workflow("w", parallel(stays, cleans)).start(executor=Loopback(), store=store) as run:
        await reached("stays", "cleans")
        run.cancel("enough")
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert parts.count["cleaned"] == 2


async def test_an_answer_meets_a_cancellation():
    """Whoever is cancelled in the turn in which the answer comes goes on at once: there is nothing to withdraw."""
    said: list[bytes] = []
    asking = Talk(NO_GRAPH, said.append, lambda *_: None, lambda _: None)
    answering = Talk(NO_GRAPH, asking.take, lambda *_: None, lambda _: None)
    waiting = asyncio.create_task(asking.ask("read", 1, "key"))
    await asyncio.sleep(0)
    assert len(said) == 1
    waiting.cancel()
    answering.answer(1, {})
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 60)
    assert len(said) == 1


async def test_a_failing_sibling_stops_bodies():
    """A failure cancels the others, which have cleaned up when the run fails; what they raise then is kept."""

    async def raises() -> None:
        await reached("stays", "cleans")
        raise parts.OwnError(1, "x")

    async def raises_late() -> None:
        parts.event("late").set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise KeyError("late") from None

    wf = Workflow("w", parallel(stays, cleans, Task("late", raises_late), Task("raises", raises)))
    async with wf.start(executor=Loopback()) as run:
        with pytest.raises(ParallelGroupError, match="raises"):
            await run
    assert parts.count["cleaned"] == 2
    assert isinstance(run.failures["late"], KeyError)


@pytest.mark.parametrize("how", ["cancel", "timeout", "own task"])
def test_a_body_cancels_its_children(how):
    """handle.cancel(), a timeout around a call, and a cancelled task that awaits: the child has ended afterwards."""

    async def body(ctx: Any) -> int:
        if how == "cancel":
            handle = ctx.submit(stays)
            await reached("stays")
            assert handle.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handle
            assert handle.cancelled()
            assert not handle.cancel()
        elif how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await ctx.call(stays)
        else:
            waiting = asyncio.create_task(ctx.call(stays))
            await reached("stays")
            waiting.cancel()
            await asyncio.wait([waiting])
        assert parts.count["cleaned"] == 1
        return await ctx.call(double, 1)

    assert run_sim(lambda: far(body), 0) == 2


def test_a_timeout_inside_a_body():
    """What was asked for is undone when its wait is cancelled: the lock is free, the child run has ended."""

    async def holds(ctx: Any) -> None:
        async with ctx.channel.lock("l"):
            parts.event("held").set()
            await parts.event("let go").wait()

    async def body(ctx: Any) -> str:
        holding = ctx.submit(Task("holds", holds, inject_context=True))
        await reached("held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), ctx.channel.lock("l", timeout=None):
                pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ctx.run_workflow(stays)
        assert parts.count["cleaned"] == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ctx.sleep(1000)
        parts.event("let go").set()
        await holding
        async with ctx.channel.lock("l", timeout=5):
            return "free"

    assert run_sim(lambda: far(body), 0) == "free"


async def test_a_dead_body_gives_its_locks_back():
    """A body that ends with a lock, by whatever mistake, does not keep it."""

    async def forgets(ctx: Any) -> None:
        await ctx.channel.lock("l").__aenter__()

    async def takes(ctx: Any) -> str:
        async with ctx.channel.lock("l", timeout=60):
            return "free"

    wf = Workflow("w", Task("forgets", forgets, inject_context=True) >> Task("takes", takes, inject_context=True))
    assert await wf.run(executor=Loopback()) == "free"


# -- timeouts ----------------------------------------------------------------------------------------------------


def test_a_timeout_of_a_body():
    """It ends with TaskTimeoutError, after its clean-up, and may be tried again."""

    async def slow(ctx: Any) -> int:
        if ctx.attempt == 1:
            await ctx.call(stays)
        return ctx.attempt

    async def main() -> None:
        assert await alone(slow, timeout=0.1, max_retries=1).run(executor=Loopback()) == 2
        assert parts.count["cleaned"] == 1
        with pytest.raises(TaskTimeoutError, match=r"'parent' took longer than its timeout of 0\.1 s"):
            await alone(slow, timeout=0.1).run(executor=Loopback())

    run_sim(main, 0)


class _Late(Loopback):
    """Lets a job wait until somebody else has begun, as a queue does."""

    async def execute(self, job: Any) -> Any:
        """Run it later."""
        await parts.event("workers").wait()
        return await super().execute(job)


def test_a_timeout_counts_from_the_beginning_of_the_body():
    """The time in which a job waits for a worker is not the task's."""

    async def quick(ctx: Any) -> str:
        return "in time"

    async def main() -> str:
        async with alone(quick, timeout=0.05).start(executor=_Late()) as run:
            await asyncio.sleep(0.1)
            parts.event("workers").set()
            return await run

    assert run_sim(main, 0) == "in time"


async def test_a_thread_past_its_time_is_left(caplog):
    """A sync body that is too late is not waited for; what it still asks for is refused."""
    ended = threading.Event()
    _threads["let go"], _threads["ended"] = threading.Event(), ended
    with pytest.raises(TaskTimeoutError):
        await alone(blocks, timeout=0.05).run(executor=Loopback())
    _threads["let go"].set()
    await asyncio.to_thread(ended.wait, 60)
    assert ended.is_set()
    assert parts.count["refused"] == 1
    assert "left to run on" in caplog.text


_threads: dict[str, threading.Event] = {}


def blocks(ctx: Any) -> None:
    """Block a thread until a test says so."""
    _threads["let go"].wait(60)
    try:
        ctx.channel.set("k", 1)
    except Exception:  # whichever it is, it was refused
        parts.count["refused"] += 1
    _threads["ended"].set()


def test_a_stubborn_body_is_left_behind(caplog):
    """A body that swallows its cancellation is not waited for past the grace, on either side."""

    async def main() -> None:
        with pytest.raises(TaskTimeoutError):
            await alone(swallows, timeout=0.02).run(executor=Loopback(), cancel_grace=0.05)
        assert "it ignores its cancellation" in caplog.text
        parts.event("let go").set()
        await reached("over")

    run_sim(main, 0)


async def swallows(ctx: Any) -> None:
    """Ignore every cancellation until a test says otherwise."""
    while not parts.event("let go").is_set():
        try:
            await parts.event("let go").wait()
        except asyncio.CancelledError:
            parts.count["swallowed"] += 1
    parts.event("over").set()


# -- slots -------------------------------------------------------------------------------------------------------


async def nested(ctx: Any, depth: int) -> int:
    """Start the same in the same slots, and wait for it."""
    parts.count["inside"] += 1
    parts.count["most"] = max(parts.count["most"], parts.count["inside"])
    parts.count["inside"] -= 1
    return 1 if not depth else sum(await ctx.map(Task("nested", nested, inject_context=True), [depth - 1] * 2))


@pytest.mark.parametrize("way", ["map", "submit", "run", "sync"])
async def test_who_waits_holds_no_slot(way):
    """With one slot for everything, bodies that wait for their children cannot block them."""

    async def body(ctx: Any) -> int:
        if way == "map":
            return await nested(ctx, 3)
        if way == "submit":
            return sum([await handle for handle in [ctx.submit(deep, 2), ctx.submit(deep, 2)]])
        return await ctx.run_workflow(Workflow("inner", Task("nested", nested, inject_context=True)(2)))

    def body_sync(ctx: Any) -> int:
        return sum(ctx.map(deep, [1, 1])) + ctx.call(deep, 1)

    wf = alone(body_sync if way == "sync" else body)
    async with asyncio.timeout(30):
        value = await wf.run(executor=Loopback(), max_concurrency=1)
    assert value == {"map": 8, "submit": 2, "run": 4, "sync": 3}[way]
    assert parts.count["most"] <= 1


@task(inject_context=True)
async def deep(ctx: Any, depth: int) -> int:
    """Do the same through one child."""
    await ctx.sleep(0)
    return 1 if not depth else await ctx.call(deep, depth - 1)


def test_a_limit_is_kept():
    """Not more bodies hold a slot than there are, also after each of them has waited for something."""
    run_sim(lambda: far(fans_out, limits={"api": 2}), 0)
    assert parts.count["most"] == 2
    assert parts.count["inside"] == 0


async def fans_out(ctx: Any) -> None:
    """Start more than may run at once."""
    await ctx.map(limited, range(8))


@task(inject_context=True, limits=["api"])
async def limited(ctx: Any, n: int) -> None:
    """Hold a slot, give it back to wait, and hold it again."""
    for _ in range(2):
        parts.count["inside"] += 1
        parts.count["most"] = max(parts.count["most"], parts.count["inside"])
        await asyncio.sleep(0.001)
        parts.count["inside"] -= 1
        await ctx.call(double, n)


def test_a_timeout_while_a_slot_is_awaited():
    """A body's own timeout does not let it go on without its slot."""
    run_sim(lambda: far(two_of_one, limits={"api": 1}), 0)
    assert parts.count["most"] == 1
    assert parts.count["impatient"] > 0


async def two_of_one(ctx: Any) -> None:
    """Start two that want the same slot."""
    await ctx.map(impatient, range(2))


@task(inject_context=True, limits=["api"])
async def impatient(ctx: Any, n: int) -> None:
    """Wait with a timeout of its own, which may be over while the other one has the slot."""
    for _ in range(3):
        try:
            async with asyncio.timeout(0.005):
                await ctx.sleep(0.003)
        except TimeoutError:
            parts.count["impatient"] += 1
        parts.count["inside"] += 1
        parts.count["most"] = max(parts.count["most"], parts.count["inside"])
        await asyncio.sleep(0.01)
        parts.count["inside"] -= 1


# -- what is left --------------------------------------------------------------------------------------------------


async def test_nothing_is_left_behind():
    """After a run with all kinds of ends there are no tasks, and no threads that do anything."""
    before = asyncio.all_tasks()

    async def body(ctx: Any) -> None:
        ctx.submit(stays).cancel()
        waiting = asyncio.ensure_future(ctx.channel.wait("never"))
        await asyncio.sleep(0)
        assert not waiting.done()
        parts.count["body"] += 1

    for _ in range(3):
        await far(body)
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert parts.count["body"] == 3
    assert asyncio.all_tasks() == before
