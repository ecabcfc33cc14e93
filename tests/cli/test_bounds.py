"""Bounds of a run from the command line: `--limit`, and the options that a workflow brings along itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graflow_async.cli import main
from tests.cli.recorded import IN, lines_of

if TYPE_CHECKING:
    from tests.cli.conftest import Project

MODULE = """
import asyncio
from pathlib import Path

from graflow_async import Workflow, create_execution_context, task, workflow

inside = most = 0


async def meet():
    global inside, most
    inside += 1
    most = max(most, inside)
    await asyncio.sleep(0)
    inside -= 1
    return most


with workflow("narrow", execution_context=create_execution_context(max_concurrency=1, max_steps=3)) as narrow:

    @task
    async def left():
        return await meet()

    @task
    async def right():
        return await meet()

    left | right


with workflow("shared") as shared:

    @task(limits=("api",))
    async def one():
        if Path("hurdle").exists():
            raise ValueError("a hurdle")
        return await meet()

    @task(limits=("api",))
    async def two():
        return await meet()

    one | two


def tell(event):
    if type(event).__name__.startswith("Run"):
        print(type(event).__name__)


own = create_execution_context(checkpoint_dir="here", listeners=[tell], limits={"api": 1})
kept = Workflow("kept", one, execution_context=own)
"""


@pytest.fixture
def bounded(jobs: Project) -> Project:
    """Give the command line where workflows with bounds are."""
    (jobs.folder / "bounded.py").write_text(MODULE, encoding="utf-8")
    return jobs


def test_what_the_command_line_leaves_open_is_the_workflows(bounded: Project) -> None:
    """Options that a workflow brings along count unless the command line gives others."""
    assert lines_of(bounded("run", "bounded:narrow")) == ["{'left': 1, 'right': 1}"]
    assert lines_of(bounded("run", "bounded:narrow", "--max-concurrency", "2")) == ["{'left': 2, 'right': 2}"]


def test_what_a_workflow_brings_along_is_there_when_it_goes_on(bounded: Project) -> None:
    """Where a workflow says itself where it is recorded and who listens, that holds for a failure and for going on."""
    (bounded.folder / "hurdle").touch()
    failed = bounded("run", "bounded:kept", "--run-id", "a")
    assert (failed.returncode, failed.stdout) == (1, "RunStarted\nRunFinished\n")
    command = failed.stderr.strip().partition("; resume it with: python -m graflow_async ")[2]
    (bounded.folder / "hurdle").unlink()
    assert command == "resume a --checkpoint-dir here"
    assert lines_of(bounded(*command.split(), "bounded:kept")) == ["RunStarted", "RunFinished", "1"]


def test_limits_that_tasks_name(bounded: Project) -> None:
    """`--limit` gives a run, and one that goes on, the limits that its tasks name, by number or by starts per time."""
    (bounded.folder / "hurdle").touch()
    lines_of(bounded("run", "bounded:shared", *IN, "--run-id", "a", "--limit", "api=1"), 1)
    (bounded.folder / "hurdle").unlink()
    assert lines_of(bounded("resume", "a", *IN, "--limit", "api=2")) == ["{'one': 2, 'two': 2}"]
    assert lines_of(bounded("run", "bounded:shared", "--limit", "api=9/0.5")) == ["{'one': 2, 'two': 2}"]


@pytest.mark.parametrize("word", ["api", "=1", "api=", "api=x", "api=1.5", "api=1/", "api=1/0", "api=0/1"])
def test_what_is_no_limit_is_usage(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that is not written as it should be is refused with the two ways to write it."""
    assert main(["run", "nowhere:shared", "--limit", word]) == 2
    assert capsys.readouterr() == ("", f"error: --limit takes NAME=N or NAME=N/SECONDS, not {word!r}\n")
