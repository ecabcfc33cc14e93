"""Questions in a Redis that dies, forgets, is full, hangs or loses answers: nothing happens twice or is missed."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import redis

from graflow_async._redis.link import AT_ONCE, Link
from graflow_async.brokers.redis import RedisBroker
from graflow_async.errors import StoreError, StoreUnavailableError
from graflow_async.feedback import FeedbackRecord, FeedbackState
from graflow_async.feedback_errors import UnknownRequestError
from graflow_async.testing._brokers import answer, answered, letter, question, take
from tests.aids.redis_proxy import Proxy
from tests.aids.redis_server import RedisServer
from tests.aids.skipping import Skipping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PENDING, ANSWERED = FeedbackState.PENDING, FeedbackState.ANSWERED
EXPIRED, CANCELLED = FeedbackState.EXPIRED, FeedbackState.CANCELLED
ALL = "graflow:{people~}:changes"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Let a test that waits for what never comes fail with a stack."""
    previous = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the test hangs"))
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@asynccontextmanager
async def restarting(server: RedisServer) -> AsyncIterator[None]:
    """Kill a Redis, do something, and have it back."""
    server.kill()
    starting = asyncio.ensure_future(asyncio.to_thread(server.start))
    try:
        yield
    finally:
        await starting


def told(url: str, run_id: str = "run") -> int:
    """Count what watchers of a run were told."""
    with redis.Redis.from_url(url) as client:
        return int(client.xlen(f"graflow:{{{run_id}}}:people:changes"))  # pyright: ignore[reportArgumentType]


# -- lost answers -------------------------------------------------------------------------------------------------


async def test_every_answer_is_lost_once(redis_url: str, tmp_path: Path):
    """Each verb whose reply is lost after it was carried out gives its result, and is told of once."""
    async with Proxy(redis_url, tmp_path) as proxy:
        broker = RedisBroker(proxy.url)
        lost: set[bytes] = set()

        def for_the_first_time() -> bool:
            is_new = b"EVAL" in proxy.last and b"-NOSCRIPT" not in proxy.last and proxy.last not in lost
            lost.add(proxy.last)
            return is_new

        proxy.loses_answer = for_the_first_time
        first, second, note = question("first"), question("second"), letter()
        assert await broker.ask(first) == FeedbackRecord(first)
        assert (await answered(broker, first)).response == answer(first)
        assert await broker.ask(second) == FeedbackRecord(second)
        assert (await broker.settle(second.id, EXPIRED, at=1.0)).state is EXPIRED
        assert await broker.ask(second, again=True) == FeedbackRecord(second)
        assert (await broker.settle(second.id, CANCELLED, at=2.0)).state is CANCELLED
        await broker.post(note)
        await broker.drop("run", [note.id])
        await broker.post(note)
        assert await broker.letters("run") == []
        assert told(redis_url) == 7
        await broker.forget("run")
        assert len(lost) > 12


async def test_an_expired_question_that_was_opened_again_stays_open(redis_url: str, tmp_path: Path):
    """An end whose reply was lost does not happen a second time, to a question that somebody has opened since."""
    async with Proxy(redis_url, tmp_path) as proxy:
        broker, other = RedisBroker(proxy.url), RedisBroker(redis_url)
        request = question()
        await broker.ask(request)
        proxy.loses_answer = lambda: told(redis_url) == 2  # from when it is carried out on
        expiring = asyncio.ensure_future(broker.settle(request.id, EXPIRED, at=5.0))
        async with other.watch("run") as changes:
            while told(redis_url) < 2:  # noqa: ASYNC110  # it is on its way through this very loop
                await asyncio.sleep(0.001)
            assert await other.ask(request, again=True) == FeedbackRecord(request)
            record = await expiring
            assert record == FeedbackRecord(request, EXPIRED, None, 5.0)
            assert await other.get(request.id) == FeedbackRecord(request)
            assert [change.record for change in await take(changes, 2)] == [record, FeedbackRecord(request)]
        assert told(redis_url) == 3


