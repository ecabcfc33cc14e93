"""What holds for every test of this folder."""

from __future__ import annotations

import pytest

from graflow_async.cli import doctor_redis
from tests.redis_access.deeds import WITHIN


@pytest.fixture(autouse=True)
def patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let doctor wait for servers that stand still: what it finds is looked at, not how long it takes."""
    monkeypatch.setattr(doctor_redis, "PATIENCE", WITHIN)
