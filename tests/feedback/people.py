"""People, as far as tests need them: they look until a question is there, and answer it, from a task or a thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graflow_async import FeedbackManager, FeedbackRecord, FeedbackState, MemoryBroker, StoreError, Task, Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
    from contextlib import AbstractAsyncContextManager

    from graflow_async import Broker

PATIENCE = 60.0
"""Seconds after which a test says that it hangs."""


async def until(broker: Broker, fits: Callable[[list[FeedbackRecord]], bool], run_id: str | None = None) -> None:
    """Wait until the questions at a broker fit."""
    async with asyncio.timeout(PATIENCE), broker.watch(run_id) as changes:
        while not fits(await broker.find(run_id=run_id)):
            await anext(changes)


async def shown(broker: Broker, *names: str, run_id: str | None = None) -> list[FeedbackRecord]:
    """Wait until questions of these names are open, and give them in this order."""
    found: dict[str, FeedbackRecord] = {}

    def fits(records: list[FeedbackRecord]) -> bool:
        found.update({r.request.request_id: r for r in records if r.state is FeedbackState.PENDING})
        return found.keys() >= set(names)

    await until(broker, fits, run_id)
    return [found[name] for name in names]


async def told(wf: Workflow, manager: FeedbackManager, person: Any, **options: Any) -> Any:
    """Run a workflow while somebody answers."""
    async with asyncio.TaskGroup() as group:
        group.create_task(person)
        run = group.create_task(wf.run(feedback=manager, timeout=60, **options))
    return run.result()


async def settled(broker: Broker, name: str, run_id: str | None = None) -> FeedbackRecord:
    """Wait until a question is no longer open, and give its record."""
    found: list[FeedbackRecord] = []

    def fits(records: list[FeedbackRecord]) -> bool:
        found[:] = [r for r in records if r.request.request_id == name and r.state is not FeedbackState.PENDING]
        return bool(found)

    await until(broker, fits, run_id)
    return found[-1]


async def leaves(asking: Any, broker: Broker, name: str) -> None:
    """Wait for the answer to a question, but, by a timeout of one's own, no longer than until it is open."""
    loop = asyncio.get_running_loop()
    showing = asyncio.ensure_future(shown(broker, name))
    try:
        async with asyncio.timeout(None) as limit:
            showing.add_done_callback(lambda _: limit.reschedule(loop.time()))
            await asking
    finally:
        showing.cancel()


async def answer(manager: FeedbackManager, run_id: str | None = None, /, **answers: Any) -> None:
    """Answer questions by their names once they are open; a value alone answers a question of any type."""

    async def one(name: str, given: Any) -> None:
        await shown(manager.broker, name, run_id=run_id)
        more = given if isinstance(given, dict) else {"value": given}
        await manager.respond(name, run_id=run_id, **more)

    await asyncio.gather(*(one(name, given) for name, given in answers.items()))


@contextmanager
def in_thread(function: Callable[[], Coroutine[Any, Any, Any]]) -> Iterator[None]:
    """Run a coroutine on the loop of another thread while the block runs; what it raises is raised at the end."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(function())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def spoken(way: str, talk: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
    """Make a task's function out of a generator that yields what a context's verbs give.

    In the "async" way what it yields is awaited; in the "sync" way it is the value already.
    """
    if way == "sync":

        @functools.wraps(talk)
        def body(ctx: Any) -> Any:
            generator = talk(ctx)
            try:
                value = next(generator)
                while True:
                    value = generator.send(value)
            except StopIteration as stop:
                return stop.value

        return body

    @functools.wraps(talk)
    async def coroutine(ctx: Any) -> Any:
        generator = talk(ctx)
        step = functools.partial(next, generator)
        while True:
            try:
                waiting = step()
            except StopIteration as stop:
                return stop.value
            try:
                step = functools.partial(generator.send, await waiting)
            except Exception as error:
                step = functools.partial(generator.throw, error)

    return coroutine


def alone(function: Callable[..., Any], **options: Any) -> Workflow:
    """Make a workflow of one task, which gets its context."""
    return Workflow("w", Task(function.__name__, function, inject_context=True, **options))


class BrokenBroker(MemoryBroker):
    """A broker whose verbs fail while they are named in `broken`.

    Attributes:
        broken: names of the verbs.
        asked: set when a question was put.
    """

    def __init__(self, *broken: str) -> None:
        """Break some verbs."""
        super().__init__()
        self.broken = set(broken)
        self.asked = asyncio.Event()

    def note(self, verb: str) -> None:
        """Fail if the verb is broken."""
        if verb in self.broken:
            raise StoreError(f"{verb} refused")

    async def ask(self, request: Any, *, again: bool = False) -> FeedbackRecord:
        self.note("ask")
        record = await super().ask(request, again=again)
        self.asked.set()
        return record

    async def get(self, question_id: str) -> FeedbackRecord | None:
        self.note("get")
        return await super().get(question_id)

    async def settle(self, question_id: str, *args: Any, **more: Any) -> FeedbackRecord:
        self.note("settle")
        return await super().settle(question_id, *args, **more)

    async def letters(self, run_id: str) -> Any:
        self.note("letters")
        return await super().letters(run_id)

    async def drop(self, run_id: str, letter_ids: Any) -> None:
        self.note("drop")
        await super().drop(run_id, letter_ids)

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        self.note("watch")
        return super().watch(run_id)
