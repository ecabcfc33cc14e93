"""Runs in this process whose stderr is a terminal: what stands there while they go on, and what stays."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
import os
import re
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import (
    ConfigError,
    GraflowWorkflowCanceledError,
    MemoryCheckpointer,
    ParallelGroupError,
    RetryPolicy,
    Task,
    TaskExecutionContext,
    Workflow,
    WorkflowPausedError,
    parallel,
    task,
)
from graflow_async.progress import _screen
from tests.progress.terminal import PATIENCE

if TYPE_CHECKING:
    from tests.progress.terminal import Terminal

pytestmark = pytest.mark.near  # what is drawn depends on where the bodies are: here


async def until(terminal: Terminal, *words: str | re.Pattern[str]) -> str:
    """Wait, off the loop, until all of something was drawn; without colours."""

    def is_there(raw: str) -> bool:
        seen = " ".join(terminal_words(raw))
        return all(word in seen if isinstance(word, str) else word.search(seen) for word in words)

    return await asyncio.to_thread(terminal.wait_for, is_there)


async def forever() -> None:
    await asyncio.Event().wait()


def lines(terminal: Terminal) -> list[str]:
    """Give what is to be seen in the end; the cursor has to be there."""
    screen = terminal.screen()
    assert screen.has_cursor
    return [re.sub(r"\d+\.\d s", "T s", re.sub(r" \([\d.]+/s\)", "", line)) for line in screen.text]


async def test_one_line_stays(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is over before anything is drawn leaves one line, and loads nothing to draw with."""
    monkeypatch.setattr(_screen, "FIRST", PATIENCE)  # however long the machine stands still
    first, second = Task("first", lambda: 1), Task("second", lambda: 2)
    assert await Workflow("short", first >> second).run(progress=True) == 2
    assert lines(terminal) == ["short: completed in T s: 2 done"]
    assert "\x1b" not in terminal.raw


async def test_a_failure(terminal: Terminal) -> None:
    """A failed run says so, with what was done, failed and was cancelled."""
    stop = asyncio.Event()

    @task
    async def good() -> None:
        pass

    @task
    async def bad() -> None:
        await until(terminal, "2 running")
        raise ValueError("no")

    @task
    async def long() -> None:
        await stop.wait()

    with pytest.raises(ParallelGroupError):
        await Workflow("w", good >> parallel(bad, long)).run(progress=True)
    assert lines(terminal) == ["w: failed after T s: 1 done, 1 failed, 1 cancelled"]


async def test_a_cancelled_run(terminal: Terminal) -> None:
    """A run that is cancelled gives the terminal back as it was."""
    wf = Workflow("w", Task("long", forever))
    async with wf.start(progress=True) as run:
        await until(terminal, "1 running")
        run.cancel("enough")
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert lines(terminal) == ["w: cancelled after T s: 0 done, 1 cancelled"]


async def test_a_cancelled_wait(terminal: Terminal) -> None:
    """Cancelling the task that awaits the run (as Ctrl-C does) ends the picture too."""
    waiting = asyncio.create_task(Workflow("w", Task("long", forever)).run(progress=True))
    await until(terminal, "1 running")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert lines(terminal) == ["w: cancelled after T s: 0 done, 1 cancelled"]
    for thread in threading.enumerate():
        if thread.name == "graflow-progress":
            thread.join(PATIENCE)  # it ends by itself, a moment after the last line
            assert not thread.is_alive()


@pytest.mark.unrecorded
async def test_a_pause(terminal: Terminal) -> None:
    """A run that pauses leaves a line with the question, and the run that goes on counts its own."""
    checkpointer = MemoryCheckpointer()

    @task(inject_context=True)
    async def ask(ctx: TaskExecutionContext) -> bool | None:
        return (await ctx.request_feedback("approval", "Go?", request_id="go", timeout=0.3)).approved

    first = Task("first", lambda: 1)
    wf = Workflow("w", first >> ask)
    with pytest.raises(WorkflowPausedError):
        await wf.run(progress=True, checkpointer=checkpointer, run_id="x")
    assert lines(terminal) == ["w: paused after T s: 1 done; nobody answered 'go' in time"]
    with pytest.raises(WorkflowPausedError):
        await wf.resume("x", progress=True, checkpointer=checkpointer)
    assert lines(terminal)[1:] == ["w: paused after T s: 0 done, 1 before; nobody answered 'go' in time"]


