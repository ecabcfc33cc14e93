"""Runs in a Redis that dies, forgets, is full or read-only, or loses answers: no record twice, none missing."""

from __future__ import annotations

import asyncio
import errno
import random
import signal
from typing import TYPE_CHECKING

import pytest
import redis

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints.redis import RedisCheckpointer
from graflow_async.errors import CheckpointError, CheckpointWriteError, RunLockedError, UnknownRunError
from tests.aids.redis_proxy import Proxy
from tests.aids.redis_server import RedisServer
from tests.aids.skipping import Skipping

if TYPE_CHECKING:
    from pathlib import Path

    from graflow_async.checkpoints._redis_log import RedisLog

DATA = "graflow:{run}:journal:data"
META = "graflow:{run}:journal"


async def write(log: RedisLog, count: int) -> None:
    """Append records that say their number, each flushed."""
    for _ in range(count):
        log.append(Kind.EVENT, b"%d" % log.next_seq)
        await log.flush()


async def numbers(url: str) -> list[int]:
    """Read which records there are."""
    reader = RedisCheckpointer(url)
    records = await reader.read("run")
    await reader.aclose()
    assert [int(record.payload) for record in records] == [record.seq for record in records]
    return [record.seq for record in records]


async def opened_at_last(checkpointer: RedisCheckpointer) -> RedisLog:
    """Open the run as soon as its lease has ended: only time ends a lease."""
    while True:
        try:
            return (await checkpointer.open("run"))[0]
        except RunLockedError:
            await asyncio.sleep(0.02)


# -- lost answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_lost_requests_and_answers(seed: int, redis_url: str, tmp_path: Path):
    """Whatever the connection loses, each record is there once, in order, through compactions and copies."""
    chance = random.Random(seed)
    async with Proxy(redis_url, tmp_path) as proxy:
        checkpointer = RedisCheckpointer(proxy.url)
        proxy.loses_request = lambda: chance.random() < 0.03
        proxy.loses_answer = lambda: chance.random() < 0.06
        log = await checkpointer.create("run")
        for turn in range(3):
            await asyncio.gather(write(log, 10), write(log, 10))
            upto = log.next_seq - 5
            await asyncio.gather(log.compact([(Kind.SNAPSHOT, b"%d" % (upto - 1))], upto), write(log, 5))
            place = await log.save("point")
            saved = [record.seq for record in await checkpointer.read(place)]
            assert saved == list(range(upto - 1, log.next_seq)), f"seed {seed}"
            assert len(await checkpointer.saved("run")) == turn + 1
        last = log.next_seq
        await log.aclose()
        log, records = await checkpointer.open("run")
        assert log.next_seq == last
        await checkpointer.aclose()
        assert await numbers(redis_url) == [record.seq for record in records]
        await checkpointer.delete("run")
        with pytest.raises(UnknownRunError):
            await checkpointer.read("run")
        assert proxy.answers > 100, f"seed {seed}"


async def test_every_answer_of_a_log_is_lost_once(redis_url: str, tmp_path: Path):
    """Each verb, whose answer is lost after it was carried out, is told as done and was done once."""
    async with Proxy(redis_url, tmp_path) as proxy:
        checkpointer = RedisCheckpointer(proxy.url)
        lost: set[bytes] = set()

        def for_the_first_time() -> bool:
            is_new = b"EVAL" in proxy.last and proxy.last not in lost
            lost.add(proxy.last)
            return is_new

        proxy.loses_answer = for_the_first_time
        log = await checkpointer.create("run")
        await write(log, 3)
        assert (await checkpointer.saved("run"), await log.save("point")) == ([], f"{DATA[:-4]}saved:point")
        await log.compact([(Kind.SNAPSHOT, b"1")], 2)
        await write(log, 2)
        await log.aclose()
        log, records = await checkpointer.open("run")
        assert [record.seq for record in records] == [1, 2, 3, 4]
        await log.aclose()
        await checkpointer.delete("run")
        assert len(lost) > 15


