"""Handlers are told of questions all at once, whatever they are; one that fails does no harm to others."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from graflow_async import FeedbackManager, TaskExecutionContext, Workflow, task
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.errors import ConfigError
from graflow_async.handlers import DeliveryError, FeedbackHandler, check_handlers, notify
from tests.feedback.receiving import REQUEST, RESPONSE


class Recorder(FeedbackHandler):
    """Keeps what it hears; some methods are async and one is not there."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.thread: threading.Thread | None = None

    async def on_request_created(self, request: Any) -> None:
        self.heard.append(("created", request))

    def on_response_received(self, request: Any, response: Any) -> None:
        self.thread = threading.current_thread()
        self.heard.append(("received", request, response))


async def test_each_method_gets_its_arguments() -> None:
    """A question and its answer arrive as they are, in async methods and in plain ones, which run in a thread."""
    handler = Recorder()
    await notify([handler], "on_request_created", REQUEST)
    await notify([handler], "on_response_received", REQUEST, RESPONSE)
    await notify([handler], "on_request_timeout", REQUEST)
    assert handler.heard == [("created", REQUEST), ("received", REQUEST, RESPONSE)]
    assert handler.thread not in (None, threading.current_thread())


async def test_handlers_are_told_at_once() -> None:
    """Handlers do not wait for each other: two that wait for each other both end, and one of them blocks a thread."""
    is_there, may_go = asyncio.Event(), threading.Event()

    async def first(request: Any) -> None:
        await is_there.wait()
        may_go.set()

    def second(request: Any) -> None:
        loop.call_soon_threadsafe(is_there.set)
        assert may_go.wait(60)
        ended.append("second")

    loop, ended = asyncio.get_running_loop(), []
    await notify(
        [SimpleNamespace(on_request_created=first), SimpleNamespace(on_request_created=second)],
        "on_request_created",
        REQUEST,
    )
    assert ended == ["second"]


async def test_anything_that_can_be_called_is_told() -> None:
    """Partials, objects with an async `__call__` and plain functions that give an awaitable are all awaited."""
    heard: list[str] = []

    async def hear(word: str, request: Any) -> None:
        await asyncio.sleep(0)
        heard.append(word)

    class Callable:
        async def __call__(self, request: Any) -> None:
            await hear("object", request)

    calls = [functools.partial(hear, "partial"), Callable(), lambda request: hear("lambda", request)]
    await notify([SimpleNamespace(on_request_created=call) for call in calls], "on_request_created", REQUEST)
    assert sorted(heard) == ["lambda", "object", "partial"]


async def test_a_failing_handler_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What handlers raise goes to the log with their name, once each; the others are told, nothing is raised."""

    class Clumsy(FeedbackHandler):
        async def on_request_created(self, request: Any) -> None:
            raise ValueError("async trouble")

    class Broken(FeedbackHandler):
        def on_request_created(self, request: Any) -> None:
            raise OSError("sync trouble")

        def __repr__(self) -> str:
            return "a secret"

    class Lost(FeedbackHandler):
        async def on_request_created(self, request: Any) -> None:
            raise DeliveryError("a.host answered 500")

    class Odd:
        @property
        def on_request_created(self) -> Any:
            raise KeyError("no such method")

    last = Recorder()
    await notify([Clumsy(), Broken(), Lost(), Odd(), last], "on_request_created", REQUEST)
    assert last.heard == [("created", REQUEST)]
    records = [record for record in caplog.records if record.name == "graflow_async.feedback"]
    assert len(records) == 4
    for name, trouble in (("Clumsy", "async trouble"), ("Broken", "sync trouble"), ("Odd", "no such method")):
        (record,) = [record for record in records if name in record.getMessage()]
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert trouble in str(record.exc_info[1])
    (record,) = [record for record in records if "Lost" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "a.host answered 500" in record.getMessage()
    assert record.exc_info is None
    assert "a secret" not in caplog.text


async def test_cancellation_is_passed_on() -> None:
    """Who tells handlers can be cancelled: the handlers are, too, and the cancellation comes out."""
    has_begun, ends = asyncio.Event(), []

    async def wait(request: Any) -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    telling = asyncio.create_task(
        notify([SimpleNamespace(on_request_created=wait), Recorder()], "on_request_created", REQUEST)
    )
    await has_begun.wait()
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert ends == ["cancelled"]


async def test_a_handler_that_lets_a_cancellation_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A CancelledError that nobody asked for is that handler's failure, and not the end of who tells it."""

    async def let_out(request: Any) -> None:
        raise asyncio.CancelledError

    last = Recorder()
    await notify([SimpleNamespace(on_request_created=let_out), last], "on_request_created", REQUEST)
    assert last.heard
    assert "let a cancellation out" in caplog.text


def test_what_counts_as_a_handler() -> None:
    """Any object with one of the methods is a handler; a class, and an object without any, are refused by name."""
    some = SimpleNamespace(on_request_timeout=print)
    assert check_handlers(iter([some, Recorder()]))[0] is some
    for wrong, word in ((Recorder, "class Recorder"), (SimpleNamespace(on_request=print), "SimpleNamespace")):
        with pytest.raises(ConfigError, match=word):
            check_handlers([wrong])
    with pytest.raises(ConfigError, match="SimpleNamespace"):
        check_handlers([SimpleNamespace(on_request_timeout=3)])


async def test_a_run_tells_its_handlers() -> None:
    """A run tells the handlers of its manager what is asked and answered, and goes on whether they fail or not."""

    class Clumsy(Recorder):
        async def on_request_created(self, request: Any) -> None:
            await super().on_request_created(request)
            await manager.respond(request.id, approved=True, responded_by="ann")
            raise ValueError("trouble")

    @task
    async def ask(ctx: TaskExecutionContext) -> bool:
        return await ctx.request_approval("Deploy?", request_id="deploy")

    handler = Clumsy()
    manager = FeedbackManager(MemoryBroker(), handlers=[handler])
    assert await Workflow("asking", ask).run(feedback=manager) is True
    (_, request), (_, again, response) = handler.heard
    assert request.id == again.id
    assert (request.prompt, response.approved, response.responded_by) == ("Deploy?", True, "ann")
