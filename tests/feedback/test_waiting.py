"""Waiting for people: no slot, no thread of others; whoever stops waiting withdraws; events, early and late answers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from graflow_async import (
    AlreadyAnsweredError,
    ConfigError,
    FeedbackCancelledError,
    FeedbackState,
    FeedbackTimeoutError,
    FileBroker,
    GraflowRuntimeError,
    GraflowWorkflowCanceledError,
    InvalidAnswerError,
    MemoryCheckpointer,
    NotSerializableError,
    Task,
    TaskTimeoutError,
    Workflow,
    WorkflowPausedError,
    parallel,
)
from graflow_async.testing import FakeClock
from tests.feedback.people import alone, answer, leaves, settled, shown, spoken, told

BOTH = pytest.mark.parametrize("way", ["sync", "async"])


def naming(ctx: Any) -> Any:
    """Ask under the task's own id."""
    return (yield ctx.request_text_input("?", request_id=ctx.task_id))


# -- slots --------------------------------------------------------------------------------------------------------

LIMITS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sync", {"max_threads": 1}, {}),
    ("sync", {"max_concurrency": 1}, {}),
    ("async", {"max_concurrency": 1}, {}),
    ("async", {"limits": {"few": 1}}, {"limits": ["few"]}),
]


@pytest.mark.parametrize(("way", "options", "more"), LIMITS, ids=str)
async def test_who_waits_holds_no_slot(way, options, more, manager):
    """With room for one, all ask before anybody is answered; after the answers one at a time goes on."""
    working: list[int] = []

    def asks(ctx):
        value = yield ctx.request_text_input("?", request_id=ctx.task_id)
        working.append(1)
        assert len(working) == 1
        working.pop()
        return value

    count = 5 if way == "sync" else 50
    names = [f"t{n}" for n in range(count)]
    body = spoken(way, asks)
    wf = Workflow("w", parallel(*(Task(name, body, inject_context=True, **more) for name in names), name="all"))

    async def person() -> None:
        await shown(manager.broker, *names)
        for name in names:
            await manager.respond(name, text=name)

    assert await told(wf, manager, person(), **options) == {name: name for name in names}


# -- those who stop waiting ---------------------------------------------------------------------------------------


async def test_a_timeout_of_ones_own_withdraws(manager):
    """asyncio.timeout around a question withdraws it; the next one is another question."""

    async def asks(ctx: Any) -> Any:
        with pytest.raises(TimeoutError):
            await leaves(ctx.request_approval("?", request_id="q"), manager.broker, "q")
        return await ctx.request_approval("?", request_id="q")

    async def person() -> None:
        assert (await settled(manager.broker, "q")).state is FeedbackState.CANCELLED
        await answer(manager, q=True)

    assert await told(alone(asks), manager, person()) is True
    first, second = await manager.broker.find()
    assert first.request.id != second.request.id
    assert (first.state, second.state) == (FeedbackState.CANCELLED, FeedbackState.ANSWERED)


async def test_one_of_two_waiters_leaves(manager):
    """A question stays as long as one who asked it under its name waits."""

    async def asks(ctx: Any) -> Any:
        stays = asyncio.ensure_future(ctx.request_approval("?", request_id="q"))
        leaves = asyncio.ensure_future(ctx.request_approval("?", request_id="q"))
        await shown(manager.broker, "q")
        leaves.cancel()
        await asyncio.wait([leaves])
        await manager.respond("q", approved=True)
        return await stays

    assert await alone(asks).run(feedback=manager, timeout=60) is True


@BOTH
@pytest.mark.parametrize("how", ["cancel", "sibling", "run timeout", "task timeout", "terminate"])
async def test_ends_of_the_run_withdraw(way, how, manager):
    """Whatever ends the task that asks (its run cancelled, a sibling, a timeout), its question is cancelled."""
    go = asyncio.Event()

    async def other(ctx: Any) -> None:
        await go.wait()
        if how == "sibling":
            raise ValueError("sibling")
        if how == "terminate":
            ctx.terminate_workflow("enough")
        await asyncio.Event().wait() if how in ("cancel", "run timeout", "task timeout") else None

    clock = FakeClock()
    limit: Any = {"timeout": 1.0} if how == "task timeout" else {}
    first = Task("asks", spoken(way, naming), inject_context=True, **limit)
    wf = Workflow("w", parallel(first, Task("other", other, inject_context=True), name="both"))
    options: Any = {"timeout": 1.0} if how == "run timeout" else {}
    async with wf.start(feedback=manager, clock=clock, **options) as run:
        await shown(manager.broker, "asks")
        go.set()
        if "timeout" in how:
            await clock.advance(1.0)
        if how == "cancel":
            run.cancel("enough")
        if how == "terminate":
            await run
        else:
            with pytest.raises(BaseException) as caught:  # each end has its own
                await run
            error = caught.value.__cause__ or caught.value
            failed = getattr(caught.value, "failed", {})
            kind = {"cancel": GraflowWorkflowCanceledError, "run timeout": TaskTimeoutError}.get(how)
            assert isinstance(error, kind) if kind else failed
    (record,) = await manager.broker.find()
    assert record.state is FeedbackState.CANCELLED
    with pytest.raises(AlreadyAnsweredError, match="cancelled"):
        await manager.respond("asks", text="late")


