"""Workers and meetings, closed at the end of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.aids.workers import Workers
from tests.worker.aids import Meeting


@pytest_asyncio.fixture
async def workers(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    """Give what starts workers of the session's Redis."""
    monkeypatch.setenv("GRAFLOW_REDIS_URL", redis_url)
    monkeypatch.setenv("GRAFLOW_TEST_REDIS", redis_url)
    started = Workers(redis_url)
    yield started
    started.close()


@pytest_asyncio.fixture
async def meeting(redis_url: str) -> AsyncIterator[Meeting]:
    """Give a place where bodies and tests meet."""
    place = Meeting(redis_url)
    yield place
    await place.client.aclose()
