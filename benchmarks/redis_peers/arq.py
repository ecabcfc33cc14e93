"""arq: a hundred enqueues at once, then a hundred polled results; the worker takes 100 jobs at once.

It looks for jobs and for results 20 times a second, not twice.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from benchmarks.redis_peers import CONCURRENCY, POLL
from benchmarks.redis_peers.driving import a_few_at_once, main, serves

_arq: Any = importlib.import_module("arq")
_connections: Any = importlib.import_module("arq.connections")


async def leaf(_: Any, index: int) -> int:
    """Do nothing."""
    return index


def work(url: str, ready: str) -> None:
    """Serve until a signal."""

    class Settings:
        functions = (leaf,)
        redis_settings = _connections.RedisSettings.from_dsn(url)
        max_jobs = CONCURRENCY
        poll_delay = POLL

        @staticmethod
        async def on_startup(_: Any) -> None:
            serves(ready)

    _arq.run_worker(Settings)


async def drive(url: str, count: int) -> list[int]:
    """Have so many jobs done."""
    pool = await _arq.create_pool(_connections.RedisSettings.from_dsn(url))
    try:
        jobs = await a_few_at_once(partial(pool.enqueue_job, "leaf", index) for index in range(count))
        return await a_few_at_once(partial(job.result, poll_delay=POLL) for job in jobs)
    finally:
        await pool.aclose()


if __name__ == "__main__":
    main(work, drive)