async def test_why_it_waits(terminal: Terminal) -> None:
    """The picture names what is waited for: people with their question, limits, retries, time, events."""
    tries: list[int] = []
    gate = asyncio.Event()

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext) -> None:
        await ctx.request_feedback("approval", "Deploy\nto\x1b[2J [bold]production[/bold]?")

    @task(inject_context=True)
    async def sleeps(ctx: TaskExecutionContext) -> None:
        await ctx.sleep(60)

    @task(inject_context=True)
    async def listens(ctx: TaskExecutionContext) -> None:
        await ctx.wait_for_event("paid")

    @task(retry_policy=RetryPolicy(1, 60.0))
    async def retries() -> None:
        tries.append(1)
        raise OSError("refused")

    @task(limits=["api"])
    async def limited(number: int) -> int:
        await gate.wait()
        return number

    wf = Workflow("w", parallel(asks, sleeps, listens, retries, *(limited(n) for n in range(3))))
    async with wf.start(progress=True, limits={"api": 1}) as run:
        words = ("1 running, 0 done, 6 waiting", "2 for limit 'api'", "1 for a person", "1 asleep")
        failed = ("1 for event 'paid'", "1 for a retry in ", "failed: retries, try 2 follows: OSError: refused")
        await until(terminal, *words, *failed, "asks asks: Deploy to\\x1b[2J [bold]production[/bold]?")
        run.cancel()
        with pytest.raises(GraflowWorkflowCanceledError):
            await run


def terminal_words(raw: str) -> list[str]:
    """Take the colours out of what was drawn."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", raw).split()


async def test_bars(terminal: Terminal) -> None:
    """A map has a bar with how many of how many, and so has a task that reports its progress."""
    gate = asyncio.Event()

    @task
    async def item(number: int) -> int:
        if number >= 30:
            await gate.wait()
        return number

    @task(inject_context=True)
    async def maps(ctx: TaskExecutionContext) -> int:
        return sum(await ctx.map(item, range(400), max_concurrency=4))

    @task(inject_context=True)
    async def pulls(ctx: TaskExecutionContext) -> int:
        return sum(await ctx.map(item, (number for number in range(40))))

    @task(inject_context=True)
    async def reports(ctx: TaskExecutionContext) -> None:
        ctx.report_progress(3, 8, "\x1b[1mchunk[red]\n")
        await gate.wait()

    @task(inject_context=True)
    def nonsense(ctx: Any) -> None:
        ctx.report_progress("x" * 10_000, float("nan"), None)
        ctx.sleep(0)

    run = asyncio.create_task(Workflow("w", parallel(maps, pulls, reports, nonsense)).run(progress=True))
    await until(
        terminal,
        re.compile(r"item \S+ 30/400 "),
        re.compile(r"item \S+ 30 "),
        re.compile(r"reports \S+ 3/8 \\x1b\[1mchunk\[red\]"),
    )
    gate.set()
    assert (await run)["maps"] == sum(range(400))
    assert lines(terminal) == ["w: completed in T s: 444 done"]


async def test_dropped_items_are_not_done(terminal: Terminal) -> None:
    """Items of a map that never began, because another one failed, do not count as done."""

    @task(limits=["api"])
    async def item(number: int) -> int:
        if number == 3:
            raise ValueError("no")
        return number

    @task(inject_context=True)
    async def maps(ctx: TaskExecutionContext) -> str:
        with pytest.raises(ValueError, match="no"):
            await ctx.map(item, range(100))
        return "caught"

    assert await Workflow("w", maps).run(progress=True, limits={"api": 1}) == "caught"
    assert lines(terminal) == ["w: completed in T s: 4 done, 1 failed, 96 cancelled"]


async def test_several_runs_share_the_screen(terminal: Terminal) -> None:
    """Runs at once are drawn one under the other; what stays of each is its line."""
    gates = [asyncio.Event() for _ in range(3)]
    flows = [Workflow(f"w{n}", Task("long", lambda n=n: gates[n].wait())) for n in range(3)]
    runs = [asyncio.create_task(flow.run(progress=True)) for flow in flows]
    await until(terminal, "w0 ", "w1 ", "w2 ")
    gates[1].set()
    await runs[1]
    await until(terminal, "w1: completed")
    gates[0].set()
    gates[2].set()
    await asyncio.gather(*runs)
    assert sorted(lines(terminal)) == [f"w{n}: completed in T s: 1 done" for n in range(3)]


async def test_prints_and_logs_stand_above(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed or logged while there is a picture stands above it, whole and in order, and streams come back."""
    out = os.fdopen(terminal.slave, "w", encoding="utf-8", closefd=False)
    monkeypatch.setattr(sys, "stdout", out)
    handler = logging.StreamHandler(sys.stderr)
    log = logging.getLogger("a.program")
    log.addHandler(handler)
    log.propagate = False
    streams = (sys.stdout, sys.stderr)

    @task
    async def talks() -> None:
        await until(terminal, "1 running")
        print("one [red] two", end="")  # noqa: T201
        print(" three")  # noqa: T201
        log.warning("logged")
        sys.stderr.write("cut")
        await until(terminal, "logged")

    try:
        await Workflow("w", talks).run(progress=True)
        assert (sys.stdout, sys.stderr) == streams
        assert handler.stream is sys.stderr
        assert lines(terminal) == ["one [red] two three", "logged", "cutw: completed in T s: 1 done"]
    finally:
        log.removeHandler(handler)
        out.close()


