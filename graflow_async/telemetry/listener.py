"""Telemetry: the listener that makes spans and metrics of what happens in runs."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from .. import events
from .._version import __version__
from ..protocols import Attempt
from . import names
from ._story import Story
from .blocks import Current
from .instruments import instruments_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import SpanContext, TracerProvider

RUNS_REMEMBERED = 1000
"""Runs of this process that have ended, to which their resumptions are linked."""


class Telemetry:
    """Makes spans and metrics of runs; one may listen to any number of them.

    Attributes:
        wants: the events that it takes.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Make spans and metrics with these providers; None for the ones that the process has set."""
        self._tracer = trace.get_tracer(names.SCOPE, __version__, tracer_provider)
        self._meters = instruments_of(meter_provider)
        self._stories: dict[str, Story] = {}
        self._former: OrderedDict[str, SpanContext] = OrderedDict()
        self._take: dict[type, Callable[[Any], None]] = {
            events.RunStarted: self._run_started,
            events.RunFinished: self._run_finished,
            events.TaskQueued: self._queued,
            events.TaskDropped: self._dropped,
            events.TaskStarted: self._started,
            events.TaskWaiting: self._waiting,
            events.TaskResumed: self._resumed,
            events.TaskCompleted: self._completed,
            events.TaskIterated: self._completed,
            events.TaskFailed: self._failed,
            events.TaskRetrying: self._retrying,
            events.TaskCancelled: self._cancelled,
            events.TaskSkipped: self._skipped,
            events.FeedbackRequested: self._asked,
            events.FeedbackSettled: self._settled,
        }
        self.wants: frozenset[type] = frozenset(self._take)

    def on_event(self, event: events.Event) -> None:
        """Take an event."""
        take = self._take.get(event.__class__)
        if take is not None:
            take(event)

    def around(self, attempt: Attempt) -> Current | None:
        """Begin the spans of an attempt, and give the block in which its body runs."""
        story = self._stories.get(attempt.run_id)
        return None if story is None else story.begin(attempt)

    # -- runs -------------------------------------------------------------------------------------------------

    def _run_started(self, event: events.RunStarted) -> None:
        run_id = event.run_id
        self._stories[run_id] = Story(self._tracer, self._meters, run_id, event.workflow, self._former.get(run_id))

    def _run_finished(self, event: events.RunFinished) -> None:
        if event.scope:
            story = self._stories.get(event.run_id)
            if story is not None:
                story.end_child_run(event.scope, event.status, event.error if event.status == "failed" else None)
            return
        story = self._stories.pop(event.run_id, None)
        if story is None:
            return
        story.finish(event.status, event.error)
        self._former[event.run_id] = story.run.get_span_context()
        if len(self._former) > RUNS_REMEMBERED:
            self._former.popitem(last=False)

    # -- tasks ------------------------------------------------------------------------------------------------

    def _queued(self, event: events.TaskQueued) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.queued[event.key] = event.at

    def _dropped(self, event: events.TaskDropped) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.drop(event.key)

    def _started(self, event: events.TaskStarted) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.started(event.key, event.at)

    def _waiting(self, event: events.TaskWaiting) -> None:
        story = self._stories.get(event.run_id)
        if event.wait == "worker" and story is not None:
            story.wait_for_worker(event.key, event.at)

    def _resumed(self, event: events.TaskResumed) -> None:
        story = self._stories.get(event.run_id)
        if event.wait == "worker" and story is not None:
            story.has_worker(event.key, event.at)

    def _completed(self, event: events.TaskCompleted) -> None:
        self._end(event, "completed")

    def _failed(self, event: events.TaskFailed) -> None:
        self._end(event, "failed", event.error)

    def _cancelled(self, event: events.TaskCancelled) -> None:
        self._end(event, "cancelled")

    def _end(self, event: events.TaskEvent, outcome: str, error: BaseException | None = None) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.end(event.key, outcome, error)

    def _retrying(self, event: events.TaskRetrying) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.retry(event.key, event.delay, event.error)

    def _skipped(self, event: events.TaskSkipped) -> None:
        story = self._stories.get(event.run_id)
        if story is not None and event.task_id is not None:
            story.skip(event.task_id)

    # -- questions --------------------------------------------------------------------------------------------

    def _asked(self, event: events.FeedbackRequested) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.ask(event.key, event.request.id, str(event.request.feedback_type))

    def _settled(self, event: events.FeedbackSettled) -> None:
        story = self._stories.get(event.run_id)
        if story is not None:
            story.settle(event.key, event.request.id, event.outcome)