async def test_a_cancelled_request_leaves_no_answer_for_the_next(redis_url: str, tmp_path: Path):
    """Who stops waiting takes the connection along: nobody else gets the answer."""
    async with Proxy(redis_url, tmp_path) as proxy:
        checkpointer = RedisCheckpointer(proxy.url)
        log = await checkpointer.create("run")
        await write(log, 3)
        for _ in range(10):
            proxy.gate.clear()
            before = proxy.requests
            reading = asyncio.ensure_future(checkpointer.read("run"))
            while proxy.requests == before:  # noqa: ASYNC110  # the request is on its way through this very loop
                await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            proxy.gate.set()
            assert await checkpointer.saved("run") == []
            await write(log, 1)
        await checkpointer.aclose()
        assert await numbers(redis_url) == list(range(13))


async def test_a_large_record_that_was_cut_off(redis_url: str, tmp_path: Path):
    """A record of which only a part got to Redis is dropped when the run is opened, and the run goes on."""
    clock = Skipping()
    async with Proxy(redis_url, tmp_path) as proxy:
        checkpointer = RedisCheckpointer(proxy.url, lease=0.3)
        log = await checkpointer.create("run")
        await write(log, 3)
        log.append(Kind.EVENT, b"3" + b" " * (4 << 20))
        asked = 0

        def enough() -> bool:
            nonlocal asked
            asked += 1
            if asked == 31:
                clock.skip(10.0)  # the patience; all that comes now is lost
            return asked > 30

        proxy.loses_request = enough
        with pytest.raises(CheckpointWriteError, match="does not answer"):
            await log.flush()
        with pytest.raises(CheckpointWriteError, match="does not answer"):
            log.append(Kind.EVENT, b"late")
        await checkpointer.aclose()
    assert await numbers(redis_url) == [0, 1, 2]
    with redis.Redis.from_url(redis_url) as client:
        assert int(client.hget(META, "size") or 0) > 1 << 20, "no part of the record got there"
    again = RedisCheckpointer(redis_url)
    log = await opened_at_last(again)
    await write(log, 1)
    await again.aclose()
    assert await numbers(redis_url) == [0, 1, 2, 3]


# -- a Redis that dies --------------------------------------------------------------------------------------------


async def test_redis_dies_and_comes_back(durable: RedisServer):
    """A Redis that keeps its data may be killed at any instant: the run goes on, with each record once."""
    checkpointer = RedisCheckpointer(durable.url, patience=60.0)
    log = await checkpointer.create("run")
    for _ in range(3):
        writing = asyncio.ensure_future(write(log, 150))
        before = log.next_seq
        while log.next_seq < before + 50:  # noqa: ASYNC110  # the writer does nothing else than turn the loop
            await asyncio.sleep(0)
        durable.kill()
        starting = asyncio.to_thread(durable.start)
        await asyncio.gather(starting, writing)
    await checkpointer.aclose()
    assert await numbers(durable.url) == list(range(450))


async def test_redis_comes_back_without_its_data(forgetful: RedisServer):
    """A holder notices that the records before are gone, and does not write a log with a hole."""
    checkpointer = RedisCheckpointer(forgetful.url)
    log = await checkpointer.create("run")
    await write(log, 3)
    await asyncio.to_thread(forgetful.restart)
    log.append(Kind.EVENT, b"3")
    with pytest.raises(CheckpointWriteError, match="gone from Redis"):
        await log.flush()
    with pytest.raises(CheckpointWriteError, match="gone from Redis"):
        log.push()
    with pytest.raises(CheckpointWriteError):
        await log.compact([], 3)
    await checkpointer.aclose()
    with redis.Redis.from_url(forgetful.url) as client:
        assert not client.exists(DATA, META)


