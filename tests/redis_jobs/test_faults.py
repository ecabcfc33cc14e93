"""Lost answers, lost data, a full memory, a server that dies: what each of them does to jobs, and what it does not."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions as faults

from graflow_async._redis.jobs import Driver, Job, JobQueue, Worker
from graflow_async.errors import ConfigError, StoreError, StoreUnavailableError
from graflow_async.worker_errors import QueueFullError
from tests.aids.redis_proxy import Proxy
from tests.aids.redis_server import RedisServer
from tests.redis_jobs.aids import beat, entries, handed, jobs, joined, names, owned, told
from tests.redis_jobs.aids import stream as rows_of


async def work(worker: Worker, count: int) -> Counter[str]:
    """Run jobs until so many have been reported, and count the bodies of each."""
    bodies: Counter[str] = Counter()
    reported = 0
    while reported < count:
        claims = await worker.take(7)
        bodies.update(names(claims))
        await worker.say([(claim, b"half way") for claim in claims])
        reported += len(await worker.finish([(claim, "done", claim.payload) for claim in claims]))
    return bodies


async def collect(driver: Driver, count: int) -> tuple[list[str], Counter[str]]:
    """Read and acknowledge events until so many jobs have ended; give their ends in order and count the messages."""
    ended: list[str] = []
    messages: Counter[str] = Counter()
    after = "0"
    while len(ended) < count:
        events = await driver.events(after)
        after = events[-1].id
        ended += [event.job for event in events if event.kind == "done"]
        messages.update(event.job for event in events if event.kind == "message")
        await driver.ack(after)
    return ended, messages


@pytest.mark.parametrize("seed", [1, 2])
async def test_lost_answers_duplicate_nothing(redis_url: str, tmp_path: Path, seed: int) -> None:
    """A third of all answers gets lost after the command was carried out: every job still runs and ends once."""
    print(f"seed {seed}")  # noqa: T201  # a test that fails shows it
    chance = random.Random(seed)
    async with Proxy(redis_url, tmp_path) as proxy, JobQueue(proxy.url) as near, JobQueue(proxy.url) as far:
        proxy.loses_answer = lambda: b"EVALSHA" in proxy.asked and chance.random() < 0.33
        driver = await owned(near)
        worker = await joined(far, "w")
        many = [Job(f"j{index}", b"x" * (index % 50)) for index in range(120)]
        working, collecting = asyncio.create_task(work(worker, 120)), asyncio.create_task(collect(driver, 120))
        for start in range(0, 120, 6):
            await driver.enqueue(many[start : start + 6])
        bodies, (ended, messages) = await working, await collecting
        assert proxy.lost > 10
    assert bodies == Counter({job.id: 1 for job in many})
    assert sorted(ended) == sorted(job.id for job in many)
    assert messages == Counter({job.id: 1 for job in many})


async def test_a_server_that_forgot_its_scripts_learns_them_again(queue: JobQueue) -> None:
    """Scripts are sent again after the server has lost them, for every verb of either side."""
    client = queue.calls.client

    async def flushed() -> None:
        await client.script_flush()

    driver, worker = await owned(queue), await joined(queue, "w")
    await flushed()
    await driver.enqueue(jobs("a"))
    await flushed()
    claims = await worker.take(1)
    await flushed()
    assert await worker.finish([(claims[0], "done", b"")]) == ["ok"]
    await flushed()
    await driver.ack((await driver.events())[-1].id)
    assert await driver.states(["a"]) == {"a": "missing"}


async def test_a_server_that_wrote_everything_down_loses_nothing() -> None:
    """After a kill, a server with an append-only file knows jobs, claims and events; a waiting worker goes on."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with JobQueue(server.url) as near, JobQueue(server.url) as far:
            driver, worker = await owned(near), await joined(far, "w")
            await driver.enqueue(jobs("a", "b"))
            a, b = await worker.take(2)
            await worker.finish([(a, "done", b"A")])
            waiting = asyncio.create_task(worker.take(1))
            hearing = asyncio.create_task(driver.events((await driver.events())[-1].id))
            await asyncio.to_thread(server.restart)
            assert await worker.finish([(b, "done", b"B")]) == ["ok"]
            assert [event.data for event in await hearing] == [b"B"]
            assert told(await driver.events()) == [("done", "a"), ("done", "b")]
            await driver.enqueue(jobs("c"))
            assert names(await waiting) == ["c"]