async def test_left_behind_by_its_body(manager):
    """A question of an asyncio task that outlives its body ends with the run, and so does who waits for it."""
    left: list[asyncio.Task[Any]] = []

    async def asks(ctx: Any) -> str:
        left.append(asyncio.ensure_future(ctx.request_approval("?", request_id="q")))
        await shown(manager.broker, "q")
        return "gone"

    assert await alone(asks).run(feedback=manager) == "gone"
    assert (await manager.get("q")).state is FeedbackState.CANCELLED
    await asyncio.wait_for(asyncio.wait(left), 60)


@BOTH
async def test_cancelled_by_somebody(way, manager):
    """A cancelled question is an error for its task, with the reason; uncaught it fails the run."""

    async def person() -> None:
        await shown(manager.broker, "naming")
        await manager.cancel("naming", reason="not needed")

    with pytest.raises(ExceptionGroup) as caught:
        await told(alone(spoken(way, naming)), manager, person())
    (error,) = caught.value.exceptions
    assert isinstance(error, FeedbackCancelledError)
    assert error.reason == "not needed"


# -- early and late -----------------------------------------------------------------------------------------------


@BOTH
async def test_an_early_answer(way, manager):
    """An answer that came before its question is kept, and used up by it."""
    assert await manager.respond("naming", text="early", run_id="r", responded_by="ada") is None
    assert await alone(spoken(way, naming)).run(run_id="r", feedback=manager) == "early"
    assert (await manager.get("naming")).response.responded_by == "ada"
    assert await manager.broker.letters("r") == []


async def test_an_early_answer_that_does_not_fit(manager, caplog):
    """An early answer of the wrong kind is dropped with a line in the log, and the question is open."""
    await manager.respond("naming", approved=True, run_id="r")
    assert await told(alone(spoken("async", naming)), manager, answer(manager, naming="good"), run_id="r") == "good"
    assert "is dropped" in caplog.text
    assert await manager.broker.letters("r") == []


async def test_answers_that_do_not_fit_leave_the_question_open(manager):
    """A refused answer changes nothing; late ones are refused, and say what became of the question."""

    async def person() -> None:
        await shown(manager.broker, "naming")
        with pytest.raises(InvalidAnswerError):
            await manager.respond("naming", approved=True)
        assert len(await manager.list_pending()) == 1
        await manager.respond("naming", text="first")
        with pytest.raises(AlreadyAnsweredError) as caught:
            await manager.respond("naming", text="second")
        assert caught.value.state == "answered"

    assert await told(alone(spoken("async", naming)), manager, person()) == "first"


class Counting(FileBroker):
    """A broker in files that counts how often a question has expired.

    Attributes:
        expired: how often.
    """

    __slots__ = ("expired",)

    def __init__(self, directory: Any) -> None:
        super().__init__(directory)
        self.expired = 0

    async def settle(self, question_id: str, state: FeedbackState, *args: Any, **more: Any) -> Any:
        self.expired += state is FeedbackState.EXPIRED
        return await super().settle(question_id, state, *args, **more)


async def test_every_round_has_its_time(tmp_path):
    """News of an earlier round, however late it comes, does not end the round in which a question is asked again."""
    rounds = 20
    broker = Counting(tmp_path)

    async def asks(ctx: Any) -> str:
        for _ in range(rounds):
            with pytest.raises(FeedbackTimeoutError):
                await ctx.request_approval("?", request_id="q", timeout=0.01)
        return "done"

    assert await alone(asks).run(feedback=broker) == "done"
    await broker.aclose()
    assert broker.expired == rounds


# -- events -------------------------------------------------------------------------------------------------------


