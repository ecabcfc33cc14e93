"""A folder with workflows to run, and the command line as a real child process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.aids import warm
from tests.cli.recorded import MODULE as RECORDED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
NOTICE = "cancelling the run; Ctrl-C again leaves at once\n"  # where that takes longer than a moment
MODULE = '''
"""Workflows for the tests of the command line."""

import asyncio
import datetime

from graflow_async import TaskExecutionContext, Workflow, flow, parallel, task, workflow

print("imported")

with workflow("sums") as sums:

    @task
    def first(n: int = 2):
        return n

    @task
    async def second(first, label: str = "-"):
        return {"value": first * 10, "label": label}

    first >> second


@task
async def show(ctx: TaskExecutionContext, value=None):
    return f"{type(value).__name__} {value!r}"


@task
def typed(i: int = 0, f: float = 0.0, b: bool = False, s: str = "", xs: list = [], d: "dict[str, int] | None" = None):
    return [i, f, b, s, xs, d]


@task
def needs(task_id: str, other):
    return f"{task_id}/{other}"


@flow
def total(xs: list[int]) -> int:
    return sum(xs)


@flow
async def greeting(name: str):
    return f"hello {name}"


@task
def broken():
    raise ValueError("first line\\nsecond line \\x1b[31m")


@task
def quitter():
    raise SystemExit(3)


@task
def odd():
    print("a task prints")
    return {1: {2}, "nan": float("nan"), "when": datetime.date(2020, 1, 2), (1, 2): b"x"}


@task(executor="process")
def elsewhere():
    print("a child prints")
    return 5


@task
async def patient():
    print("started", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)


@task
async def stubborn():
    print("started", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


@task
async def forgetful():
    async def left_behind():
        try:
            await asyncio.Event().wait()
        finally:
            print("swept", flush=True)

    global kept
    kept = asyncio.get_running_loop().create_task(left_behind())
    await asyncio.sleep(0)
    return "done"


group = Workflow("group", parallel(broken, first))
ring = Workflow("ring", first >> second >> first)
number = 7


def factory():
    return Workflow("made", typed)


def failing_factory():
    raise KeyError("nothing")


def factory_of_nothing():
    return None


def plain_function(x):
    return x


async def plain_coroutine():
    return 1
'''


class Project:
    """A folder with `flows.py`, and a way to call the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "graflow_async"]
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in {"GRAFLOW_REDIS_URL", "NO_COLOR", "FORCE_COLOR"}},
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
        }

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        words = [*self.command[1:], *arguments]
        return warm.run(words, cwd=self.folder, env={**self.environment, **environment}, said=stdin)

    def popen(self, *arguments: str) -> warm.Program:
        return warm.Program([*self.command[1:], *arguments], cwd=self.folder, env=self.environment)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that all tests read."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "flows.py").write_text(MODULE, encoding="utf-8")
    (folder / "failing.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")
    (folder / "unparsable.py").write_text("def (:\n", encoding="utf-8")
    (folder / "leaving.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    (folder / "empty.py").write_text("", encoding="utf-8")
    nested = folder / "outer" / "inner"
    nested.mkdir(parents=True)
    (nested.parent / "__init__.py").write_text("", encoding="utf-8")
    (nested / "__init__.py").write_text("", encoding="utf-8")
    (nested / "names.py").write_text("NAME = 'relative'\n", encoding="utf-8")
    (nested / "flow.py").write_text(
        "from graflow_async import task\nfrom .names import NAME\n\n@task\ndef name():\n    return NAME, __name__\n",
        encoding="utf-8",
    )
    # Named like a module that is always in use, in a folder of its own so that nothing else finds it.
    (folder / "shadows").mkdir()
    (folder / "shadows" / "queue.py").write_text(
        "from graflow_async import task\n\n@task\ndef shadow():\n    return __name__\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def project(shared_folder: Path) -> Project:
    """Give the command line in the folder."""
    return Project(shared_folder)


@pytest.fixture
def fails(project: Project) -> Callable[..., str]:
    """Call a command that has to fail: give its one line on stderr."""

    def call(code: int, *arguments: str, stdin: str = "") -> str:
        done = project(*arguments, stdin=stdin)
        assert done.returncode == code, done
        lines = [line for line in done.stderr.splitlines() if line != "imported"]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return call


@pytest.fixture
def jobs(tmp_path: Path) -> Project:
    """Give the command line in a folder of the test's own."""
    (tmp_path / "jobs.py").write_text(RECORDED, encoding="utf-8")
    return Project(tmp_path)


@pytest.fixture
def logged(jobs: Project) -> Callable[[], list[str]]:
    """Tell which bodies have run since the last time."""

    def take() -> list[str]:
        path = jobs.folder / "log"
        words = path.read_text(encoding="utf-8").split() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    return take
