"""A checkpoint every five minutes inside one long task, and steps whose values are not computed twice.

    python periodic_checkpoints.py [DIRECTORY]

The minutes are counted, not waited for: each item takes two of them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from graflow_async import CheckpointManager, SyncTaskExecutionContext, TaskExecutionContext, Workflow, task

EVERY = 300  # seconds
ITEMS = ["ash", "beech", "cedar", "elm", "fir", "larch", "oak", "pine"]


class Watch:
    """A clock that goes two minutes on with every item, and a list of the items that were really worked on."""

    def __init__(self) -> None:
        """Start at zero."""
        self.now = 0
        self.worked: list[str] = []

    def measure(self, item: str) -> int:
        """Do the work of one item."""
        self.now += 120
        self.worked.append(item)
        return len(item)


@task
async def survey(ctx: TaskExecutionContext, watch: Watch) -> dict[str, int]:
    """Measure everything; a resumed survey gets the recorded steps back and measures the rest."""
    found: dict[str, int] = {}
    last = watch.now
    for item in ITEMS:
        found[item] = await ctx.step(item, watch.measure, item)
        if watch.now - last > EVERY:
            _, about = await ctx.checkpoint({"measured": len(found)}, deferred=False)
            print(f"  after {watch.now // 60} minutes a checkpoint: {about['metadata']}")
            last = watch.now
    return found


@task
def total(survey: dict[str, int]) -> int:
    """Add up."""
    return sum(survey.values())


forest = Workflow("forest", survey >> total)


async def awaited(directory: Path) -> None:
    """Run it, then go on from each of the checkpoints."""
    watch = Watch()
    forest.provide("watch", watch)
    print("from the start")
    value = await forest.run(checkpoint_dir=directory, run_id="forest")
    print(f"  total {value}, worked on {len(watch.worked)} items")
    for number, path in enumerate(await CheckpointManager(directory).list_checkpoints("forest"), 1):
        watch = Watch()
        forest.provide("watch", watch)
        print(f"from checkpoint {number}")
        value = await forest.resume(path, checkpoint_dir=directory)
        print(f"  total {value}, worked on: {', '.join(watch.worked)}")


# -- the same in a plain function: the checkpoint is taken once, after the task ---------------------------------

plain_watch = Watch()


@task
def plain_survey(ctx: SyncTaskExecutionContext) -> int:
    """Ask for a checkpoint every five minutes; deferred, they come to one when the task is done."""
    last, asked = plain_watch.now, 0
    for item in ITEMS:
        plain_watch.measure(item)
        if plain_watch.now - last > EVERY:
            ctx.checkpoint({"asked": asked})
            asked += 1
            last = plain_watch.now
    return asked


def plain(directory: Path) -> None:
    """Run it from plain code."""
    print("deferred, in a plain function")
    asked = Workflow("plain", plain_survey).execute(checkpoint_dir=directory, run_id="plain")
    taken = CheckpointManager(directory).list_checkpoints("plain")
    print(f"  asked for {asked}, taken: {len(taken)}")


def main(directory: Path) -> None:
    """Show both."""
    asyncio.run(awaited(directory))
    plain(directory)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
