"""The published conformance suite on runs in Redis, with and without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpoints.redis import RedisCheckpointer
from graflow_async.testing.checkpointers import CheckpointerSuite

if TYPE_CHECKING:
    from graflow_async.checkpointer import Checkpointer


class TestRedisCheckpointer(CheckpointerSuite):
    """Runs in Redis, looked at through a second checkpointer with connections of its own."""

    @pytest.fixture(autouse=True)
    def place(self, redis_url: str) -> None:
        self.url = redis_url

    async def make_checkpointer(self) -> Checkpointer:
        return RedisCheckpointer(self.url)

    async def again(self, checkpointer: Checkpointer) -> Checkpointer:
        return RedisCheckpointer(self.url)


class TestWithoutKey(TestRedisCheckpointer):
    """The same where nothing is signed, which a Redis on this machine allows."""

    @pytest.fixture(autouse=True)
    def no_key(self, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
        monkeypatch.delenv("GRAFLOW_SECRET_KEY")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
