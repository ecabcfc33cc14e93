"""A worker that is killed in the middle of a task: another one takes over, and the run ends as if nothing had happened.

python kill_a_worker.py [REDIS_URL]

Without a URL a Redis is started for this program.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from cluster import name_of, redis_at, workers

from graflow_async import TaskExecutionContext, Workflow, parallel, task

if TYPE_CHECKING:
    from subprocess import Popen

LEASE = "1"  # seconds; the usual 30 bear a network that stumbles, a demonstration should not take that long


@task
async def brew(ctx: TaskExecutionContext, pot: str) -> str:
    """Say who begins, and go on when told to; during `channel.wait` its place would be free for the other pot."""
    channel = ctx.get_channel()
    async with channel.watch("go on") as words:
        await channel.append(f"{pot} begun", os.getpid())
        if not await channel.exists("go on"):
            await anext(words)
    return f"{pot} is ready"


async def drink(url: str, started: dict[str, Popen[bytes]]) -> None:
    """Run, kill, watch."""
    pots = [brew(pot="tea", task_id="tea"), brew(pot="coffee", task_id="coffee")]
    drinks = Workflow("drinks", parallel(*pots, name="drinks"))
    async with drinks.start(queue_backend="redis", redis_url=url) as run:
        await run.channel.wait("tea begun")
        await run.channel.wait("coffee begun")
        print("tea and coffee have begun, each in a worker of its own")
        *_, first = await run.channel.get("tea begun")  # more than one if the machine stood still for a whole lease
        started[name_of(started, first)].kill()
        print("the worker that makes tea is killed")
        await run.channel.set("go on", 1)
        value = await run
        *_, last = await run.channel.get("tea begun")
        print(f"another worker makes tea again: {last != first and name_of(started, last) in started}")
    print(value)


def main(url: str | None) -> None:
    """Start what is needed, with room for one task in each worker."""
    options = ("--lease", LEASE, "--concurrency", "1")
    with redis_at(url) as place, workers(place, "worker-1", "worker-2", options=options) as started:
        asyncio.run(drink(place, started))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # that a worker was lost is a warning
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GRAFLOW_REDIS_URL"))