async def test_a_server_that_forgot_everything_is_told_again() -> None:
    """Without an append-only file a kill loses jobs, group and scripts; the driver sends again what is missing."""
    with RedisServer() as server:
        async with JobQueue(server.url) as near, JobQueue(server.url) as far:
            driver, worker = await owned(near), await joined(far, "w")
            await driver.enqueue(jobs("a", "b"))
            (old,) = await worker.take(1)
            waiting = asyncio.create_task(worker.take(2))
            assert names(await waiting) == ["b"]
            waiting = asyncio.create_task(worker.take(2))
            await asyncio.to_thread(server.restart)
            await driver.renew()
            assert await driver.repair(["a", "b"]) == {"a": "missing", "b": "missing"}
            assert await driver.enqueue(jobs("a", "b")) == [None, None]
            claims = await waiting
            claims += await worker.take(2) if len(claims) == 1 else []
            assert names(claims) == ["a", "b"]
            assert await worker.finish([(old, "done", b"old"), (claims[0], "done", b"new")]) == ["fenced", "ok"]
            assert [event.data for event in await driver.events()] == [b"new"]


async def test_flushing_wakes_nobody_and_loses_nobody(queue: JobQueue, redis_url: str) -> None:
    """A worker that waits while everything is deleted gets what the driver sends again."""
    driver = await owned(queue)
    async with JobQueue(redis_url) as far:
        worker = await joined(far, "w")
        await driver.enqueue(jobs("a"))
        (a,) = await worker.take(1)
        waiting = asyncio.create_task(worker.take(1))
        for _ in range(3):
            await queue.calls.client.flushall()
            assert await worker.finish([(a, "done", b"")]) == ["gone"]
            assert (await beat(worker)).lost == []
            assert await driver.repair(["a"]) == {"a": "missing"}
            await driver.enqueue(jobs("a"))
            (a,) = await waiting
            waiting = asyncio.create_task(worker.take(1))
        assert await worker.finish([(a, "done", b"")]) == ["ok"]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_group_that_was_destroyed_comes_back() -> None:
    """A worker that waits while the group is removed makes it anew; with no memory for that it waits for memory."""
    with RedisServer() as server:
        async with JobQueue(server.url) as near, JobQueue(server.url) as far:
            driver, worker = await owned(near), await joined(far, "w")
            client = near.calls.client
            waiting = asyncio.create_task(worker.take(1))
            await asyncio.sleep(0)
            await client.xgroup_destroy(near.calls.stream, "g")
            await driver.enqueue(jobs("a"))
            assert names(await waiting) == ["a"]
            await client.xgroup_destroy(near.calls.stream, "g")
            await client.config_set("maxmemory", "1")
            waiting = asyncio.create_task(worker.take(1))
            while far.calls.troubled_at is None:  # noqa: ASYNC110  # nobody tells that a try has failed
                await asyncio.sleep(0.02)
            await client.config_set("maxmemory", "0")
            await driver.enqueue(jobs("b"))
            assert names(await waiting) == ["b"]


@pytest.mark.parametrize("damage", ["entry", "group", "both", "pending"])
async def test_partial_losses_are_repaired(queue: JobQueue, damage: str) -> None:
    """Whatever part of the stream is lost, a repair leaves every job either whole or missing; running ones go on."""
    driver, worker = await owned(queue), await joined(queue, "w")
    client, stream = queue.calls.client, queue.calls.stream
    await driver.enqueue(jobs("ran", "read", "waits"))
    (ran,) = await worker.take(1)
    await worker.read(1, 1)
    if damage == "entry":
        for _, number in await rows_of(queue):
            await client.xdel(stream, number)
        expected = {"ran": "running", "read": "missing", "waits": "missing"}
    elif damage == "both":
        await client.delete(stream)
        expected = {"ran": "running", "read": "missing", "waits": "missing"}
    elif damage == "group":
        await client.xgroup_destroy(stream, "g")
        await client.xgroup_create(stream, "g", "$")
        expected = {"ran": "running", "read": "queued", "waits": "queued"}
    else:
        await client.xgroup_delconsumer(stream, "g", "w")
        expected = {"ran": "running", "read": "queued", "waits": "queued"}
    everyone = ["ran", "read", "waits"]
    assert await driver.repair(everyone) == expected
    assert await driver.repair(everyone) == expected
    lost = [name for name, state in expected.items() if state == "missing"]
    assert await driver.enqueue(jobs(*lost)) == [None] * len(lost)
    assert await worker.finish([(ran, "done", b"")]) == ["ok"]
    assert sorted(names(await (await joined(queue, "w2")).take(9))) == ["read", "waits"]


