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
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

logger = logging.getLogger("graflow_async.run")

READER_BACKLOG = 10_000


class Notifier:
    """Passes events on: plain listeners are called, async ones have a task of their own that keeps their order.

    A listener that raises is logged and not called again. One with an attribute `wants` (event classes) gets these
    and no others; one without gets everything but details (`TaskDetail`). What nobody wants is not made.

    Attributes:
        surrounding: the listeners that have `around`.
    """

    def __init__(self, run_id: str, now: Callable[[], float], listeners: Iterable[Any]) -> None:
        """Take callables and objects with `on_event`.

        Raises:
            ConfigError: something that is neither, or that wants what is no event class.
        """
        self._run_id = run_id
        self._now = now
        self._listeners: list[_Listener] = []
        self._receivers: dict[type, list[_Listener]] = {}
        self._queues: dict[int, _Queue] = {}
        self.surrounding: list[Any] = []
        for listener in listeners:
            call = getattr(listener, "on_event", listener)
            if not callable(call):
                message = f"a listener is a callable or has on_event(event); {listener!r} is neither"
                raise ConfigError(message)
            self._listeners.append(_Listener(call, _classes(listener)))
            if hasattr(listener, "around"):
                self.surrounding.append(listener)

    @property
    def is_detailed(self) -> bool:
        """Whether anybody wants to know of every task, and not only of what is rare."""
        return any(self._to(kind) for kind in (events.TaskStarted, *_KINDS.values()) if kind not in _RARE)

    def __bool__(self) -> bool:
        """Say whether anybody listens."""
        return bool(self._listeners)

    def send(self, event: events.Event) -> None:
        """Give an event to every listener that wants it."""
        for listener in self._to(event.__class__):
            try:
                awaitable = listener.call(event)
                if awaitable is not None and inspect.isawaitable(awaitable):
                    self._queue(listener.call).put(awaitable)
            except (Exception, asyncio.CancelledError):
                logger.exception(
                    "listener %r failed on %s; it is not called again", listener.call, type(event).__name__
                )
                if listener in self._listeners:
                    self._listeners.remove(listener)
                self._receivers = {}

    def tell(self, command: Tell) -> None:
        """Make the event that the machine asks to tell, if anybody wants it, and send it."""
        kind = command.kind
        if kind in _MANY:
            if self._to(_KINDS[kind]):
                self._tell_many(command)
        elif self._to(_KINDS.get(kind, events.RunFinished)):
            self.send(self._event_of(command))

    def started(self, instance: Instance) -> None:
        """Tell that a body begins."""
        if self._to(events.TaskStarted):
            self.send(events.TaskStarted(*self._head(instance)))

    def waiting(self, instance: Instance, wait: str, about: str) -> None:
        """Tell that a body begins to wait."""
        if self._to(events.TaskWaiting):
            self.send(events.TaskWaiting(*self._head(instance), wait, about))

    def resumed(self, instance: Instance, wait: str, about: str) -> None:
        """Tell that a body need not wait any more."""
        if self._to(events.TaskResumed):
            self.send(events.TaskResumed(*self._head(instance), wait, about))

    def waited(self, instance: Instance, wait: str, about: str, since: float, until: float) -> None:
        """Tell of a wait of a body that is over, and was not known before; times are seconds since the epoch."""
        head = self._head(instance)
        if self._to(events.TaskWaiting):
            self.send(events.TaskWaiting(*head[:2], since, *head[3:], wait, about))
        if self._to(events.TaskResumed):
            self.send(events.TaskResumed(*head[:2], until, *head[3:], wait, about))

    def run_started(self, workflow: str) -> None:
        """Tell that the run begins."""
        self.send(events.RunStarted(self._run_id, None, self._now(), workflow))

    def run_finished(self, status: str, error: BaseException | None) -> None:
        """Tell that the run has ended."""
        self.send(events.RunFinished(self._run_id, None, self._now(), status, error))

    def emitted(self, instance: Instance, data: Any) -> None:
        """Tell what a task emits."""
        if self._to(events.Emitted):
            self.send(events.Emitted(*self._head(instance), data))

    def progress(self, instance: Instance, done: float, total: float | None, message: str) -> None:
        """Tell how far a task is."""
        if self._to(events.Progress):
            self.send(events.Progress(*self._head(instance), done, total, message))

    def no_workers(self, queue: str, waiting: int) -> None:
        """Tell that nobody is there to run tasks."""
        self.send(events.NoWorkers(self._run_id, None, self._now(), queue, waiting))

    def workers_back(self, queue: str, worker: str) -> None:
        """Tell that somebody is there again."""
        self.send(events.WorkersBack(self._run_id, None, self._now(), queue, worker))

    def blocked(self, instance: Instance | None, seconds: float, file: str, line: int, function: str) -> None:
        """Tell that the loop was held."""
        task_id, key = (None, None) if instance is None else (instance.id, instance.key)
        self.send(events.LoopBlocked(self._run_id, task_id, self._now(), key, seconds, file, line, function))

    async def aclose(self, grace: float) -> None:
        """Let async listeners finish what they were given, for at most `grace` seconds each."""
        await asyncio.gather(*(queue.aclose(grace) for queue in self._queues.values()))

    def _to(self, kind: type) -> list[_Listener]:
        """List who wants events of a class, in the order in which they were given."""
        found = self._receivers.get(kind)
        if found is None:
            found = self._receivers[kind] = [listener for listener in self._listeners if listener.takes(kind)]
        return found

    def _queue(self, call: Callable[[Any], Any]) -> _Queue:
        """Give the queue of an async listener."""
        queue = self._queues.get(id(call))
        if queue is None:
            queue = self._queues[id(call)] = _Queue(call)
        return queue

    def _head(self, instance: Instance) -> tuple[str, str, float, int, int, int]:
        """Give the fields that every event of an instance has."""
        return self._run_id, instance.id, self._now(), instance.key, instance.attempt, instance.turn

    def _tell_many(self, command: Tell) -> None:
        """Tell of the children of a batch, which are no instances yet."""
        run_id, now, data = self._run_id, self._now(), command.data
        if command.kind == "batch":
            batch, cause = data
            parent = batch.parent.key
            for place, name in enumerate(names_of_batch(batch.tasks, 0)):
                self.send(events.TaskQueued(run_id, name, now, batch.first + place, 1, 1, parent, cause))
            return
        tasks, taken, first = data
        for place, name in enumerate(names_of_batch(tasks, taken), first + taken):
            self.send(events.TaskDropped(run_id, name, now, place, 1, 1))

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
            return events.RunFinished(*plain, kind.removeprefix("run_"), error, command.scope.key)
        head = self._head(instance)
        if command.at is not None:
            head = (*head[:2], command.at, *head[3:])
        if kind == "queued":
            return events.TaskQueued(*head, _parent_of(instance), data)
        if kind == "completed":
            return events.TaskCompleted(*head, data)
        if kind == "asked":
            return events.FeedbackRequested(*head, data)
        if kind == "answered":
            response = data.value if data.kind == "answered" else None
            return events.FeedbackSettled(*head, data.about, data.kind, response)
        made: Any = _KINDS[kind]
        if kind in ("retrying", "waiting", "resumed"):
            return made(*head, *data)
        return made(*head) if kind == "cancelled" else made(*head, data)


