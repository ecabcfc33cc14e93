"""How long tasks wait for a worker is on the timeline, in explanations and in spans, at no cost where nobody looks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import GraflowWorkflowCanceledError, Task, Workflow, events, parallel
from graflow_async._redis.jobs import Event
from graflow_async.executors._sent import dated, undated
from graflow_async.executors._waits import Waits
from graflow_async.executors.redis import RedisExecutor
from graflow_async.worker.worker import Worker
from graflow_async.worker_errors import NoWorkersError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from graflow_async.story import Span, Wait

pytestmark = pytest.mark.unrecorded  # the queue is what these tests are about


@contextlib.asynccontextmanager
async def worker(url: str, **options: Any) -> AsyncIterator[Worker]:
    """Have a worker on this very loop."""
    made = Worker(url, **options)
    serving = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop()
        await serving


class Alone:
    """A listener that knows when a run has found nobody to do its work."""

    wants = events.NoWorkers

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def on_event(self, event: events.NoWorkers) -> None:
        self.told.set()


def waits_of(span: Span) -> list[Wait]:
    """Give the waits for workers of a span."""
    return [wait for wait in span.waits if wait.kind == "worker"]


async def stays() -> str:
    """Do next to nothing."""
    await asyncio.sleep(0)
    return "there"


async def calls(ctx: Any) -> Any:
    """Call a child, so that there is a conversation."""
    return await ctx.call(Task("child", stays, executor="redis"))


async def test_waiting_for_the_first_worker(redis_url: str) -> None:
    """What is begun long after it was sent has waited, by itself or with a conversation; not its children here."""
    alone = Alone()
    wf = Workflow("w", parallel(Task("plain", stays), Task("talks", calls, inject_context=True)))
    async with wf.start(queue_backend="redis", redis_url=redis_url, listeners=[alone]) as run:
        await alone.told.wait()
        came = time.time()
        async with worker(redis_url):
            await run
    for span in run.timeline():
        if span.task_id in ("plain", "talks", "child"):
            (wait,) = waits_of(span)
            assert wait.about == "default"
            assert span.started_at is not None
            assert wait.until is not None
            assert span.finished_at is not None
            assert came <= wait.until <= span.finished_at
            assert span.started_at <= wait.since
            assert (wait.since < came) == (span.task_id != "child")
            assert span.status == "completed"
    assert "for a worker of 'default'" in str(run.explain("plain"))


async def test_waiting_for_a_thread_of_the_worker(redis_url: str) -> None:
    """A worker that has a job and no thread for it has not begun it."""
    begun, release = threading.Semaphore(0), threading.Event()
    here_only["hold"] = begun, release
    wf = Workflow("w", parallel(Task("a", holds), Task("b", holds)))
    sent = time.time()
    async with (
        worker(redis_url, threads=1) as made,
        wf.start(executor={"redis": RedisExecutor(redis_url)}, queue_backend="redis") as run,
    ):
        await asyncio.to_thread(begun.acquire)
        while len(made._held) < 2:  # noqa: ASYNC110  # nobody tells that a job is held
            await asyncio.sleep(0.01)
        # Since when it has been held is known no better than by the time that this took.
        blur = time.time() - sent
        await asyncio.sleep(2 * blur)
        freed = time.time()
        release.set()
        assert set((await run).values()) == {True}
    first, second = sorted(wait.until or 0 for span in run.timeline() for wait in waits_of(span))
    assert first <= second
    assert freed - blur <= second


here_only: dict[str, Any] = {}


def holds() -> bool:
    """Hold a thread until told."""
    begun, release = here_only["hold"]
    begun.release()
    return release.wait(60)


async def test_what_nobody_takes_has_waited(redis_url: str) -> None:
    """A job for which no worker came, and one that was cancelled in the queue, have waited until their end."""
    alone = Alone()
    wf = Workflow("w", Task("lonely", stays))
    async with wf.start(queue_backend="redis", redis_url=redis_url, worker_timeout=0.05) as run:
        with pytest.raises(NoWorkersError):
            await run
    (span,) = run.timeline()
    (wait,) = waits_of(span)
    assert (wait.until or 0) <= (span.finished_at or 0)
    async with wf.start(queue_backend="redis", redis_url=redis_url, listeners=[alone]) as run:
        await alone.told.wait()
        run.cancel()
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    (span,) = run.timeline()
    assert [wait.about for wait in waits_of(span)] == ["default"]


async def test_nobody_listens(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a listener nothing is measured, and nothing more is kept with a job."""
    made: list[Any] = []
    monkeypatch.setattr(Waits, "begin", lambda self, job: made.append(job))
    async with worker(redis_url):
        assert await Workflow("w", Task("plain", stays)).run(queue_backend="redis", redis_url=redis_url) == "there"
    assert made == []


class Told:
    """Stands for those who listen, and for the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[tuple[float, float]] = []

    def time(self) -> float:
        return self.now

    def waited(self, instance: Any, wait: str, about: str, since: float, until: float) -> None:
        del instance
        assert (wait, about) == ("worker", "q")
        self.waits.append((round(since, 3), round(until, 3)))


class Waiting:
    """A job."""

    instance: Any = None
    is_sent = is_over = True
    since, met = 0.0, 0


def event(kind: Any, written: float, begun: float) -> Event:
    """Make an event by the clock of a Redis that is far behind, in seconds."""
    return Event(f"{round(written * 1e3)}-0", kind, "j", round(begun * 1e6), 1, 0, "w", b"")


def test_a_job_that_is_lost_waits_again() -> None:
    """Each claim is told of once, at its first event; clocks of Redis and of the run need not agree."""
    told: Any = Told()
    waits, job = Waits(told, told, "q"), Waiting()
    waits.begin(job)
    told.now = 110.0
    waits.heard(job, event("message", 7.0, 5.0))
    told.now = 120.0
    waits.heard(job, event("message", 17.0, 5.0))
    waits.lost(job, event("lost", 17.0, 5.0))
    told.now = 130.0
    waits.lost(job, event("lost", 27.0, 20.0))
    told.now = 140.0
    waits.heard(job, event("done", 37.0, 33.0), 1.5)
    waits.settled(job, None)
    assert told.waits == [(100.0, 108.0), (120.0, 123.0), (130.0, 137.5)]


@pytest.mark.parametrize(
    ("written", "begun", "delay", "until"),
    [(7.0, 9.0, 0.0, 110.0), (7.0, 7.0, 5.0, 110.0), (90.0, 5.0, 0.0, 100.0)],
    ids=["clock-went-back", "delay-too-long", "held-too-long"],
)
def test_a_wait_stays_within_its_body(written: float, begun: float, delay: float, until: float) -> None:
    """Whatever clocks say, a wait begins with the job and is over when that is heard of."""
    told: Any = Told()
    waits, job = Waits(told, told, "q"), Waiting()
    waits.begin(job)
    told.now = 110.0
    waits.heard(job, event("done", written, begun), delay)
    assert told.waits == [(100.0, until)]


@pytest.mark.parametrize("data", [b"", b"p\x80", b"anew", b"s1", b"\x80\x05"])
def test_what_is_said_late_is_the_same(data: bytes) -> None:
    """A message that says how late its body began is otherwise what it would have been."""
    assert undated(data) == (data, 0.0)
    assert undated(dated(data, 0.25)) == (data, 0.25)
