"""Telling listeners what happens. With nobody listening the runtime never comes here."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from .. import events
from .._core.commands import Tell
from .._core.state import Instance
from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

logger = logging.getLogger("graflow_async.run")

READER_BACKLOG = 10_000
TIMELINE_LIMIT = 100_000


class Notifier:
    """Passes events on: plain listeners are called, async ones have a task of their own that keeps their order.

    A listener that raises is logged and not called again.
    """

    def __init__(self, run_id: str, now: Callable[[], float], listeners: Iterable[Any]) -> None:
        """Take callables and objects with `on_event`.

        Raises:
            ConfigError: something that is neither.
        """
        self._run_id = run_id
        self._now = now
        self._calls: list[Callable[[Any], Any]] = []
        self._queues: dict[int, _Queue] = {}
        for listener in listeners:
            call = getattr(listener, "on_event", listener)
            if not callable(call):
                message = f"a listener is a callable or has on_event(event); {listener!r} is neither"
                raise ConfigError(message)
            self._calls.append(call)

    def __bool__(self) -> bool:
        """Say whether anybody listens."""
        return bool(self._calls)

    def send(self, event: events.Event) -> None:
        """Give an event to every listener."""
        for call in list(self._calls):
            try:
                awaitable = call(event)
                if awaitable is not None and inspect.isawaitable(awaitable):
                    self._queue(call).put(awaitable)
            except (Exception, asyncio.CancelledError):
                logger.exception("listener %r failed on %s; it is not called again", call, type(event).__name__)
                self._calls.remove(call)

    def tell(self, command: Tell) -> None:
        """Make the event that the machine asks to tell, and send it."""
        self.send(self._event_of(command))

    def started(self, instance: Instance) -> None:
        """Tell that a body begins."""
        self.send(events.TaskStarted(*self._head(instance)))

    def run_started(self) -> None:
        """Tell that the run begins."""
        self.send(events.RunStarted(self._run_id, None, self._now()))

    def run_finished(self, status: str, error: BaseException | None) -> None:
        """Tell that the run has ended."""
        self.send(events.RunFinished(self._run_id, None, self._now(), status, error))

    def emitted(self, instance: Instance, data: Any) -> None:
        """Tell what a task emits."""
        self.send(events.Emitted(*self._head(instance), data))

    def progress(self, instance: Instance, done: float, total: float | None, message: str) -> None:
        """Tell how far a task is."""
        self.send(events.Progress(*self._head(instance), done, total, message))

    async def aclose(self, grace: float) -> None:
        """Let async listeners finish what they were given, for at most `grace` seconds each."""
        await asyncio.gather(*(queue.aclose(grace) for queue in self._queues.values()))

    def _queue(self, call: Callable[[Any], Any]) -> _Queue:
        """Give the queue of an async listener."""
        queue = self._queues.get(id(call))
        if queue is None:
            queue = self._queues[id(call)] = _Queue(call)
        return queue

    def _head(self, instance: Instance) -> tuple[str, str, float, int, int, int]:
        """Give the fields that every event of an instance has."""
        return self._run_id, instance.id, self._now(), instance.key, instance.attempt, instance.turn

    def _event_of(self, command: Tell) -> events.Event:
        """Make a public event."""
        kind, data, instance = command.kind, command.data, command.instance
        if instance is None:
            plain = (self._run_id, command.name, self._now())
            if kind == "skipped":
                return events.TaskSkipped(*plain)
            if kind.startswith("group_"):
                return events.GroupFinished(*plain, kind == "group_completed")
            error = data if isinstance(data, BaseException) else None
            return events.RunFinished(*plain, kind.removeprefix("run_"), error)
        head = self._head(instance)
        if kind == "completed":
            return events.TaskCompleted(*head, data)
        if kind == "asked":
            return events.FeedbackRequested(*head, data)
        if kind == "answered":
            response = data.value if data.kind == "answered" else None
            return events.FeedbackSettled(*head, data.about, data.kind, response)
        if kind == "iterated":
            return events.TaskIterated(*head, data)
        if kind == "retrying":
            return events.TaskRetrying(*head, *data)
        if kind == "failed":
            return events.TaskFailed(*head, data)
        return events.TaskCancelled(*head)


class _Queue:
    """The awaitables of one async listener, awaited in order by one task."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._waiting: deque[Awaitable[Any]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, awaitable: Awaitable[Any]) -> None:
        """Queue an awaitable."""
        self._waiting.append(awaitable)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def aclose(self, grace: float) -> None:
        """Wait for what is queued; what takes longer than `grace` seconds is dropped."""
        task = self._task
        if task is None:
            return
        await asyncio.wait((task,), timeout=grace)
        if not task.done():
            logger.warning("async listener %r did not end within %s s; the rest is dropped", self._call, grace)
            task.cancel()
            await asyncio.wait((task,), timeout=grace)
        for awaitable in self._waiting:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
        self._waiting.clear()

    async def _work(self) -> None:
        """Await what is queued, in order."""
        while self._waiting:
            try:
                await self._waiting.popleft()
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is not None and me.cancelling():
                    raise
                logger.exception("async listener %r let a cancellation out", self._call)
            except Exception:
                logger.exception("async listener %r failed", self._call)


