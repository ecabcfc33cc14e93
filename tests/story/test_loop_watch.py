"""The loop is watched: a callback that holds it is reported once, with its task and its line (SPEC 8)."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import graflow_async as g
from graflow_async import LoopBlockedWarning, Task, Workflow
from graflow_async._runtime import loop_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.aids.guards import SleepGuard

pytestmark = pytest.mark.near  # a body that runs elsewhere holds the loop of a worker
SOON = 0.05
PATIENCE = 60.0  # seconds
WATCH = "graflow-loop-watch"


class Clock:
    """The clock of the thread that looks. It goes on only while a test lets it: who is kept from running holds nothing.

    Attributes:
        now: seconds.
        looks: how often it was read by that thread, which is once for each look.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0
        self._looked = threading.Condition()

    def monotonic(self) -> float:
        if threading.current_thread().name == WATCH:
            with self._looked:
                self.looks += 1
                self._looked.notify_all()
        return self.now

    def next_look(self) -> None:
        """Wait for the next look, on any thread but that of the loop."""
        with self._looked:
            seen = self.looks
            assert self._looked.wait_for(lambda: self.looks > seen, PATIENCE)

    def go_on(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Let time pass while a loop is idle, on another thread."""
        for _ in range(2):  # what was asked at the first look is answered at the second
            answered = threading.Event()
            loop.call_soon_threadsafe(answered.set)
            assert answered.wait(PATIENCE)
            self.next_look()
        while not sys._current_frames()[thread].f_code.co_filename.startswith(loop_watch._IDLE):
            self.next_look()
        for _ in range(8):
            self.now += SOON
            self.next_look()


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let all who look read the clock of the tests."""
    monkeypatch.setattr(loop_watch, "monotonic", CLOCK.monotonic)
    yield
    join_watches()


def is_seen() -> bool:
    """Say whether the thread that looks has found the loop held, for every run that is watched."""
    watches = loop_watch._watchdog._watches
    return bool(watches) and [] not in [watch._found for watch in watches]


def spin() -> None:
    until, looks = time.monotonic() + PATIENCE, CLOCK.looks
    while not is_seen() and time.monotonic() < until:
        if CLOCK.looks != looks:
            looks, CLOCK.now = CLOCK.looks, CLOCK.now + SOON / 2


async def blocking() -> None:
    await asyncio.sleep(0)
    spin()


SPINNING = ("is_seen", "spin", "<listcomp>")
SPINS = range(inspect.getsourcelines(is_seen)[1], inspect.getsourcelines(spin)[1] + 5)


def watch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == WATCH]


def join_watches() -> None:
    """Wait until the thread that looks has ended, when nothing is watched any more."""
    for thread in watch_threads():
        thread.join(PATIENCE)


async def idle() -> None:
    """Leave the loop idle while time passes."""
    await asyncio.to_thread(CLOCK.go_on, asyncio.get_running_loop(), threading.get_ident())


