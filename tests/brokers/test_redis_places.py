"""Where questions are in Redis: which keys there are, for how long, and who finds what in them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.asyncio import Redis

import graflow_async
from graflow_async import FeedbackManager, FileBroker
from graflow_async.broker import Change
from graflow_async.brokers.redis import RedisBroker
from graflow_async.errors import ConfigError, StoreError
from graflow_async.feedback import FeedbackRecord, FeedbackState
from graflow_async.testing._brokers import answered, letter, question, take
from graflow_async.testing.brokers import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = {f"graflow:{{run}}:people:{part}" for part in ("changes", "questions", "index", "letters", "dropped")}
COMMON = {f"graflow:{{people~}}:{part}" for part in ("changes", "index", "runs")}


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """A look into Redis that is not the broker's."""
    with redis.Redis.from_url(redis_url) as found:
        yield found


def keys(client: Any) -> set[str]:
    return {key.decode() for key in client.scan_iter()}


async def fill(broker: RedisBroker, run_id: str = "run") -> None:
    """Leave something of everything."""
    await broker.ask(question(run_id=run_id))
    request = question("other", run_id=run_id)
    await broker.ask(request)
    await answered(broker, request)
    notes = [letter(run_id=run_id), letter(run_id=run_id)]
    for note in notes:
        await broker.post(note)
    await broker.drop(run_id, [notes[0].id])


async def test_nothing_of_a_forgotten_run_stays(redis_url: str, client: Any):
    """Its keys go, and what the common indexes say of it."""
    broker = RedisBroker(redis_url)
    await fill(broker)
    assert keys(client) == RUN | COMMON
    await fill(broker, "other")
    await broker.forget("run")
    assert {key for key in keys(client) if "{run}" in key} == set()
    assert not [member for member in client.zrange("graflow:{people~}:index", 0, -1) if member.endswith(b":run")]
    await broker.forget("other")
    assert keys(client) == {"graflow:{people~}:changes"}


async def test_a_large_run_is_forgotten_in_steps(redis_url: str, client: Any):
    """Also more questions than one script goes through."""
    broker = RedisBroker(redis_url)
    async with broker.watch("nobody"):
        await asyncio.gather(*(broker.ask(question(f"{number}")) for number in range(700)))
        await broker.forget("run")
    assert keys(client) == {"graflow:{people~}:changes"}


async def test_every_key_expires(redis_url: str, client: Any):
    """No key is without an end, and every sign of life puts it off."""
    broker = RedisBroker(redis_url, expire_after=1000.0)
    await fill(broker)
    request = question("more")
    for act in (
        lambda: broker.ask(request),
        lambda: broker.ask(request),
        lambda: answered(broker, request),
        lambda: broker.post(letter()),
        lambda: broker.post(letter(id="known")),
        lambda: broker.drop("run", ["known"]),
    ):
        for key in RUN | COMMON:
            client.expire(key, 500)
        await act()
        assert all(client.ttl(key) > 900 for key in RUN | COMMON)
        assert client.ttl("graflow:{run}:people:index") > 1900, "it says what to clear up when the others are gone"
    hasty = RedisBroker(redis_url, expire_after=10.0)
    await hasty.ask(question(run_id="other"))
    assert all(client.ttl(key) > 900 for key in COMMON), "a hasty broker must not take the index from others"


async def test_a_watched_run_stays(redis_url: str, client: Any):
    """A run that waits for a person with an open watch is not forgotten, however long it waits."""
    broker = RedisBroker(redis_url, expire_after=5.0)
    request = question()
    async with asyncio.timeout(60), broker.watch("run"):
        await broker.ask(request)
        first = client.zscore("graflow:{people~}:runs", "run")
        assert first is not None
        # Twice, as the first time might have come with the question.
        for later in (first, first + 500):
            while (client.zscore("graflow:{people~}:runs", "run") or 0) <= later:  # noqa: ASYNC110  # only time does it
                await asyncio.sleep(0.01)
        assert client.pttl("graflow:{run}:people:questions") > 3000
        assert await broker.get(request.id) == FeedbackRecord(request)


