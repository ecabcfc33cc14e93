"""The published conformance suite on questions in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graflow_async.brokers.redis import RedisBroker
from graflow_async.testing.brokers import BrokerSuite

if TYPE_CHECKING:
    from graflow_async.broker import Broker


class TestRedisBroker(BrokerSuite):
    """Questions in Redis, looked at through two brokers with connections of their own."""

    @pytest.fixture(autouse=True)
    def place(self, redis_url: str) -> None:
        self.url = redis_url

    async def make_brokers(self) -> tuple[Broker, Broker]:
        return RedisBroker(self.url), RedisBroker(self.url)
