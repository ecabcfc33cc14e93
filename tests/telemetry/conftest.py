"""An SDK that keeps everything in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.telemetry.aids import Heard


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Heard]:
    """Give a listener, and what it makes; the SDK must have nothing to complain of, such as a span that ends twice."""
    made = Heard()
    yield made
    made.close()
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
