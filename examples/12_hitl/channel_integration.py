"""Answers that land in the channel, asked for in plain functions through `FeedbackManager()`.

The person is a thread of the same program here; any process that sees the same directory could be it as well.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

from graflow_async import (
    FeedbackManager,
    FeedbackRequest,
    FeedbackType,
    InvalidAnswerError,
    SyncTaskExecutionContext,
    Workflow,
    task,
)

MODELS = ["small", "medium", "large"]


class Desk:
    """Is told of every question as a handler, and answers it from a thread of its own."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        """Know what to answer: for each question one answer after the other, until one fits."""
        self._answers = answers
        self._asked: queue.SimpleQueue[FeedbackRequest | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work)

    def on_request_created(self, request: FeedbackRequest) -> None:
        """Take a question; called by the run."""
        self._asked.put(request)

    def __enter__(self) -> None:
        """Open."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Close, when everything that was asked is answered."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (request := self._asked.get()) is not None:
            print(f"  {request.prompt} {' / '.join(request.options or ())}".rstrip())
            for answer in self._answers[request.request_id]:
                try:
                    FeedbackManager().respond(request.id, value=answer, responded_by="ada")
                except InvalidAnswerError as error:
                    print(f"    refused: {error}")


# -- tasks ----------------------------------------------------------------------------------------------------


@task(inject_context=True)
def ask_query(ctx: SyncTaskExecutionContext) -> None:
    """Ask for a text: it is in the channel before this function goes on."""
    feedback = FeedbackManager().request_feedback(
        request_id="user_input",
        feedback_type=FeedbackType.TEXT,
        message="Enter search query:",
        channel_key="search_query",
        execution_context=ctx.execution_context,
        timeout=60,
    )
    assert ctx.get_channel().get("search_query") == feedback.value


@task(inject_context=True)
def ask_model(ctx: SyncTaskExecutionContext) -> None:
    """Ask for one of several options; the shorter form, with the same effect."""
    ctx.request_selection("Select model to use:", MODELS, request_id="model_selection", channel_key="model", timeout=60)


@task(inject_context=True)
def ask_sources(ctx: SyncTaskExecutionContext) -> None:
    """Ask for any of several options."""
    ctx.request_multi_selection("Where to look?", ["web", "wiki", "mail"], request_id="sources", channel_key="sources")


@task(inject_context=True)
def search(ctx: SyncTaskExecutionContext, search_query: str, model: str, sources: list[str]) -> str:
    """Use the answers as any value of the channel; the whole response stands beside each."""
    response = ctx.get_channel().get("model.__feedback_response__")
    return f"{search_query!r} in {' and '.join(sources)}, model {model} (chosen by {response.responded_by})"


asking = Workflow("search", ask_query >> ask_model >> ask_sources >> search)

if __name__ == "__main__":
    desk = Desk(
        {"user_input": ["tide tables"], "model_selection": ["huge", "medium"], "sources": [["web", "mail"]]},
    )
    with desk:
        print(asking.execute(feedback=FeedbackManager(handlers=[desk])))
