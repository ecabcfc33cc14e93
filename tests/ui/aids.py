"""What the tests of the web inbox share: questions, clients, a served application, and whether anything has changed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx

from graflow_async.feedback import FeedbackRequest, FeedbackType
from graflow_async.ui import create_app, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastapi import FastAPI

    from graflow_async.broker import Broker

OPERATOR = "operator-Zq3vX9-hJ2kLw7Rb5tYc8Nd4Mf6Gs1Pa"
KEY = "signing-W8xQv2-nT6yKb4Hj9Zr3Lc7Dm5Fg1Se"
AUTHORISED = {"Authorization": f"Bearer {OPERATOR}"}
NOW = 1_700_000_000.0
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "As on the bill"},
        "amount": {"type": "number", "minimum": 0},
        "count": {"type": "integer", "default": 2},
        "paid": {"type": "boolean"},
        "currency": {"enum": ["EUR", "USD"]},
    },
    "required": ["name", "amount", "currency"],
    "additionalProperties": False,
}

_numbers = itertools.count(1)


def question(kind: str = "approval", prompt: str = "Shall we?", **more: Any) -> FeedbackRequest:
    """Make a question with an address of its own; later ones were asked later."""
    number = next(_numbers)
    if kind in ("selection", "multi_selection"):
        more.setdefault("options", ("red", "green", "blue"))
    given: dict[str, Any] = {
        "id": hashlib.sha256(str(number).encode()).hexdigest()[:32],
        "request_id": f"question-{number}",
        "run_id": "run-1",
        "task_id": "review",
        "feedback_type": FeedbackType(kind),
        "prompt": prompt,
        "created_at": NOW + number,
        "workflow": "release",
    }
    return FeedbackRequest(**given | more)


async def put(broker: Broker, *requests: FeedbackRequest) -> FeedbackRequest:
    """Ask questions, and give the first one."""
    for request in requests:
        await broker.ask(request)
    return requests[0]


def connect(app: Any, **options: Any) -> httpx.AsyncClient:
    """Give a client that calls the application in this process; what it raises inside becomes a 500."""
    peer = options.pop("client", ("127.0.0.1", 50_000))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=peer)
    return httpx.AsyncClient(transport=transport, **{"base_url": "http://localhost", **options})


def operated(broker: Any, **options: Any) -> FastAPI:
    """Make an application with a token for the operator and a key for tokens of questions."""
    return create_app(broker, **{"token": OPERATOR, "secret_keys": KEY, "now": lambda: NOW, **options})


@asynccontextmanager
async def served(source: Any, **options: Any) -> AsyncIterator[str]:
    """Serve the inbox on a free port of this machine, and give its address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(source, port=0, on_ready=ready.set_result, **options))
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        serving.result()
    try:
        yield ready.result()
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def contents(broker: Broker, *runs: str) -> str:
    """Write down everything that a broker knows."""
    records = [record.to_json() for record in await broker.find()]
    letters = {run: [asdict(letter) for letter in await broker.letters(run)] for run in runs}
    return json.dumps([records, letters], sort_keys=True)


def tree(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
