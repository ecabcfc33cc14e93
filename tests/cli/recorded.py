"""Workflows whose runs are recorded, and what tests of `resume` and `runs` share."""

from __future__ import annotations

from typing import Any

MODULE = """
import asyncio
import os
import signal
from pathlib import Path

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, task, workflow


def log(word):
    with open("log", "a") as file:
        file.write(word + "\\n")


with workflow("job") as job:

    @task
    def first(n: int = 2):
        log("first")
        return n

    @task
    async def second(ctx: TaskExecutionContext, first):
        log("second")
        ctx.checkpoint()
        if Path("hurdle").exists():
            raise ValueError("a hurdle")
        if Path("wait").exists():
            print("waiting", flush=True)
            await asyncio.Event().wait()
        return first * 10

    @task
    def third(second):
        log("third")
        print("third prints")
        return second + 1

    first >> second >> third


with workflow("turns") as turns:

    @task
    def turning(ctx: SyncTaskExecutionContext, number: int = 1):
        if number < 3:
            ctx.next_iteration(number + 1)
        return number


@task(on_crash="fail")
async def once():
    log("once")
    os.kill(os.getpid(), signal.SIGKILL)
"""
CHANGED = MODULE.replace("first * 10", "first * 100").replace(
    "    first >> second >> third",
    """
    @task
    def extra():
        log("extra")

    first >> second >> extra >> third""",
)
ANOTHER_KEY = "another-key-that-has-signed-nothing-of-this"
IN = ("--checkpoint-dir", "runs here")


def lines_of(done: Any, code: int = 0) -> list[str]:
    """Give what a command printed; on stderr there must be nothing, or one line for an error."""
    assert done.returncode == code, done
    assert len(done.stderr.splitlines()) == (code != 0), done.stderr
    return done.stdout.splitlines()


def fail_once(project: Any, run_id: str = "a") -> None:
    """Leave a run that failed in its second task."""
    (project.folder / "hurdle").touch()
    lines_of(project("run", "jobs:job", "--input", "n=4", *IN, "--run-id", run_id), 1)
    (project.folder / "hurdle").unlink()
