"""The story of a run as data: a span for each attempt of a task, with what it waited for, and when.

It is built from public events by a listener, so a recorded run that is told again has the same one. Nothing here looks
into the machine.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from . import events
from .errors import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMELINE_LIMIT = 100_000
BLOCKS_LIMIT = 1_000
LONGEST_ERROR = 200


class Wait:
    """Something that an attempt waited for; times are seconds since the epoch.

    Attributes:
        kind: "input", "limit", "retry", "person", "event", "child", "sleep", "worker" or "loop".
        since: when it began.
        until: when it was over; None: it still waits.
        about: the name of the limit, the question, the event or the child; the error for a retry.
        by: key of the instance that made room, for a limit.
    """

    __slots__ = ("about", "by", "kind", "since", "until")

    def __init__(
        self, kind: str, since: float, until: float | None = None, about: str = "", by: int | None = None
    ) -> None:
        """Keep what is known."""
        self.kind = kind
        self.since = since
        self.until = until
        self.about = about
        self.by = by

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it is not over."""
        return None if self.until is None else self.until - self.since

    def __repr__(self) -> str:
        """Show what was waited for, and how long."""
        return f"Wait({self.kind!r}, about={self.about!r}, seconds={self.seconds})"


class Span:
    """One attempt of an instance on the timeline; times are seconds since the epoch.

    Attributes:
        task_id: id of the task.
        key: number of the instance in the run; 0 for a task that was skipped, which never was one.
        attempt, turn: both 1-based.
        parent: key of the instance under which it was made; None at the top.
        cause: key of the instance whose end made it ready; None if that was the run's start, or a body that called it.
        queued_at: when its inputs were there (for a further attempt: when the one before had failed).
        started_at: when its body began; None if it has not. A journal does not tell: there it is when it might begin.
        finished_at: when it was over, its children included; None while it is not.
        saved_at: when its end was safe in the run's journal; None without one, or where that is not known.
        status: "queued", "running", "waiting", "completed", "retrying", "failed", "cancelled" or "skipped".
        error: what it failed with, in words; None if it did not.
        order: its place among the ends of the run; 0 while it has not ended.
    """

    __slots__ = (
        "_waits",
        "attempt",
        "cause",
        "error",
        "finished_at",
        "key",
        "order",
        "parent",
        "queued_at",
        "saved_at",
        "started_at",
        "status",
        "task_id",
        "turn",
    )

    def __init__(
        self,
        task_id: str,
        key: int,
        attempt: int,
        turn: int,
        queued_at: float,
        parent: int | None = None,
        cause: int | None = None,
    ) -> None:
        """Be queued."""
        self.task_id = task_id
        self.key = key
        self.attempt = attempt
        self.turn = turn
        self.parent = parent
        self.cause = cause
        self.queued_at = queued_at
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.saved_at: float | None = None
        self.status = "queued"
        self.error: str | None = None
        self.order = 0
        self._waits: list[Wait] | None = None

    @property
    def waits(self) -> list[Wait]:
        """What it waited for, in the order in which it began to."""
        return list(self._waits or ())

    @property
    def admitted_at(self) -> float | None:
        """When limits let it begin; None while they do not."""
        last = self.queued_at
        for wait in self._waits or ():
            if self.started_at is not None and wait.since >= self.started_at:
                break
            if wait.until is None:
                return None
            last = max(last, wait.until)
        return last

    @property
    def seconds(self) -> float | None:
        """How long its body and its children took; None while they have not ended, or if it never began."""
        if self.finished_at is None or self.started_at is None:
            return None
        return self.finished_at - self.started_at

    def begin_wait(self, kind: str, since: float, about: str) -> None:
        """Note that it waits; what it waits for already stays one wait."""
        if any(w.until is None and w.kind == kind and w.about == about for w in self._waits or ()):
            return
        wait = Wait(kind, since, None, about)
        if self._waits is None:
            self._waits = [wait]
        else:
            self._waits.append(wait)

    def add_wait(self, wait: Wait) -> None:
        """Note a wait that is over, at its place."""
        waits = self._waits = self._waits or []
        place = len(waits)
        while place and waits[place - 1].since > wait.since:
            place -= 1
        waits.insert(place, wait)

    def end_wait(self, kind: str, until: float, about: str, by: int | None) -> bool:
        """Note that a wait is over; False if it was not known."""
        for wait in reversed(self._waits or ()):
            if wait.until is None and wait.kind == kind and wait.about == about:
                wait.until, wait.by = until, by
                return True
        return False

    def end_waits(self, until: float) -> None:
        """Note that it waits for nothing any more."""
        for wait in self._waits or ():
            if wait.until is None or wait.until > until:
                wait.until = until

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for something just now."""
        return any(wait.until is None for wait in self._waits or ())

    def __repr__(self) -> str:
        """Show what happened when."""
        return (
            f"Span({self.task_id!r}, turn={self.turn}, attempt={self.attempt}, {self.status}, seconds={self.seconds})"
        )


class Story:
    """Listens to a run and keeps its spans, the last `limit` of them.

    Attributes:
        spans: in the order in which they were queued.
        blocks: times at which the loop was held.
        began_at, ended_at: of the run; None while that has not happened.
        lost: how many spans are gone.
    """

    wants = (
        events.RunStarted,
        events.RunFinished,
        events.TaskDetail,
        events.TaskStarted,
        events.TaskCompleted,
        events.TaskFailed,
        events.TaskCancelled,
        events.TaskSkipped,
        events.LoopBlocked,
    )

    def __init__(self, limit: int = TIMELINE_LIMIT, safe_at: Callable[[], float] | None = None) -> None:
        """Know nothing yet; `safe_at` gives the time if what has ended is safe in a journal as soon as it is told."""
        self.spans: deque[Span] = deque(maxlen=limit)
        self.blocks: deque[events.LoopBlocked] = deque(maxlen=BLOCKS_LIMIT)
        self.began_at: float | None = None
        self.ended_at: float | None = None
        self.lost = 0
        self._safe_at = safe_at
        self._open: dict[int, Span] = {}
        self._ends = 0
        self._takes: dict[type, Callable[[Any], object]] = {
            events.RunStarted: self._run_started,
            events.RunFinished: self._run_finished,
            events.TaskQueued: self._queued,
            events.TaskDropped: lambda event: self._ended(event, "cancelled"),
            events.TaskStarted: self._started,
            events.TaskWaiting: self._waiting,
            events.TaskResumed: self._resumed,
            events.TaskCompleted: lambda event: self._ended(event, "completed"),
            events.TaskIterated: lambda event: self._ended(event, "completed"),
            events.TaskRetrying: self._retrying,
            events.TaskFailed: self._failed,
            events.TaskCancelled: lambda event: self._ended(event, "cancelled"),
            events.TaskSkipped: self._skipped,
            events.LoopBlocked: self.blocks.append,
        }

    def on_event(self, event: events.Event) -> None:
        """Take an event."""
        take = self._takes.get(event.__class__)
        if take is not None:
            take(event)

    def of(self, key: int) -> Iterator[Span]:
        """Go through the spans of an instance, the first one first."""
        return (span for span in self.spans if span.key == key)

    # -- events -----------------------------------------------------------------------------------------------

    def _run_started(self, event: events.RunStarted) -> None:
        if self.began_at is None:
            self.began_at = event.at

    def _run_finished(self, event: events.RunFinished) -> None:
        if event.task_id is None:
            self.ended_at = event.at

    def _new(self, event: events.TaskEvent, parent: int | None = None, cause: int | None = None) -> Span:
        span = Span(event.task_id or "", event.key, event.attempt, event.turn, event.at, parent, cause)
        self._open[event.key] = span
        self._keep(span)
        return span

    def _keep(self, span: Span) -> None:
        if len(self.spans) == self.spans.maxlen:
            self.lost += 1
        self.spans.append(span)

    def _queued(self, event: events.TaskQueued) -> None:
        span = self._open.get(event.key)
        if span is None or span.started_at is not None:
            self._new(event, event.parent, event.cause)
            return
        span.end_waits(event.at)  # its delay is over
        span.parent = event.parent
        if span.cause is None:
            span.cause = event.cause

    def _started(self, event: events.TaskStarted) -> None:
        span = self._open.get(event.key) or self._new(event)
        span.end_waits(event.at)
        span.started_at = event.at
        span.status = "running"

    def _waiting(self, event: events.TaskWaiting) -> None:
        span = self._open.get(event.key) or self._new(event)
        if span.started_at is not None:
            span.status = "waiting"
        elif event.wait == "limit":
            span.end_waits(event.at)  # it has passed one limit and stands before another
        span.begin_wait(event.wait, event.at, event.about)

    def _resumed(self, event: events.TaskResumed) -> None:
        span = self._open.get(event.key)
        if span is None:
            return
        is_known = span.end_wait(event.wait, event.at, event.about, event.by)
        if not is_known and event.wait == "limit" and span.started_at is None:
            span.add_wait(Wait("limit", span.admitted_at or span.queued_at, event.at, event.about, event.by))
        if span.status == "waiting" and not span.is_waiting:
            span.status = "running"

    def _ended(self, event: events.TaskEvent, status: str) -> Span | None:
        span = self._open.pop(event.key, None)
        if span is None:
            return None
        span.end_waits(event.at)
        span.finished_at = event.at
        if span.started_at is None and status == "completed":
            span.started_at = event.at  # a task without a function
        span.status = status
        self._ends += 1
        span.order = self._ends
        if self._safe_at is not None:
            span.saved_at = max(self._safe_at(), event.at)
        return span

    def _failed(self, event: events.TaskFailed) -> None:
        span = self._ended(event, "failed")
        if span is not None:
            span.error = _words(event.error)

    def _retrying(self, event: events.TaskRetrying) -> None:
        failed = self._ended(event, "retrying")
        parent = None
        if failed is not None:
            failed.error = _words(event.error)
            parent = failed.parent
        span = self._new(event, parent, event.key)
        if event.delay > 0:
            span.begin_wait("retry", event.at, _words(event.error))

    def _skipped(self, event: events.TaskSkipped) -> None:
        span = Span(event.task_id or "", 0, 1, 1, event.at)
        span.finished_at = event.at
        span.status = "skipped"
        self._keep(span)


def _words(error: BaseException) -> str:
    """Say what an error is, in one line."""
    name, text = type(error).__name__, text_of(error).partition("\n")[0]
    said = name if text == name else f"{name}: {text}"
    return said if len(said) <= LONGEST_ERROR else f"{said[: LONGEST_ERROR - 3]}..."