_KINDS: dict[str, type[events.Event]] = {
    "queued": events.TaskQueued,
    "batch": events.TaskQueued,
    "dropped": events.TaskDropped,
    "waiting": events.TaskWaiting,
    "resumed": events.TaskResumed,
    "completed": events.TaskCompleted,
    "iterated": events.TaskIterated,
    "retrying": events.TaskRetrying,
    "failed": events.TaskFailed,
    "cancelled": events.TaskCancelled,
    "asked": events.FeedbackRequested,
    "answered": events.FeedbackSettled,
    "skipped": events.TaskSkipped,
    "group_completed": events.GroupFinished,
    "group_failed": events.GroupFinished,
}
_MANY = ("batch", "dropped")
_RARE = frozenset(
    {
        events.TaskRetrying,
        events.TaskFailed,
        events.TaskCancelled,
        events.TaskDropped,
        events.FeedbackRequested,
        events.FeedbackSettled,
    }
)


class _Listener:
    """What is called, and with what: the classes that it wants, None for everything but details."""

    __slots__ = ("call", "wants")

    def __init__(self, call: Callable[[Any], Any], wants: tuple[type, ...] | None) -> None:
        self.call = call
        self.wants = wants

    def takes(self, kind: type) -> bool:
        """Say whether it wants events of a class."""
        return not issubclass(kind, events.TaskDetail) if self.wants is None else issubclass(kind, self.wants)


def _classes(listener: Any) -> tuple[type, ...] | None:
    """Read what a listener wants.

    Raises:
        ConfigError: something in it is no event class.
    """
    wants: Any = getattr(listener, "wants", None)
    if wants is None:
        return None
    classes: tuple[Any, ...] = tuple(wants) if hasattr(wants, "__iter__") else (wants,)
    for wanted in classes:
        if not (isinstance(wanted, type) and issubclass(wanted, events.Event)):
            message = f"wants= of a listener names event classes; {wanted!r} of {listener!r} is none"
            raise ConfigError(message)
    return classes


def names_of_batch(tasks: Sequence[tuple[Any, int]], since: int) -> Iterator[str]:
    """Give the ids of the children of a batch, those from place `since` on."""
    for task, number in tasks[since:]:
        definition = task.definition
        yield f"{definition.id}_{number}" if number else (task.given_id() or definition.id)


def _parent_of(instance: Instance) -> int | None:
    """Give the key of the instance under which one was made, through the border of a child run."""
    parent = instance.parent or instance.scope.caller
    return None if parent is None else parent.key


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
