"""What a task may ask, and what it gets: every type, the checks before anybody is asked, and what is told of it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from graflow_async import (
    ConfigError,
    FeedbackManager,
    FeedbackRequested,
    FeedbackSettled,
    FeedbackState,
    FeedbackTimeoutError,
    GraflowRuntimeError,
    InvalidAnswerError,
    MemoryBroker,
    StoreError,
    Task,
    Workflow,
)
from tests.feedback.people import BrokenBroker, alone, answer, in_thread, leaves, settled, shown, spoken, told

BOTH = pytest.mark.parametrize("way", ["sync", "async"])


# -- types --------------------------------------------------------------------------------------------------------

CASES: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("approval", {}, {"approved": False}, False),
    ("text", {}, {"text": ""}, ""),
    ("selection", {"options": ["a", "b"]}, {"selected": "b"}, "b"),
    ("multi_selection", {"options": ["a", "b", "c"]}, {"selected": ["c", "a"]}, ["c", "a"]),
    ("multi_selection", {"options": ["a"]}, {"selected": []}, []),
    ("custom", {}, {"value": {"x": [1, None]}}, {"x": [1, None]}),
    ("custom", {}, {}, None),
    ("custom", {"schema": {"type": "integer"}}, {"value": 3}, 3),
]


@BOTH
@pytest.mark.parametrize(("kind", "asked", "given", "value"), CASES, ids=str)
async def test_every_type(way, kind, asked, given, value, manager):
    """Each type gives its own kind of value, falsy ones included."""

    def asks(ctx):
        response = yield ctx.request_feedback(kind, "?", request_id="q", **asked)
        return response.value, response.is_default, response.responded_by

    person = answer(manager, q=given | {"responded_by": "ada"})
    assert await told(alone(spoken(way, asks)), manager, person) == (value, False, "ada")


@dataclass
class Order:
    item: str
    count: int = 1


@BOTH
async def test_a_model_makes_an_object(way, manager):
    """With a model the answer is an object of it; the question carries its schema, which refuses what does not fit."""

    def asks(ctx):
        return (yield ctx.request_feedback("custom", "?", request_id="q", schema=Order)).value

    async def person() -> None:
        (record,) = await shown(manager.broker, "q")
        assert record.request.schema is not None
        assert record.request.schema["required"] == ["item"]
        with pytest.raises(InvalidAnswerError, match="count"):
            await manager.respond("q", value={"item": "tea", "count": "many"})
        await manager.respond("q", value={"item": "tea", "count": 2})

    assert await told(alone(spoken(way, asks)), manager, person()) == Order("tea", 2)


async def test_a_models_own_refusal_asks_again(manager):
    """What only the model refuses is asked again under the same name, with the reason, until it fits."""
    pydantic = pytest.importorskip("pydantic")

    def is_even(value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    even: Any = Annotated[int, pydantic.AfterValidator(is_even)]

    async def asks(ctx: Any) -> Any:
        return (await ctx.request_feedback("custom", "?", request_id="q", schema=even, metadata={"a": 1})).value

    async def person() -> None:
        (first,) = await shown(manager.broker, "q")
        await manager.respond("q", value=3)
        (second,) = await shown(manager.broker, "q")
        assert second.request.id != first.request.id
        assert second.request.metadata["a"] == 1
        assert "must be even" in second.request.metadata["refused"]
        await manager.respond("q", value=4)

    assert await told(alone(asks), manager, person()) == 4


@BOTH
async def test_what_people_see(way, manager):
    """Prompt, options, metadata, assignee, deadline and who asks are shown; lists are of one person."""

    def asks(ctx):
        more: Any = {"metadata": {"cost": 3}, "assignee": "ada", "timeout": 30}
        yield ctx.request_selection("Which?", options=["a"], request_id="q", **more)

    async def person() -> None:
        (record,) = await shown(manager.broker, "q")
        request = record.request
        assert (request.prompt, request.options, request.metadata) == ("Which?", ("a",), {"cost": 3})
        assert (request.run_id, request.workflow, request.task_id) == ("r", "w", "asks")
        assert request.deadline == pytest.approx(request.created_at + 30)
        assert [r.request.id for r in await manager.list_pending("r", "ada")] == [request.id]
        assert await manager.list_pending("r", "bob") == []
        await manager.respond(request.id, selected="a")

    await told(alone(spoken(way, asks)), manager, person(), run_id="r")


# -- checks -------------------------------------------------------------------------------------------------------

WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (("vote", "?"), {}, "no type of feedback 'vote'"),
    (("text",), {}, "has a text"),
    (("text", " "), {}, "has a text"),
    (("text", 5), {}, "has a text"),
    (("text", "?"), {"message": "?"}, "not both"),
    (("text", "?"), {"timeout": 0}, "timeout"),
    (("text", "?"), {"timeout": -1}, "timeout"),
    (("text", "?"), {"timeout": "soon"}, "timeout"),
    (("text", "?"), {"request_id": ""}, "request_id"),
    (("text", "?"), {"channel_key": 5}, "channel_key"),
    (("text", "?"), {"assignee": ""}, "assignee"),
    (("text", "?"), {"options": ["a"]}, "belongs to a selection"),
    (("text", "?"), {"schema": {}}, "custom"),
    (("selection", "?"), {}, "needs options"),
    (("selection", "?"), {"options": "abc"}, "needs options"),
    (("selection", "?"), {"options": []}, "needs options"),
    (("selection", "?"), {"options": ["a", "a"]}, "twice"),
    (("selection", "?"), {"options": ["a", 1]}, "not 1"),
    (("selection", "?"), {"options": ["a"], "default": "b"}, "default='b'"),
    (("approval", "?"), {"default": "yes"}, "default='yes'"),
    (("custom", "?"), {"schema": {"type": "nothing"}}, "neither"),
    (("custom", "?"), {"schema": {"type": "integer"}, "default": "x"}, "default='x'"),
    (("text", "?"), {"metadata": {"x": object()}}, "JSON"),
    (("text", "?"), {"metadata": {"x": float("nan")}}, "JSON"),
]


@BOTH
@pytest.mark.parametrize(("args", "more", "why"), WRONG, ids=lambda value: str(value).partition(" at 0x")[0][:60])
async def test_questions_that_make_no_sense(way, args, more, why, manager):
    """A question is checked before anybody is asked, and the error says what is wrong with it."""

    def asks(ctx):
        yield ctx.request_feedback(*args, **more)

    with pytest.raises(ConfigError, match=why):
        await alone(spoken(way, asks)).run(feedback=manager)
    assert await manager.broker.find() == []


async def test_asking_where_no_task_runs(manager):
    """Only tasks ask; the error says what else the manager is for."""
    with pytest.raises(GraflowRuntimeError, match="only a task can ask"):
        manager.request_feedback("q", message="?")


async def test_asking_through_a_strangers_broker(manager):
    """A manager of another place cannot ask for a run: its answers would never arrive."""

    async def asks(ctx: Any) -> None:
        await manager.request_feedback("q", message="?")

    with pytest.raises(ConfigError, match="own broker"):
        await alone(asks).run(feedback=MemoryBroker())


async def test_blocking_verbs_on_the_loop(manager):
    """A sync task that runs on the loop itself is told that it would block everything."""

    def asks(ctx: Any) -> None:
        ctx.request_approval("?")

    with pytest.raises(GraflowRuntimeError, match="runs on the event loop itself"):
        await alone(asks, executor="inline").run(feedback=manager)


# -- time ---------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_default_in_time(way, manager):
    """Nobody answers: the default counts, is marked as such, and goes into the channel; the question has expired."""

    def asks(ctx):
        more: Any = {"timeout": 0.03, "default": ["b"], "channel_key": "k", "request_id": "q"}
        response = yield ctx.request_feedback("multi_selection", "?", options=["a", "b"], **more)
        return response.value, response.is_default, (yield ctx.get_channel().get("k"))

    assert await alone(spoken(way, asks)).run(feedback=manager) == (["b"], True, ["b"])
    assert (await manager.get("q")).state is FeedbackState.EXPIRED


@pytest.mark.unrecorded
@BOTH
async def test_uncaught_without_a_journal(way, manager):
    """Without a journal an uncaught timeout fails the run, with the names in the error."""

    def asks(ctx):
        yield ctx.request_approval("?", timeout=0.03, request_id="q")

    with pytest.raises(FeedbackTimeoutError, match=r"nobody answered 'q' within 0.03 s") as caught:
        await alone(spoken(way, asks)).run(feedback=manager)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.request_id == "q"


async def test_asked_again_in_a_loop(manager):
    """A body that asks again after a timeout opens the same question, and a late answer to it counts."""
    rounds: list[int] = []

    async def asks(ctx: Any) -> Any:
        while True:
            try:
                return await ctx.request_approval("?", request_id="q", timeout=0.05)
            except FeedbackTimeoutError:
                rounds.append(1)
                if len(rounds) == 2:
                    await settled(manager.broker, "q")
                    await manager.respond("q", approved=True)

    assert await alone(asks).run(feedback=manager) is True
    assert len(rounds) == 2
    (record,) = await manager.broker.find()
    assert record.state is FeedbackState.ANSWERED


# -- around it ----------------------------------------------------------------------------------------------------

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="none")


async def test_contextvars_stay_where_they_were_set(manager):
    """What a body sets before it asks is there after the answer, and is in no other body nor in a handler's task."""
    seen: list[str] = []

    class Handler:
        async def on_request_created(self, request: Any) -> None:
            seen.append(VAR.get())

    async def asks(ctx: Any) -> str:
        VAR.set(ctx.task_id)
        await ctx.request_approval("?", request_id=ctx.task_id)
        return VAR.get()

    wf = Workflow("w", Task("a", asks, inject_context=True) | Task("b", asks, inject_context=True))
    asking = FeedbackManager(manager.broker, handlers=[Handler()])
    assert await told(wf, asking, answer(manager, a=True, b=True)) == {"a": "a", "b": "b"}
    assert seen == ["none", "none"]
    assert VAR.get() == "none"


