"""RedisStore: what is refused, and that every change is made once, whatever becomes of its answer."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

import graflow_async
from graflow_async._redis.client import connect
from graflow_async.errors import (
    ConfigError,
    NotSerializableError,
    SecurityError,
    StoreError,
    StoreUnavailableError,
    UnsignedPayloadError,
)
from graflow_async.store import MISSING
from graflow_async.stores.redis import RedisStore

KEYS = ["the first key of the tests of this file", "the second key of the tests of that file"]


class Bomb:
    """Tells when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("something was loaded that nobody signed",)


async def test_what_nobody_signed_is_not_loaded(store, client):
    """A pickle that somebody else put in place is refused for every verb that would load it, and counted as nothing."""
    await store.set("s:k", 1)
    await store.append("s:l", 1)
    bomb = pickle.dumps(Bomb())
    await client.hset("graflow:{s}:kv:v", "s:k", bomb)
    for name in await client.hkeys("graflow:{s}:kv:l"):
        await client.hset("graflow:{s}:kv:l", name, bomb)
    for reading in (
        store.get("s:k"),
        store.get_many(["s:k"]),
        store.add("s:k"),
        store.compare_and_set("s:k", 1, 2),
        store.get("s:l"),
        store.pop("s:l"),
    ):
        with pytest.raises(UnsignedPayloadError):
            await reading


async def test_a_value_is_bound_to_its_key_and_its_place(store, client):
    """Signed bytes are refused under another key, as a list, and as an item."""
    for key in ("s:a", "s:b"):
        await store.set(key, [1])
    await store.append("s:b", 2)
    place = "graflow:{s}:kv:v"
    mine = await client.hget(place, "s:a")
    await client.hset(place, "s:b", mine)
    with pytest.raises(SecurityError, match="s:b"):
        await store.get("s:b")
    assert await store.get("s:a") == [1]
    await store.set("s:a", "no list")
    await client.hset(place, "s:a", mine)
    with pytest.raises(SecurityError):
        await store.get("s:a")
    for item in await client.hkeys("graflow:{s}:kv:l"):
        await client.hset("graflow:{s}:kv:l", item, mine)
    await store.set("s:b", "good again")
    assert await store.get("s:b") == "good again"


async def test_keys_can_be_changed_while_values_live(redis_url):
    """What the old key signed is read as long as it is known, and refused afterwards."""
    old, both, new = (RedisStore(redis_url, secret_keys=keys) for keys in (KEYS[0], KEYS[::-1], KEYS[1]))
    async with old, both, new:
        await old.set("s:k", 1)
        assert await both.get("s:k") == 1
        with pytest.raises(SecurityError):
            await new.get("s:k")
        await both.set("s:k", 2)
        assert await new.get("s:k") == 2


def test_pickles_do_not_go_elsewhere_unsigned(monkeypatch):
    """A Redis on another machine needs keys; options that make no sense are refused at once."""
    monkeypatch.delenv("GRAFLOW_SECRET_KEY")
    with pytest.raises(UnsignedPayloadError, match="GRAFLOW_SECRET_KEY"):
        RedisStore("redis://redis.example:6379/0")
    assert isinstance(RedisStore("redis://redis.example:6379/0", secret_keys=KEYS), graflow_async.KeyValueStore)
    assert isinstance(graflow_async.RedisStore("redis://localhost"), RedisStore)
    wrong: list[dict[str, Any]] = [
        {"patience": 0},
        {"lease": float("inf")},
        {"expire_after": -1},
        {"connections": 0},
        {"watch_limit": 0},
        {"prefix": "{x}"},
        {"prefix": ""},
        {"url": "redis://localhost", "client": connect("redis://localhost")},
        {"url": "http://localhost"},
        {"client": Redis(decode_responses=True)},
    ]
    for options in wrong:
        with pytest.raises(ConfigError):
            RedisStore(**options)


async def test_what_cannot_be_pickled_changes_nothing(store):
    """A value that cannot travel is refused before anything is sent."""
    await store.set("s:k", [1])
    with pytest.raises(NotSerializableError):
        await store.set("s:k", asyncio.current_task())
    with pytest.raises(NotSerializableError):
        await store.append("s:k", asyncio.current_task())
    assert await store.get("s:k") == [1]


async def test_a_given_client_stays_open(redis_url):
    """Who hands in a client closes it; a store that was closed connects again when it is used."""
    async with connect(redis_url) as client:
        store = RedisStore(client=client)
        await store.set("s:k", 1)
        await store.aclose()
        assert await client.ping()
        assert await store.get("s:k") == 1
        await store.aclose()


# Answers that are lost


