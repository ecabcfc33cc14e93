"""What is in Redis: who has a run, how long it stays, what was tampered with, large records, listings, copies."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from graflow_async import RedisCheckpointer
from graflow_async._redis.link import AT_ONCE, Link
from graflow_async.checkpointer import Kind
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import (
    CheckpointError,
    CheckpointWriteError,
    ConfigError,
    RunLockedError,
    UnknownRunError,
)
from tests.aids.redis_server import RedisServer
from tests.aids.skipping import Skipping
from tests.checkpoints.test_redis_faults import META, numbers, opened_at_last, write

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import asyncio, sys
from graflow_async import RedisCheckpointer
async def main():
    checkpointer = RedisCheckpointer(sys.argv[1])
    log = await checkpointer.create("run")
    log.append(4, b"0")
    await log.flush()
    print("has it", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """Give what looks at Redis from outside."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def filled(url: str, run_id: str = "run", count: int = 5, **options: Any) -> None:
    """Record a run of some batches."""
    checkpointer = RedisCheckpointer(url, **options)
    await write(await checkpointer.create(run_id), count)
    await checkpointer.aclose()


# -- who has a run ------------------------------------------------------------------------------------------------


async def test_one_of_two_gets_a_run(redis_url: str):
    """A hundred times two open a run at once: exactly one has it, and the other learns who."""
    await filled(redis_url)
    one, two = RedisCheckpointer(redis_url), RedisCheckpointer(redis_url)
    for _ in range(100):
        got = await asyncio.gather(one.open("run"), two.open("run"), return_exceptions=True)
        (log,) = [outcome[0] for outcome in got if not isinstance(outcome, BaseException)]
        (error,) = [outcome for outcome in got if isinstance(outcome, BaseException)]
        assert isinstance(error, RunLockedError)
        assert f"pid {os.getpid()} on {socket.gethostname()}" in str(error)
        await log.aclose()
    await one.aclose()
    await two.aclose()


async def test_one_of_two_begins_a_run(redis_url: str):
    """Of two who begin a run of one id, one does, and its records are the run's."""
    one, two = RedisCheckpointer(redis_url), RedisCheckpointer(redis_url)
    for number in range(30):
        got = await asyncio.gather(one.create(f"r{number}"), two.create(f"r{number}"), return_exceptions=True)
        (log,) = [outcome for outcome in got if not isinstance(outcome, BaseException)]
        assert sum(isinstance(outcome, CheckpointError) for outcome in got) == 1
        await write(log, 1)
        await log.aclose()
        assert len(await two.read(f"r{number}")) == 1


async def test_a_killed_process_sets_its_run_free(redis_url: str, raw: Any):
    """After a kill -9 the run is locked until the lease ends, and then goes on behind what was flushed."""
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", HOLDS, redis_url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        assert await asyncio.to_thread(process.stdout.readline) == "has it\n"
        checkpointer = RedisCheckpointer(redis_url)
        with pytest.raises(RunLockedError, match=f"pid {process.pid} on"):
            await checkpointer.open("run")
        process.kill()
        await asyncio.to_thread(process.wait)
        with pytest.raises(RunLockedError, match=f"pid {process.pid} on"):
            await checkpointer.open("run")
        raw.hset(META, "until", int(raw.time()[0]) * 1000 + 1300)  # the end of the lease, sooner
        log = await opened_at_last(checkpointer)
        await write(log, 1)
        assert int(raw.hget(META, "epoch")) == 2
        await checkpointer.aclose()
    finally:
        process.kill()
        process.stdout.close()
        await asyncio.to_thread(process.wait)
    assert await numbers(redis_url) == [0, 1]


# -- what is there, and for how long ------------------------------------------------------------------------------


async def test_every_key_is_in_its_place_and_expires(redis_url: str, raw: Any):
    """Nothing stands outside the prefixes of runs and one index, and nothing stays for ever, copies included."""
    checkpointer = RedisCheckpointer(redis_url, prefix="mine", expire_after=1000.0)
    log = await checkpointer.create("run")
    await write(log, 3)
    await log.save("point")
    await log.compact([(Kind.SNAPSHOT, b"1")], 2)
    await write(await checkpointer.create("an odd id/…"), 1)
    keys = [key.decode() for key in raw.scan_iter()]
    assert sum(not key.startswith("mine:{") for key in keys) == 1
    assert len(keys) == 7
    for key in keys:
        assert 0 < raw.pttl(key) <= 1_000_000, key
        raw.pexpire(key, 5000)
    await write(log, 1)
    await log.aclose()
    assert {key for key in keys if raw.pttl(key) > 5000} == {
        "mine:{run}:journal",
        "mine:{run}:journal:data",
        "mine:journals",
    }
    await checkpointer.open("run")
    assert sum(raw.pttl(key) > 5000 for key in keys if "{run}" in key) == 4
    await checkpointer.aclose()
    for run_id in ("run", "an odd id/…"):
        await checkpointer.delete(run_id)
    assert raw.keys() == []


