"""View: one run as the picture shows it. It hears rare events on the loop, and is drawn in the screen's thread."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from .. import events
from .._core.run_state import RunState
from .._runtime.calls import MapCall
from ..services import Services
from ._glance import Glance, Why, look
from ._pace import Pace
from ._screen import Screen
from ._shown import Bar, Shown
from ._words import clock, number, plain, rate, span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

_IDLE = 2.0  # seconds for which a map of unknown length is shown while none of its items lives
_WHY = {
    "person": "for a person",
    "stop": "to be stopped",
    "retry": "for a retry",
    "delay": "for their start",
    "sleep": "asleep",
    "other": "for something else",
}


class _Reported:
    """What a task has said of itself."""

    __slots__ = ("event", "pace")

    def __init__(self) -> None:
        self.pace = Pace()
        self.event: events.Progress | None = None


class _Mapped:
    """A map that has been seen."""

    __slots__ = ("call", "name", "pace", "seen_at")

    def __init__(self, call: MapCall, name: str) -> None:
        self.call = call
        self.name = name
        self.pace = Pace()
        self.seen_at = 0.0


class View:
    """Shows one run.

    Attributes:
        wants: the events that it listens to; no others are made for it.
        loop: on which the run goes on, once it has begun.
    """

    wants = (
        events.RunStarted,
        events.RunFinished,
        events.TaskFailed,
        events.TaskRetrying,
        events.TaskCancelled,
        events.TaskDropped,
        events.Progress,
        events.NoWorkers,
        events.WorkersBack,
    )

    def __init__(self, name: str, state: RunState, services: Services, screen: Screen) -> None:
        """Stand before the run."""
        self.name = plain(name, 60)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._state = state
        self._services = services
        self._screen = screen
        self._began = time.monotonic()
        self._before = 0
        self._failed = 0
        self._cancelled = 0
        self._never_begun = 0
        self._delayed: set[int] = set()
        self._trouble: events.TaskFailed | None = None
        self._due: dict[int, float] = {}
        self._deserted: dict[str, int] = {}
        self._reported: dict[int, _Reported] = {}
        self._maps: dict[int, _Mapped] = {}
        self._pace = Pace()

    @property
    def is_lost(self) -> bool:
        """Whether the loop was closed under the run."""
        return self.loop is not None and self.loop.is_closed()

    # -- on the loop of the run -------------------------------------------------------------------------------

    def on_event(self, event: events.Event) -> Awaitable[None] | None:
        """Note an event; the end of the run gives what lasts until the picture is gone."""
        if isinstance(event, events.Progress):
            reported = self._reported.get(event.key)
            if reported is None:
                reported = self._reported[event.key] = _Reported()
            reported.event = event
        elif isinstance(event, events.TaskFailed):
            self._trouble = event
            if isinstance(event, events.TaskRetrying):
                self._due[event.key] = time.monotonic() + event.delay
            else:
                self._failed += 1
        elif isinstance(event, (events.TaskCancelled, events.TaskDropped)):
            self._cancelled += 1
            self._never_begun += event.key in self._delayed
        elif isinstance(event, events.NoWorkers):
            self._deserted[event.queue] = event.waiting
        elif isinstance(event, events.WorkersBack):
            self._deserted.pop(event.queue, None)
        elif isinstance(event, events.RunStarted):
            self.loop = asyncio.get_running_loop()
            self._began = time.monotonic()
            self._before = look(self._state, self._services).ended
            self._screen.add(self)
        elif isinstance(event, events.RunFinished) and event.task_id is None:
            return self._screen.remove(self, self.farewell(event.status, event.error))
        return None

    def farewell(self, status: str, error: BaseException | None = None) -> str:
        """Give the line that stays when the picture is gone; `error` ended the run, or says why it pauses."""
        glance = look(self._state, self._services)
        seconds = time.monotonic() - self._began
        done = self._done(glance)
        counts = ", ".join(f"{count} {word}" for count, word in self._counts(glance, done) if word != "running")
        word = f"{status} in" if status == "completed" else f"{status} after"
        fast = rate(done / seconds) if seconds >= 1 else ""
        reason = plain(getattr(error, "reason", None) or "") if status == "paused" else ""
        return f"{self.name}: {word} {span(seconds)}: {counts}{fast and f' ({fast})'}{reason and f'; {reason}'}"

    # -- in the thread that draws -----------------------------------------------------------------------------

    def shown(self) -> Shown:
        """Look at the run and say what to draw."""
        now = time.monotonic()
        reports = list(self._reported.items())  # before the look: who has begun after it is not among the living
        glance = look(self._state, self._services)
        self._delayed = glance.delayed
        done = self._done(glance)
        self._pace.see(now, done)
        counts = [(str(count), word) for count, word in self._counts(glance, done)]
        bars = [*self._bars_of_maps(glance, now), *self._bars_of_reports(glance, reports, now)]
        notes = list(self._notes(glance, now))
        return Shown(
            self.name, clock(now - self._began), counts, rate(self._pace.rate), notes, _questions(glance), bars
        )

    def _done(self, glance: Glance) -> int:
        """Count the turns of tasks that this run has done with success."""
        others = self._failed + self._cancelled - self._never_begun
        return max(glance.ended - self._before - others, 0)

    def _counts(self, glance: Glance, done: int) -> Iterable[tuple[int, str]]:
        """List the counts that are worth a word."""
        yield glance.running, "running"
        yield done, "done"
        others = (
            (self._failed, "failed"),
            (self._cancelled, "cancelled"),
            (glance.queued, "queued"),
            (glance.waiting, "waiting"),
        )
        yield from (pair for pair in others if pair[0])
        if self._before:
            yield self._before, "before"

    def _notes(self, glance: Glance, now: float) -> Iterable[str]:
        """Say why something waits, and what went wrong last."""
        whys = [self._said(why, count, now) for why, count in glance.waits.most_common() if why[0] != "children"]
        if whys:
            yield f"waiting: {', '.join(whys[:6])}{', ...' if len(whys) > 6 else ''}"
        for queue, count in list(self._deserted.items()):
            yield f"waiting: no worker of queue {plain(queue, 60)!r} is alive ({count} tasks)"
        trouble = self._trouble
        if trouble is not None:
            error = plain(trouble.error)
            kind = type(trouble.error).__name__
            again = f", try {trouble.attempt} follows" if isinstance(trouble, events.TaskRetrying) else ""
            yield f"failed: {plain(trouble.task_id, 60)}{again}: {kind}{error and f': {error}'}"

    def _said(self, why: Why, count: int, now: float) -> str:
        """Say what some wait for."""
        kind, about = why
        if kind == "limit":
            return f"{count} for {plain(about, 60)}"
        if kind == "event":
            return f"{count} for event {plain(about, 60)!r}"
        soonest = ""
        if kind == "retry":
            for key in [key for key, due in list(self._due.items()) if due < now]:
                self._due.pop(key, None)
            due = min(list(self._due.values()), default=None)
            soonest = "" if due is None else f" in {span(due - now)}"
        return f"{count} {_WHY.get(kind, kind)}{soonest}"

    def _bars_of_maps(self, glance: Glance, now: float) -> Iterable[Bar]:
        """Say how far the maps are, the oldest first; one that is over is forgotten."""
        for number_of, (call, name) in glance.maps.items():
            known = self._maps.get(number_of)
            if known is None or known.call is not call:
                known = self._maps[number_of] = _Mapped(call, plain(name, 60))
            known.seen_at = now
        for number_of, known in list(self._maps.items()):
            call = known.call
            done, total = len(call.results) - call.pending, call.total
            is_over = done >= total if total is not None else now - known.seen_at > _IDLE
            if number_of not in glance.maps and (is_over or call.parent.key not in glance.living):
                del self._maps[number_of]
                continue
            known.pace.see(now, done)
            yield Bar(known.name, done, total, known.pace, "")

    def _bars_of_reports(self, glance: Glance, reports: list[tuple[int, _Reported]], now: float) -> Iterable[Bar]:
        """Say how far the tasks are that report it, the oldest first; one that has ended is forgotten."""
        for key, reported in reports:
            event = reported.event
            if event is None:
                continue
            if key not in glance.living:
                self._reported.pop(key, None)
                continue
            done, total = number(event.done), number(event.total)
            reported.pace.see(now, done or 0.0)
            yield Bar(plain(event.task_id, 60), done or 0.0, total, reported.pace, plain(event.message, 100))


def _questions(glance: Glance) -> list[str]:
    """Say what people are asked."""
    return [f"{plain(name, 60)} asks: {plain(prompt)}" for name, prompt in glance.asked]
