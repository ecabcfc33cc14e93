"""A store in the session's Redis, and a client that looks behind it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graflow_async.stores.redis import RedisStore


@pytest.fixture
async def store(redis_url):
    async with RedisStore(redis_url) as store:
        yield store


@pytest.fixture
async def client(redis_url):
    async with Redis.from_url(redis_url) as client:
        yield client
