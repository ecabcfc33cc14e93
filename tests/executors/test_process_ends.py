"""The process pool: cancelled calls, children that die, parents that die, closing."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from graflow_async.errors import GraflowRuntimeError, ProcessDiedError
from graflow_async.executors.process import ProcessPool


def sits(fifo):
    """Make a body that says which process it runs in, and never ends."""

    def body():
        Path(fifo).write_text(str(os.getpid()))
        while True:
            time.sleep(1000)

    return body


async def word(fifo):
    """Wait for what a body has to say."""
    return await asyncio.to_thread(Path(fifo).read_text)


async def cancelled(call):
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def test_cancelled_call_is_killed_and_reaped(run, fifo):
    """When the awaiting task is cancelled its child is gone, zombie included, and the next call gets a new one."""

    async def main():
        pool = ProcessPool(1)
        call = asyncio.create_task(pool.run(sits(fifo)))
        pid = int(await word(fifo))
        await cancelled(call)
        assert not psutil.pid_exists(pid)
        assert await pool.run(os.getpid) != pid
        await pool.aclose()

    run(main)


async def test_timeout_is_a_cancellation(pool, fifo):
    """asyncio.timeout around a call ends the child as well."""

    async def limited():
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await pool.run(sits(fifo))

    limits = []
    call = asyncio.create_task(limited())
    pid = int(await word(fifo))
    limits[0].reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await call
    assert not psutil.pid_exists(pid)


async def test_killing_takes_grandchildren_along(pool, fifo, watched):
    """A program that a cancelled call had started does not outlive it."""

    def body():
        program = subprocess.Popen(["sleep", "1000"])
        Path(fifo).write_text(str(program.pid))
        program.wait()

    call = asyncio.create_task(pool.run(body))
    grandchild = watched(int(await word(fifo)))
    await cancelled(call)
    await grandchild.ended()


@pytest.mark.parametrize("seed", [1, 2])
def test_cancelled_at_any_moment(run, seed):
    """Wherever a cancellation strikes (in line, starting, sending, answered), the pool stays whole."""
    dice = random.Random(seed)

    async def main():
        pool = ProcessPool(2)
        for _ in range(25):
            calls = [asyncio.create_task(pool.run(divmod, (n, 3))) for n in range(6)]
            for call in dice.sample(calls, 3):
                for _ in range(dice.choice((0, 1, 3, 30, 300, 3000))):
                    await asyncio.sleep(0)
                call.cancel()
            await asyncio.wait(calls)
            for n, call in enumerate(calls):
                assert call.cancelled() or call.result() == divmod(n, 3)
        assert len(pool._places) <= 2
        assert await asyncio.gather(*(pool.run(int, (n,)) for n in range(10))) == list(range(10))
        await pool.aclose()

    run(main)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (lambda: os._exit(3), 3, "exit status 3"),
        (lambda: os._exit(0), 0, "exit status 0"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL, "killed by SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), -signal.SIGTERM, "killed by SIGTERM"),
        (
            lambda: (resource.setrlimit(resource.RLIMIT_CORE, (0, 0)), ctypes.string_at(0)),
            -signal.SIGSEGV,
            "killed by SIGSEGV",
        ),
    ],
    ids=["exit-3", "exit-0", "kill", "term", "segfault"],
)
async def test_death_is_an_error_of_that_call(pool, fifo, body, code, words):
    """A child that dies fails its own call with its exit status; a neighbour and later calls are not touched."""

    def neighbour():
        Path(fifo).write_text("here")
        return Path(fifo).read_text()

    waiting = asyncio.create_task(pool.run(neighbour))
    assert await word(fifo) == "here"
    with pytest.raises(ProcessDiedError, match=words) as caught:
        await pool.run(body)
    assert caught.value.exit_code == code
    assert await pool.run(int, ("5",)) == 5
    await asyncio.to_thread(Path(fifo).write_text, "go on")
    assert await waiting == "go on"


async def test_child_that_died_idle_is_replaced(pool, watched):
    """The death of an idle child, which concerns no call, is not reported to the next one."""
    pid = await pool.run(os.getpid)
    child = watched(pid)
    os.kill(pid, signal.SIGKILL)
    await child.ended()
    assert await pool.run(os.getpid) != pid
    assert not psutil.pid_exists(pid)


async def test_forked_process_does_not_hide_a_death(pool, fifo):
    """A process that a call has forked holds no end of the pipes: the death of the child is seen at once."""

    def body():
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(4)

    async with asyncio.timeout(30):
        with pytest.raises(ProcessDiedError, match="exit status 4"):
            await pool.run(body)


async def test_noise_on_the_pipe_is_a_death(pool):
    """A call that writes to the pool's own pipe loses its child, and only that."""

    def body():
        for fd in range(3, 64):
            try:
                os.write(fd, b"noise" * 10)
            except OSError:
                continue

    with pytest.raises(ProcessDiedError) as caught:
        await pool.run(body)
    assert "something else wrote" in str(caught.value.__cause__)
    assert await pool.run(int, ("5",)) == 5