async def test_an_open_run_does_not_expire(redis_url: str, raw: Any):
    """A run that is held stays with its checkpoints however long nothing is written; one that nobody has goes."""
    checkpointer = RedisCheckpointer(redis_url, expire_after=5.0)
    log = await checkpointer.create("run")
    await write(log, 2)
    place = await log.save("point")
    first = least = {key: raw.pttl(key) for key in raw.scan_iter()}
    assert len(first) == 5
    prolonged: set[bytes] = set()
    while prolonged < first.keys():
        await asyncio.sleep(0.02)
        now = {key: raw.pttl(key) for key in first}
        prolonged |= {key for key in first if now[key] > least[key]}
        least = {key: min(now[key], least[key]) for key in first}
    assert [len(await checkpointer.read(source)) for source in ("run", place)] == [2, 2]
    assert len(await checkpointer.runs()) == 1
    await checkpointer.aclose()
    for key in first:
        assert 0 < raw.pttl(key) <= 5000
        raw.pexpire(key, 50)
    while raw.keys():  # noqa: ASYNC110  # only time lets keys expire
        await asyncio.sleep(0.02)
    assert await checkpointer.runs() == []


async def test_a_listing_reads_no_log(redis_url: str, raw: Any):
    """Runs are listed from what is kept beside them, thousands of records or none; those that are gone are left out."""
    checkpointer = RedisCheckpointer(redis_url)
    for number in range(250):
        log = await checkpointer.create(f"r{number}")
        log.append(Kind.HEADER, b"head %d" % number)
        log.append(Kind.RESUMED, b"taken")
        log.append(Kind.FINISHED, b"end %d" % number)
        await log.aclose()
    raw.delete(*(key for key in raw.scan_iter() if key.endswith(b":data")))
    raw.delete("graflow:{r7}:journal")
    found = {run.run_id: run for run in await checkpointer.runs()}
    assert set(found) == {f"r{number}" for number in range(250)} - {"r7"}
    assert all(run.header == b"head %d" % int(run_id[1:]) for run_id, run in found.items())
    assert found["r249"][2:5] == (b"end 249", Kind.FINISHED, 3)
    raw.hset("graflow:{r8}:journal", "header", raw.hget("graflow:{r9}:journal", "header"))
    assert len(await checkpointer.runs()) == 248, "a header of another run was shown"


async def test_large_records(redis_url: str):
    """Records of ten megabytes go there and back, also through compactions and copies, between small ones."""
    chance = random.Random(1)
    large = [chance.randbytes(10 << 20) for _ in range(2)]
    checkpointer = RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    for payload in (b"a", large[0], b"b", large[1], b"c"):
        log.append(Kind.EVENT, payload)
    await log.flush()
    place = await log.save("point")
    await log.compact([(Kind.SNAPSHOT, large[1])], 2)
    log.append(Kind.EVENT, b"d")
    await log.aclose()
    assert [record.payload for record in await checkpointer.read(place)] == [b"a", large[0], b"b", large[1], b"c"]
    _, records = await checkpointer.open("run")
    assert [record.payload for record in records] == [large[1], b"b", large[1], b"c", b"d"]
    await checkpointer.aclose()


async def test_a_crowd_shares_its_requests(redis_url: str, raw: Any):
    """What is appended while a batch is under way makes up the next one: 64 writers cost a few requests."""
    checkpointer = RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    await write(log, 1)
    raw.config_resetstat()

    async def one() -> None:
        log.append(Kind.EVENT, b"x")
        await asyncio.sleep(0)
        log.append(Kind.EVENT, b"y")
        await log.flush()

    await asyncio.gather(*(one() for _ in range(64)))
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] <= 3
    assert len(await checkpointer.read("run")) == 129
    await checkpointer.aclose()


async def test_many_runs_at_once(redis_url: str, raw: Any):
    """Hundreds of open runs share a bounded number of connections, and none of them has to try again for one."""
    checkpointer = RedisCheckpointer(redis_url)
    logs = await asyncio.gather(*(checkpointer.create(f"r{number}") for number in range(300)))
    for _ in range(3):
        await asyncio.gather(*(write(log, 1) for log in logs))
    assert len(raw.client_list()) <= AT_ONCE + 1
    assert {run.records for run in await checkpointer.runs()} == {3}
    await checkpointer.aclose()


# -- copies, clients, loops ---------------------------------------------------------------------------------------


