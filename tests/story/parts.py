"""What the tests of the story share: runs in virtual time, whose spans have round numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from graflow_async import Task
from tests.aids.simloop import run_sim

if TYPE_CHECKING:
    from collections.abc import Callable

    from graflow_async import Span

SEEDS = range(3)


class SimClock:
    """The wall clock of a run, too, is that of its loop: it begins at 0."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        return self._loop.call_later(delay, callback)


def sleeper(name: str, seconds: float, **options: Any) -> Task[Any, Any]:
    """Make a task that takes some seconds."""

    async def body() -> str:
        await asyncio.sleep(seconds)
        return name

    return Task(name, body, **options)


def played(workflow: Any, seed: int = 0, **options: Any) -> Any:
    """Run a workflow to its end in virtual time, whatever the end is, and give its handle."""

    async def main() -> Any:
        run = workflow.start(clock=SimClock(), **options)
        async with run:
            await asyncio.wait([asyncio.ensure_future(_value(run))])
        return run

    return run_sim(main, seed)


async def _value(run: Any) -> None:
    try:
        await run
    except Exception as error:  # the story is what is looked at
        del error


def row(span: Span) -> tuple[Any, ...]:
    """Give everything of a span but where its end was saved."""
    waits = [(wait.kind, wait.about, wait.by, wait.since, wait.until) for wait in span.waits]
    times = (span.queued_at, span.started_at, span.finished_at)
    return (span.task_id, span.key, span.attempt, span.turn, span.parent, span.cause, span.status, times, waits)


def times(run: Any) -> dict[str, tuple[float | None, ...]]:
    """Give when the last attempt of each task was ready, began and ended."""
    return {span.task_id: (span.queued_at, span.started_at, span.finished_at) for span in run.timeline()}
