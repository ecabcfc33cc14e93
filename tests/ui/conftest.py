"""Fixtures of the web inbox."""

from __future__ import annotations

import pytest

from graflow_async.brokers.memory import MemoryBroker


@pytest.fixture
def broker() -> MemoryBroker:
    """Give a broker of the test's own."""
    return MemoryBroker()
