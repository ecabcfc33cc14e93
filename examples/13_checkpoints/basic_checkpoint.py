"""A named checkpoint: a file that holds the whole run as it was, to be copied, kept, and gone on with later.

python basic_checkpoint.py [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from graflow_async import CheckpointManager, SyncTaskExecutionContext, TaskExecutionContext, task, workflow

ROWS = [12, 7, 30, 4, 55, 21]


# -- plain functions ------------------------------------------------------------------------------------------

with workflow("invoice") as invoice:

    @task
    def read_rows() -> list[int]:
        """Begin; its result is in the checkpoint."""
        print("  read_rows runs")
        return ROWS

    @task
    def add_up(ctx: SyncTaskExecutionContext, read_rows: list[int]) -> int:
        """Ask for a checkpoint: it is taken as soon as this function has returned, with its result."""
        print("  add_up runs")
        ctx.checkpoint({"rows": len(read_rows)})
        return sum(read_rows)

    @task
    def print_out(add_up: int) -> str:
        """End; this is what is left to do for the checkpoint."""
        print("  print_out runs")
        return f"{add_up} in all"

    read_rows >> add_up >> print_out


def plain(directory: Path) -> None:
    """Run to the end, then go on once more from the checkpoint that was taken on the way."""
    print("first run")
    print(f"  {invoice.execute(checkpoint_dir=directory, run_id='invoice-1')}")
    manager = CheckpointManager(checkpoint_dir=directory)
    for path in manager.list_checkpoints("invoice-1"):
        print(f"from a checkpoint in {Path(path).parent.relative_to(directory)}")
        print(f"  {manager.resume_from_checkpoint(path)}")
    for run in sorted(manager.list_runs()):
        print(f"recorded: {run.run_id}, {run.status}")


# -- coroutines, and a file of a name that the task chooses ---------------------------------------------------

with workflow("letter") as letter:

    @task
    async def draft() -> str:
        """Begin."""
        print("  draft runs")
        return "Dear reader"

    @task
    async def proof(ctx: TaskExecutionContext, draft: str, copy_to: Path) -> str:
        """Take a checkpoint at once; it holds everything up to here, but not the result of this task."""
        print("  proof runs")
        place, about = await ctx.checkpoint({"draft": draft}, path=copy_to, deferred=False)
        print(f"  checkpoint {Path(place).name} by {about['task_id']}: {about['metadata']}")
        return f"{draft},"

    draft >> proof


async def awaited(directory: Path) -> None:
    """Run, carry the file to another directory, and go on there."""
    print("first run")
    here, copy = directory / "here", directory / "letter.ckpt"
    print(f"  {await letter.run(inputs={'copy_to': copy}, checkpoint_dir=here)}")
    print("elsewhere, from the file alone")
    value = await letter.resume(copy, inputs={"copy_to": directory / "again.ckpt"}, checkpoint_dir=directory / "there")
    print(f"  {value}")


def main(directory: Path) -> None:
    """Show both."""
    print("=== After the task ===")
    plain(directory / "invoices")
    print("\n=== At once, into a file ===")
    asyncio.run(awaited(directory / "letters"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
