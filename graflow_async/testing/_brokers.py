"""The part of the broker suite that is about watching, and what every part needs to run."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ..broker import Broker, Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, FeedbackType, Letter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

CROWD = 100
"""Questions in the tests of many at once."""


def question(name: str = "ok?", run_id: str = "run", **more: Any) -> FeedbackRequest:
    """Make a question; each has an address of its own."""
    given: dict[str, Any] = {
        "id": os.urandom(16).hex(),
        "request_id": name,
        "run_id": run_id,
        "task_id": "task",
        "feedback_type": FeedbackType.TEXT,
        "prompt": "Say something.",
        "created_at": 1000.0,
    }
    return FeedbackRequest(**given | more)


def answer(request: FeedbackRequest, text: str = "yes", at: float = 1001.0) -> FeedbackResponse:
    """Make an answer to a question."""
    return FeedbackResponse(request.request_id, request.feedback_type, at, text=text, responded_by="ada")


def letter(name: str = "event", run_id: str = "run", at: float = 1000.0, **more: Any) -> Letter:
    """Make a letter; each has an id of its own."""
    given: dict[str, Any] = {"id": os.urandom(16).hex(), "kind": "event", "payload": {"n": [1, None, "ü"]}}
    return Letter(name=name, run_id=run_id, sent_at=at, **given | more)


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    """Read the next `count` changes."""
    return [await anext(changes) for _ in range(count)]


async def answered(broker: Broker, request: FeedbackRequest, text: str = "yes", at: float = 1001.0) -> FeedbackRecord:
    """Answer a question."""
    return await broker.settle(request.id, FeedbackState.ANSWERED, answer(request, text, at), at=at)


class BrokerTests:
    """How a test gets its brokers.

    Attributes:
        patience: seconds after which a test gives up.
    """

    pytestmark = pytest.mark.asyncio
    patience = 60.0

    async def make_brokers(self) -> tuple[Broker, Broker]:
        """Make two brokers on one empty place, or give one twice if it is its own place; the suite closes them."""
        raise NotImplementedError("the subclass says how its brokers are made")

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[Broker, Broker]]:
        """Make two brokers, fail if a test hangs, and close them."""
        brokers = await self.make_brokers()
        try:
            async with asyncio.timeout(self.patience):
                yield brokers
        finally:
            for broker in brokers:
                await broker.aclose()


class WatchTests(BrokerTests):
    """What a watcher sees."""

    async def test_a_watch_sees_each_step_of_a_question(self) -> None:
        """Asked, expired, answered late, taken over; asked, expired, opened again, cancelled: all, and in order."""
        async with self.opened() as (broker, other), broker.watch("run") as changes, other.watch() as others:
            first, second = question("first"), question("second")
            steps = [await broker.ask(first), await broker.settle(first.id, FeedbackState.EXPIRED, at=1.0)]
            steps += [await answered(other, first), await other.ask(first, again=True)]
            steps += [await other.ask(second), await other.settle(second.id, FeedbackState.EXPIRED, at=2.0)]
            steps += [await broker.ask(second, again=True)]
            steps += [await broker.settle(second.id, FeedbackState.CANCELLED, at=3.0, reason="no need")]
            for view in (changes, others):
                seen = await take(view, 8)
                assert {change.run_id for change in seen} == {"run"}
                for request in (first, second):
                    mine = [record for record in steps if record.request.id == request.id]
                    assert [c.record for c in seen if c.record and c.record.request.id == request.id] == mine

    async def test_a_watch_begins_when_it_is_entered(self) -> None:
        """What was there before is not told of, what changes it afterwards is."""
        async with self.opened() as (broker, other):
            old = question("old")
            await broker.ask(old)
            await broker.post(letter())
            for run_id in ("run", None):
                watch = broker.watch(run_id)
                waiting = question("waiting")
                await other.ask(waiting)
                async with watch as changes:
                    settled = await answered(other, waiting)
                    assert await take(changes, 1) == [Change("run", settled)]

    async def test_a_watch_of_a_run_sees_that_run(self) -> None:
        """Other runs are none of its business; who watches all sees runs that nobody knew when the watch began."""
        async with self.opened() as (broker, other), broker.watch("mine") as mine, broker.watch() as everything:
            for number in range(10):
                await other.ask(question(f"{number}", run_id=f"run {number}"))
            await other.post(letter("hello", run_id="mine"))
            (seen,) = await take(mine, 1)
            assert seen.letter is not None
            assert (seen.run_id, seen.letter.name, seen.record) == ("mine", "hello", None)
            runs = {change.run_id for change in await take(everything, 11)}
            assert runs == {"mine", *(f"run {number}" for number in range(10))}

    async def test_what_changes_nothing_is_not_told(self) -> None:
        """Asking again, settling again the same way and posting twice give no change."""
        async with self.opened() as (broker, other), broker.watch("run") as changes:
            request, note = question(), letter()
            await broker.ask(request)
            for party in (broker, other):
                await party.ask(request)
                await party.ask(request, again=True)
                await answered(party, request)
                await party.post(note)
            await other.ask(question("last"))
            seen = await take(changes, 4)
            assert [change.letter for change in seen if change.letter] == [note]
            states = [c.record.state for c in seen if c.record and c.record.request == request]
            assert states == [FeedbackState.PENDING, FeedbackState.ANSWERED]
            assert {c.record.request.request_id for c in seen if c.record} == {request.request_id, "last"}

    async def test_a_waiting_watcher_is_woken(self) -> None:
        """A watcher that waits already gets the next change, also after it gave up waiting once."""
        async with self.opened() as (broker, other), broker.watch("run") as changes:
            for name in ("given up", "waited for"):
                waiting = asyncio.ensure_future(take(changes, 1))
                await asyncio.sleep(0)
                if name == "given up":
                    waiting.cancel()
                    await asyncio.wait([waiting])
                record = await other.ask(question(name))
                if name == "waited for":
                    assert await waiting == [Change("run", record)]
                else:
                    assert await take(changes, 1) == [Change("run", record)]

    async def test_no_change_is_lost_while_many_are_made(self) -> None:
        """Every watcher sees each question asked and then answered, although readers are cancelled all the time."""
        async with self.opened() as (broker, other), broker.watch("run") as changes, other.watch() as others:
            requests = [question(f"{number}") for number in range(CROWD)]

            async def work(request: FeedbackRequest) -> None:
                await broker.ask(request)
                await answered(other, request)

            working = asyncio.gather(*(work(request) for request in requests))
            for view in (changes, others):
                seen: list[Change] = []
                while len(seen) < 2 * CROWD:
                    reading = asyncio.ensure_future(take(view, 1))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    if not reading.done() and len(seen) % 3 == 0:
                        reading.cancel()
                    await asyncio.wait([reading])
                    seen += [] if reading.cancelled() else reading.result()
                    if reading.cancelled():
                        seen += await take(view, 1)
                for request in requests:
                    states = [c.record.state for c in seen if c.record and c.record.request.id == request.id]
                    assert states == [FeedbackState.PENDING, FeedbackState.ANSWERED]
            await working

    async def test_a_run_that_was_forgotten_is_watched_on(self) -> None:
        """A watcher of a run, or of all, sees what is asked in it after it was forgotten."""
        async with self.opened() as (broker, other), broker.watch("run") as changes, broker.watch() as everything:
            for turn in range(3):
                record = await other.ask(question(f"{turn}"))
                for view in (changes, everything):
                    assert await take(view, 1) == [Change("run", record)]
                await other.forget("run")

    async def test_a_watch_ends_with_itself_or_its_broker(self) -> None:
        """Closing either ends the iteration, for a reader that waits too; the broker may be used again."""
        async with self.opened() as (broker, other):
            async with broker.watch("run") as changes:
                pass
            assert [change async for change in changes] == []
            async with broker.watch() as changes, other.watch("run"):
                reading = asyncio.ensure_future(take(changes, 1))
                await asyncio.sleep(0)
                await broker.aclose()
                await broker.aclose()
                with pytest.raises(StopAsyncIteration):
                    await reading
            async with broker.watch() as changes:
                record = await other.ask(question())
                assert await take(changes, 1) == [Change("run", record)]

    async def test_a_watch_is_left_at_once(self) -> None:
        """Leaving a watch whose changes nobody has read, or through an error, is fine."""
        async with self.opened() as (broker, other):

            async def fail() -> None:
                async with broker.watch("run") as changes:
                    for number in range(5):
                        await other.ask(question(f"{number}"))
                    await take(changes, 1)
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            assert len(await broker.find(run_id="run")) == 5

    async def test_another_loop_watches_and_answers(self) -> None:
        """A thread with a loop of its own sees a question and answers it; a loop that was closed harms nobody."""
        async with self.opened() as (broker, other), broker.watch("run") as changes:
            loop, ready = asyncio.get_running_loop(), asyncio.Event()

            async def person(*, leave: bool) -> None:
                watch = other.watch("run")
                view = await watch.__aenter__()
                loop.call_soon_threadsafe(ready.set)
                if leave:
                    return
                (seen,) = await take(view, 1)
                assert seen.record is not None
                await answered(other, seen.record.request)
                await watch.__aexit__(None, None, None)

            def elsewhere(leave: bool) -> None:  # noqa: FBT001  # a thread's only argument
                asyncio.run(person(leave=leave))

            for leave in (True, False):
                ready.clear()
                thread = threading.Thread(target=elsewhere, args=(leave,))
                thread.start()
                await ready.wait()
                if leave:
                    await asyncio.to_thread(thread.join)
                    continue
                request = question()
                await broker.ask(request)
                states = [change.record and change.record.state for change in await take(changes, 2)]
                assert states == [FeedbackState.PENDING, FeedbackState.ANSWERED]
                await asyncio.to_thread(thread.join)