async def blocks_of(workflow: Workflow, **options: Any) -> tuple[Any, list[g.LoopBlocked], list[Any]]:
    """Watch a run with a short threshold; give the handle, its events and the warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", LoopBlockedWarning)
        async with workflow.start(block_warning=SOON, **options) as run:
            await run
        events = [event async for event in run.events()]
    found = [event for event in events if isinstance(event, g.LoopBlocked)]
    return run, found, [w for w in warned if issubclass(w.category, LoopBlockedWarning)]


async def test_the_task_and_the_line_are_named() -> None:
    """A body that spins is reported: by event and by a warning at its line, with its task and for how long."""
    run, found, warned = await blocks_of(Workflow("w", Task("parse_pdf", blocking)))
    assert [(block.task_id, block.file) for block in found] == [("parse_pdf", __file__)]
    assert found[0].function.rpartition(".")[2] in SPINNING
    assert found[0].line in SPINS
    assert found[0].seconds >= SOON
    assert found[0].key == run.timeline()[0].key
    assert len(warned) == 1
    assert (warned[0].filename, warned[0].lineno) == (__file__, found[0].line)
    assert "task 'parse_pdf' held the event loop for" in str(warned[0].message)
    assert f"held the loop for {found[0].seconds:.2f} s at {__file__}:" in str(run.explain("parse_pdf"))


async def test_whom_it_held_up_is_explained() -> None:
    """Other tasks say who held the loop while they ran, or when they might have begun."""
    over = asyncio.Event()

    async def beside() -> None:
        await over.wait()
        await asyncio.sleep(0)

    async def rude() -> None:
        await blocking()
        over.set()

    run, found, _ = await blocks_of(Workflow("w", Task("beside", beside) | Task("rude", rude)))
    assert len(found) == 1
    assert f"in which the loop was held by rude at {__file__}:{found[0].line}" in str(run.explain("beside"))


async def test_a_blocking_sleep_is_found(sleep_guard: SleepGuard) -> None:
    """A call in C that gives the interpreter away is found by the line that calls it."""

    async def sleeps() -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not loop_watch._watchdog._watches[0]._found:
            CLOCK.now += SOON
            sleep_guard.real_sleep(SOON / 2)

    _, found, _ = await blocks_of(Workflow("w", Task("sleeps", sleeps)))
    assert [(block.task_id, block.function.rpartition(".")[2]) for block in found] == [("sleeps", "sleeps")]
    assert found[0].line in range(inspect.getsourcelines(sleeps)[1] + 1, inspect.getsourcelines(sleeps)[1] + 6)


async def test_it_is_warned_once_and_told_each_time() -> None:
    """A task that holds the loop again and again is warned of once; events tell each time."""

    async def several(ctx: g.TaskExecutionContext) -> None:
        for _ in range(3):
            await blocking()
            while is_seen():  # noqa: ASYNC110  # its report is on its way
                await asyncio.sleep(0)

    _, found, warned = await blocks_of(Workflow("w", Task("several", several)))
    assert len(found) == 3
    assert len(warned) == 1


async def test_a_listener_is_no_task() -> None:
    """A listener that holds the loop is named by its line, and no task is blamed for it."""

    def listen(event: g.Event) -> None:
        if isinstance(event, g.TaskStarted):
            spin()

    _, found, _ = await blocks_of(Workflow("w", Task("t", noop)), listeners=[listen])
    assert [(block.task_id, block.line in SPINS) for block in found] == [(None, True)]


async def noop() -> None:
    """Do nothing."""


async def test_waiting_is_not_holding() -> None:
    """A loop that is idle, or does many short things, or whose threads work, is not reported."""

    async def busy() -> None:
        until, begun = CLOCK.looks + 12, CLOCK.now
        while CLOCK.looks < until or CLOCK.now - begun < 4 * SOON:
            CLOCK.now += SOON / 10
            sum(range(1000))
            await asyncio.sleep(0)

    def work() -> None:
        until = CLOCK.looks + 8
        while CLOCK.looks < until:
            sum(range(1000))

    both = Task("busy", busy) | Task("thread", work)
    _, found, warned = await blocks_of(Workflow("w", Task("idle", idle) >> both))
    assert found == warned == []


async def test_a_plain_run_is_watched_only_if_asked() -> None:
    """`wf.run()` starts no thread; with `block_warning` it warns; None turns it off for a handle, too."""
    seen: list[int] = []

    async def look() -> None:
        seen.append(len(watch_threads()))

    wf = Workflow("w", Task("look", look))
    await wf.run()
    async with wf.start(block_warning=None) as run:
        await run
    async with wf.start() as run, wf.start() as other:
        await asyncio.gather(run, other)
    await asyncio.to_thread(join_watches)
    await wf.run(block_warning=1)
    assert seen == [0, 0, 1, 1, 1]
    with pytest.warns(LoopBlockedWarning, match="rude"):
        await Workflow("w", Task("rude", blocking)).run(block_warning=SOON)
    for wrong in (0, -1, "soon"):
        with pytest.raises(g.ConfigError, match="block_warning"):
            await wf.run(block_warning=wrong)  # type: ignore[arg-type]


async def test_another_runs_task_is_not_blamed() -> None:
    """Of two runs on one loop both hear that it was held; only the one whose task did it names the task, and warns."""
    go = asyncio.Event()

    async def waits() -> None:
        await go.wait()
        while is_seen():  # noqa: ASYNC110  # its report is on its way
            await asyncio.sleep(0)

    async def rude() -> None:
        spin()
        go.set()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", LoopBlockedWarning)
        async with Workflow("a", Task("waits", waits)).start(block_warning=SOON) as victim:
            async with Workflow("b", Task("rude", rude)).start(block_warning=SOON) as culprit:
                await culprit
            await victim
    told = [
        [event.task_id async for event in run.events() if isinstance(event, g.LoopBlocked)] for run in (victim, culprit)
    ]
    assert told == [[None], ["rude"]]
    assert len(warned) == 1


async def test_a_warning_that_is_an_error_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """Where warnings are errors the run goes on; the warning is logged."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await Workflow("w", Task("rude", blocking)).run(block_warning=SOON)
    assert "LoopBlockedWarning" in caplog.text


def test_a_loop_of_another_kind() -> None:
    """On uvloop, whose callbacks have no names, it is found as well; an idle one is left alone."""
    uvloop: Any = pytest.importorskip("uvloop")

    async def main() -> list[Any]:
        _, found, _ = await blocks_of(Workflow("w", Task("idle", idle) >> Task("rude", blocking)))
        return [(block.task_id, block.line in SPINS) for block in found]

    runner: Callable[[Any], Any] = uvloop.run
    assert runner(main()) == [("rude", True)]


async def test_a_loop_that_stays_held_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that does not end is logged from outside while it still holds the loop."""
    logged: list[bool] = []

    async def stuck() -> None:
        until, looks = time.monotonic() + PATIENCE, CLOCK.looks
        while time.monotonic() < until and "has held the event loop for" not in caplog.text:
            if CLOCK.looks != looks:
                looks, CLOCK.now = CLOCK.looks, CLOCK.now + SOON
        logged.append("has held the event loop for" in caplog.text)

    with pytest.warns(LoopBlockedWarning, match="stuck"):
        await Workflow("w", Task("stuck", stuck)).run(block_warning=SOON)
    assert logged == [True]
