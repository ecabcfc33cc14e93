"""What the view costs is counted, not timed: nothing is done for a task that simply runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import TaskExecutionContext, Workflow, task
from graflow_async._core import commands
from graflow_async._runtime import listeners

if TYPE_CHECKING:
    from tests.progress.terminal import Terminal

pytestmark = [pytest.mark.near, pytest.mark.unrecorded]


@task
async def leaf(number: int) -> int:
    return number


@task(inject_context=True)
async def fans(ctx: TaskExecutionContext) -> None:
    for number in range(500):
        ctx.next_task(leaf(number))


@task(inject_context=True)
async def maps(ctx: TaskExecutionContext) -> None:
    await ctx.map(leaf, range(500))


@pytest.mark.parametrize("bound", [None, 5])
async def test_no_call_for_each_task(terminal: Terminal, bound: int | None) -> None:
    """With progress on, no event is made, sent or asked for because of a task that begins and ends."""
    told = commands.Tell.__init__.__code__
    calls = 0

    def count(frame: Any, what: str, _: Any) -> None:
        nonlocal calls
        if what == "call":
            code = frame.f_code
            calls += code is told or code.co_filename == listeners.__file__

    sys.setprofile(count)
    try:
        await Workflow("w", fans >> maps).run(progress=True, max_concurrency=bound)
    finally:
        sys.setprofile(None)
    assert 0 < calls < 200  # once for the run, and not for each of 1002 tasks
    assert "1002 done" in terminal.screen().text[0]
