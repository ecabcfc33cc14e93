"""A queue in a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from graflow_async._redis.jobs import JobQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def queue(redis_url: str) -> AsyncIterator[JobQueue]:
    """An empty queue."""
    async with JobQueue(redis_url) as queue:
        yield queue