async def test_a_full_memory_refuses_jobs_and_lets_the_rest_end() -> None:
    """With no memory left new jobs are refused as a whole; running ones talk, beat, end, and are cleaned up."""
    with RedisServer("--maxmemory-policy", "noeviction") as server:
        async with JobQueue(server.url) as queue:
            driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "o")
            await driver.enqueue(jobs(*"abcdef"))
            a, b, c, d = await worker.take(4)
            await queue.calls.client.config_set("maxmemory", "1")
            with pytest.raises(QueueFullError, match="no memory left"):
                await driver.enqueue(jobs("new"))
            assert len(await entries(queue)) == 6
            await driver.renew()
            assert (await beat(worker)).lost == []
            assert await worker.say([(a, b"m")]) == [True]
            assert await driver.tell([("a", a.fence, b"m")]) == [True]
            assert await worker.finish([(a, "done", b"A"), (b, "failed", b"B")]) == ["ok", "ok"]
            assert await worker.release([c]) == ["ok"]
            assert await driver.cancel(["d"]) == {"d": "running"}
            assert await worker.crash([d], "died") == ["ok"]
            assert names(await other.take(9)) == ["e", "f", "c"]
            events = await driver.events()
            assert told(events) == [
                *(("message", "a"), ("done", "a"), ("failed", "b")),
                *(("lost", "c"), ("cancelled", "d")),
            ]
            await driver.ack(events[-1].id)
            await (await joined(queue, "late")).retire()
            await queue.calls.client.config_set("maxmemory", "0")
            assert await driver.enqueue(jobs("new", "a")) == [None, None]


async def test_cancelled_waits_leave_everything_sound(queue: JobQueue) -> None:
    """Two thousand cancelled reads, with jobs coming in between: each job runs once, and no answer goes astray."""
    chance = random.Random(5)
    driver, worker = await owned(queue), await joined(queue, "w")
    sent, taken = 0, []
    for index in range(2000):
        waiting = asyncio.ensure_future(worker.take(3))
        hearing = asyncio.ensure_future(driver.events("9999999999999-0"))
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        if index % 10 == 0:
            await driver.enqueue(jobs(f"j{sent}"))
            sent += 1
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
        waiting.cancel()
        hearing.cancel()
        results = await asyncio.gather(waiting, hearing, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)
        if isinstance(results[0], list):
            taken += results[0]
    while len(taken) < sent:
        taken += await worker.take(50)
    assert sorted(names(taken)) == sorted(f"j{index}" for index in range(sent))
    assert {claim.tries for claim in taken} == {1}
    assert set(await worker.finish([(claim, "done", b"") for claim in taken])) == {"ok"}
    assert await handed(queue) == {}
    assert len(await queue.calls.client.client_list()) < 20


