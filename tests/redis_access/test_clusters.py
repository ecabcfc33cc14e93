"""A Redis in cluster mode is refused by name, at every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError, MovedError, ResponseError

from graflow_async import ConfigError
from graflow_async._redis.refusals import ours
from graflow_async.cli import doctor_redis
from graflow_async.stores.redis import RedisStore
from tests.redis_access import deeds
from tests.redis_access.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def node() -> Iterator[Server]:
    """The only node of a cluster, with some of its slots."""
    with Server("--cluster-enabled", "yes") as server:
        server.ask("CLUSTER", "ADDSLOTS", *range(8000))
        yield server


async def test_every_door(node: Server):
    """Nobody waits, and the error says what there is instead."""
    for door, error in (await deeds.refusals(node.tcp)).items():
        assert isinstance(error, ConfigError), (door, error)
        assert "Redis Cluster is not supported" in str(error), door


async def test_another_database(node: Server):
    """That a cluster has one database only is not what the error is about."""
    with pytest.raises(ConfigError, match="Redis Cluster is not supported"):
        await deeds.store(f"redis://127.0.0.1:{node.port}/3")


async def test_doctor(node: Server):
    """So does doctor."""
    (finding,) = await doctor_redis.look_at(node.tcp, "default", is_signed=True)
    assert finding.state == "problem"
    assert "Redis Cluster is not supported" in finding.detail


async def test_a_client_that_was_given(node: Server):
    """With a client of somebody else's making, it is what the node answers that tells."""
    async with Redis.from_url(f"redis://127.0.0.1:{node.port}/3") as client, RedisStore(client=client) as store:
        with pytest.raises(ConfigError, match="Redis Cluster is not supported"):
            await store.get("k")


@pytest.mark.parametrize(
    "error", [MovedError("1 host:1"), ClusterCrossSlotError("Keys in request don't hash to the same slot")]
)
def test_what_only_clusters_say(error: ResponseError):
    """Answers that send a client to another node are no refusals of the single command."""
    assert isinstance(ours(error, "x"), ConfigError)
