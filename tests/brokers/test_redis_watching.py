"""Watching questions in Redis: who reads beside whom, and who is late."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import redis

from graflow_async.brokers.redis import RedisBroker
from graflow_async.feedback import FeedbackState
from graflow_async.testing._brokers import answered, letter, question, take
from tests.aids.redis_proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

PENDING, ANSWERED = FeedbackState.PENDING, FeedbackState.ANSWERED


async def test_watches_that_come_and_go_interrupt_nobody(redis_url: str):
    """A blocking read that is given up for another one, at any point of its life, loses no change."""
    chance = random.Random(5)
    broker, other = RedisBroker(redis_url), RedisBroker(redis_url)
    async with asyncio.timeout(90), broker.watch("run") as changes:
        for number in range(60):
            async with broker.watch(f"{number}") as more:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                record = await other.ask(question(f"{number}"))
                elsewhere = await other.ask(question(run_id=f"{number}"))
                assert [change.record for change in await take(changes, 1)] == [record]
                assert [change.record for change in await take(more, 1)] == [elsewhere]


async def test_a_watcher_that_falls_behind_is_told_how_things_are(redis_url: str, tmp_path: Path):
    """Where more changes were made than are kept, each question's last state is told, and nothing later is missed."""
    async with asyncio.timeout(90), Proxy(redis_url, tmp_path) as proxy:
        slow, other = RedisBroker(proxy.url), RedisBroker(redis_url)
        requests = [question(f"{number}") for number in range(1500)]
        async with slow.watch("run") as changes, other.watch("nobody"):
            await other.ask(requests[0])
            await take(changes, 1)
            proxy.gate.clear()
            proxy.cut()
            for start in range(0, 1500, 100):
                await asyncio.gather(*(other.ask(request) for request in requests[start : start + 100]))
            await asyncio.gather(*(answered(other, request) for request in requests[:500]))
            note = letter()
            await other.post(note)
            with redis.Redis.from_url(redis_url) as client:
                assert client.xlen("graflow:{run}:people:changes") < 1500  # pyright: ignore[reportOperatorIssue]
            proxy.gate.set()
            # It has to look at everything while more happens.
            working = asyncio.gather(*(answered(other, request) for request in requests[500:1000]))
            states: dict[str, list[FeedbackState]] = {request.id: [] for request in requests}
            seen = None
            while sum(ANSWERED in each for each in states.values()) < 1000 or not all(states.values()) or seen != note:
                change = await anext(changes)
                seen = change.letter or seen
                if change.record is not None:
                    states[change.record.request.id].append(change.record.state)
            await working
            for each in states.values():
                assert each in ([PENDING], [PENDING, ANSWERED], [ANSWERED])
            record = await answered(other, requests[1400])
            assert [change.record for change in await take(changes, 1)] == [record]


async def test_a_second_watch_begins_when_it_is_entered(redis_url: str, tmp_path: Path):
    """One that is opened where another one has not yet heard of something is not told of that."""
    async with asyncio.timeout(90), Proxy(redis_url, tmp_path) as proxy:
        broker, other = RedisBroker(proxy.url), RedisBroker(redis_url)
        async with broker.watch("run") as first:
            proxy.loses_answer = lambda: b"XREAD" in proxy.last
            before = await other.ask(question())
            async with broker.watch("run") as second:
                proxy.loses_answer = lambda: False
                after = await other.ask(question())
                assert [change.record for change in await take(first, 2)] == [before, after]
                assert [change.record for change in await take(second, 1)] == [after]
