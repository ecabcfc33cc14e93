"""A task that runs elsewhere answers for people as one here does: `FeedbackManager()` is its run's own there, too."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import (
    AlreadyAnsweredError,
    ConfigError,
    FeedbackCancelledError,
    FeedbackManager,
    FeedbackRecord,
    InvalidAnswerError,
    MemoryBroker,
    StoreError,
    Task,
    UnknownRequestError,
    Workflow,
    parallel,
)
from graflow_async._runtime import desk
from graflow_async.broker import Change
from tests.aids.loopback import Loopback
from tests.far.parts import event, far
from tests.feedback.people import answer, spoken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.near  # it crosses a border of its own
WAYS = pytest.mark.parametrize("way", ["sync", "async"])


class Watched(MemoryBroker):
    """Knows how many look at it."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    @asynccontextmanager
    async def watch(self, run_id: str | None = None) -> AsyncIterator[AsyncIterator[Change]]:
        """Count."""
        async with super().watch(run_id) as changes:
            self.open += 1
            try:
                yield changes
            finally:
                self.open -= 1


async def until_open(run_id: str, *names: str) -> list[str]:
    """Look until these questions are open, from whatever loop this is."""
    manager = FeedbackManager()
    async with manager.watch(run_id) as changes:
        while not set(names) <= {record.request.request_id for record in await manager.list_pending(run_id)}:
            await anext(changes)
    return sorted(names)


def asks(ctx: Any) -> Any:
    """Ask."""
    response = yield FeedbackManager().request_feedback("a", "text", "?")
    return response.text, response.responded_by


def hopes(ctx: Any) -> Any:
    """Ask what will be withdrawn."""
    try:
        yield ctx.request_approval("?", request_id="b")
    except FeedbackCancelledError as error:
        return str(error)


def waits(ctx: Any) -> Any:
    """Wait for an event."""
    return (yield ctx.wait_for_event("go"))


def answers(ctx: Any) -> Any:
    """Answer them all."""
    manager = FeedbackManager()
    record: FeedbackRecord = yield manager.get("a")
    errors: list[str] = []
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("c", {"text": "?"}),
        ("a", {"approved": True}),
        ("a", {"text": "yes", "responded_by": "ada"}),
        ("a", {"text": "no"}),
    ]
    for name, given in attempts:
        try:
            yield manager.respond(name, **given) if name == "a" else manager.get(name)
        except (UnknownRequestError, InvalidAnswerError, AlreadyAnsweredError) as error:
            said = str(error).replace(ctx.run_id, "RUN").partition(" at ")[0]  # when it was is another matter
            errors.append(f"{type(error).__name__}: {said}")
    withdrawn = yield manager.cancel("b", reason="never mind")
    yield manager.send(ctx.run_id, "go", {"n": 1})
    early = yield manager.respond("later", approved=True, run_id=ctx.run_id)
    return record.request.prompt, errors, withdrawn.state, early


def program(way: str) -> Workflow:
    """Make people and one who answers them, all of them tasks."""
    looks = spoken(way, answers)

    def in_thread(ctx: Any) -> Any:
        return asyncio.run(until_open(ctx.run_id, "a", "b")), looks(ctx)

    async def on_loop(ctx: Any) -> Any:
        return await until_open(ctx.run_id, "a", "b"), await looks(ctx)

    bodies = {body.__name__: spoken(way, body) for body in (asks, hopes, waits)}
    bodies["answers"] = in_thread if way == "sync" else on_loop
    return Workflow("w", parallel(*(Task(name, body, inject_context=True) for name, body in bodies.items())))


@WAYS
async def test_answering_there_as_here(way: str) -> None:
    """Every verb gives, and raises, the same; threads may use a loop of their own."""
    here, there = Watched(), Watched()
    expected = await program(way).run(feedback=here)
    loopback = Loopback()
    assert await program(way).run(feedback=there, executor=loopback) == expected
    assert loopback.count == 4
    assert (expected["asks"], expected["waits"]) == (("yes", "ada"), {"n": 1})
    assert [error.partition(":")[0] for error in expected["answers"][1][1]] == [
        "UnknownRequestError",
        "InvalidAnswerError",
        "AlreadyAnsweredError",
    ]
    assert here.open == there.open == 0


async def test_threads_that_ask_first_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run asks at one place, whoever is the first: who asked at a second one would never hear of an answer."""
    made: list[Any] = []
    make: Any = desk.Desk.__init__

    def make_slowly(self: Any, *args: Any) -> None:
        made.append(self)
        threading.Event().wait(0.05)
        make(self, *args)

    monkeypatch.setattr(desk.Desk, "__init__", make_slowly)
    both = threading.Barrier(2)

    def looks(ctx: Any) -> Any:
        both.wait(60)
        return ctx.feedback_broker

    found = await Workflow("w", parallel(*(Task(name, looks, inject_context=True) for name in "ab"))).run()
    assert found["a"] is found["b"]
    assert len(made) == 1


@WAYS
async def test_asking_through_a_manager_of_ones_own(way: str, tmp_path: Path) -> None:
    """A manager that looks where the run asks will do, as it is known by its place; any other is refused."""

    def through(ctx: Any) -> Any:
        response = yield FeedbackManager("file", checkpoint_dir=tmp_path).request_feedback("q", "text", "?")
        return response.text

    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    body = spoken(way, through)
    value, _ = await asyncio.gather(far(body, feedback=manager), answer(manager, q="fine"))
    assert value == "fine"
    with pytest.raises(ConfigError, match="own broker"):
        await far(body, feedback=MemoryBroker())


async def test_a_view_is_closed_with_its_body() -> None:
    """A body that is cancelled while it looks leaves no view open, and so does one that keeps it open for ever."""
    broker = Watched()

    async def looks(ctx: Any) -> None:
        async with FeedbackManager().watch() as changes:
            event("looks").set()
            await anext(changes)

    async def keeps(ctx: Any) -> str:
        await FeedbackManager().watch().__aenter__()
        return "open"

    running = asyncio.ensure_future(far(looks, feedback=broker))
    await event("looks").wait()
    assert broker.open == 1
    running.cancel()
    await asyncio.wait([running])
    assert broker.open == 0
    assert await far(keeps, feedback=broker) == "open"
    assert broker.open == 0


async def test_a_broker_that_fails() -> None:
    """What the run's broker raises comes to the body, from its verbs and from its views."""

    class Fails(MemoryBroker):
        __slots__ = ()

        async def find(self, **_: Any) -> Any:
            raise StoreError("no room")

        @asynccontextmanager
        async def watch(self, run_id: str | None = None) -> AsyncIterator[Any]:
            async with super().watch(run_id):
                if run_id is None:
                    raise StoreError("not open")
                yield failing()

    async def failing() -> AsyncIterator[Any]:
        for what in ("a change", "none"):
            if what == "none":
                raise StoreError("torn")
            yield Change("r")

    async def finds(ctx: Any) -> Any:
        await FeedbackManager().list_pending()

    async def opens(ctx: Any) -> Any:
        async with FeedbackManager().watch():
            pass

    async def looks(ctx: Any) -> Any:
        async with FeedbackManager().watch("r") as changes:
            assert (await anext(changes)).run_id == "r"
            await anext(changes)

    for body, why in ((finds, "no room"), (opens, "not open"), (looks, "torn")):
        with pytest.raises(StoreError, match=why):
            await far(body, feedback=Fails())