async def test_child_that_cannot_start(pool, monkeypatch):
    """An interpreter that ends at once, or does not exist, is an error that says so, and no place is lost."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        for _ in range(3):
            with pytest.raises(ProcessDiedError, match="exit status 1 while it started"):
                await pool.run(int)
        patch.setattr(sys, "executable", "/nonexistent/python")
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                await pool.run(int)
    assert await asyncio.gather(pool.run(int), pool.run(int)) == [0, 0]


PARENT = """
import asyncio, os, subprocess, sys, time
from pathlib import Path
from graflow_async.executors.process import ProcessPool

def busy(fifo):
    program = subprocess.Popen(["sleep", "1000"])
    Path(fifo).write_text(f"{os.getpid()} {program.pid}")
    while True:
        pass

async def main():
    pool = ProcessPool(3)
    idle, _ = await asyncio.gather(pool.run(os.getpid), pool.run(int))
    asleep = asyncio.create_task(pool.run(time.sleep, (1000,)))
    computing = asyncio.create_task(pool.run(busy, (sys.argv[1],)))
    await asyncio.wait((asleep, computing))

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_parent_that_dies_leaves_no_orphan(nothing_left, tmp_path, fifo, watched, end):
    """When the parent is killed its children end, idle, asleep or computing, and what they had started too."""
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    parent = subprocess.Popen([sys.executable, script, fifo], env=environment)  # noqa: ASYNC220  # a test may wait
    try:
        pids = {int(pid) for pid in (await word(fifo)).split()}
        pids |= {child.pid for child in psutil.Process(parent.pid).children(recursive=True)}
        assert len(pids) >= 3
        family = [watched(pid) for pid in pids]
    finally:
        parent.send_signal(end)
        await asyncio.to_thread(parent.wait)
    await asyncio.gather(*(member.ended() for member in family))


def test_aclose_ends_everything(run, fifo):
    """Closing kills busy and idle children; running and waiting calls, and later ones, get an error that says why."""

    async def main():
        pool = ProcessPool(2)
        idle = asyncio.create_task(pool.run(os.getpid))
        busy = asyncio.create_task(pool.run(sits(fifo)))
        pids = {int(await word(fifo)), await idle}
        starting = asyncio.create_task(pool.run(signal.pause))
        waiting = asyncio.create_task(pool.run(int))
        await asyncio.sleep(0)
        await pool.aclose()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        calls: list[asyncio.Task[Any]] = [busy, starting, waiting]
        for call in calls:
            with pytest.raises(GraflowRuntimeError, match="closed"):
                await asyncio.wait_for(call, 30)
        with pytest.raises(GraflowRuntimeError, match="closed"):
            await pool.run(int)
        await pool.aclose()

    run(main)


async def test_aclose_of_an_unused_pool(nothing_left):
    """A pool that started nothing is closed at once, and twice at once if asked to."""
    pool = ProcessPool()
    await asyncio.gather(pool.aclose(), pool.aclose())
    used = ProcessPool(2)
    await asyncio.gather(*(used.run(int) for _ in range(4)))
    await asyncio.gather(used.aclose(), used.aclose())


def test_closed_pool_leaves_no_thread_behind_a_cancelled_call(run, fifo):
    """Cancelling a call and closing at once waits for the child of that call too."""

    async def main():
        pool = ProcessPool(1)
        call = asyncio.create_task(pool.run(sits(fifo)))
        pid = int(await word(fifo))
        call.cancel()
        await pool.aclose()
        assert not psutil.pid_exists(pid)
        with pytest.raises(asyncio.CancelledError):
            await call

    run(main)
