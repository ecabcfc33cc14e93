"""The guards around every test find what is planted, name it, and stay quiet about what is clean."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.aids import guards

ROOT = Path(__file__).resolve().parents[2]
PLANTED = """
import asyncio, os, threading, time
from tests.aids import guards

kept = []

def test_clean():
    pass

async def test_clean_loop():
    await asyncio.gather(asyncio.to_thread(time.sleep, 0), asyncio.sleep(0))

async def test_leaves_task():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="stray"))

async def test_overlooks_failure():
    async def fail():
        raise KeyError("lost")
    await asyncio.wait([asyncio.create_task(fail())])

def test_overlooks_failure_on_a_loop_of_its_own():
    async def fail():
        raise KeyError("lost")
    async def main():
        await asyncio.wait([asyncio.create_task(fail())])
    asyncio.run(main())

def test_leaves_descriptor():
    kept.append(os.open(os.devnull, os.O_RDONLY))

async def test_leaves_named_thread():
    kept.append(done := threading.Event())
    threading.Thread(target=done.wait, args=(60,), name="graflow-lost", daemon=True).start()
    guards.JOIN_SECONDS = 0.0

async def test_blocks_the_loop():
    try:
        time.sleep(0)
    except AssertionError:
        pass
"""
EXPECTED = {
    "test_leaves_task": "still pending: <Task pending name='stray'",
    "test_overlooks_failure": "asyncio reported: Task exception was never retrieved (KeyError('lost'))",
    "test_overlooks_failure_on_a_loop_of_its_own": "Task exception was never retrieved (KeyError('lost'))",
    "test_leaves_descriptor": "1 more open descriptors: ",
    "test_leaves_named_thread": "still running: <Thread(graflow-lost",
    "test_blocks_the_loop": "time.sleep(0) held the loop at ",
}


@pytest.mark.parametrize("options", [[], ["--uvloop"]], ids=["asyncio", "uvloop"])
def test_the_guards_surround_every_test(tmp_path: Path, options: list[str]) -> None:
    """Every planted leak fails its own test, whichever loop it ran on; clean tests pass."""
    (tmp_path / "test_planted.py").write_text(textwrap.dedent(PLANTED))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert f"8 passed, {len(EXPECTED)} errors" in done.stdout, done.stdout + done.stderr
    sections = done.stdout.split("ERROR at teardown of ")[1:]
    found = {section.split()[0]: section for section in sections}
    assert set(found) == set(EXPECTED)
    for name, words in EXPECTED.items():
        assert words in found[name], found[name]


async def test_pending_tasks_are_named() -> None:
    """Only tasks that are new and not done count."""
    release = asyncio.Event()
    old = asyncio.create_task(release.wait(), name="old")
    before = asyncio.all_tasks()
    new = asyncio.create_task(release.wait(), name="new")
    assert [complaint.split("name=")[1][:5] for complaint in guards.pending_tasks(before)] == ["'new'"]
    release.set()
    await asyncio.gather(old, new)
    assert guards.pending_tasks(before) == []


@pytest.mark.parametrize(("name", "daemon", "counts"), [("graflow-io", True, 1), ("x", False, 1), ("x", True, 0)])
def test_stray_threads_are_named(name: str, daemon: bool, counts: int) -> None:  # noqa: FBT001  # a parameter of the test
    """Threads that keep a process alive count, and ours count even as daemons; one that ends in time does not."""
    before = threading.enumerate()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name=name, daemon=daemon)
    thread.start()
    assert len(guards.stray_threads(before, seconds=0)) == counts
    assert guards.stray_threads([*before, thread], seconds=0) == []
    release.set()
    assert guards.stray_threads(before) == []
    thread.join()


def test_descriptors_are_counted() -> None:
    """One descriptor more is a complaint that says what it is; one exchanged for another is none."""
    before = guards.open_descriptors()
    number = os.open(os.devnull, os.O_RDONLY)
    (complaint,) = guards.new_descriptors(before)
    os.close(number)
    assert f"{number} -> {os.devnull}" in complaint
    assert guards.new_descriptors(before) == []


def test_asyncio_errors_are_kept() -> None:
    """Reports of failures are kept with their exception; warnings are not failures."""
    logger = logging.getLogger("asyncio.test_guards")
    logger.propagate = False  # the guard around this very test listens above
    with guards.AsyncioErrors(logger.name) as errors:
        logger.warning("slow")
        logger.error("lost\nmore", exc_info=ValueError("why"))
        logger.error("plain")
        assert logger.handlers == [errors]
    assert logger.handlers == []
    assert errors.reports == ["asyncio reported: lost (ValueError('why'))", "asyncio reported: plain"]


def test_sleep_is_refused_only_on_a_loop() -> None:
    """A plain thread may sleep; a thread that runs a loop may not, and the attempt is remembered though caught."""
    real = time.sleep
    with guards.SleepGuard() as guard:
        time.sleep(0)
        assert guard.reports == []

        async def block() -> None:
            with pytest.raises(guards.BlockingCallError):
                time.sleep(0)  # noqa: ASYNC251  # the mistake to be caught
            await asyncio.to_thread(time.sleep, 0)

        asyncio.run(block())
    assert time.sleep is real
    assert len(guard.reports) == 1
    assert "test_guards.py" in guard.reports[0]
