"""`run --progress` and `resume --progress` in a process of their own, on a real terminal and without one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.progress.terminal import ROOT, Screen, on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.progress.terminal import Terminal

FLOWS = """
import asyncio, sys
from pathlib import Path
from graflow_async import Workflow, chain, parallel, task
from graflow_async.cli import loop
from graflow_async.progress import _screen

# A machine that stands still must be taken neither for a terminal that takes nothing nor for a task that does not end.
_screen._LAST = 60.0
if "flows:stubborn" not in sys.argv:
    loop._NOTICE_AFTER = 60.0
is_seen = asyncio.Event()

@task
async def item(number):
    await asyncio.sleep(0.01)
    if number == 119 and Path("seen").exists():
        with open("seen", "rb", buffering=0) as pipe:
            await asyncio.to_thread(pipe.read, 1)  # until somebody has looked at the picture, and says so
        is_seen.set()
    return number

@task(inject_context=True)
async def maps(ctx):
    return len(await ctx.map(item, range(120), max_concurrency=4))

@task
async def talks():
    await is_seen.wait()
    print("a print")
    print("an error", file=sys.stderr)

@task(id="[bold]evil[/red]")
async def fails():
    await asyncio.sleep(0.3)
    raise ValueError("no \\x1b[31m[red]")

@task
async def patient():
    await asyncio.Event().wait()

@task
async def stubborn():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

happy = Workflow("happy", parallel(maps, talks))
sad = Workflow("sad", maps >> fails)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with workflows."""
    (tmp_path / "flows.py").write_text(FLOWS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def look(folder: Path) -> Iterator[Callable[[Terminal], None]]:
    """Wait for a picture of the workflow `happy`, and let it go on then."""
    os.mkfifo(folder / "seen")
    ours = os.open(folder / "seen", os.O_RDWR)

    def wait(terminal: Terminal) -> None:
        terminal.wait_for(lambda raw: "/120" in raw)
        os.write(ours, b"x")

    yield wait
    os.close(ours)


def shown(raw: str) -> list[str]:
    """Give what is to be seen in the end; the cursor has to be there."""
    screen = Screen(raw.replace("^C", ""))  # the terminal shows the key
    assert screen.has_cursor
    return [re.sub(r"\d+\.\d s", "T s", re.sub(r" \([\d.]+/s\)", "", line)) for line in screen.text]


def test_a_run(folder: Path, look: Callable[[Terminal], None]) -> None:
    """The picture comes and goes: prints, a line of what was done, and the value stay."""
    with on_terminal("-m", "graflow_async", "run", "flows:happy", "--progress", folder=folder) as (terminal, child):
        look(terminal)
    assert child.returncode == 0
    assert shown(terminal.raw) == [
        "a print",
        "an error",
        "happy: completed in T s: 122 done",
        "{'maps': 120, 'talks': None}",
    ]


def test_a_failure_and_its_resumption(folder: Path) -> None:
    """A failed run leaves its line and the error; hostile names and messages do not reach the terminal as they are."""
    record = ("--checkpoint-dir", "runs", "--progress")
    command = ("-m", "graflow_async", "run", "flows:sad", *record, "--run-id", "x")
    with on_terminal(*command, folder=folder) as (terminal, child):
        pass
    assert child.returncode == 1
    first, second = shown(terminal.raw)[:2]
    assert first == "sad: failed after T s: 121 done, 1 failed"
    assert second.startswith("error: ValueError: no \\x1b[31m[red]")
    with on_terminal("-m", "graflow_async", "resume", "x", "flows:sad", *record, folder=folder) as (terminal, child):
        terminal.wait_for(lambda raw: "before" in raw)
    assert child.returncode == 1
    assert shown(terminal.raw)[0].startswith("sad: failed after T s: 0 done, 1 failed, ")


def test_ctrl_c(folder: Path) -> None:
    """The key ends the picture, the cursor is back, and the line says what was cancelled."""
    with on_terminal("-m", "graflow_async", "run", "flows:patient", "--progress", folder=folder) as (terminal, child):
        terminal.wait_for(lambda raw: "1 running" in raw)
        terminal.type(b"\x03")
    assert child.returncode == 130
    assert shown(terminal.raw) == ["patient: cancelled after T s: 0 done, 1 cancelled", "error: interrupted"]


def test_ctrl_c_twice(folder: Path) -> None:
    """A task that does not stop cannot keep the terminal either: the interpreter gives it back at its end."""
    with on_terminal("-m", "graflow_async", "run", "flows:stubborn", "--progress", folder=folder) as (terminal, child):
        terminal.wait_for(lambda raw: "1 running" in raw)
        terminal.type(b"\x03")
        terminal.wait_for(lambda raw: "to be stopped" in raw.partition("Ctrl-C again")[2])  # what says so has been told
        terminal.type(b"\x03")
    assert child.returncode == 130
    assert shown(terminal.raw) == [
        "cancelling the run; Ctrl-C again leaves at once",
        "error: interrupted",
        "stubborn: interrupted after T s: 0 done, 1 waiting",
    ]


def test_terminated(folder: Path) -> None:
    """SIGTERM ends it as cleanly."""
    with on_terminal("-m", "graflow_async", "run", "flows:patient", "--progress", folder=folder) as (terminal, child):
        terminal.wait_for(lambda raw: "1 running" in raw)
        child.send_signal(signal.SIGTERM)
    assert child.returncode == 143
    assert shown(terminal.raw)[0] == "patient: cancelled after T s: 0 done, 1 cancelled"


@pytest.mark.parametrize("no_colours", [{}, {"NO_COLOR": "1"}], ids=["colours", "NO_COLOR"])
def test_colours(folder: Path, look: Callable[[Terminal], None], no_colours: dict[str, str]) -> None:
    """NO_COLOR leaves the picture and takes its colours."""
    command = ("-m", "graflow_async", "run", "flows:happy", "--progress")
    with on_terminal(*command, folder=folder, **no_colours) as (terminal, child):
        look(terminal)
    assert child.returncode == 0
    assert ("\x1b[32m" in terminal.raw or ";32m" in terminal.raw) is not bool(no_colours)


def test_not_a_terminal(folder: Path) -> None:
    """Into a pipe --progress writes no byte, also where colours are forced."""
    done = subprocess.run(
        [sys.executable, "-m", "graflow_async", "run", "flows:maps", "--progress"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "120\n", "")
