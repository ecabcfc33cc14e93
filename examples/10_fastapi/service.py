"""A web service around two workflows: one is awaited by its request, the other goes on by itself and asks an editor.

    python service.py [--port 8000]
    uvicorn --factory service:create_app --timeout-graceful-shutdown 5

All state is in `app.state`, so that tests make an application each.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator  # noqa: TC003  # FastAPI reads the annotations
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from summaries import FirstSentence, Model, NothingToSummariseError, workflows

from graflow_async import (
    Event,
    EventsLost,
    FeedbackManager,
    FeedbackRequested,
    GraflowWorkflowCanceledError,
    MemoryBroker,
    Run,
    RunFinished,
    TaskTimeoutError,
    Workflow,
)
from graflow_async.ui import create_app as create_inbox

logger = logging.getLogger("summaries")

STATUS = {NothingToSummariseError: 422, GraflowWorkflowCanceledError: 503, TaskTimeoutError: 504}
"""What a client is told of failures that are no surprise; all others are a 500, and their texts stay in the log."""


class Text(BaseModel):
    """What a client sends."""

    text: str = Field(max_length=1_000_000)


class Runs:
    """The runs of this process by their ids: later requests find them here, and nothing is left when it closes."""

    def __init__(self, most: int = 1000) -> None:
        """Keep so many runs; those that have ended go first."""
        self._most = most
        self._runs: dict[str, Run] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Run]:
        """Go through the runs, the oldest first."""
        return iter(self._runs.values())

    def get(self, run_id: str) -> Run | None:
        """Give a run."""
        return self._runs.get(run_id)

    async def start(self, workflow: Workflow, **options: Any) -> Run:
        """Start a run and keep its handle: what nobody holds, nobody could cancel.

        Raises:
            HTTPException: there are too many runs, or the service is about to end.
        """
        if self._closed or not self._has_room():
            raise HTTPException(503, "no run can begin now", {"Retry-After": "5"})
        run = workflow.start(**options)
        await run.open()
        self._runs[run.run_id] = run
        if self._closed:  # meanwhile: a run with a journal takes a moment to open
            run.cancel("the service ends")
        return run

    def _has_room(self) -> bool:
        """Forget the oldest run that has ended, if a place is needed, and say whether there is one."""
        if len(self._runs) >= self._most:
            ended = next((run.run_id for run in self if run.status != "running"), None)
            if ended is not None:
                del self._runs[ended]
        return len(self._runs) < self._most

    async def aclose(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        self._closed = True
        for run in self:
            run.cancel("the service ends")
        await asyncio.gather(*self, return_exceptions=True)


# -- what handlers share --------------------------------------------------------------------------------------


async def runs_of(request: Request) -> Runs:
    """Give the runs of the application."""
    return request.app.state.runs


async def run_of(run_id: str, request: Request) -> Run:
    """Give the run that a path names.

    Raises:
        HTTPException: 404.
    """
    run = request.app.state.runs.get(run_id)
    if run is None:
        raise HTTPException(404, "there is no such run")
    return run


AllRuns = Annotated[Runs, Depends(runs_of)]


async def value_for(request: Request, run: Run) -> Any:
    """Await a run for a client; if the client hangs up, the run is cancelled, as nobody wants its value any more.

    A server does not cancel a handler when its client goes away: it says so to whoever listens. That is a wait, not a
    poll. A handler that is cancelled itself cancels the run, too, because it awaits it.
    """

    async def hang_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        run.cancel("the client has gone")

    listening = asyncio.create_task(hang_up())
    try:
        return await run
    finally:
        listening.cancel()
        await asyncio.wait([listening])


def report(run: Run) -> None:
    """Log how a run failed that no handler awaits: nobody else would hear of it."""
    if run.status == "failed":
        logger.error("run %s of %s failed", run.run_id, run.name, exc_info=next(iter(run.failures.values()), None))


def told(event: Event) -> dict[str, Any]:
    """Say of an event what a client may know: neither results nor the texts of errors."""
    known: dict[str, Any] = {"task": event.task_id, "at": event.at}
    match event:
        case FeedbackRequested():
            known |= {"question": event.request.id, "prompt": event.request.prompt}
        case RunFinished():
            known |= {"status": event.status}
        case EventsLost():
            known |= {"count": event.count}
        case _:
            pass
    return known


# -- the routes -----------------------------------------------------------------------------------------------

router = APIRouter()


@router.post("/summaries")
async def summarise(given: Text, request: Request, runs: AllRuns) -> dict[str, str]:
    """Shorten a text: the handler awaits the run, for as long as the client does and `timeout` allows."""
    state = request.app.state
    run = await runs.start(state.summary, inputs={"text": given.text}, timeout=state.timeout)
    return {"summary": await value_for(request, run)}


@router.post("/articles", status_code=202)
async def submit(given: Text, request: Request, runs: AllRuns) -> dict[str, str]:
    """Shorten and publish a text; the run goes on after this answer, for an editor may take days."""
    state = request.app.state
    run = await runs.start(state.article, inputs={"text": given.text}, feedback=state.people)
    run.on_end(report)
    return {"id": run.run_id, "run": f"/runs/{run.run_id}", "events": f"/runs/{run.run_id}/events"}


@router.get("/runs")
async def show_all(runs: AllRuns) -> list[dict[str, str]]:
    """List the runs that are known."""
    return [{"id": run.run_id, "workflow": run.name, "status": run.status} for run in runs]


@router.get("/runs/{run_id}")
async def show(run: Annotated[Run, Depends(run_of)]) -> dict[str, Any]:
    """Say how far a run is, and what came of it. One that has ended does not have to be waited for."""
    value = await run if run.status == "completed" else None
    return {"id": run.run_id, "workflow": run.name, "status": run.status, "value": value, "failed": [*run.failures]}


@router.delete("/runs/{run_id}", status_code=202)
async def cancel(run: Annotated[Run, Depends(run_of)]) -> dict[str, str]:
    """Cancel a run; its stream tells when it has ended."""
    run.cancel("a client cancelled it")
    return {"id": run.run_id}


@router.get("/runs/{run_id}/events", response_class=EventSourceResponse)
async def follow(
    run: Annotated[Run, Depends(run_of)], last_event_id: Annotated[int, Header(ge=0)] = 0
) -> AsyncIterator[ServerSentEvent]:
    """Stream the story of a run from its start, or from where a browser lost the connection, until its end.

    Any number of clients may read; one that leaves does not touch the run.
    """
    number = 0
    async for event in run.events():
        number += event.count if isinstance(event, EventsLost) else 1
        if number > last_event_id:
            yield ServerSentEvent(event=type(event).__name__, id=str(number), data=told(event))


# -- the application ------------------------------------------------------------------------------------------


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer for a run that failed in a way that the client can do something about."""
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"detail": str(error) if status == 422 else type(error).__name__}, status)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """End the runs with the service: whatever server it is that tells the application to end."""
    try:
        yield
    finally:
        await app.state.runs.aclose()