async def test_what_has_expired_is_cleared_up(redis_url: str, client: Any):
    """Whoever comes next removes what the common indexes say of a run that is gone."""
    broker, lasting = RedisBroker(redis_url, expire_after=0.05), RedisBroker(redis_url)
    request = question()
    await broker.ask(request)
    await broker.post(letter())
    while client.exists(*RUN - {"graflow:{run}:people:index"}):  # noqa: ASYNC110  # only time ends it
        await asyncio.sleep(0.01)
    assert await lasting.get(request.id) is None
    assert await lasting.find() == []
    client.zadd("graflow:{run}:people:index", {f"n:ok?:{request.id}": 0, f"s:pending:{request.id}": 0})
    client.zadd("graflow:{people~}:index", {f"i:{request.id}:run": 0, f"s:pending:{request.id}:run": 0})
    client.zadd("graflow:{people~}:runs", {"run": 1})
    await lasting.ask(question(run_id="other"))
    assert not [key for key in keys(client) if "{run}" in key]
    members = client.zrange("graflow:{people~}:index", 0, -1)
    assert len(members) == 3
    assert all(member.endswith(b":other") for member in members)
    assert client.zrange("graflow:{people~}:runs", 0, -1) == [b"other"]


async def test_an_address_that_a_lost_run_had_can_be_asked(redis_url: str, client: Any):
    """What an index says of a run whose keys are gone is in nobody's way."""
    broker = RedisBroker(redis_url)
    request = question()
    await broker.ask(request)
    client.delete(*RUN)
    again = question(id=request.id, run_id="other")
    assert await broker.ask(again) == FeedbackRecord(again)
    assert await broker.find() == [FeedbackRecord(again)]


async def test_an_address_belongs_to_one_run(redis_url: str):
    """A question that another run asks under the same address stays what and where it was."""
    broker = RedisBroker(redis_url)
    request = question()
    await broker.ask(request)
    await broker.settle(request.id, FeedbackState.EXPIRED, at=1.0)
    stolen = question(id=request.id, run_id="thief")
    opened = await broker.ask(stolen, again=True)
    assert (opened.request.run_id, opened.state) == ("run", FeedbackState.PENDING)
    assert await broker.find(run_id="thief") == []
    assert await broker.find(run_id="run") == [opened]


async def test_texts_never_become_keys(redis_url: str, client: Any):
    """Whatever is in run ids, names and ids of letters: keys are plain, and short."""
    broker = RedisBroker(redis_url, prefix="mine")
    async with broker.watch():
        for text in TEXTS:
            await broker.ask(question(text, text))
            await broker.post(letter(text, text, id=text))
    found = keys(client)
    assert len(found) == 3 + 4 * len(TEXTS)
    for key in found:
        assert key.startswith("mine:{")
        assert key.isprintable()
        assert key.isascii()
        assert len(key) < 200
        assert key.count("{") == key.count("}") == 1


async def test_prefixes_are_apart(redis_url: str):
    """Two programs in one Redis see nothing of each other."""
    one, two = RedisBroker(redis_url, prefix="one"), RedisBroker(redis_url, prefix="two")
    async with one.watch() as changes:
        await fill(two)
        assert await one.find() == []
        assert await one.letters("run") == []
        record = await one.ask(question())
        assert await take(changes, 1) == [Change("run", record)]


async def test_what_cannot_be_read_is_passed_over(redis_url: str, client: Any, caplog):
    """Damaged or foreign content harms no other question, and the log says what is wrong."""
    broker = RedisBroker(redis_url)
    good, bad, note = question("good"), question("bad"), letter()
    await broker.ask(good)
    await broker.ask(bad)
    await broker.post(note)
    for body in (b"", b"no version", b"1-0\n{", b"1-0\n[]", b'1-0\n{"request": 1}', b"1-0\n" + b"[" * 100_000, b"\xff"):
        client.hset("graflow:{run}:people:questions", bad.id, body)
        client.hset("graflow:{run}:people:letters", "bad", body)
        caplog.clear()
        assert await broker.find() == [FeedbackRecord(good)]
        assert await broker.get(bad.id) is None
        assert await broker.letters("run") == [note]
        assert "cannot be read" in caplog.text
        with pytest.raises(StoreError, match="cannot be read"):
            await broker.ask(bad)


async def test_a_stream_that_somebody_else_writes_to(redis_url: str, client: Any):
    """An entry that is no change is passed over; what comes after it is told."""
    broker = RedisBroker(redis_url)
    async with asyncio.timeout(60), broker.watch("run") as changes:
        first = await broker.ask(question("first"))
        client.xadd("graflow:{run}:people:changes", {"nonsense": "x"})
        second = await broker.ask(question("second"))
        assert [change.record for change in await take(changes, 2)] == [first, second]


