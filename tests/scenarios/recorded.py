"""What the scenarios of checkpoints share."""

from __future__ import annotations

import asyncio
from typing import Any

from graflow_async import CheckpointManager, workflow


def resume(style: Any, wf, source, **options):
    """Go on in the way of the style: blocking, or awaited on a loop that is left clean."""
    if style.name != "async":
        return CheckpointManager(options.pop("checkpoint_dir")).resume_from_checkpoint(source, wf, **options)

    async def awaited():
        try:
            return await wf.resume(source, **options)
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(awaited())


def three_steps(style: Any, ran, path=None):
    """Make step_1 >> step_2 >> step_3; step_2 asks for a checkpoint."""
    with workflow("three") as wf:

        @style.task
        def step_1():
            ran.append("step_1")
            return 1

        @style.task(inject_context=True)
        def step_2(ctx, step_1):
            ran.append("step_2")
            assert ctx.checkpoint({"by": "the user", "attempt": ctx.attempt}, path=path) is None
            return step_1 + 1

        @style.task
        def step_3(step_1, step_2):
            ran.append("step_3")
            return [step_1, step_2, 3]

        step_1 >> step_2 >> step_3
    return wf