def test_options_that_make_no_sense(redis_url: str):
    """They are refused before anything is asked of Redis."""
    bad: list[dict[str, Any]] = [{"lease": 0}, {"patience": -1}, {"expire_after": 0}, {"prefix": ""}, {"prefix": "a{b"}]
    for options in [*bad, {"wait_replicas": -1}, {"wait_replicas": 1.5}]:
        with pytest.raises(ConfigError):
            RedisCheckpointer(redis_url, **options)
    with pytest.raises(ConfigError, match="bytes"):
        RedisCheckpointer(client=AsyncRedis.from_url(redis_url, decode_responses=True))
    with pytest.raises(ConfigError):
        RedisCheckpointer("http://localhost")


@pytest.mark.parametrize("with_key", [True, False])
async def test_a_checkpoint_in_a_file(
    with_key: bool,  # noqa: FBT001  # a case
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A copy at a path is a signed file that either kind of checkpointer reads."""
    if not with_key:
        monkeypatch.delenv("GRAFLOW_SECRET_KEY")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    checkpointer = RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    await write(log, 5)
    await log.compact([(Kind.SNAPSHOT, b"1")], 2)
    for _ in range(2):
        place = await log.save("point", str(tmp_path / "deep" / "copy.ckpt"), upto=4)
        assert place == str(tmp_path / "deep" / "copy.ckpt")
    assert await checkpointer.saved("run") == []
    files = FileCheckpointer(tmp_path)
    for reader in (checkpointer, files):
        assert [record.seq for record in await reader.read(place)] == [1, 2, 3]
    assert list((tmp_path / "deep").iterdir()) == [Path(place)]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointWriteError, match="cannot be written"):
        await log.save("point", str(tmp_path / "file" / "x"))
    await write(log, 1)
    await files.aclose()
    await checkpointer.aclose()
    await asyncio.to_thread(Path(place).write_bytes, b"something else")
    with pytest.raises(CheckpointError):
        await checkpointer.read(place)
    for nothing in (str(tmp_path), str(tmp_path / "nothing"), "graflow:{run}:journal:saved:nothing", META):
        with pytest.raises(UnknownRunError):
            await checkpointer.read(nothing)


async def test_a_given_client(redis_url: str):
    """A client that was given is used and left open for its owner."""
    client = AsyncRedis.from_url(redis_url)
    checkpointer = RedisCheckpointer(client=client)
    await write(await checkpointer.create("run"), 2)
    await checkpointer.aclose()
    assert client.connection_pool.get_connection_count()[0][0] > 0
    await client.aclose()
    assert await numbers(redis_url) == [0, 1]


def test_one_loop_after_the_other(redis_url: str):
    """A checkpointer serves loop after loop, as blocking programs make them, and leaves no connection behind."""
    checkpointer = RedisCheckpointer(redis_url)

    async def begin() -> None:
        log = await checkpointer.create("run")
        await write(log, 2)
        await log.aclose()

    asyncio.run(begin())
    for _ in range(2):
        assert len(asyncio.run(checkpointer.read("run"))) == 2
        assert len(asyncio.run(checkpointer.runs())) == 1
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.client_list()) == 1


async def test_replicas(monkeypatch: pytest.MonkeyPatch):
    """With `wait_replicas`, a sync flush waits until a replica has the records, and says so if none gets them."""
    clock = Skipping()
    with ExitStack() as stack:
        kept = stack.enter_context(socket.socket())
        # Bound without being listened on, a port is nobody else's, and Redis, which allows for that, may have it.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        port = str(kept.getsockname()[1])
        server = stack.enter_context(RedisServer("--port", port, "--bind", "127.0.0.1"))
        replica = stack.enter_context(RedisServer("--replicaof", "127.0.0.1", port))
        with redis.Redis.from_url(server.url) as client:
            while client.wait(1, 100) < 1:
                pass
        checkpointer = RedisCheckpointer(server.url, wait_replicas=1)
        log = await checkpointer.create("run")
        for number in range(20):
            log.append(Kind.EVENT, b"%d" % number)
            assert not log.push(sync=True)
            await log.flush(sync=True)
            assert log.push(sync=True)
            assert await numbers(replica.url) == list(range(number + 1))
        await asyncio.to_thread(replica.kill)
        log.append(Kind.EVENT, b"20")
        await log.flush()
        answered = Link.until_answered

        async def answered_late(link: Link, *args: Any) -> Any:
            answer = await answered(link, *args)
            clock.skip(60.0)
            return answer

        monkeypatch.setattr(Link, "until_answered", answered_late)
        with pytest.raises(CheckpointWriteError, match="0 replicas"):
            await log.flush(sync=True)
        monkeypatch.undo()
        await checkpointer.aclose()
