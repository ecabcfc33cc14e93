"""Hostile input at every route: no failure inside, nothing told, nothing changed, nothing written elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from graflow_async.broker import Broker
from graflow_async.brokers.file import FileBroker
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.ui import create_app, question_token
from tests.ui.aids import AUTHORISED, KEY, NOW, OPERATOR, connect, contents, operated, put, question, served, tree
from tests.ui.corpus import BODIES, IDS, RAW_PATHS, TEXTS
from tests.ui.test_api import ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get")
POSTS = ("/api/questions/{}/answer", "/api/questions/{}/cancel", "/api/runs/{}/events/x", "/api/runs/x/events/{}")
GETS = (
    "/api/questions/{}",
    "/q/{}",
    "/static/{}",
    "/{}",
    "/api/x{}",
    "/api/questions?run_id={}",
    "/api/questions?after={}",
)


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 300 ids, 100 texts and 40 bodies, all different."""
    assert (len(set(IDS)) >= 300, len(set(TEXTS)) >= 100, len(set(BODIES)) >= 40) == (True, True, True)


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_no_id_reaches_anything(tmp_path: Path, kind: str) -> None:
    """Every id is unknown at every route that takes one; the broker and the disk are as they were."""
    folder = tmp_path / "a" / "b" / "inbox"
    broker: Broker = MemoryBroker() if kind == "memory" else FileBroker(folder, sync=False)
    await put(broker, question(), question("text"))
    before, files = await contents(broker), tree(tmp_path)
    allowed = {"/q/": {200, 404}, "/api/questions?": {200, 422}, "/api": {404, 405, 200, 401}}
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for one in IDS:
            for route in GETS:
                reply = await client.get(route.format(quote(one, safe="")), follow_redirects=False)
                wanted = next((found for start, found in allowed.items() if route.startswith(start)), {200, 404})
                assert reply.status_code in wanted, (route, one, reply.text)
                # The client itself takes "." out of a path, which leaves the list.
                assert reply.status_code != 200 or not route.startswith("/api/questions/{}") or "total" in reply.json()
            for route in POSTS[:2]:
                reply = await client.post(
                    route.format(quote(one, safe="")), json={"value": True} if "answer" in route else {}
                )
                assert reply.status_code in (404, 405), (route, one, reply.text)
    assert await contents(broker) == before
    assert tree(tmp_path) == files
    await broker.aclose()


async def test_no_name_of_a_run_or_event_leads_outside(tmp_path: Path) -> None:
    """Events go to runs of any name, into the broker's own folder, and nowhere else."""
    folder = tmp_path / "a" / "b" / "inbox"
    broker = FileBroker(folder, sync=False)
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for one in IDS:
            for route in POSTS[2:]:
                reply = await client.post(route.format(quote(one, safe="")), json={"payload": one})
                assert reply.status_code in (204, 404, 405, 422), (route, one, reply.text)
                assert reply.status_code != 204 or one.isprintable()
    assert tree(folder)
    assert [path for path in tree(tmp_path) if not path.startswith("a/b/inbox/")] == []
    await broker.aclose()


async def test_every_method_at_every_route(broker: MemoryBroker) -> None:
    """Only POST changes anything; whatever a route does not know is refused with 405, and never fails inside."""
    request = await put(broker, question())
    paths = ["/", "/q/x", "/static/app.js", "/api/health", "/api/questions", f"/api/questions/{request.id}", "/none"]
    paths += [f"/api/questions/{request.id}/answer", f"/api/questions/{request.id}/cancel", "/api/runs/r/events/e"]
    before = await contents(broker, "r")
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for path in paths:
            for method in METHODS:
                if method == "POST" and path.endswith(("/answer", "/cancel", "/e")):
                    continue
                for extra in ({}, {"X-HTTP-Method-Override": "POST", "X-Method-Override": "DELETE"}):
                    body = {"approved": True}
                    url = f"{path}?_method=POST&approved=true"
                    reply = await client.request(method, url, json=body, headers=extra)
                    assert reply.status_code in (200, 404, 405, 422), (method, path, reply.text)
    assert await contents(broker, "r") == before


@pytest.mark.parametrize("kind", ["approval", "text", "selection", "multi_selection", "custom"])
async def test_no_body_breaks_anything(broker: MemoryBroker, kind: str) -> None:
    """Every hostile body is refused with the status that says why, and leaves the question open."""
    request = await put(broker, ask(kind))
    before = await contents(broker, "r")
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for content_type, raw in BODIES:
            for path in (
                f"/api/questions/{request.id}/answer",
                f"/api/questions/{request.id}/cancel",
                "/api/runs/r/events/e",
            ):
                headers: Any = {"Content-Type": content_type.encode("latin-1")} if content_type else {}
                reply = await client.post(path, content=raw, headers=headers)
                wanted = (400, 413, 422) if content_type == "application/json" else (415,)
                assert reply.status_code in wanted, (content_type, raw[:60], reply.text)
                assert "Traceback" not in reply.text
                assert len(reply.text) < 2000
    assert await contents(broker, "r") == before