async def test_an_outage_is_waited_out_or_named() -> None:
    """While the server is away a patient side waits and the other one says so; afterwards both go on."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with JobQueue(server.url) as queue:
            worker = await joined(queue, "w")
            driver = await owned(queue, patience=0.2)
            await driver.enqueue(jobs("a"))
            (claim,) = await worker.take(1)
            await asyncio.to_thread(server.kill)
            with pytest.raises(StoreUnavailableError, match="asking after jobs"):
                await driver.states(["a"])
            reporting = asyncio.create_task(worker.finish([(claim, "done", b"")]))
            with pytest.raises(StoreUnavailableError):
                await driver.states(["a"])
            await asyncio.to_thread(server.start)
            assert await reporting == ["ok"]
            assert await queue.driver("run").states(["a"]) == {"a": "done"}


async def test_a_quiet_time_is_no_outage(queue: JobQueue) -> None:
    """Patience begins when an answer is overdue: a read that waited for news for longer, and is cut, is tried again."""
    tries = 0

    async def once(failures: int) -> str:
        nonlocal tries
        tries += 1
        if not failures:
            await asyncio.sleep(0.4)
            raise faults.ConnectionError("Connection closed by server.")
        return "news"

    assert await queue.calls.patiently(once, "reading", 0.3, 60.0) == "news"
    assert tries == 2
    with pytest.raises(StoreUnavailableError, match=r"reading: .*closed by server"):
        await queue.calls.patiently(once, "reading", 0.3)


async def test_a_server_that_hangs_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped server answers nobody; once it goes on, what was sent in doubt has happened once."""
    monkeypatch.setattr("graflow_async._redis.jobs_calls.ANSWER_WITHIN", 0.2)
    with RedisServer() as server:
        async with JobQueue(server.url) as queue:
            driver, worker = await owned(queue), await joined(queue, "w")
            await driver.enqueue(jobs("a"))
            (claim,) = await worker.take(1)
            server.signal(signal.SIGSTOP)
            sending = asyncio.create_task(driver.enqueue(jobs("b")))
            reporting = asyncio.create_task(worker.finish([(claim, "done", b"")]))
            while queue.calls.troubled_at is None:  # noqa: ASYNC110  # nobody tells that a try has failed
                await asyncio.sleep(0.02)
            server.signal(signal.SIGCONT)
            assert await sending in ([None], ["queued"])
            assert await reporting in (["ok"], ["already"])
            assert told(await driver.events()) == [("done", "a")]
            assert await entries(queue) == ["run:b"]


async def test_a_server_that_hands_over_is_waited_for() -> None:
    """While the server only lets itself be read, writes wait and then happen once."""
    with RedisServer("--replica-serve-stale-data", "yes") as server:
        async with JobQueue(server.url) as queue:
            driver, worker = await owned(queue), await joined(queue, "w")
            await driver.enqueue(jobs("a"))
            (claim,) = await worker.take(1)
            await queue.calls.client.replicaof("127.0.0.1", "1")
            reporting = asyncio.create_task(worker.finish([(claim, "done", b"")]))
            while queue.calls.troubled_at is None:  # noqa: ASYNC110  # nobody tells that a try has failed
                await asyncio.sleep(0.02)
            await queue.calls.client.replicaof("NO", "ONE")
            assert await reporting == ["ok"]
            assert told(await driver.events()) == [("done", "a")]


async def test_keys_of_another_kind_are_refused_unharmed(queue: JobQueue) -> None:
    """A key of the wrong type is an error of the store, and the job stays as it was."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    await queue.calls.client.set(queue.calls.prefix + "ev:run", b"something else")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await worker.finish([(claim, "done", b"")])
    assert await driver.states(["a"]) == {"a": "running"}
    assert await entries(queue) == ["run:a"]
    await queue.calls.client.delete(queue.calls.prefix + "ev:run")
    assert await worker.finish([(claim, "done", b"")]) == ["ok"]


async def test_a_server_that_throws_keys_away_is_refused(queue: JobQueue) -> None:
    """Any policy but noeviction is a mistake, unless somebody insists; a missing append-only file is told."""
    (told_of_aof,) = await queue.check()
    assert "append-only file" in told_of_aof
    with RedisServer("--maxmemory-policy", "allkeys-lru", "--appendonly", "yes") as server:
        async with JobQueue(server.url) as other:
            with pytest.raises(ConfigError, match="noeviction"):
                await other.check()
            (warning,) = await other.check(any_eviction_policy=True)
            assert "allkeys-lru" in warning


async def test_an_old_server_is_refused(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server older than 6.2 lacks commands that the scripts need."""
    found = await queue.calls.client.info("everything")

    async def info(section: str) -> dict[str, Any]:
        assert section == "everything"
        return found | {"redis_version": "6.0.16"}

    monkeypatch.setattr(queue.calls.client, "info", info)
    with pytest.raises(ConfigError, match=r"6\.0\.16; 6\.2 or newer"):
        await queue.check()