async def test_a_letter_that_was_dropped_does_not_come_back(redis_url: str):
    """One that is posted once more, because nobody knew whether it had arrived, is not taken twice."""
    broker = RedisBroker(redis_url)
    note = letter()
    async with broker.watch("run") as changes:
        await broker.post(note)
        await broker.drop("run", [note.id])
        await broker.post(note)
        assert await broker.letters("run") == []
        last = letter()
        await broker.post(last)
        assert [change.letter for change in await take(changes, 2)] == [note, last]


async def test_everything_is_json(redis_url: str, client: Any):
    """Any program can read what is kept: a number, a line break, JSON."""
    broker = RedisBroker(redis_url)
    request = question()
    await broker.ask(request)
    body = client.hget("graflow:{run}:people:questions", request.id)
    assert body is not None
    version, _, content = body.partition(b"\n")
    assert FeedbackRecord.from_json(json.loads(content)) == FeedbackRecord(request)
    assert client.xrange("graflow:{run}:people:changes")[0][0] == version


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_given_client(protocol: int, redis_url: str):
    """It is used, in either version of the protocol and with a timeout of its own, and left open."""
    client = Redis.from_url(redis_url, protocol=protocol, socket_timeout=10.0)
    broker = RedisBroker(client=client)
    async with broker.watch("run") as changes, broker.watch() as everything:
        await fill(broker)
        for view in (changes, everything):
            assert len(await take(view, 5)) == 5
    await broker.aclose()
    assert await client.ping()
    await client.aclose()
    with pytest.raises(ConfigError, match="bytes"):
        RedisBroker(client=Redis.from_url(redis_url, decode_responses=True))


async def test_several_loops_at_once(redis_url: str):
    """One broker serves threads with loops of their own, and `aclose` ends the watches of all of them."""
    broker = RedisBroker(redis_url)
    ready = threading.Barrier(4)
    seen: list[list[str]] = []

    async def person() -> None:
        async with broker.watch() as changes:
            await asyncio.to_thread(ready.wait, 60)
            seen.append([change.run_id async for change in changes])

    threads = [threading.Thread(target=asyncio.run, args=(person(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(ready.wait, 60)
    async with broker.watch() as changes:
        for number in range(20):
            await broker.ask(question(run_id=f"{number}"))
        await take(changes, 20)
        while True:
            await broker.aclose()
            if not any(thread.is_alive() for thread in threads):
                break
            await asyncio.sleep(0.01)
    for found in seen:
        assert found == [f"{number}" for number in range(len(found))]
    assert len(seen) == 3


def test_many_loops_one_after_the_other(redis_url: str):
    """A blocking script uses a broker on a new loop each time, and leaves nothing open or kept."""
    manager = FeedbackManager("redis", redis_url=redis_url)
    request = question()
    asyncio.run(manager.broker.ask(request))
    for _ in range(5):
        assert [record.request for record in manager.list_pending()] == [request]
    assert manager.respond(request.id, text="yes").state is FeedbackState.ANSWERED
    assert len(manager.broker._ways) <= 1  # pyright: ignore[reportAttributeAccessIssue]  # one closed loop at most


def test_values_that_make_no_sense(monkeypatch: pytest.MonkeyPatch):
    """What cannot work is refused when the broker is made; passwords are not shown."""
    wrong: dict[str, Any]
    for wrong in ({"prefix": ""}, {"prefix": "a{b"}, {"expire_after": 0}, {"patience": -1}, {"url": "http://x"}):
        with pytest.raises(ConfigError):
            RedisBroker(**wrong)
    assert "secret" not in repr(RedisBroker("redis://me:secret@host"))
    monkeypatch.setenv("GRAFLOW_REDIS_URL", "redis://elsewhere:7/1")
    assert "elsewhere" in repr(RedisBroker())


def test_managers(tmp_path):
    """`redis_url=` says what is meant, and goes with nothing else."""
    for manager in (FeedbackManager("redis"), FeedbackManager(redis_url="redis://host"), FeedbackManager("redis")):
        assert isinstance(manager.own_broker, graflow_async.RedisBroker)
    assert isinstance(FeedbackManager(checkpoint_dir=tmp_path).own_broker, FileBroker)
    for backend, options in (("file", {}), ("memory", {}), (None, {"directory": tmp_path})):
        with pytest.raises(ConfigError, match="redis_url"):
            FeedbackManager(backend, redis_url="redis://host", **options)
    with pytest.raises(ConfigError, match="redis_url"):
        FeedbackManager("redis", checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="'redis'"):
        FeedbackManager("post")