def create_app(model: Model | None = None, *, token: str | None = None, timeout: float = 30.0) -> FastAPI:
    """Make the application.

    Args:
        model: shortens paragraphs.
        token: of the editors; None for that of GRAFLOW_UI_TOKEN. Without any only this machine may answer.
        timeout: seconds that a summary may take.
    """
    app = FastAPI(title="Summaries", lifespan=lifespan)
    state = app.state
    state.runs, state.people, state.timeout = Runs(), FeedbackManager(MemoryBroker()), timeout
    state.summary, state.article = workflows(model or FirstSentence())
    token = token or os.environ.get("GRAFLOW_UI_TOKEN")
    state.inbox = create_inbox(state.people, token=token, title="Articles to review")
    app.include_router(router)
    app.mount("/inbox", state.inbox)
    for kind in STATUS:
        app.add_exception_handler(kind, refuse)
    return app


class Server(uvicorn.Server):
    """Ends the runs before it waits for its requests: these wait for runs, and a stream ends when its run does."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what has to be ended, then serve what is left."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.inbox.state.site.streams.close()
        await app.state.runs.aclose()
        await super().shutdown(sockets)


def main() -> None:
    """Serve on this machine until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/docs", flush=True)
        Server(uvicorn.Config(create_app(), log_level="warning", ws="none")).run(sockets=[listener])


if __name__ == "__main__":
    main()
