"""A walk through the service, with a real server and a real client; it ends the server while an article is waiting."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

SERVICE = Path(__file__).with_name("service.py")
TEXT = """\
The tide tables are printed again. They had been out of print for a year, and harbours copied old ones by hand.

New columns show the currents. Sailors had asked for them since the spring.
"""


@asynccontextmanager
async def serving(token: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start the service as a process of its own on a free port, and give it and its address."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVICE), "--port", "0"),
        env={**os.environ, "GRAFLOW_UI_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        yield server, (await server.stdout.readline()).decode().removesuffix("/docs\n")
    finally:
        if server.returncode is None:
            server.terminate()
        await server.communicate()


async def events(client: httpx.AsyncClient, path: str, after: str = "0") -> AsyncGenerator[tuple[str, str, Any]]:
    """Read a stream of server-sent events: the number of each, what kind it is, and what it says."""
    timeout = httpx.Timeout(30, read=None)
    async with client.stream("GET", path, headers={"Last-Event-ID": after}, timeout=timeout) as response:
        response.raise_for_status()
        event: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, content = line.partition(": ")
            if name:
                event[name] = content
            elif "data" in event:
                yield event["id"], event["event"], json.loads(event["data"])
                event = {}


async def asked(client: httpx.AsyncClient, path: str) -> tuple[str, Any]:
    """Follow a run until it asks, then hang up; give the number of that event, and the question."""
    async with aclosing(events(client, path)) as story:
        async for number, kind, content in story:
            if kind == "FeedbackRequested":
                return number, content
    raise LookupError("the run has ended without a question")


async def main() -> None:
    """Be a client, an editor, and whoever stops the server."""
    token = secrets.token_urlsafe(32)
    editor = {"Authorization": f"Bearer {token}"}
    async with serving(token) as (server, address), httpx.AsyncClient(base_url=address, timeout=30) as client:
        print("a run that is awaited by its request")
        for text in (TEXT, " "):
            reply = await client.post("/summaries", json={"text": text})
            print(f"  {reply.status_code} {reply.json()}")

        print("a run that goes on by itself, and asks")
        article = (await client.post("/articles", json={"text": TEXT})).json()
        number, question = await asked(client, article["events"])
        print(f"  {question['prompt']}")
        address_of_answer = f"/inbox/api/questions/{question['question']}/answer"
        for headers in ({}, editor, editor):
            reply = await client.post(address_of_answer, json={"approved": True}, headers=headers)
            print(f"  answer: {reply.status_code}")
        async for _, kind, content in events(client, article["events"], after=number):
            print(f"  {kind} {content['task'] or content['status']}")
        print(f"  {(await client.get(article['run'])).json()['value']}")

        print("a server that ends while a run waits")
        article = (await client.post("/articles", json={"text": TEXT})).json()
        async for _, kind, content in events(client, article["events"]):
            if kind == "FeedbackRequested":
                server.terminate()
            elif kind in {"TaskCancelled", "RunFinished"}:
                print(f"  {kind} {content['task'] or content['status']}")
        await server.wait()
        print("  the server has ended")


if __name__ == "__main__":
    asyncio.run(main())