@pytest.mark.parametrize("seed", range(4))
async def test_lost_requests_and_answers(seed: int, redis_url: str, tmp_path: Path):
    """Whatever the connections lose, each question is asked and answered once, and who watches sees both."""
    chance = random.Random(seed)
    async with Proxy(redis_url, tmp_path) as proxy:
        broker, calm = RedisBroker(proxy.url), RedisBroker(redis_url)
        requests = [question(f"{number}") for number in range(40)]
        notes = [letter(f"{number}", at=float(number)) for number in range(20)]

        async def work(number: int) -> None:
            await broker.ask(requests[number])
            await answered(broker, requests[number])
            if number < len(notes):
                await broker.post(notes[number])

        async with broker.watch("run") as changes, broker.watch() as everything, calm.watch() as calmly:
            proxy.loses_request = lambda: chance.random() < 0.02
            proxy.loses_answer = lambda: chance.random() < 0.04
            for start in range(0, 40, 8):
                await asyncio.gather(*(work(number) for number in range(start, start + 8)))
            for view in (changes, everything, calmly):
                seen = await take(view, 100)
                assert sorted(int(c.letter.name) for c in seen if c.letter) == list(range(20)), f"seed {seed}"
                for request in requests:
                    states = [c.record.state for c in seen if c.record and c.record.request == request]
                    assert states == [PENDING, ANSWERED], f"seed {seed}"
            proxy.loses_request = proxy.loses_answer = lambda: False
        assert told(redis_url) == 100
        assert await calm.letters("run") == notes


async def test_a_cancelled_command_leaves_no_answer_for_the_next(redis_url: str, tmp_path: Path):
    """Who stops waiting takes the connection along: nobody else gets the answer."""
    async with Proxy(redis_url, tmp_path) as proxy:
        broker = RedisBroker(proxy.url)
        one, two = question("one"), question("two")
        await broker.ask(one)
        await broker.ask(two)
        async with broker.watch("nobody"):
            for _ in range(20):
                proxy.gate.clear()
                before = proxy.requests
                reading = asyncio.ensure_future(broker.get(one.id))
                while proxy.requests == before:  # noqa: ASYNC110  # the request is on its way through this very loop
                    await asyncio.sleep(0)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                proxy.gate.set()
                assert await broker.get(two.id) == FeedbackRecord(two)
                assert await broker.letters("run") == []


# -- a Redis that dies --------------------------------------------------------------------------------------------


async def test_redis_dies_and_comes_back(durable: RedisServer):
    """Verbs wait for it, watchers go on, and everything that was acknowledged is there; each change is told once."""
    broker, other = RedisBroker(durable.url, patience=60.0), RedisBroker(durable.url, patience=60.0)
    requests = [question(f"{number}") for number in range(300)]
    async with broker.watch("run") as changes, broker.watch() as everything:

        async def work() -> None:
            for request in requests:
                await other.ask(request)
                await answered(other, request)

        working = asyncio.ensure_future(work())
        for part in (30, 90, 150):
            while told(durable.url) < part:  # noqa: ASYNC110  # another process knows how far it is
                await asyncio.sleep(0.001)
            async with restarting(durable):
                pass
        await working
        for view in (changes, everything):
            states: dict[str, list[FeedbackState]] = {}
            while sum(map(len, states.values())) < 600:
                change = await anext(view)
                assert change.record is not None
                states.setdefault(change.record.request.id, []).append(change.record.state)
            assert states == {request.id: [PENDING, ANSWERED] for request in requests}
    assert len(await broker.find(state=ANSWERED)) == 300


async def test_redis_comes_back_without_its_data(forgetful: RedisServer):
    """What was there is unknown and can be asked anew; who watches sees what comes now."""
    broker, other = RedisBroker(forgetful.url), RedisBroker(forgetful.url)
    request = question()
    async with broker.watch("run") as changes, broker.watch() as everything:
        await other.ask(request)
        for view in (changes, everything):
            await take(view, 1)
        async with restarting(forgetful):
            pass
        with pytest.raises(UnknownRequestError):
            await answered(other, request)
        await other.ask(request)
        record = await answered(other, request)
        for view in (changes, everything):
            last = None
            while last != record:
                last = (await anext(view)).record
                assert last in (FeedbackRecord(request), record)


async def test_an_older_state_of_redis(redis_url: str):
    """After a failover to a replica that was behind, who watches is told how things are there."""
    broker, other = RedisBroker(redis_url), RedisBroker(redis_url)
    request = question()
    await other.ask(request)
    with redis.Redis.from_url(redis_url) as client:
        older = {key: client.dump(key) for key in client.scan_iter()}
        async with broker.watch("run") as changes, broker.watch() as everything:
            record = await answered(other, request)
            for view in (changes, everything):
                assert [change.record for change in await take(view, 1)] == [record]
            for key, value in older.items():
                client.restore(key, 0, value, replace=True)  # pyright: ignore[reportArgumentType]  # bytes they are
            for each in client.client_list():
                if each["cmd"] == "xread":
                    client.client_kill_filter(_id=each["id"])
            for view in (changes, everything):
                assert [change.record for change in await take(view, 1)] == [FeedbackRecord(request)]
            record = await answered(other, request, "once more")
            for view in (changes, everything):
                assert [change.record for change in await take(view, 1)] == [record]


