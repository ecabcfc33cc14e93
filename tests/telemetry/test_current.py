"""While a body runs, the span of its attempt is the current one, wherever it runs; outside of bodies it never is."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
from opentelemetry import trace

from graflow_async import NotSerializableError, RetryPolicy, TaskExecutionContext, Workflow, chain, task
from graflow_async.protocols import Attempt
from tests.telemetry.aids import Heard, context

MANY = 100


def current_id() -> int:
    """Give the number of the span that is current here."""
    return trace.get_current_span().get_span_context().span_id


@task
async def asynchronous() -> int:
    """Look from the loop."""
    return current_id()


@task
def threaded() -> int:
    """Look from a thread."""
    return current_id()


@task(executor="inline")
def inline() -> int:
    """Look from a plain function on the loop."""
    return current_id()


@task(executor="process")
def elsewhere() -> tuple[int, int, bool]:
    """Look from another process."""
    found = trace.get_current_span().get_span_context()
    return found.trace_id, found.span_id, found.is_remote


@task
def lends() -> Any:
    """Look from the coroutine that a plain function returns."""
    return asynchronous.func()  # type: ignore[misc]  # it has a function


@pytest.mark.parametrize("given", [asynchronous, threaded, inline, lends], ids=lambda given: given.id)
async def test_own_span_is_current(heard: Heard, given: Any) -> None:
    """Async bodies, bodies in threads, plain ones on the loop and lent coroutines find the span of their attempt."""
    found = await Workflow("w", given).run(listeners=[heard.telemetry])
    assert found == context(heard.span(f"task {given.id}")).span_id


async def test_own_span_is_current_in_a_process(heard: Heard) -> None:
    """A child process has the trace and the span of the attempt as what comes from elsewhere."""
    trace_id, span_id, is_remote = await Workflow("w", elsewhere).run(listeners=[heard.telemetry])
    span = context(heard.span("task elsewhere"))
    assert (trace_id, span_id, is_remote) == (span.trace_id, span.span_id, True)


async def test_own_span_is_current_in_each_attempt(heard: Heard) -> None:
    """Each attempt finds its own span, not that of the task or of an earlier attempt."""
    found: list[int] = []

    @task(retry_policy=RetryPolicy(2, initial_interval=0.0))
    async def flaky() -> None:
        found.append(current_id())
        if len(found) < 3:
            raise ValueError

    await Workflow("w", flaky).run(listeners=[heard.telemetry])
    assert found == [context(span).span_id for span in heard.named("attempt flaky")]


async def test_arguments_that_are_found_change_nothing(heard: Heard) -> None:
    """A body whose arguments come from the channel, and one that was begun by its predecessor's thread, find theirs."""

    @task
    def first() -> int:
        return current_id()

    @task
    def second(first: int, x: int) -> tuple[int, int, int]:
        return first, current_id(), x

    found = await Workflow("w", first >> second).run(inputs={"x": 5}, listeners=[heard.telemetry])
    assert found == (context(heard.span("task first")).span_id, context(heard.span("task second")).span_id, 5)


async def test_threads_that_follow_each_other(heard: Heard) -> None:
    """A body that takes over the thread of the one before it has its own span, and not that one's."""
    chained = [threaded(task_id=f"t{n}") for n in range(5)]
    run = Workflow("w", chain(*chained)).start(listeners=[heard.telemetry])
    async with run:
        await run
    assert [run.results[f"t{n}"] for n in range(5)] == [context(span).span_id for span in heard.named("task threaded")]


async def test_interleaved_bodies_see_their_own(heard: Heard) -> None:
    """A hundred bodies that take turns see their own span at every step, and what they open does not reach others."""
    gates = [asyncio.Event() for _ in range(3)]
    seen: dict[int, set[int]] = {}
    waiting: Counter[int] = Counter()

    @task
    async def looks(n: int) -> int:
        own = current_id()
        seen[n] = {own}
        with heard.tracer.start_as_current_span("user"):
            for number, gate in enumerate(gates):
                waiting[number] += 1
                if waiting[number] == MANY:
                    gate.set()
                await gate.wait()
        seen[n].add(current_id())
        return own

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext) -> list[int]:
        own = current_id()
        values = await ctx.map(looks, range(MANY))
        assert current_id() == own
        return values

    assert not current_id()
    found = await Workflow("w", top).run(listeners=[heard.telemetry])
    assert not current_id()
    assert set(found) == {context(span).span_id for span in heard.named("task looks")}
    assert all(seen[n] == {found[n]} for n in range(MANY))
    inner = heard.named("user")
    assert len(inner) == MANY
    assert {span.parent.span_id for span in inner if span.parent} == set(found)


