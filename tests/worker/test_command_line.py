"""The command line of workers: names that other programs have for its options, and what it does without a Redis."""

from __future__ import annotations

from signal import SIGTERM

from graflow_async._redis.jobs import JobQueue
from tests.aids.workers import Process


async def test_variables_of_others(redis_url: str) -> None:
    """`python -m graflow_async.worker.main` takes variables and options by the names that Graflow has for them."""
    found = {"WORKER_ID": "ada", "MAX_CONCURRENT_TASKS": "3", "LOG_LEVEL": "INFO", "GRAFLOW_REDIS_URL": redis_url}
    worker = Process("-m", "graflow_async.worker.main", "--poll-interval", "0.1", **found)
    await worker.says("worker ada serves queue 'default'")
    async with JobQueue(redis_url) as queue:
        assert "ada" in str(await queue.workers())
    worker.signal(SIGTERM)
    assert await worker.ended() == 0


async def test_without_a_redis() -> None:
    """After `--patience` it ends with code 1 and a line that says where it looked, also at the start."""
    options = ("--redis-host", "127.0.0.1", "--redis-port", "1", "--patience", "0.01")
    worker = Process("-m", "graflow_async.worker.main", *options, GRAFLOW_REDIS_URL=None)
    assert await worker.ended() == 1
    assert "error: checking Redis: Redis does not answer" in worker.text
    assert "127.0.0.1" in worker.text