async def test_odd_values_meet_odd_schemas(broker: MemoryBroker) -> None:
    """Numbers that are too large for arithmetic, deep lists, and odd keys fit a schema or do not; nothing fails."""
    schemas: list[dict[str, Any]] = [
        {"type": "number", "multipleOf": 0.01}, {"type": "integer", "multipleOf": 3}, {"uniqueItems": True},
        {"type": "string", "format": "date", "maxLength": 5}, {"enum": [1, "a", None]},
        {"propertyNames": {"maxLength": 2}},
    ]  # fmt: skip
    values = [
        "1e308",
        "-1e308",
        "9" * 299,
        "-" + "9" * 299,
        "5e-324",
        "[[[1]],[[1]]]",
        '{"__proto__":1,"":2}',
        '"\\u0000"',
    ]
    values += ["[" * 20 + "]" * 20, "1.0000000000000000000001", "true", "[1,true,1.0]", '"x"', "null"]
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for schema in schemas:
            for value in values:
                request = await put(broker, question("custom", schema=schema))
                body = f'{{"value":{value}}}'
                headers = {"Content-Type": "application/json"}
                reply = await client.post(f"/api/questions/{request.id}/answer", content=body, headers=headers)
                assert reply.status_code in (200, 422), (schema, value, reply.text)


async def test_hostile_texts_are_kept_as_they_are(broker: MemoryBroker) -> None:
    """Markup in prompts, options, metadata, answers and reasons comes back as the same text, as JSON."""
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for text in TEXTS:
            request = await put(
                broker, question("selection", text, options=(text, "b"), metadata={text: text}, assignee=text)
            )
            reply = await client.post(f"/api/questions/{request.id}/answer", json={"selected": text, "reason": text})
            assert reply.headers["content-type"] == "application/json"
            shown = reply.json()
            assert [shown["prompt"], *shown["options"], shown["metadata"]] == [text, text, "b", {text: text}]
            assert (shown["response"]["value"], shown["response"]["reason"]) == (text, text)


async def test_a_large_body_is_stopped_as_it_comes(broker: MemoryBroker) -> None:
    """More than 64 KiB is refused with 413: by its announced size, or after the limit if it was not announced."""
    request = await put(broker, question("text"))
    path = f"/api/questions/{request.id}/answer"
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"text":"'
        while True:
            sent += 1024
            yield b"x" * 1024

    async with connect(operated(broker), headers={**AUTHORISED, "Content-Type": "application/json"}) as client:
        announced = await client.post(path, content=b'{"text":"' + b"x" * 70_000 + b'"}')
        fits = await client.post(path, content=b'{"text":"' + b"x" * (65_536 - 11) + b'"}')
    assert (announced.status_code, announced.json()["error"], fits.status_code) == (413, "too_large", 200)
    async with served(broker, token=OPERATOR) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        headers = {**AUTHORISED, "Content-Type": "application/json"}
        try:
            reply = await client.post(path, content=endless(), headers=headers)
        except httpx.TransportError:
            pass  # the server had hung up before it could be read why
        else:
            assert reply.status_code == 413
    assert sent < 50_000_000


async def raw_request(url: str, request: bytes) -> bytes:
    """Send bytes as they are, and give what comes back until the server hangs up."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_slow_body_is_given_up(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops coming is answered with 408, and the connection is closed."""
    request = await put(broker, question())
    monkeypatch.setattr(
        "graflow_async.ui.server.create_app", lambda source, **options: create_app(source, body_timeout=0.05, **options)
    )
    async with served(broker, token=OPERATOR) as url:
        head = f"POST /api/questions/{request.id}/answer HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Authorization: Bearer {OPERATOR}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 30\r\n\r\n"
        reply = await raw_request(url, head.encode() + b'{"approved":')
    status, _, body = reply.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"] == "too_slow"


async def test_a_real_server_survives_raw_bytes(broker: MemoryBroker) -> None:
    """Paths and heads that no client would send are refused; the server goes on, and nothing has changed."""
    await put(broker, question())
    before = await contents(broker)
    close = b"Connection: close\r\n\r\n"
    async with served(broker) as url:
        for path in RAW_PATHS:
            reply = await raw_request(url, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + close)
            status = int(reply.split(b" ", 2)[1])
            assert status < 500, (path, reply)
            assert b"root:" not in reply
            assert b"\r\nSet-Cookie" not in reply
            assert b"\r\nlocation" not in reply.lower()
        for raw in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET\r\n\r\n",
        ):
            reply = await raw_request(url, raw.replace(b"\r\n\r\n", b"\r\n" + close))
            assert reply.startswith(b"HTTP/1.1 400")
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get("api/questions")).json()["total"] == 1
    assert await contents(broker) == before


async def test_reading_changes_nothing(broker: MemoryBroker) -> None:
    """Whatever is read, by whomever, no change is ever announced: the first one is the one made at the end."""
    request = await put(broker, question())
    made = question_token(request, KEY, now=NOW)
    async with broker.watch() as changes:
        async with connect(operated(broker)) as client:
            for headers in ({}, AUTHORISED, {"Authorization": f"Bearer {made}"}):
                for path in ("/", f"/q/{request.id}", "/api/questions", f"/api/questions/{request.id}", "/api/health"):
                    for method in ("GET", "HEAD", "OPTIONS"):
                        await client.request(method, f"{path}?approved=true&_method=POST", headers=headers)
        last = await put(broker, question())
        change = await anext(aiter(changes))
    assert change.record is not None
    assert change.record.request.id == last.id
