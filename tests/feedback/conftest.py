"""Where the questions of a test are put."""

from __future__ import annotations

import pytest

from graflow_async import FeedbackManager, MemoryBroker


@pytest.fixture
def manager() -> FeedbackManager:
    """Give a place for questions that no other test looks into."""
    return FeedbackManager(MemoryBroker())
