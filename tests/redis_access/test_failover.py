"""Another server takes over in the middle of a run: behind a name that follows the primary, or by Sentinels.

The seed in a test's id says after how many tasks it happens.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from graflow_async import TaskCompleted, Workflow, parallel, task
from graflow_async._redis.client import connect, passes
from graflow_async._redis.jobs import JobQueue
from graflow_async.brokers.redis import RedisBroker
from graflow_async.errors import UnsignedPayloadError
from graflow_async.executors.redis import RedisExecutor
from graflow_async.redis_errors import RedisAccessError
from graflow_async.stores.redis import RedisStore
from tests.redis_access import deeds
from tests.redis_access.servers import (
    CA,
    CLIENT,
    OTHER_CA,
    Server,
    Way,
    closed_to_strangers,
    free_port,
    sentinel_of,
    speaking,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

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
def pair(announced: int | None = None) -> Iterator[tuple[Server, Server]]:
    """Start a primary, and a replica that has what it has; and that says it is at another port, if told to."""
    with Server() as primary, Server() as replica:
        if announced is not None:
            replica.ask("CONFIG", "SET", "replica-announce-port", announced)
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        primary.ask("SET", "graflow:first", 1)
        assert primary.ask("WAIT", 1, 60_000) == 1
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
                assert old.ask("WAIT", 1, 60_000) == 1
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
    with pair() as (old, new), sentinel_of(old.port) as port:
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


@asynccontextmanager
async def behind_tls(servers: tuple[Way, Way]) -> AsyncIterator[tuple[Server, Server, int, int]]:
    """Start a pair and their Sentinel, with ways to all of them that want a certificate; give the Sentinel's ports."""
    one, other = servers
    with pair(announced=other.port) as (old, new):
        tls = speaking(asks=True)
        async with Way(old.port, tls) as first, Way(new.port, tls) as second:
            one.target, one.secure, other.target, other.secure = old.port, first.port, new.port, second.port
            with sentinel_of(one.port) as port:
                async with Way(port, tls) as way:
                    yield old, new, port, way.port


async def test_sentinels_and_servers_behind_tls():
    """With `rediss+sentinel://` both are talked to over TLS, with a certificate, before and after a failover."""
    async with Way(0) as one, Way(0) as other, behind_tls((one, other)) as (old, new, port, at):
        url = f"rediss+sentinel://127.0.0.1:{at}/shop/0?ssl_ca_certs={CA}&ssl_certfile={CLIENT}&ssl_keyfile={CLIENT}"
        async with asyncio.timeout(deeds.WITHIN), RedisStore(url) as store:
            await store.set("k", 1)
            assert await deeds.beat(url) == "job"
            with redis.Redis(port=port) as sentinel, sentinel.pubsub() as news:
                await asyncio.to_thread(fail_over, sentinel, news)
            old.kill()
            assert await store.get("k") == 1
            assert await deeds.beat(url) == "job"
        assert new.ask("KEYS", "graflow:*:kv:*")
        for asked, words in {
            f"{at}/shop?ssl_ca_certs={OTHER_CA}": "with a Sentinel, the certificate of Redis is not accepted",
            f"{at}/nobody?ssl_ca_certs={CA}&ssl_certfile={CLIENT}&ssl_keyfile={CLIENT}": "knows a primary called",
        }.items():
            with pytest.raises(RedisAccessError, match=words):
                await deeds.store(f"rediss+sentinel://127.0.0.1:{asked}")


async def test_a_sentinel_that_wants_a_certificate():
    """It says so when TLS is agreed on; that is told at once."""
    with (
        closed_to_strangers(speaking(asks=True)) as port,
        pytest.raises(RedisAccessError, match="with a Sentinel, the server does not accept our certificate"),
    ):
        await deeds.store(f"rediss+sentinel://127.0.0.1:{port}/shop?ssl_ca_certs={CA}")


async def test_sentinels_that_are_not_there():
    """That waits for them; the error says how each has answered, and nothing else of what the client knows."""
    hosts = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    client = connect(f"redis+sentinel://ada:op3n-sesame@{','.join(hosts)}/shop")
    with pytest.raises(RedisError, match="no Sentinel names a primary for 'shop': 127") as caught:
        await client.execute_command("PING")
    assert passes(caught.value)
    assert all(host in str(caught.value) for host in hosts)
    assert "ada" not in str(caught.value)


def fail_over(sentinel: redis.Redis, news: Any) -> None:
    """Have a Sentinel promote the replica, and wait until it has."""
    ends = ("+switch-master", "-failover-abort-no-good-slave")
    news.subscribe(*ends)
    assert {news.get_message(timeout=60)["channel"].decode() for _ in ends} == set(ends)
    told = ends[1]
    while told == ends[1]:
        try:
            sentinel.execute_command("SENTINEL", "FAILOVER", "shop")
        except redis.ResponseError as error:
            if "NOGOODSLAVE" not in str(error):
                raise
            # When it has heard of the replica again, nobody tells.
            time.sleep(0.1)
        else:
            told = news.get_message(timeout=120)["channel"].decode()


async def test_sentinels_that_do_not_help():
    """A name that no Sentinel knows, and a wrong password for them, are said at once."""
    with Server() as primary, sentinel_of(primary.port, "requirepass hush") as port:
        hosts = f"127.0.0.1:{port},127.0.0.1:{free_port()}"
        for path, words in {
            "nobody?sentinel_password=hush": "no Sentinel that answers knows a primary called 'nobody'",
            "shop?sentinel_password=wrong-one": "a Sentinel does not accept us",
            "shop": "a Sentinel does not accept us",
        }.items():
            async with asyncio.timeout(9), JobQueue(f"redis+sentinel://{hosts}/{path}") as queue:
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
