"""The stream of changes, read from a real server: what is open first, then everything that happens."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.feedback import FeedbackState
from graflow_async.inbox import Inbox
from graflow_async.ui import create_app, question_token, site
from tests.ui.aids import AUTHORISED, KEY, OPERATOR, put, question, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from graflow_async.broker import Broker

OPTIONS: dict[str, Any] = {"token": OPERATOR, "secret_keys": KEY}


class Events:
    """Reads one stream, block by block."""

    def __init__(self, response: httpx.Response) -> None:
        self.blocks = self._read(response)

    async def _read(self, response: httpx.Response) -> AsyncIterator[str]:
        rest = ""
        async for text in response.aiter_text():
            *whole, rest = (rest + text).split("\n\n")
            for block in whole:
                yield block

    async def next(self) -> tuple[str, Any]:
        """Give the next event's name and data; heartbeats are left out."""
        async for block in self.blocks:
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if lines:
                return lines["event"], json.loads(lines["data"])
        return "end", None


@asynccontextmanager
async def following(client: httpx.AsyncClient, query: str = "", **options: Any) -> AsyncIterator[Events]:
    """Open a stream."""
    async with client.stream("GET", f"api/events{query}", **options) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        yield Events(response)


def client_of(url: str) -> httpx.AsyncClient:
    """Give a client with the operator's token that waits as long as it takes, within reason."""
    return httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=60)


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_it_begins_with_what_is_open_and_goes_on(tmp_path: Path, kind: str) -> None:
    """Asked, answered, cancelled, expired, opened again, sent: each change comes once, in order, from any broker."""
    broker: Broker = MemoryBroker() if kind == "memory" else FileBroker(tmp_path, sync=False)
    first, settled = question("text", "a\n\nb\u2028c"), question()
    await put(broker, first, settled)
    await broker.settle(settled.id, FeedbackState.CANCELLED, at=1.0)
    async with served(broker, **OPTIONS) as url, client_of(url) as client, following(client) as events:
        name, data = await events.next()
        assert (name, [one["id"] for one in data["questions"]], data["more"]) == ("snapshot", [first.id], 0)
        assert data["questions"][0]["prompt"] == first.prompt
        second = await put(broker, question())
        assert (await events.next())[1]["id"] == second.id
        await client.post(f"api/questions/{first.id}/answer", json={"text": "yes"})
        name, data = await events.next()
        assert (name, data["id"], data["state"], data["response"]["value"]) == ("question", first.id, "answered", "yes")
        await broker.settle(second.id, FeedbackState.EXPIRED, at=2.0)
        assert (await events.next())[1]["state"] == "expired"
        await broker.ask(second, again=True)
        assert (await events.next())[1]["state"] == "pending"
        await Inbox(broker).send("run-9", "paid", {"secret": 1})
        assert await events.next() == ("letter", {"run_id": "run-9", "kind": "event", "name": "paid"})
    await broker.aclose()


async def test_filters(broker: MemoryBroker) -> None:
    """A stream for one run, or for one person, has nothing of others in it."""
    mine, other = question(assignee="kim", run_id="a"), question(run_id="b")
    await put(broker, mine, other)
    async with served(broker, **OPTIONS) as url, client_of(url) as client:
        for query, wanted in (("?assignee=kim", mine), ("?run_id=b", other)):
            async with following(client, query) as events:
                assert [one["id"] for one in (await events.next())[1]["questions"]] == [wanted.id]
                await put(broker, question(run_id="c", assignee="lee"))
                last = await put(broker, question(run_id=wanted.run_id, assignee=wanted.assignee))
                assert (await events.next())[1]["id"] == last.id


async def test_a_token_of_a_question_follows_that_question(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees its own question settled, nothing of others, and the stream ends when the token does."""
    clock = [float(int(time()))]
    monkeypatch.setattr(
        "graflow_async.ui.server.create_app", lambda source, **more: create_app(source, now=lambda: clock[0], **more)
    )
    mine, other = question(), question()
    await put(broker, mine, other)
    async with served(broker, **OPTIONS) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        headers = {"Authorization": f"Bearer {question_token(mine, KEY)}"}
        async with following(client, f"?question_id={mine.id}", headers=headers) as events:
            assert [one["id"] for one in (await events.next())[1]["questions"]] == [mine.id]
            await broker.settle(other.id, FeedbackState.CANCELLED, at=1.0)
            await broker.settle(mine.id, FeedbackState.CANCELLED, at=1.0)
            assert (await events.next())[1]["state"] == "cancelled"
        # The server's clock stands still until the token is over: what counts is the time that is left of it.
        short = question_token(other, KEY, expires_in=1, now=clock[0])
        headers = {"Authorization": f"Bearer {short}"}
        async with following(client, f"?question_id={other.id}", headers=headers) as events:
            assert (await events.next())[0] == "snapshot"
            assert await events.next() == ("end", None)
        clock[0] += 1
        assert (await client.get("api/events", headers=headers)).status_code == 401


async def test_it_says_that_it_is_there(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing happens a comment is sent now and then, which is no event."""
    monkeypatch.setattr(
        "graflow_async.ui.server.create_app", lambda source, **more: create_app(source, heartbeat=0.01, **more)
    )
    async with served(broker, **OPTIONS) as url, client_of(url) as client, following(client) as events:
        blocks = [await anext(events.blocks) for _ in range(4)]
    assert blocks[0].startswith("retry: 2000\nevent: snapshot\n")
    assert blocks[1:] == [":"] * 3


async def test_streams_end_with_the_server_and_with_the_client(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leaves first, the watch is closed; a server that ends does not wait for its readers."""
    made: list[Any] = []
    monkeypatch.setattr(
        "graflow_async.ui.server.create_app", lambda source, **more: made.append(create_app(source, **more)) or made[0]
    )
    async with AsyncExitStack() as outer:
        async with served(broker, **OPTIONS) as url:
            client = await outer.enter_async_context(client_of(url))
            async with following(client) as events:
                await events.next()
            events = await outer.enter_async_context(following(client))
            await events.next()
        assert await events.next() == ("end", None)
    assert len(made[0].state.site.streams) == 0


async def test_a_broker_that_closes_ends_the_streams(broker: MemoryBroker) -> None:
    """A stream without a broker behind it is over, and says so by ending."""
    async with served(broker, **OPTIONS) as url, client_of(url) as client, following(client) as events:
        await events.next()
        await broker.aclose()
        assert await events.next() == ("end", None)


async def test_there_are_not_too_many(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is refused with 429, and let in when another has left."""
    monkeypatch.setattr(site, "MOST_STREAMS", 2)
    async with served(broker, **OPTIONS) as url, client_of(url) as client:
        async with following(client) as one, following(client) as two:
            await one.next()
            await two.next()
            refused = await client.get("api/events")
            assert (refused.status_code, refused.json()["error"]) == (429, "too_many")
            assert refused.headers["retry-after"] == "30"
        for _ in range(1000):  # the server hears of the end when it hears of it
            async with client.stream("GET", "api/events") as response:
                if response.status_code == 200:
                    break
        else:
            pytest.fail("nobody was let in any more")


async def test_a_long_list_is_cut(broker: MemoryBroker) -> None:
    """Of very many open questions the stream begins with the oldest, and says how many more there are."""
    requests = [question() for _ in range(510)]
    await put(broker, *requests)
    async with served(broker, **OPTIONS) as url, client_of(url) as client, following(client) as events:
        _, data = await events.next()
    assert [one["id"] for one in data["questions"]] == [one.id for one in requests[:500]]
    assert data["more"] == 10
