"""What could not be written is not referred to afterwards."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from graflow_async import FileCheckpointer, NotSerializableError, Task, TaskExecutionContext, Workflow


@pytest.mark.unrecorded
async def test_a_task_that_could_not_be_written_is_written_with_its_next_use(tmp_path: Any):
    """Called once while its code cannot be pickled and once when it can: the records of the run can be told again."""
    held: list[Any] = [threading.Lock()]

    async def child() -> int:
        return len(held)

    made = Task("child", child)

    async def parent(ctx: TaskExecutionContext) -> int:
        with pytest.raises(NotSerializableError):
            await ctx.call(made)
        held.clear()
        return await ctx.call(made)

    wf = Workflow("w", Task("parent", parent, inject_context=True))
    checkpointer = FileCheckpointer(tmp_path)
    assert await wf.run(run_id="r", checkpointer=checkpointer) == 0
    assert await wf.resume("r", checkpointer=checkpointer) == 0