async def test_listeners_are_told(manager):
    """FeedbackRequested and FeedbackSettled tell of every question, with the answer or how else it ended."""
    told_of: list[Any] = []

    async def asks(ctx: Any) -> None:
        await ctx.request_approval("?", request_id="yes")
        with pytest.raises(FeedbackTimeoutError):
            await ctx.request_approval("?", request_id="late", timeout=0.03)
        with pytest.raises(TimeoutError):
            await leaves(ctx.request_approval("?", request_id="left"), manager.broker, "left")

    kinds = (FeedbackRequested, FeedbackSettled)
    listeners = [lambda event: told_of.append(event) if isinstance(event, kinds) else None]
    await told(alone(asks), manager, answer(manager, yes=True), listeners=listeners, run_id="r")
    assert [(type(e).__name__, e.request.request_id, getattr(e, "outcome", None)) for e in told_of] == [
        ("FeedbackRequested", "yes", None),
        ("FeedbackSettled", "yes", "answered"),
        ("FeedbackRequested", "late", None),
        ("FeedbackSettled", "late", "expired"),
        ("FeedbackRequested", "left", None),
        ("FeedbackSettled", "left", "withdrawn"),
    ]
    assert {(e.run_id, e.task_id) for e in told_of} == {("r", "asks")}
    assert isinstance(told_of[1], FeedbackSettled)
    assert told_of[1].response.approved is True


