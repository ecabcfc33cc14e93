"""streaq: `enqueue_many`, its one pipeline; results by a subscription each, a hundred at once; 100 jobs at once."""

from __future__ import annotations

import importlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.redis_peers import CONCURRENCY
from benchmarks.redis_peers.driving import a_few_at_once, main, serves

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_streaq: Any = importlib.import_module("streaq")


async def leaf(index: int) -> int:
    """Do nothing."""
    return index


def work(url: str, ready: str) -> None:
    """Serve until a signal."""

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        serves(ready)
        yield

    worker = _streaq.Worker(redis_url=url, concurrency=CONCURRENCY, lifespan=lifespan)
    worker.task(name="leaf")(leaf)
    worker.run_sync()


async def drive(url: str, count: int) -> list[int]:
    """Have so many jobs done."""
    worker = _streaq.Worker(redis_url=url, redis_kwargs={"max_connections": 3 * CONCURRENCY})
    task = worker.task(name="leaf")(leaf)
    async with worker:
        jobs = [task.enqueue(index) for index in range(count)]
        await worker.enqueue_many(jobs)
        return [found.result for found in await a_few_at_once(job.result for job in jobs)]


if __name__ == "__main__":
    main(work, drive)
