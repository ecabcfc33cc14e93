"""A workflow whose tasks run in two other processes, written as if they ran here.

python distributed_workflow.py [REDIS_URL]

Without a URL a Redis is started for this program.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from cluster import name_of, redis_at, workers

from graflow_async import (
    ParallelGroup,
    QueueBackend,
    RedisCoordinator,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    create_execution_context,
    task,
    workflow,
)

if TYPE_CHECKING:
    from subprocess import Popen

# -- coroutines: all of the run's tasks travel ----------------------------------------------------------------


@task
async def fetch() -> list[int]:
    """Begin; the result goes to every member of the group."""
    return [3, 1, 2]


@task
async def smallest(ctx: TaskExecutionContext, fetch: list[int]) -> int:
    """Wait for the other member, so that each of them needs a worker with room for it."""
    return await _together(ctx, "smallest", "largest", min(fetch))


@task
async def largest(ctx: TaskExecutionContext, fetch: list[int]) -> int:
    """Do the same the other way round."""
    return await _together(ctx, "largest", "smallest", max(fetch))


async def _together(ctx: TaskExecutionContext, own: str, other: str, value: int) -> int:
    """Leave a note for the other one, and wait for its note: channels are shared by all tasks, wherever they run.

    `channel.wait` would do, but gives the task's place in its worker to others meanwhile; who watches keeps it.
    """
    channel = ctx.get_channel()
    async with channel.watch(other) as notes:
        await channel.set(own, os.getpid())
        if not await channel.exists(other):
            await anext(notes)
    return value


@task
async def report(ctx: TaskExecutionContext, smallest: int, largest: int) -> dict[str, Any]:
    """End; it sees what both have left."""
    channel = ctx.get_channel()
    pids = [await channel.get(name) for name in ("smallest", "largest")]
    return {"range": (smallest, largest), "pids": pids, "pid": os.getpid()}


async def everything_travels(url: str, started: dict[str, Popen[bytes]]) -> None:
    """Run it twice: here, then on workers. Nothing of the workflow says where."""
    context = create_execution_context(queue_backend=QueueBackend.REDIS, channel_backend="redis", redis_url=url)
    with workflow("numbers", execution_context=context) as numbers:
        fetch >> (smallest | largest) >> report

    here = await numbers.run(queue_backend=QueueBackend.MEMORY, channel_backend="memory")
    print(f"here: {here['range']}, all of it in this program: {set(here['pids']) == {os.getpid()}}")
    there = await numbers.run()
    members = sorted(name_of(started, pid) for pid in there["pids"])
    print(f"there: {there['range']}, the group by {' and '.join(members)}")
    print(f"the last task ran in {'a worker' if name_of(started, there['pid']) in started else 'this program'}")


# -- plain functions: only one group travels ------------------------------------------------------------------


@task
def square(ctx: SyncTaskExecutionContext) -> int:
    """Read what was written before the group."""
    return ctx.get_channel().get("number") ** 2


@task
def where() -> int:
    """Tell in which process this is."""
    return os.getpid()


def one_group_travels(url: str, started: dict[str, Popen[bytes]]) -> None:
    """Give the group a coordinator: its members run on workers, everything else stays."""
    with workflow("one_group") as wf:

        @task
        def begin(ctx: SyncTaskExecutionContext) -> None:
            ctx.get_channel().set("number", 12)

        @task
        def end(square: int, where: int) -> tuple[int, int, int]:
            return square, where, os.getpid()

        group = ParallelGroup([square, where], name="distributed_group", coordinator=RedisCoordinator(redis_url=url))
        begin >> group >> end

        squared, there, here = wf.execute()
        print(f"12 * 12 = {squared}: the group ran in {name_of(started, there)}, the end in {name_of(started, here)}")


def main(url: str | None) -> None:
    """Show both."""
    with redis_at(url) as place:
        print("=== All tasks ===")
        # With room for one task each, neither worker can take both members of the group.
        with workers(place, "worker-1", "worker-2", options=("--concurrency", "1")) as started:
            asyncio.run(everything_travels(place, started))
        print("\n=== One group ===")
        with workers(place, "worker-1") as started:
            one_group_travels(place, started)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GRAFLOW_REDIS_URL"))
