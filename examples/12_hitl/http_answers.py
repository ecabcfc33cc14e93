"""Runs inside a web application: a handler awaits a run, its questions are answered over HTTP, in the same process.

The inbox that is mounted under `/inbox` is a page for people (open it in a browser) and an API for programs; it takes a
token. What follows here stands for the browser of a customer and for a program that answers.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from fastapi import FastAPI

from graflow_async import FeedbackManager, TaskExecutionContext, Workflow, task
from graflow_async.ui import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 100.0


# -- the workflow ---------------------------------------------------------------------------------------------


@task
async def check(ctx: TaskExecutionContext, amount: float) -> str:
    """Let small refunds through, and ask about large ones."""
    if amount <= LIMIT:
        return "paid"
    answer = await ctx.request_feedback(
        "approval", f"Refund {amount:.2f}?", request_id="refund", metadata={"limit": LIMIT}, timeout=60
    )
    return "paid" if answer.approved else f"refused: {answer.reason}"


@task
async def collect(ctx: TaskExecutionContext, check: str) -> dict[str, str]:
    """Wait until the till says that the money is there; an event, which is nobody's question."""
    receipt = await ctx.wait_for_event("receipt", timeout=60) if check == "paid" else None
    return {"refund": check, "receipt": receipt["number"] if receipt else "none"}


refunds = Workflow("refunds", check >> collect)


# -- the application ------------------------------------------------------------------------------------------


def application(token: str) -> FastAPI:
    """Make a web application that runs workflows, with the inbox of their questions in it."""
    app = FastAPI()
    inbox = create_app(FeedbackManager(), token=token, title="Refunds to decide")
    app.mount("/inbox", inbox)
    app.state.streams = inbox.state.site.streams

    @app.post("/refunds/{number}")
    async def refund(number: str, amount: float) -> dict[str, str]:
        """Run a workflow, for as long as it takes; a client that hangs up cancels nothing here."""
        return await refunds.run(run_id=number, inputs={"amount": amount})

    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine, and give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        task_of_server = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            app.state.streams.close()  # they never end by themselves
            server.should_exit = True
            await task_of_server


# -- who answers ----------------------------------------------------------------------------------------------


async def events(client: httpx.AsyncClient) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Read the stream of changes: server-sent events, an empty line after each."""
    async with client.stream("GET", "api/events", timeout=httpx.Timeout(10, read=None)) as response:
        response.raise_for_status()
        kind = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


async def clerk(inbox: str, token: str, steps: asyncio.Semaphore) -> None:
    """Decide every question as it comes; very large amounts are refused. Each step lets the story go on."""
    async with httpx.AsyncClient(base_url=inbox, headers={"Authorization": f"Bearer {token}"}) as client:
        async for kind, content in events(client):
            if kind == "snapshot":
                print(f"clerk: {len(content['questions'])} open questions")
                steps.release()
            elif kind == "question" and content["state"] == "pending":
                is_fine = content["metadata"]["limit"] * 10 >= float(content["prompt"].split()[1].rstrip("?"))
                said = {"approved": is_fine, "reason": None if is_fine else "too much", "revision": content["revision"]}
                reply = await client.post(f"api/questions/{content['id']}/answer", json=said)
                print(f"clerk: {content['prompt']} -> {reply.status_code}, {reply.json()['state']}")
                again = await client.post(f"api/questions/{content['id']}/answer", json={"approved": not is_fine})
                print(f"clerk: and the other way round -> {again.status_code}, {again.json()['error']}")
                steps.release()


async def till(inbox: str, token: str, number: str) -> None:
    """Tell a run that its money is there; it need not have begun: what is sent to it is kept."""
    async with httpx.AsyncClient(base_url=inbox, headers={"Authorization": f"Bearer {token}"}) as client:
        sent = await client.post(f"api/runs/{number}/events/receipt", json={"payload": {"number": f"R-{number}"}})
        print(f"till: receipt for {number} -> {sent.status_code}")


async def main() -> None:
    """Serve, let somebody answer, and be a customer."""
    token = secrets.token_urlsafe(32)
    async with serving(application(token)) as address, asyncio.TaskGroup() as group:
        inbox, steps = f"{address}/inbox/", asyncio.Semaphore(0)
        answering = group.create_task(clerk(inbox, token, steps))
        await steps.acquire()
        await till(inbox, token, "a-1")
        async with httpx.AsyncClient(base_url=address, timeout=60) as customer:
            stranger = await customer.get("/inbox/api/questions")
            print(f"without the token -> {stranger.status_code}, {stranger.json()['error']}")
            for number, amount in (("a-1", 250), ("a-2", 5000)):
                reply = await customer.post(f"/refunds/{number}", params={"amount": amount})
                await steps.acquire()
                print(f"customer: {reply.json()}")
        answering.cancel()


if __name__ == "__main__":
    asyncio.run(main())
