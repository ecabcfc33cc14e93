"""taskiq with taskiq-redis: its broker with acknowledgements, results as keys; the worker takes 100 jobs at once."""

from __future__ import annotations

import asyncio
import importlib
from functools import partial
from typing import Any

from benchmarks.redis_peers import CONCURRENCY, POLL
from benchmarks.redis_peers.driving import a_few_at_once, main, serves

_redis: Any = importlib.import_module("taskiq_redis")
_api: Any = importlib.import_module("taskiq.api")

RESULTS_KEPT = 600  # seconds: their documentation asks for an end


async def leaf(index: int) -> int:
    """Do nothing."""
    return index


def _broker(url: str) -> tuple[Any, Any]:
    results = _redis.RedisAsyncResultBackend(redis_url=url, result_ex_time=RESULTS_KEPT)
    broker = _redis.RedisStreamBroker(url=url).with_result_backend(results)
    return broker, broker.register_task(leaf, "leaf")


def work(url: str, ready: str) -> None:
    """Serve until a signal."""

    async def serve() -> None:
        broker, _ = _broker(url)
        await broker.startup()
        serves(ready)
        await _api.run_receiver_task(broker, max_async_tasks=CONCURRENCY, max_prefetch=CONCURRENCY)

    asyncio.run(serve())


async def drive(url: str, count: int) -> list[int]:
    """Have so many jobs done."""
    broker, task = _broker(url)
    await broker.startup()
    try:
        jobs = await a_few_at_once(partial(task.kiq, index) for index in range(count))
        found = await a_few_at_once(partial(job.wait_result, check_interval=POLL) for job in jobs)
        return [result.return_value for result in found]
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    main(work, drive)
