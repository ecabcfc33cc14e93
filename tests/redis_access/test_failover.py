"""Another server takes over in the middle of a run: behind a name that follows the primary, or by Sentinels.

The seed in a test's id says after how many tasks it happens.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.asyncio.sentinel import Sentinel

from graflow_async import TaskCompleted, Workflow, parallel, task
from graflow_async._redis.jobs import JobQueue
from graflow_async.brokers.redis import RedisBroker
from graflow_async.errors import UnsignedPayloadError
from graflow_async.executors.redis import RedisExecutor
from graflow_async.redis_errors import RedisAccessError
from graflow_async.stores.redis import RedisStore
from tests.redis_access import deeds
from tests.redis_access.servers import Server, Way, free_port, sentinel_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = 240
SEEDS = (3,)


class Tally:
    """Which tasks have completed, how often; and when enough of them have.

    Attributes:
        times: task -> how often it completed.
        enough: is set then.
    """

    def __init__(self, seed: int) -> None:
        self.times: Counter[str] = Counter()
        self.enough = asyncio.Event()
        self._count = random.Random(seed).randrange(10, TASKS // 3)
        print(f"seed {seed}: after {self._count} tasks")  # noqa: T201  # for whoever looks at a failure

    def hear(self, event: Any) -> None:
        """Take an event of the run."""
        if isinstance(event, TaskCompleted):
            self.times[str(event.task_id)] += 1
            if self.times.total() == self._count:
                self.enough.set()


def many(gate: asyncio.Event) -> Workflow:
    """Make a run of many tasks, the second half of which waits for the gate."""

    @task
    async def waits() -> None:
        await gate.wait()

    @task(inject_context=True)
    async def collects(ctx: Any) -> list[int]:
        return [await ctx.get_result(f"t{number}") for number in range(TASKS)]

    tasks = [deeds.squared_slowly(x=number, task_id=f"t{number}") for number in range(TASKS)]
    half = TASKS // 2
    return Workflow("many", parallel(*tasks[:half], waits >> parallel(*tasks[half:])) >> collects)


def begun(url: str, gate: asyncio.Event, tally: Tally) -> asyncio.Task[Any]:
    """Begin that run; what its Redis has forgotten is looked for every second."""
    executor = {"redis": RedisExecutor(url, lease=1.0)}
    return asyncio.create_task(_awaited(many(gate).run(executor=executor, listeners=[tally.hear])))


async def _awaited(run: Any) -> Any:
    return await run


def is_whole(value: list[int], tally: Tally) -> bool:
    """Say whether every task has its result, and was counted once."""
    counts = [tally.times[f"t{number}"] for number in range(TASKS)]
    return value == [number * number for number in range(TASKS)] and counts == [1] * TASKS


@contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """Start a primary, and a replica that has what it has."""
    with Server() as primary, Server() as replica:
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        primary.ask("SET", "graflow:first", 1)
        assert primary.ask("WAIT", 1, 10_000) == 1
        yield primary, replica


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_name_leads_to_another_server(seed: int):
    """Run, store, watch of questions and heart go on at the new primary, though the old one lives on as a replica."""
    tally, gate = Tally(seed), asyncio.Event()
    with pair() as (old, new):
        async with Way(old.port) as way:
            url = f"redis://127.0.0.1:{way.port}/0"
            async with (
                deeds.serving(url, "w1", "w2", options=("--concurrency", "8")),
                asyncio.timeout(deeds.WITHIN),
                RedisStore(url) as store,
                RedisBroker(url).watch() as changes,
            ):
                await store.set("k", 1)
                run = begun(url, gate, tally)
                await tally.enough.wait()
                assert old.ask("WAIT", 1, 10_000) == 1
                way.target = new.port
                new.ask("REPLICAOF", "NO", "ONE")
                old.ask("REPLICAOF", "127.0.0.1", new.port)
                gate.set()
                await store.set("k", 2)
                assert is_whole(await run, tally)
                await deeds.put_question(url)
                change = await anext(changes)
        assert change.record is not None
        assert change.record.request.request_id == "asked"
        assert new.ask("XINFO", "GROUPS", "graflow:{q~default}:s")
        with redis.Redis.from_url(new.url) as client:
            assert client.info("replication")["role"] == "master"


@pytest.mark.parametrize("seed", SEEDS)
async def test_sentinels_name_another_server(seed: int, monkeypatch: pytest.MonkeyPatch):
    """With a URL of Sentinels everything works, and a run goes on when they have promoted the replica."""
    tally, gate = Tally(seed), asyncio.Event()
    with pair() as (old, new), sentinel_of(old) as port:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/shop/0"  # nobody listens at the first
        monkeypatch.setenv("GRAFLOW_REDIS_URL", url)
        async with deeds.serving(url, "w1", "w2", options=("--concurrency", "8")), asyncio.timeout(deeds.WITHIN):
            await deeds.everything(url)
            with redis.Redis(port=port) as sentinel, sentinel.pubsub() as news:
                run = begun(url, gate, tally)
                await tally.enough.wait()
                await asyncio.to_thread(fail_over, sentinel, news)
            old.kill()  # what it has taken since is lost
            gate.set()
            assert is_whole(await run, tally)
            assert await deeds.beat(url) == "job"
        assert new.ask("EXISTS", "graflow:{q~default}:wi")


def fail_over(sentinel: redis.Redis, news: Any) -> None:
    """Have a Sentinel promote the replica, and wait until it has."""
    news.subscribe("+switch-master")
    assert news.get_message(timeout=5)["type"] == "subscribe"
    sentinel.execute_command("SENTINEL", "FAILOVER", "shop")
    assert news.get_message(timeout=10)["type"] == "message"


async def test_sentinels_that_do_not_help():
    """A name that no Sentinel knows, and a wrong password for them, are said at once."""
    with Server() as primary, sentinel_of(primary, "requirepass hush") as port:
        hosts = f"127.0.0.1:{port},127.0.0.1:{free_port()}"
        for path, words in {
            "nobody?sentinel_password=hush": "no Sentinel that answers knows a primary called 'nobody'",
            "shop?sentinel_password=wrong-one": "a Sentinel does not accept us",
            "shop": "a Sentinel does not accept us",
        }.items():
            async with asyncio.timeout(5), JobQueue(f"redis+sentinel://{hosts}/{path}") as queue:
                with pytest.raises(RedisAccessError, match=words) as caught:
                    await queue.check()
                assert "wrong-one" not in str(caught.value)
        async with JobQueue(f"redis+sentinel://{hosts}/shop/0?sentinel_password=hush") as queue:
            assert await queue.workers() == []


def test_sentinels_may_lead_elsewhere(monkeypatch: pytest.MonkeyPatch):
    """A Sentinel on this machine may name any primary, so there must be a key, as with any Redis elsewhere."""
    monkeypatch.delenv("GRAFLOW_SECRET_KEY")
    with pytest.raises(UnsignedPayloadError):
        RedisStore("redis+sentinel://127.0.0.1:26379/shop")
    given: Any = Sentinel([("127.0.0.1", 26379)])
    with pytest.raises(UnsignedPayloadError):
        RedisStore(client=given.master_for("shop"))