async def expecting(ctx: Any) -> list[Any]:
    return [await ctx.wait_for_event("go"), await ctx.wait_for_event("go")]


@BOTH
async def test_events_are_kept_in_order(way, manager):
    """Events that nobody waits for are kept, the oldest first; each is taken once."""

    def body(ctx):
        first = yield ctx.wait_for_event("go")
        second = yield ctx.wait_for_event("go")
        return [first, second]

    async with alone(spoken(way, body)).start(feedback=manager) as run:
        run.send("another", 0)
        run.send("go", 1)
        run.send("go")
        assert await run == [1, None]


@pytest.mark.near  # who has asked to wait is not waiting yet, elsewhere
async def test_an_event_goes_to_everybody_who_waits(manager):
    """Whoever waits at that moment has it; who comes later has the next one."""
    waiting = asyncio.Event()
    begun: list[str] = []

    async def waits(ctx: Any) -> Any:
        begun.append(ctx.task_id)
        if len(begun) == 3:
            waiting.set()
        return await ctx.wait_for_event("go")

    wf = Workflow("w", parallel(*(Task(n, waits, inject_context=True) for n in "abc")) >> _again())
    async with wf.start(feedback=manager) as run:
        await waiting.wait()
        run.send("go", "now")
        run.send("go", "next")
        assert await run == ({"a": "now", "b": "now", "c": "now"}, "next")


def _again() -> Task[Any, Any]:
    async def again(ctx: Any) -> Any:
        return {name: await ctx.get_result(name) for name in "abc"}, await ctx.wait_for_event("go")

    return Task("again", again, inject_context=True)


async def test_events_from_elsewhere(manager):
    """FeedbackManager.send reaches a run that waits, and one that has not begun to."""
    await manager.send("r", "go", {"n": 1})

    async with alone(expecting).start(run_id="r", feedback=manager) as run:
        await manager.send("r", "go", {"n": 2})
        assert await asyncio.wait_for(_value(run), 60) == [{"n": 1}, {"n": 2}]
    assert await manager.broker.letters("r") == []
    with pytest.raises(ConfigError, match="JSON"):
        await manager.send("r", "go", object())


async def _value(run: Any) -> Any:
    return await run


@pytest.mark.unrecorded
async def test_events_that_do_not_come(manager):
    """A timeout of an event is FeedbackTimeoutError: caught, or the run fails; with a journal it pauses."""
    patience = [0.03]

    async def waits(ctx: Any) -> Any:
        return await ctx.wait_for_event("go", timeout=patience[0])

    with pytest.raises(FeedbackTimeoutError, match="'go'"):
        await alone(waits).run(feedback=manager)
    wf, place = alone(waits), MemoryCheckpointer()
    with pytest.raises(WorkflowPausedError):
        await wf.run(run_id="r", checkpointer=place, feedback=manager)
    await manager.send("r", "go", "meanwhile")
    patience[0] = 60.0
    assert await wf.resume("r", checkpointer=place, feedback=manager) == "meanwhile"
    assert await manager.broker.letters("r") == []


@pytest.mark.unrecorded
async def test_what_cannot_be_sent(manager):
    """Names are texts, runs have to live, and a journal has to keep the payload."""
    async with alone(expecting).start(checkpointer=MemoryCheckpointer(), feedback=manager) as run:
        for name in ("", None):
            with pytest.raises(ConfigError, match="an event has a name"):
                run.send(name)  # pyright: ignore[reportArgumentType]  # as untyped callers do
        with pytest.raises(NotSerializableError):
            run.send("go", threading.Lock())
        run.send("go", 1)
        run.send("go", 2)
        assert await run == [1, 2]
    with pytest.raises(GraflowRuntimeError, match="ended"):
        run.send("go")


async def test_events_and_what_waits_for_them_outlive_the_process(manager):
    """Events that were kept and those that were taken are what they were in the next life."""

    async def waits(ctx: Any) -> Any:
        first = await ctx.wait_for_event("a")
        return first, await ctx.wait_for_event("b"), await ctx.wait_for_event("a")

    wf, place = alone(waits), MemoryCheckpointer()
    async with wf.start(run_id="r", checkpointer=place, feedback=manager) as run:
        run.send("a", 1)
        run.send("a", 2)
        await asyncio.sleep(0)
        run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    await manager.send("r", "b", "from outside")
    assert await wf.resume("r", checkpointer=place, feedback=manager) == (1, "from outside", 2)
