"""Runs in Redis that somebody has tampered with, and the keys that tell: an error, never another story."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import redis

from graflow_async import RedisCheckpointer
from graflow_async.checkpointer import Record
from graflow_async.errors import CheckpointCorruptError, CheckpointError, CheckpointTamperedError, UnsignedPayloadError
from tests.checkpoints.test_redis_faults import DATA, META, write

if TYPE_CHECKING:
    from collections.abc import Iterator


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


async def same_or_refused(url: str, whole: list[Record], what: str) -> bool:
    """Read a run that was tampered with; say whether it was refused."""
    checkpointer = RedisCheckpointer(url)
    try:
        assert await checkpointer.read("run") == whole, what
    except CheckpointError:
        with pytest.raises(CheckpointError):
            await checkpointer.open("run")
        return True
    finally:
        await checkpointer.aclose()
    return False


async def test_damaged_entries(redis_url: str, raw: Any):
    """Bytes changed, entries moved, left out, doubled or taken from another run: an error, never another story."""
    seed = 3
    chance = random.Random(seed)
    await filled(redis_url)
    await filled(redis_url, "other", 8)
    checkpointer = RedisCheckpointer(redis_url)
    whole = await checkpointer.read("run")
    entries, others = raw.lrange(DATA, 0, -1), raw.lrange("graflow:{other}:journal:data", 0, -1)
    refused = 0
    for number in range(300):
        new = list(entries)
        at, to = chance.randrange(len(new)), chance.randrange(len(new))
        byte = chance.randrange(len(new[at]))
        match number % 6:
            case 0:
                new[at] = new[at][:byte] + bytes([new[at][byte] ^ 1 << chance.randrange(8)]) + new[at][byte + 1 :]
            case 1:
                new[at], new[to] = new[to], new[at]
            case 2:
                del new[at]
            case 3:
                new.insert(to, new[at])
            case 4:
                new[at] = chance.choice(others)
            case _:
                new = others[: len(new)]
        raw.delete(DATA)
        if new:
            raw.rpush(DATA, *new)
        was_refused = await same_or_refused(redis_url, whole, f"seed {seed}, number {number}")
        assert was_refused == (new != entries)
        refused += was_refused
    assert refused > 250
    await checkpointer.aclose()


async def test_a_log_of_another_run_is_refused(redis_url: str, raw: Any):
    """A run's keys renamed to another run's, and a copy moved to another run, are recognised as not theirs."""
    checkpointer = RedisCheckpointer(redis_url)
    log = await checkpointer.create("run")
    await write(log, 3)
    place = await log.save("point")
    await log.aclose()
    for key in (META, DATA, place):
        raw.rename(key, key.replace("{run}", "{other}"))
    with pytest.raises(CheckpointError, match="belongs to run 'run'"):
        await checkpointer.open("other")
    with pytest.raises(CheckpointTamperedError, match="belongs to run 'run'"):
        await checkpointer.read(place.replace("{run}", "{other}"))
    assert await checkpointer.runs() == []
    await checkpointer.aclose()


async def test_the_end_of_a_log_cannot_go_unnoticed(redis_url: str, raw: Any):
    """Whole records that are missing at the end are noticed by what is kept beside the log."""
    await filled(redis_url)
    raw.rpop(DATA)
    checkpointer = RedisCheckpointer(redis_url)
    with pytest.raises(CheckpointCorruptError, match="should have"):
        await checkpointer.open("run")
    assert [run.is_open for run in await checkpointer.runs()] == [False]
    await checkpointer.aclose()


async def test_keys(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Another key, or none where there was one, or one where there was none: nothing is read."""
    keys = ["a first key that only these tests have: qjx", "a second key that only these tests have: wvz"]
    await filled(redis_url, secret_keys=keys[0])
    other = RedisCheckpointer(redis_url, secret_keys=keys[1])
    with pytest.raises(CheckpointTamperedError, match="not known here"):
        await other.open("run")
    assert await other.runs() == []
    both = RedisCheckpointer(redis_url, secret_keys=[keys[1], keys[0]])
    assert len(await both.read("run")) == 5
    assert len(await both.runs()) == 1
    monkeypatch.delenv("GRAFLOW_SECRET_KEY")
    with pytest.raises(CheckpointTamperedError):
        await RedisCheckpointer(redis_url).open("run")
    await filled(redis_url, "open to all")
    with pytest.raises(CheckpointTamperedError, match="not signed"):
        await other.open("open to all")
    with pytest.raises(UnsignedPayloadError):
        RedisCheckpointer("redis://192.0.2.1:6379/0")
    RedisCheckpointer("redis://192.0.2.1:6379/0", secret_keys=keys)
