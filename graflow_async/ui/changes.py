"""The stream of changes (server-sent events): what is open now, then everything that happens.

The client reads it with `fetch`, so that the token travels in a header. Whoever reconnects gets what is open again;
what `Last-Event-ID` says does not matter.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from starlette.responses import Response

from ..broker import Change
from ..feedback import FeedbackRecord
from .access import Caller
from .models import Following, question_of
from .questions import READING, RouteCaller, RouteSite, find_record, refusals
from .site import Site, clear_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

LARGEST_SNAPSHOT = 500
"""How many open questions a stream begins with, at most; the oldest ones."""
LONGEST_STREAM = 3600.0
"""Seconds after which a stream ends, and the client opens another one."""

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]

router = APIRouter(prefix="/api", dependencies=[Depends(HTTPBearer(auto_error=False)), Depends(clear_query)])


class _Stream(Response):
    """One client's view. It opens while it answers, so that whatever happens it is closed again."""

    def __init__(self, site: Site, caller: Caller, query: Following) -> None:
        """Keep what is wanted."""
        super().__init__()
        self._site = site
        self._caller = caller
        self._run_id = query.run_id
        self._assignee = query.assignee
        self._question_id = query.question_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the snapshot and the changes, until the client leaves, the token expires or the server ends."""
        del scope
        ended = asyncio.Event()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._site.streams.place(ended))
            changes = await stack.enter_async_context(self._site.inbox.watch(self._run_id))
            snapshot = await self._snapshot()
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _send(send, f"retry: 2000\n{_event('snapshot', snapshot)}")
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(self._tell(changes, send), name="graflow-ui-changes"),
                asyncio.create_task(self._beat(send), name="graflow-ui-heartbeat"),
                asyncio.create_task(_left(receive), name="graflow-ui-client"),
                asyncio.create_task(ended.wait(), name="graflow-ui-end"),
            ]
            try:
                done, _ = await asyncio.wait(tasks, timeout=self._lifetime(), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _snapshot(self) -> dict[str, Any]:
        """Give what is open, or the one question that was asked for."""
        if self._question_id is not None:
            found = [await find_record(self._site.inbox, self._caller, "show", self._question_id)]
        else:
            found = await self._site.inbox.pending(self._run_id, self._assignee)
        shown = [question_of(record) for record in found[:LARGEST_SNAPSHOT]]
        return {"questions": shown, "more": len(found) - len(shown)}

    async def _tell(self, changes: AsyncIterator[Change], send: Send) -> None:
        """Send every change that the client wants, and may see."""
        async for change in changes:
            if change.record is not None:
                if not self._is_wanted(change.record):
                    continue
                grant = self._caller.grant
                if grant is not None and change.record.request.revision != grant.revision:
                    return  # the client asks again, and is told why it may not see it
                await _send(send, _event("question", question_of(change.record)))
            elif change.letter is not None and self._question_id is None and self._assignee is None:
                told = {"run_id": change.run_id, "kind": change.letter.kind, "name": change.letter.name}
                await _send(send, _event("letter", told))

    def _is_wanted(self, record: FeedbackRecord) -> bool:
        if self._question_id is not None:
            return record.request.id == self._question_id
        return self._assignee in (None, record.request.assignee)

    async def _beat(self, send: Send) -> None:
        """Say now and then that the stream is alive: a connection that has died is found out by writing."""
        while True:
            await asyncio.sleep(self._site.heartbeat)
            await _send(send, ":\n\n")

    def _lifetime(self) -> float:
        grant = self._caller.grant
        left = LONGEST_STREAM if grant is None else grant.expires_at - self._site.now()
        return max(0.0, min(left, LONGEST_STREAM))


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `snapshot`, then `question` and `letter`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **refusals((*READING, 404, 409, 429)),
    },
    summary="Follow what happens",
)
async def follow(site: RouteSite, caller: RouteCaller, query: Annotated[Following, Query()]) -> Response:
    """Follow what happens: a `snapshot` of what is open, then every change as it comes.

    With `question_id` it is about that question alone, and a token for it is enough.
    """
    caller.require("list" if query.question_id is None else "show", query.question_id)
    if query.question_id is not None:
        await find_record(site.inbox, caller, "show", query.question_id)
    return _Stream(site, caller, query)


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode("ascii"), "more_body": True})


def _event(name: str, content: dict[str, Any]) -> str:
    """Write one event. JSON in ASCII has no line ends, whatever is in the texts."""
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