async def test_what_a_body_leaves_open_reaches_nobody(heard: Heard) -> None:
    """A body that makes a span current and never leaves it does not pass it on to its children or successors."""

    @task(inject_context=True)
    async def careless(ctx: TaskExecutionContext) -> int:
        heard.tracer.start_as_current_span("open").__enter__()
        return await ctx.call(asynchronous)

    @task
    async def after(careless: int) -> tuple[int, int]:
        return careless, current_id()

    child, later = await Workflow("w", careless >> after).run(listeners=[heard.telemetry])
    assert child == context(heard.span("task asynchronous")).span_id
    assert later == context(heard.span("task after")).span_id


async def test_spans_of_users_nest(heard: Heard) -> None:
    """What a body opens is a child of its attempt, also in a thread and after a wait."""

    @task
    async def fetches() -> None:
        with heard.tracer.start_as_current_span("GET"):
            await asyncio.sleep(0)

    @task
    def reads() -> None:
        with heard.tracer.start_as_current_span("read"):
            pass

    await Workflow("w", fetches >> reads).run(listeners=[heard.telemetry])
    assert heard.tree() == ["run w", "  task fetches", "    GET", "  task reads", "    read"]


class Marks:
    """A listener of nothing that puts blocks around bodies, and notes what happens."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.wants = ()
        self.name = name
        self.notes = notes
        self.told: list[Attempt] = []

    def on_event(self, event: Any) -> None:
        """Take nothing."""
        self.notes.append(f"{event}")

    def around(self, attempt: Attempt) -> Any:
        """Note the beginning and the end of a body."""
        self.told.append(attempt)
        return partial(self.block, attempt.task_id)

    @contextmanager
    def block(self, task_id: str) -> Any:
        """Be around a body."""
        self.notes.append(f"{self.name}: {task_id} begins")
        try:
            yield
        finally:
            self.notes.append(f"{self.name}: {task_id} ends")


@pytest.mark.near  # it looks at where a body runs
async def test_anybody_can_put_blocks_around_bodies() -> None:
    """The port is open: blocks of several listeners are entered in order, around bodies that fail as well."""
    notes: list[str] = []

    @task
    async def fails() -> None:
        notes.append("body")
        raise KeyError("x")

    outer, inner = Marks("outer", notes), Marks("inner", notes)
    with pytest.raises(KeyError):
        await Workflow("w", fails).run(listeners=[outer, inner])
    assert notes == [
        "outer: fails begins",
        "inner: fails begins",
        "body",
        "inner: fails ends",
        "outer: fails ends",
    ]
    (told,) = outer.told
    assert (told.task_id, told.name, told.workflow, told.attempt, told.turn) == ("fails", "fails", "w", 1, 1)
    assert (told.parent, told.scope, told.caller, told.after, told.retries, told.kind) == (
        None,
        0,
        None,
        (),
        0,
        "async",
    )


async def test_who_fails_around_a_body_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    """An `around` that raises is logged once, and the bodies run without it."""

    class Broken(Marks):
        def around(self, attempt: Attempt) -> Any:
            self.told.append(attempt)
            raise ValueError(attempt.task_id)

    broken = Broken("broken", [])
    assert isinstance(await Workflow("w", asynchronous >> threaded).run(listeners=[broken]), int)
    assert len(broken.told) == 1
    assert [record.message for record in caplog.records if "not called again" in record.message]


async def test_block_that_cannot_travel_is_named() -> None:
    """A task for a child process whose block cannot be pickled fails before it is sent, and says why."""

    class Locked(Marks):
        def around(self, attempt: Attempt) -> Any:
            del attempt
            return partial(nullcontext, threading.Lock())

    with pytest.raises(NotSerializableError, match="'elsewhere' cannot be sent to a child process"):
        await Workflow("w", elsewhere).run(listeners=[Locked("x", [])])
