"""The published conformance suite, on each broker that needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.testing.brokers import BrokerSuite

if TYPE_CHECKING:
    from pathlib import Path

    from graflow_async.broker import Broker


class TestMemoryBroker(BrokerSuite):
    """Questions in this process."""

    async def make_brokers(self) -> tuple[Broker, Broker]:
        broker = MemoryBroker()
        return broker, broker


class TestFileBroker(BrokerSuite):
    """Questions in files, looked at through two brokers."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "people"

    async def make_brokers(self) -> tuple[Broker, Broker]:
        return FileBroker(self.directory), FileBroker(self.directory)