async def test_an_older_state_of_redis(redis_url: str):
    """After a failover to a replica that was behind, the holder does not write behind what is missing."""
    checkpointer = RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    await write(log, 3)
    with redis.Redis.from_url(redis_url) as client:
        older = {key: client.dump(key) for key in (DATA, META)}
        await write(log, 2)
        for key, value in older.items():
            client.restore(key, 0, value, replace=True)  # pyright: ignore[reportArgumentType]  # bytes they are
    log.append(Kind.EVENT, b"5")
    with pytest.raises(CheckpointWriteError, match="has lost some"):
        await log.flush()
    await checkpointer.aclose()
    assert await numbers(redis_url) == [0, 1, 2]
    log, records = await checkpointer.open("run")
    assert len(records) == 3
    await checkpointer.aclose()


async def test_no_redis_at_all(tmp_path: Path):
    """Where nobody answers, every verb says so when its patience is at an end."""
    checkpointer = RedisCheckpointer(f"unix://{tmp_path}/nothing.sock", patience=0.1)
    with pytest.raises(CheckpointWriteError, match="does not answer"):
        await checkpointer.create("run")
    for verb in (checkpointer.open, checkpointer.read, checkpointer.saved):
        with pytest.raises(CheckpointError, match="does not answer"):
            await verb("run")
    with pytest.raises(CheckpointWriteError, match="does not answer"):
        await checkpointer.delete("run")
    with pytest.raises(CheckpointError, match="does not answer"):
        await checkpointer.runs()
    await checkpointer.aclose()


async def test_redis_hangs(forgetful: RedisServer):
    """A Redis that was stopped and goes on is waited for; one that stays so ends the log after the patience."""
    clock, checkpointer = Skipping(), RedisCheckpointer(forgetful.url)
    log = await checkpointer.create("run")
    forgetful.signal(signal.SIGSTOP)
    writing = asyncio.ensure_future(write(log, 3))
    await asyncio.sleep(0.1)
    assert not writing.done()
    forgetful.signal(signal.SIGCONT)
    await writing
    forgetful.signal(signal.SIGSTOP)
    writing = asyncio.ensure_future(write(log, 1))
    await asyncio.wait([writing], timeout=0.1)
    clock.skip(10.0)
    with pytest.raises(CheckpointWriteError, match="does not answer"):
        await writing
    forgetful.signal(signal.SIGCONT)
    await checkpointer.aclose()
    assert await numbers(forgetful.url) in ([0, 1, 2], [0, 1, 2, 3])


# -- a Redis that refuses -----------------------------------------------------------------------------------------


async def test_redis_is_full(forgetful: RedisServer):
    """A batch is refused as a whole; what was there stays, and with room again the run can be opened."""
    checkpointer = RedisCheckpointer(forgetful.url)
    log = await checkpointer.create("run")
    await write(log, 3)
    with redis.Redis.from_url(forgetful.url) as client:
        client.config_set("maxmemory", "1")
        log.append(Kind.EVENT, b"3")
        with pytest.raises(CheckpointWriteError, match="OOM") as caught:
            await log.flush()
        assert caught.value.errno == errno.ENOMEM
        await checkpointer.aclose()
        with pytest.raises(CheckpointWriteError, match="OOM"):
            await checkpointer.create("other")
        assert await numbers(forgetful.url) == [0, 1, 2]
        client.config_set("maxmemory", "0")
    log, _ = await checkpointer.open("run")
    await write(log, 1)
    await checkpointer.aclose()
    assert await numbers(forgetful.url) == [0, 1, 2, 3]


async def test_a_compaction_in_a_full_redis_changes_nothing(forgetful: RedisServer):
    """The old records stay in use with what was appended meanwhile, and a later compaction succeeds."""
    checkpointer = RedisCheckpointer(forgetful.url)
    log = await checkpointer.create("run")
    await write(log, 20)
    size = log.size
    with redis.Redis.from_url(forgetful.url) as client:
        client.config_set("maxmemory", "1")
        for refused in (log.compact([(Kind.SNAPSHOT, b"9")], 10), log.save("point")):
            with pytest.raises(CheckpointWriteError) as caught:
                await refused
            assert caught.value.errno == errno.ENOMEM
        assert len(client.keys()) == 3  # pyright: ignore[reportArgumentType]  # a list it is
        client.config_set("maxmemory", "0")
    assert log.size == size
    await write(log, 2)
    assert await numbers(forgetful.url) == list(range(22))
    await log.compact([(Kind.SNAPSHOT, b"9")], 10)
    await checkpointer.aclose()
    assert await numbers(forgetful.url) == list(range(9, 22))


