"""Real processes: killed at every named point of the code, and competing for one run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints._disk import CRASH_POINTS
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import RunLockedError
from tests.checkpoints.keys import SomeKeys

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parents[2]


def start(directory: Path, what: str, crash: str = "") -> subprocess.Popen[str]:
    """Start a process of victim.py."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.checkpoints.victim", str(directory), what],
        env={**os.environ, "GRAFLOW_CRASH": crash, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def promises(process: subprocess.Popen[str]) -> list[list[str]]:
    """Wait for a process to end, and give the lines that it wrote."""
    with process:
        output, _ = process.communicate(timeout=60)
    return [line.split(" ", 2) for line in output.splitlines()]


def leftovers(directory: Path) -> list[Path]:
    return list(directory.rglob("*.tmp"))


async def check(directory: Path, lines: list[list[str]]) -> None:
    """Everything that was promised is there, and nothing that was never written."""
    acked = max((int(line[1]) for line in lines if line[0] == "acked"), default=0)
    checkpointer = FileCheckpointer(directory, keyring=SomeKeys())
    for _, count, place in (line for line in lines if line[0] == "saved"):
        assert (await checkpointer.read(place))[-1].seq == int(count) - 1
    log, records = await checkpointer.open("run")
    assert log.next_seq >= acked
    for record in records:
        assert int(record.payload.partition(b";")[0]) == record.seq
    assert [record.seq for record in records] == list(range(records[0].seq, log.next_seq))
    assert not leftovers(directory)
    log.append(Kind.EVENT, b"on")
    await log.flush(sync=True)
    await checkpointer.aclose()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", [point for point in CRASH_POINTS if point != "open.truncate"])
def test_killed_at_every_point(point: str, count: int, tmp_path: Path):
    """Wherever a process dies, what had been acknowledged is there, and the run goes on."""
    process = start(tmp_path, "write", f"{point}:{count}")
    lines = promises(process)
    assert process.returncode == -signal.SIGKILL, "the point was never passed"
    assert ["done"] not in lines
    if not (count == 1 and point == "log.before_write"):
        assert (tmp_path / "run" / "journal").stat().st_size > 0
    if any(line[0] == "acked" for line in lines):
        asyncio.run(check(tmp_path, lines))


def test_killed_while_cutting_a_torn_tail(tmp_path: Path):
    """Dying in front of the cut leaves it to the next one who opens the run."""
    assert ["done"] in promises(start(tmp_path, "write"))
    journal = tmp_path / "run" / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-5])
    process = start(tmp_path, "go_on", "open.truncate:1")
    assert promises(process) == []
    assert process.returncode == -signal.SIGKILL
    assert journal.read_bytes() == whole[:-5]
    lines = promises(start(tmp_path, "go_on"))
    assert lines[-1] == ["done"]
    asyncio.run(check(tmp_path, lines))


def test_no_point_is_passed_over():
    """A point that no order names does nothing, and a process without an order runs to its end."""
    assert len(set(CRASH_POINTS)) == len(CRASH_POINTS) == 10


async def begin(directory: Path) -> None:
    """Make a run without records."""
    checkpointer = FileCheckpointer(directory, keyring=SomeKeys())
    await checkpointer.create("run")
    await checkpointer.aclose()


async def opening(directory: Path) -> None:
    """Try to have the run here."""
    checkpointer = FileCheckpointer(directory, keyring=SomeKeys())
    try:
        await checkpointer.open("run")
    finally:
        await checkpointer.aclose()


async def is_open(directory: Path) -> bool:
    """Ask a listing whether somebody has the run."""
    checkpointer = FileCheckpointer(directory, keyring=SomeKeys())
    (run,) = await checkpointer.runs()
    await checkpointer.aclose()
    return run.is_open


def test_one_process_has_a_run_and_a_kill_sets_it_free(tmp_path: Path):
    """Of several processes one gets a run; the others learn which one; when it is killed the next gets it."""
    asyncio.run(begin(tmp_path))
    processes = [start(tmp_path, "hold") for _ in range(3)]
    try:
        first = {process: process.stdout.readline().split(" ", 1) for process in processes if process.stdout}
        (holder,) = [process for process, words in first.items() if words[0].strip() == "open"]
        for process, words in first.items():
            if process is not holder:
                assert words[0] == "locked"
                # One that stands still between taking the lock and saying so is not known by name yet.
                assert f"pid {holder.pid} on" in words[1] or "another process" in words[1]
        with pytest.raises(RunLockedError, match=f"pid {holder.pid} on"):
            asyncio.run(opening(tmp_path))
        assert asyncio.run(is_open(tmp_path))
        holder.kill()
        holder.wait(60)
        assert not asyncio.run(is_open(tmp_path))
        assert promises(start(tmp_path, "hold")) == [["open"]]
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=60)