class Relay:
    """Stands between a store and Redis; it can swallow answers, and keep a command back while the store loses hope."""

    def __init__(self, target):
        self.target = target
        self.losing = 0
        self.lost = 0
        self.is_keeping = False
        self.kept = asyncio.get_running_loop().create_future()
        self.tasks = set()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        there_reader, there_writer = await asyncio.open_unix_connection(self.target)
        asking = asyncio.create_task(self.ask(reader, there_writer))
        try:
            while data := await there_reader.read(1 << 16):
                if self.losing and b"OK" not in data and not data.startswith((b"-NOSCRIPT", b"%", b"$40")):
                    self.losing -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            writer.close()
            there_writer.close()
            self.tasks.discard(task)

    async def ask(self, reader, writer):
        while data := await reader.read(1 << 16):
            if self.is_keeping:
                self.is_keeping = False
                self.kept.set_result(data)
                break
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def losing_answers(url, tmp_path):
    relay = Relay(url.removeprefix("unix://").partition("?")[0])
    path = tmp_path / "relay.sock"
    server = await asyncio.start_unix_server(relay.serve, path)
    try:
        async with RedisStore(f"unix://{path}?db=0") as store:
            yield store, relay
    finally:
        server.close()
        if relay.tasks:
            await asyncio.wait(relay.tasks)
        await server.wait_closed()


async def test_a_change_whose_answer_is_lost_is_made_once(redis_url, tmp_path):
    """Each verb is sent again, says what it did, and has done it once; also if the answer is lost several times."""
    async with losing_answers(redis_url, tmp_path) as (store, relay):
        await store.set("s:warm", 1)
        await store.add("s:n", 5)
        await store.append("s:l", "first")
        for lose in (1, 2):
            relay.losing = lose
            assert await store.append("s:l", "x") == 2
            assert await store.get("s:l") == ["first", "x"]
            relay.losing = lose
            assert await store.prepend("s:l", "w") == 3
            relay.losing = lose
            assert await store.pop("s:l") == ["w", "first", "x"]
            await store.append("s:l", "first")
            relay.losing = lose
            assert await store.compare_and_set("s:c", MISSING, 1) is True
            relay.losing = lose
            assert await store.delete("s:c") is True
            relay.losing = lose
            assert await store.get("s:l") == ["first"]
            await store.set("c:a", 1)
            relay.losing = lose
            assert await store.clear("c:") == 1
            async with store.lock("s:k") as fence:
                relay.losing = lose
            relay.losing = lose
            async with store.lock("s:k", 0) as later:
                assert later > fence
        for expected in range(6, 26):
            relay.losing = 1
            assert await store.add("s:n") == expected
        assert relay.losing == 0
        assert relay.lost > 40


async def test_a_set_that_is_sent_again_does_not_undo_a_later_one(redis_url, tmp_path):
    """If somebody else wrote between the change and its repetition, what they wrote stays."""
    async with losing_answers(redis_url, tmp_path) as (store, relay), RedisStore(redis_url) as other:
        await store.set("s:k", 0)
        async with other.watch("s:k", exact=True) as changes:
            relay.losing = 1
            mine = asyncio.create_task(store.set("s:k", 1))
            change = await anext(changes)
            await other.set("s:k", 2)
            await mine
            assert (change.value, await other.get("s:k"), relay.lost) == (1, 2, 1)


async def test_a_command_that_arrives_late_is_not_carried_out(redis_url, tmp_path, client):
    """What was sent again, or given up, does nothing when its first copy turns up after a later change."""
    async with losing_answers(redis_url, tmp_path) as (store, relay):
        await store.append("s:l", "first")
        relay.is_keeping = True
        assert await store.append("s:l", "again") == 2
        late = [await relay.kept]
        relay.kept = asyncio.get_running_loop().create_future()
        relay.is_keeping = True
        given_up = asyncio.create_task(store.append("s:l", "given up"))
        late.append(await relay.kept)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert given_up.cancelled()
        assert await store.append("s:l", "last") == 3
        for command in late:
            reader, writer = await asyncio.open_unix_connection(relay.target)
            writer.write(command)
            assert (await reader.readline())[:1] == b"*"
            writer.close()
            await writer.wait_closed()
        assert await store.get("s:l") == ["first", "again", "last"]


async def test_a_stopped_server_fails_in_time(tmp_path):
    """Where nothing listens, a verb fails after its patience with an error that says so."""
    async with RedisStore(f"unix://{tmp_path}/none", patience=0.2) as store:
        for call in (store.get("s:k"), store.set("s:k", 1), store.keys(), store.watch("s:").__aenter__()):
            with pytest.raises(StoreUnavailableError):
                await call
        with pytest.raises(StoreError):
            async with store.lock("s:k"):
                pass