async def test_stdout_in_a_file_stays_there(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stdout that is no terminal gets what is printed, and the terminal does not."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    @task
    async def talks() -> None:
        await until(terminal, "1 running")
        print("data")  # noqa: T201

    await Workflow("w", talks).run(progress=True)
    assert out.getvalue() == "data\n"
    assert lines(terminal) == ["w: completed in T s: 1 done"]


@pytest.mark.parametrize("how", ["file", "dumb", "none", "closed"])
async def test_silent_where_nothing_can_be_drawn(how: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is no terminal, or one that cannot draw, nothing is written and nothing is needed."""
    if how == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    else:
        stream: Any = {"file": io.StringIO(), "none": None, "closed": io.StringIO()}[how]
        if how == "closed":
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
    assert await Workflow("w", Task("one", lambda: 1)).run(progress=True) == 1
    assert terminal.raw == ""
    if how == "file":
        assert stream.getvalue() == ""


async def test_without_rich(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a terminal and nothing to draw with, the error says what to install, and nothing has begun."""
    find = importlib.util.find_spec
    monkeypatch.setattr("graflow_async.progress.find_spec", lambda name: None if name == "rich" else find(name))
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    began: list[int] = []
    with pytest.raises(ConfigError, match=r"pip install \"graflow-async\[cli\]\""):
        await Workflow("w", Task("one", lambda: began.append(1))).run(progress=True)
    assert began == []


@pytest.mark.parametrize("value", ["yes", 1, None])
async def test_it_is_true_or_false(value: Any) -> None:
    """Anything else is refused before the run."""
    with pytest.raises(ConfigError, match="progress is True or False"):
        await Workflow("w", Task("one", lambda: 1)).run(progress=value)


async def test_a_terminal_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is stopped (Ctrl-S) holds up neither the tasks nor, for longer than a moment, the end."""
    monkeypatch.setenv("TERM", "xterm-256color")
    master, slave = os.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    drained = threading.Thread(target=lambda: [None for _ in iter(lambda: read(master), b"")])
    ended: list[float] = []

    @task(inject_context=True)
    async def works(ctx: TaskExecutionContext) -> str:
        for _ in range(5):
            await asyncio.sleep(0.1)
        ended.append(ctx.elapsed_time())
        return "done"

    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert await Workflow("w", works).run(progress=True) == "done"
        assert [thread for thread in threading.enumerate() if thread.name == "graflow-progress"]  # it still waits
        drained.start()
        termios.tcflow(slave, termios.TCOON)
        for thread in threading.enumerate():
            if thread.name == "graflow-progress":
                await asyncio.to_thread(thread.join)
    drained.join()
    os.close(master)
    assert len(ended) == 1


def read(master: int) -> bytes:
    """Read what a terminal got; nothing once the other end is closed."""
    try:
        return os.read(master, 65_536)
    except OSError:
        return b""


async def test_a_terminal_that_is_gone(terminal: Terminal, caplog: pytest.LogCaptureFixture) -> None:
    """A terminal that hangs up costs the run nothing but a warning."""

    @task
    async def outlives() -> str:
        await until(terminal, "1 running")
        terminal.hang_up()
        return "done"

    assert await Workflow("w", outlives).run(progress=True) == "done"
    assert "cannot be drawn" in caplog.text


def test_execute_shows_too(terminal: Terminal) -> None:
    """The synchronous door takes the option as well."""
    assert Workflow("w", Task("one", lambda: 1)).execute(progress=True) == 1
    assert lines(terminal) == ["w: completed in T s: 1 done"]


def test_a_loop_that_is_closed_under_the_run(terminal: Terminal) -> None:
    """A run that is left where it is, its loop closed, does not keep the picture alive."""
    loop = asyncio.new_event_loop()
    kept = [loop.create_task(Workflow("w", Task("long", forever)).run(progress=True))]
    loop.run_until_complete(until(terminal, "1 running"))
    kept += asyncio.all_tasks(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    terminal.wait_for(lambda raw: "w: interrupted after" in raw)
    for left in kept:
        left._log_destroy_pending = False  # type: ignore[attr-defined]  # left behind on purpose
        left.get_coro().close()  # type: ignore[union-attr]