async def test_no_redis_at_all(tmp_path: Path):
    """Where nobody answers, every verb says so when its patience is at an end, and so does a watch."""
    broker = RedisBroker(f"unix://{tmp_path}/nothing.sock", patience=0.1)
    request = question()
    for verb in (
        broker.ask(request),
        broker.get(request.id),
        broker.find(),
        answered(broker, request),
        broker.post(letter()),
        broker.letters("run"),
        broker.drop("run", ["x"]),
        broker.forget("run"),
        broker.watch().__aenter__(),
    ):
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await verb
    await broker.aclose()


async def test_redis_hangs(forgetful: RedisServer):
    """A Redis that stands still is waited for as long as the patience; a watcher waits longer, and goes on."""
    clock, broker = Skipping(), RedisBroker(forgetful.url)
    request = question()
    async with broker.watch("run") as changes:
        forgetful.signal(signal.SIGSTOP)
        asking = asyncio.ensure_future(broker.ask(request))
        await asyncio.wait([asking], timeout=0.1)
        assert not asking.done()
        clock.skip(10.0)
        with pytest.raises(StoreUnavailableError):
            await asking
        forgetful.signal(signal.SIGCONT)
        record = await RedisBroker(forgetful.url).ask(request)
        assert [change.record for change in await take(changes, 1)] == [record]


async def test_waiting_for_others_is_not_waiting_for_redis(redis_url: str):
    """Many requests at once may take longer than the patience of each: as long as Redis answers, all are sent."""
    clock, link = Skipping(), Link(redis_url, None, 15.0)
    with redis.Redis.from_url(redis_url) as client:
        async with link.used():
            waiting = asyncio.gather(*(link.command("BLPOP", "place", "0") for _ in range(8 * AT_ONCE)))
            for _ in range(8):
                while client.info("clients")["blocked_clients"] < AT_ONCE:  # noqa: ASYNC110  # another process knows
                    await asyncio.sleep(0.001)
                clock.skip(5.0)
                client.rpush("place", *range(AT_ONCE))
            assert len(await waiting) == 8 * AT_ONCE


# -- a Redis that refuses -----------------------------------------------------------------------------------------


async def test_redis_is_full(forgetful: RedisServer):
    """What needs memory is refused as a whole, what gives it back is not, and reading goes on."""
    broker = RedisBroker(forgetful.url)
    request, note = question(), letter()
    await broker.ask(request)
    await broker.post(note)
    with redis.Redis.from_url(forgetful.url) as client:
        client.config_set("maxmemory", "1")
        for refused in (broker.ask(question()), answered(broker, request), broker.post(letter())):
            with pytest.raises(StoreError, match="OOM"):
                await refused
        assert told(forgetful.url) == 2
        assert await broker.find() == [FeedbackRecord(request)]
        assert await broker.letters("run") == [note]
        await broker.drop("run", [note.id])
        assert await broker.letters("run") == []
        await broker.forget("run")
        assert await broker.find() == []
        client.config_set("maxmemory", "0")
    assert await broker.ask(request) == FeedbackRecord(request)


async def test_redis_must_not_write_for_a_while(forgetful: RedisServer):
    """While a failover is under way verbs wait, and are done when somebody may write again."""
    broker = RedisBroker(forgetful.url, patience=60.0)
    request = question()
    await broker.ask(request)
    with redis.Redis.from_url(forgetful.url) as client:
        client.replicaof("127.0.0.1", "1")
        answering = asyncio.ensure_future(answered(broker, request))
        await asyncio.sleep(0.15)
        assert not answering.done()
        client.replicaof("NO", "ONE")
        assert (await answering).state is ANSWERED
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError):
            await RedisBroker(forgetful.url, patience=0.1).ask(question())
        client.replicaof("NO", "ONE")


async def test_a_watch_that_is_refused_says_so(redis_url: str):
    """What trying again does not mend ends a watch with an error, and the broker can be used on."""
    broker = RedisBroker(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        async with broker.watch() as changes:
            client.delete(ALL)
            client.set(ALL, "no stream")
            with pytest.raises(StoreError, match="WRONGTYPE"):
                await take(changes, 1)
        client.delete(ALL)
    async with broker.watch() as changes:
        record = await broker.ask(question())
        assert [change.record for change in await take(changes, 1)] == [record]