async def test_redis_must_not_write_for_a_while(forgetful: RedisServer):
    """Between a failover's two halves a Redis is read-only: a log waits for that to end, as long as its patience."""
    clock, checkpointer = Skipping(), RedisCheckpointer(forgetful.url, patience=60.0)
    log = await checkpointer.create("run")
    await write(log, 3)
    with redis.Redis.from_url(forgetful.url) as client:
        client.replicaof("127.0.0.1", "1")
        writing = asyncio.ensure_future(write(log, 2))
        await asyncio.sleep(0.15)
        assert not writing.done()
        client.replicaof("NO", "ONE")
        await writing
        await checkpointer.aclose()
        log = (await checkpointer.open("run"))[0]
        client.replicaof("127.0.0.1", "1")
        client.config_resetstat()
        writing = asyncio.ensure_future(write(log, 1))
        # Who asks for the second time has been refused: that is told, not that the time was up.
        while client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        clock.skip(60.0)
        with pytest.raises(CheckpointWriteError) as caught:
            await writing
        assert caught.value.errno == errno.EROFS
        client.replicaof("NO", "ONE")
        await checkpointer.aclose()
    assert await numbers(forgetful.url) == list(range(5))


# -- a lease that was lost ----------------------------------------------------------------------------------------


async def test_who_lost_the_lease_is_fenced(redis_url: str, tmp_path: Path):
    """A holder that was cut off for longer than its lease cannot write any more when another has the run."""
    async with Proxy(redis_url, tmp_path) as proxy:
        first, second = RedisCheckpointer(proxy.url, lease=0.2), RedisCheckpointer(redis_url)
        log = await first.create("run")
        await write(log, 3)
        proxy.gate.clear()
        log.append(Kind.EVENT, b"lost")
        waiting = asyncio.ensure_future(log.flush())
        other = await opened_at_last(second)
        await write(other, 1)
        proxy.gate.set()
        with pytest.raises(CheckpointWriteError, match=r"pid .* has taken it over") as caught:
            await waiting
        assert caught.value.errno == errno.EBUSY
        for refused in (log.save("x"), log.compact([], 3), log.flush()):
            with pytest.raises(CheckpointWriteError, match="taken it over"):
                await refused
        await first.aclose()
        await write(other, 1)
        assert [run.is_open for run in await second.runs()] == [True], "the lease of the other was touched"
        await second.aclose()
    assert await numbers(redis_url) == list(range(5))


async def test_an_idle_holder_learns_that_it_was_fenced(redis_url: str, caplog: pytest.LogCaptureFixture):
    """Renewing tells as well: a run that only waits does not go on unrecorded."""
    checkpointer = RedisCheckpointer(redis_url, lease=0.15)
    log = await checkpointer.create("run")
    with redis.Redis.from_url(redis_url) as client:
        client.delete(META, DATA)
    while "gone from Redis" not in caplog.text:  # noqa: ASYNC110  # the lease is renewed when it is time
        await asyncio.sleep(0.01)
    with pytest.raises(CheckpointWriteError, match="gone from Redis"):
        await log.flush()
    await checkpointer.aclose()


async def test_an_idle_holder_keeps_its_run(redis_url: str):
    """A lease is renewed while nothing is written: nobody else gets the run, however long it is idle."""
    checkpointer, other = RedisCheckpointer(redis_url, lease=5.0), RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    with redis.Redis.from_url(redis_url) as client:
        first = int(client.hget(META, "until") or 0)
        while int(client.hget(META, "until") or 0) == first:  # noqa: ASYNC110  # only time has it renewed
            await asyncio.sleep(0.02)
    with pytest.raises(RunLockedError):
        await other.open("run")
    await write(log, 1)
    await checkpointer.aclose()
    await other.aclose()