class EventLog:
    """The story of a run for any number of readers, each from the start; bounded, with a marker where some are gone."""

    def __init__(self, run_id: str, backlog: int = READER_BACKLOG) -> None:
        """Keep the last `backlog` events."""
        self._run_id = run_id
        self._events: deque[events.Event] = deque(maxlen=backlog)
        self._gone = 0
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def on_event(self, event: events.Event) -> None:
        """Keep an event and wake the readers."""
        if len(self._events) == self._events.maxlen:
            self._gone += 1
        self._events.append(event)
        self._wake()

    def close(self) -> None:
        """Let readers end when they have read everything."""
        self._closed = True
        self._wake()

    async def read(self) -> AsyncIterator[events.Event]:
        """Read from the start until the run has ended."""
        position = 0
        while True:
            if position < self._gone:
                lost = self._gone - position
                position = self._gone
                yield events.EventsLost(self._run_id, None, self._events[0].at, lost)
                continue
            if position < self._gone + len(self._events):
                event = self._events[position - self._gone]
                position += 1
                yield event
                continue
            if self._closed:
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def _wake(self) -> None:
        """Wake whoever waits for the next event."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()


class Span:
    """One attempt of an instance on the timeline; times are seconds since the epoch, None while it has not ended.

    Attributes:
        status: "running", "completed", "retrying", "failed" or "cancelled".
    """

    __slots__ = ("attempt", "finished_at", "key", "started_at", "status", "task_id", "turn")

    def __init__(self, started: events.TaskEvent) -> None:
        """Begin with the start of the body."""
        self.task_id = started.task_id or ""
        self.key = started.key
        self.attempt = started.attempt
        self.turn = started.turn
        self.started_at = started.at
        self.finished_at: float | None = None
        self.status = "running"

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it has not ended."""
        return None if self.finished_at is None else self.finished_at - self.started_at

    def __repr__(self) -> str:
        """Show what happened when."""
        return (
            f"Span({self.task_id!r}, turn={self.turn}, attempt={self.attempt}, {self.status}, seconds={self.seconds})"
        )


class Timeline:
    """When each attempt ran; the last TIMELINE_LIMIT of them."""

    _ENDS = (
        (events.TaskIterated, "completed"),
        (events.TaskCompleted, "completed"),
        (events.TaskRetrying, "retrying"),
        (events.TaskFailed, "failed"),
        (events.TaskCancelled, "cancelled"),
    )

    def __init__(self) -> None:
        """Start empty."""
        self.spans: deque[Span] = deque(maxlen=TIMELINE_LIMIT)
        self._open: dict[int, Span] = {}

    def on_event(self, event: events.Event) -> None:
        """Note starts and ends."""
        if isinstance(event, events.TaskStarted):
            span = self._open[event.key] = Span(event)
            self.spans.append(span)
        elif isinstance(event, events.TaskEvent):
            for kind, status in self._ENDS:
                if isinstance(event, kind):
                    span = self._open.pop(event.key, None)
                    if span is not None:
                        span.finished_at = event.at
                        span.status = status
                    return
