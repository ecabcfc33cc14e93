"""What is logged of a Redis that is away."""

from __future__ import annotations

import asyncio
import logging

import pytest

from graflow_async._redis.jobs import JobQueue
from tests.aids.redis_server import RedisServer
from tests.redis_jobs.aids import joined


class Ears(logging.Handler):
    """Keeps what is logged, on its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self.heard.put_nowait(f"{record.levelname} {record.getMessage()}")


async def test_an_outage_is_told_when_it_begins_and_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a Redis says so once, and that it is over: else nobody knows why nothing happens."""
    monkeypatch.setattr("graflow_async._redis.outage.TOLD_AFTER", 0.0)
    ears, logger = Ears(), logging.getLogger("graflow_async.redis")
    logger.addHandler(ears)
    try:
        with RedisServer() as server:
            async with JobQueue(server.url) as queue, asyncio.timeout(60):
                worker = await joined(queue, "w")
                await asyncio.to_thread(server.kill)
                beginning = asyncio.create_task(worker.join())
                said = await ears.heard.get()
                assert said.startswith(f"WARNING {server.url} cannot be used, and is tried again: ConnectionError")
                await asyncio.to_thread(server.start)
                await beginning
        assert (await ears.heard.get()).startswith(f"WARNING {server.url} can be used again, after ")
        assert ears.heard.empty()
    finally:
        logger.removeHandler(ears)
