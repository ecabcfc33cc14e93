"""saq: `queue.map`, which enqueues and collects many; the worker takes 100 jobs at once."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from benchmarks.redis_peers import CONCURRENCY, POLL
from benchmarks.redis_peers.driving import main, serves

_saq: Any = importlib.import_module("saq")


async def leaf(_: Any, *, index: int) -> int:
    """Do nothing."""
    return index


def work(url: str, ready: str) -> None:
    """Serve until a signal."""

    async def serve() -> None:
        async def startup(_: Any) -> None:
            serves(ready)

        queue = _saq.Queue.from_url(url)
        await queue.connect()
        await _saq.Worker(queue, functions=[("leaf", leaf)], concurrency=CONCURRENCY, startup=startup).start()

    asyncio.run(serve())


async def drive(url: str, count: int) -> list[int]:
    """Have so many jobs done."""
    queue = _saq.Queue.from_url(url)
    await queue.connect()
    try:
        return await queue.map("leaf", [{"index": index} for index in range(count)], poll_interval=POLL)
    finally:
        await queue.disconnect()


if __name__ == "__main__":
    main(work, drive)