# -- brokers that fail --------------------------------------------------------------------------------------------


@BOTH
async def test_a_broker_that_refuses(way):
    """Whoever asks hears of a broker that fails, and may catch it; the next question may work."""
    broker = BrokenBroker("ask")

    def asks(ctx):
        try:
            yield ctx.request_approval("?", request_id="first")
        except StoreError as error:
            broker.broken.clear()
            return str(error), (yield ctx.request_approval("?", request_id="second"))

    manager = FeedbackManager(broker)
    assert await told(alone(spoken(way, asks)), manager, answer(manager, second=True)) == ("ask refused", True)
    assert [r.request.request_id for r in await broker.find()] == ["second"]


async def test_a_broker_that_refuses_fails_the_run():
    """Uncaught, the broker's error is the run's."""

    async def asks(ctx: Any) -> None:
        await ctx.request_approval("?")

    with pytest.raises(StoreError, match="ask refused"):
        await alone(asks).run(feedback=BrokenBroker("ask"))


@pytest.mark.parametrize("broken", ["settle", "get settle", "drop", "letters"])
async def test_a_broker_that_fails_later(broken, caplog):
    """A broker that cannot settle, drop or list does not hang the run: timeouts count, the log says what failed."""
    broker = BrokenBroker(*broken.split())
    manager = FeedbackManager(broker)
    await manager.respond("early", approved=True, run_id="r")

    patience = 60.0 if broken == "drop" else 0.05  # the early answer is found

    async def asks(ctx: Any) -> list[Any]:
        first = await ctx.request_approval("?", request_id="early", timeout=patience, default=False)
        return [first, await ctx.request_approval("?", request_id="q", timeout=0.05, default=False)]

    value = await asyncio.wait_for(alone(asks).run(run_id="r", feedback=manager), 60)
    assert value == ([True, False] if broken == "drop" else [False, False])
    assert f"{broken.split()[-1]} refused" in caplog.text


async def test_a_broker_that_cannot_be_watched_for_a_while():
    """A watch that fails is tried again, and an answer that was given meanwhile is found."""
    broker = BrokenBroker("watch")
    manager = FeedbackManager(broker)

    async def asks(ctx: Any) -> bool:
        return await ctx.request_approval("?", request_id="q")

    async with alone(asks).start(feedback=manager) as run:
        await broker.asked.wait()
        (record,) = await broker.find()
        await manager.respond(record.request.id, approved=True)
        broker.broken.clear()
        assert await asyncio.wait_for(_value(run), 60) is True


async def _value(run: Any) -> Any:
    return await run


def test_answered_from_a_thread_with_its_own_loop(manager):
    """A sync program asks; a thread without anything in common with its loop answers, blocking."""

    def asks(ctx: Any) -> bool:
        return ctx.request_approval("?", request_id="q")

    def blocking() -> None:
        assert manager.respond("q", approved=True).state is FeedbackState.ANSWERED

    async def person() -> None:
        await shown(manager.broker, "q")
        thread = threading.Thread(target=blocking)
        thread.start()
        await asyncio.to_thread(thread.join)

    with in_thread(person):
        assert alone(asks).execute(feedback=manager, timeout=60) is True
