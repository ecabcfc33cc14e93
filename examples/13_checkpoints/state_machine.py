"""An order on its way NEW -> VALIDATED -> PAID -> SHIPPED, with a checkpoint at each state, and resumed from each.

python state_machine.py [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, Workflow, task

NEXT = {"NEW": "VALIDATED", "VALIDATED": "PAID", "PAID": "SHIPPED"}


@task
async def order(ctx: TaskExecutionContext, folder: Path) -> str:
    """Go one state on for each turn; the state is in the channel, so it is part of every checkpoint."""
    channel = ctx.get_channel()
    before = await channel.get("state")
    if before is None:
        after = "NEW"
        print("  a new order")
    else:
        after = NEXT[before]
        print(f"  {before} -> {after}")
    await channel.set("state", after)
    await channel.append("history", after)
    ctx.checkpoint({"state": after}, path=folder / f"{after}.ckpt")
    if after in NEXT:
        ctx.next_iteration()
    return after


@task
def receipt(ctx: SyncTaskExecutionContext) -> str:
    """Tell where the order has been; a plain function, in a thread."""
    return " -> ".join(ctx.get_channel().get("history"))


orders = Workflow("orders", order >> receipt)


async def ship(folder: Path) -> None:
    """Run it through, then take it up again from each state."""
    print("from the start")
    print(f"  {await orders.run(inputs={'folder': folder}, checkpoint_dir=folder / 'runs')}")
    for state in ("NEW", "VALIDATED", "PAID", "SHIPPED"):
        # The resumed run writes its checkpoints elsewhere: those of the first one are still to be used.
        again = folder / f"from-{state}"
        print(f"from {state}.ckpt")
        value = await orders.resume(
            folder / f"{state}.ckpt", inputs={"folder": again}, checkpoint_dir=folder / "runs", run_id=f"from-{state}"
        )
        print(f"  {value}")
        print(f"  checkpoints taken: {', '.join(sorted(p.stem for p in again.glob('*.ckpt'))) or 'none'}")


def plain(folder: Path) -> None:
    """Run it from plain code, with nothing but the way to one state."""
    print("from plain code")
    print(f"  {orders.execute(inputs={'folder': folder, 'state': 'PAID', 'history': ['PAID']}, checkpoint_dir=folder)}")


def main(directory: Path) -> None:
    """Ship two orders."""
    asyncio.run(ship(directory / "first"))
    plain(directory / "second")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
