"""The spans of one run: which are open, whose child each is, and what it followed."""

from __future__ import annotations

from collections import OrderedDict
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import Link, SpanKind

from ..protocols import Attempt
from . import names
from .blocks import Current, failed, type_of
from .instruments import Instruments

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

HERE = frozenset({"async", "thread", "inline", "process"})
"""Where a body runs on this machine; what any other executor does has a span of its own there."""
ENDED_AT_MOST = 10_000
"""Ends of tasks that are remembered, for links from those that come after them."""


class Opened:
    """The spans of a task that has begun and not ended.

    Attributes:
        task: the span of the task (one turn of it).
        attempt: the span of the present attempt; the task's own where there can be but one.
        number: of the attempt; 0 between two of them.
        since: reading of the performance counter when the attempt began.
        labels: attributes of what is measured.
        place: (scope, parent, id), by which those find it that come after it.
        waits: spans of open questions, by their ids.
        alone_since: since when the attempt waits for a process to run in, by the run's clock; None if it does not.
        alone_for: seconds that it has waited so.
    """

    __slots__ = ("alone_for", "alone_since", "attempt", "labels", "number", "place", "since", "task", "waits")

    def __init__(self, task: Span, labels: dict[str, Any], place: tuple[int, int | None, str]) -> None:
        """Begin with the task's span."""
        self.task = self.attempt = task
        self.labels = labels
        self.place = place
        self.number = 0
        self.since = 0.0
        self.waits: dict[str, Span] = {}
        self.alone_since: float | None = None
        self.alone_for = 0.0


class Story:
    """The spans of one run.

    Attributes:
        run: the span of the run.
        queued: by key of an instance that has not begun: when it could have, by the run's clock.
    """

    def __init__(
        self, tracer: Tracer, meters: Instruments, run_id: str, workflow: str, before: SpanContext | None
    ) -> None:
        """Begin the span of the run, as a child of what is current; `before` is a former part of the same run."""
        self._tracer = tracer
        self._meters = meters
        self._since = perf_counter()
        self.queued: dict[int, float] = {}
        self._labels = {names.WORKFLOW: workflow}
        self._base: Context = get_current()
        self.run = tracer.start_span(
            f"run {workflow}",
            self._base,
            attributes={names.RUN_ID: run_id, **self._labels},
            links=None if before is None else [Link(before)],
        )
        self._run_id = run_id
        self._open: dict[int, Opened] = {}
        self._children: dict[int, tuple[Span, int | None]] = {}  # child runs by number, with the keys of their callers
        self._ended: OrderedDict[tuple[int, int | None, str], SpanContext] = OrderedDict()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        meters.runs_active.add(1, workflow)

    # -- tasks ------------------------------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> Current:
        """Begin the spans of an attempt, and give the block in which its body runs."""
        key = attempt.key
        opened = self._open.get(key)
        if opened is None:
            opened = self._open[key] = self._opened(attempt)
        is_far = attempt.kind not in HERE
        about: dict[str, Any] = {names.ATTEMPT: attempt.attempt, names.EXECUTOR: attempt.kind}
        if attempt.retries:
            within = trace.set_span_in_context(opened.task, self._base)
            kind = SpanKind.PRODUCER if is_far else SpanKind.INTERNAL
            opened.attempt = self._tracer.start_span(f"attempt {attempt.name}", within, kind, about)
        opened.number = attempt.attempt
        opened.since = perf_counter()
        opened.alone_since, opened.alone_for = None, 0.0
        self._meters.tasks_active.add(1, *opened.labels.values())
        if attempt.attempt > 1:
            self._meters.retries.add(1, opened.labels)
        if not is_far:
            return Current(opened.attempt, self._base, None, {})
        about |= {names.RUN_ID: self._run_id, names.TASK_ID: attempt.task_id, **opened.labels}
        return Current(opened.attempt, self._base, f"process {attempt.name}", about)

    def _opened(self, attempt: Attempt) -> Opened:
        """Begin the span of a task."""
        labels = self._known.get((attempt.workflow, attempt.name))
        if labels is None:
            labels = self._known[attempt.workflow, attempt.name] = {
                names.WORKFLOW: attempt.workflow,
                names.TASK_NAME: attempt.name,
            }
        place = (attempt.scope, attempt.parent, attempt.task_id)
        about: dict[str, Any] = {
            names.RUN_ID: self._run_id,
            names.TASK_ID: attempt.task_id,
            names.TASK_KEY: attempt.key,
            names.TURN: attempt.turn,
            **labels,
        }
        kind = SpanKind.INTERNAL
        if not attempt.retries:
            about[names.ATTEMPT] = attempt.attempt
            about[names.EXECUTOR] = attempt.kind
            if attempt.kind not in HERE:
                kind = SpanKind.PRODUCER
        parent = trace.set_span_in_context(self._parent_of(attempt), self._base)
        links = self._links(attempt, place)
        return Opened(self._tracer.start_span(f"task {attempt.name}", parent, kind, about, links), labels, place)

    def _links(self, attempt: Attempt, place: tuple[int, int | None, str]) -> list[Link] | None:
        """Link to what has led here: an earlier turn, or else the tasks before this one."""
        before = (place,) if attempt.turn > 1 else ((*place[:2], task_id) for task_id in attempt.after)
        ended = self._ended
        return [Link(ended[one]) for one in before if one in ended] or None

    def _parent_of(self, attempt: Attempt) -> Span:
        """Find the span under which a task belongs: of the body that started it, of its child run, or of the run."""
        opened = None if attempt.parent is None else self._open.get(attempt.parent)
        if opened is not None:
            return opened.attempt
        return self._child_run(attempt) if attempt.scope else self.run

    def _child_run(self, attempt: Attempt) -> Span:
        """Give the span of a child run, which begins with its first task."""
        found = self._children.get(attempt.scope)
        if found is None:
            caller = None if attempt.caller is None else self._open.get(attempt.caller)
            parent = self.run if caller is None else caller.attempt
            about = {names.RUN_ID: self._run_id, names.WORKFLOW: attempt.workflow}
            within = trace.set_span_in_context(parent, self._base)
            span = self._tracer.start_span(f"run {attempt.workflow}", within, attributes=about)
            found = self._children[attempt.scope] = span, attempt.caller
        return found[0]

    def end(self, key: int, outcome: str, error: BaseException | None = None) -> None:
        """End the spans of a task."""
        opened = self._open.pop(key, None)
        if opened is None:  # it had no body, or has not begun
            self.drop(key)
            return
        self.end_attempt(opened, outcome, error)
        if opened.task is not opened.attempt:
            _end(opened.task, outcome, error, told=True)
        ended = self._ended
        ended[opened.place] = opened.task.get_span_context()
        if len(ended) > ENDED_AT_MOST:
            ended.popitem(last=False)
        if self._children:
            for scope in [scope for scope, (_, caller) in self._children.items() if caller == key]:
                self.end_child_run(scope, outcome)

    def retry(self, key: int, delay: float, error: BaseException) -> None:
        """End the attempt of a task that will have another one."""
        opened = self._open.get(key)
        if opened is None:
            return
        opened.task.add_event(names.RETRYING, {names.DELAY: delay, names.ERROR_TYPE: type_of(error)})
        self.end_attempt(opened, "retrying", error)

    def end_attempt(self, opened: Opened, outcome: str, error: BaseException | None) -> None:
        """End the span of an attempt, which may be that of the task."""
        for wait in opened.waits.values():
            _end(wait, outcome, None)
        opened.waits.clear()
        if not opened.number:
            return
        opened.number = 0
        labels = opened.labels
        self._meters.tasks_active.add(-1, *labels.values())
        measured = {**labels, names.OUTCOME: outcome}
        if error is not None:
            measured[names.ERROR_TYPE] = type_of(error)
        self._meters.attempt_seconds.record(perf_counter() - opened.since, measured)
        _end(opened.attempt, outcome, error)

    def skip(self, task_id: str) -> None:
        """Note that a task will not run."""
        self.run.add_event(names.SKIPPED, {names.TASK_ID: task_id})
        self._meters.skipped.add(1, {**self._labels, names.TASK_NAME: task_id})

    def started(self, key: int, at: float) -> None:
        """Measure how long a task has waited for its attempt that begins at a moment of the run's clock."""
        since = self.queued.pop(key, None)
        opened = self._open.get(key)
        if since is not None and opened is not None:
            self._meters.queue_seconds.record(max(at - since, 0.0), opened.labels)

    def wait_for_worker(self, key: int, at: float) -> None:
        """Note that the body of an attempt waits for a process to run in, from a moment of the run's clock on."""
        opened = self._open.get(key)
        if opened is not None:
            opened.alone_since = at

    def has_worker(self, key: int, at: float) -> None:
        """Put into the span of an attempt how long it has waited for processes to run in."""
        opened = self._open.get(key)
        if opened is not None and opened.alone_since is not None:
            opened.alone_for += max(at - opened.alone_since, 0.0)
            opened.alone_since = None
            opened.attempt.set_attribute(names.WORKER_WAIT, opened.alone_for)

    def drop(self, key: int) -> None:
        """Forget a task that was cancelled before it began: it is not counted."""
        self.queued.pop(key, None)

    # -- questions --------------------------------------------------------------------------------------------

    def ask(self, key: int, request_id: str, kind: str) -> None:
        """Begin the span of a question."""
        opened = self._open.get(key)
        if opened is not None:
            within = trace.set_span_in_context(opened.attempt, self._base)
            about = {names.REQUEST_ID: request_id}
            opened.waits[request_id] = self._tracer.start_span(f"wait {kind}", within, attributes=about)

    def settle(self, key: int, request_id: str, outcome: str) -> None:
        """End the span of a question."""
        opened = self._open.get(key)
        wait = None if opened is None else opened.waits.pop(request_id, None)
        if wait is not None:
            _end(wait, outcome, None)

    # -- runs -------------------------------------------------------------------------------------------------

    def end_child_run(self, scope: int, outcome: str, error: BaseException | None = None) -> None:
        """End the span of a child run."""
        found = self._children.pop(scope, None)
        if found is not None:
            _end(found[0], outcome, error, told=True)

    def finish(self, outcome: str, error: BaseException | None) -> None:
        """End the run, and what has not ended before."""
        for key in list(self._open):
            self.end(key, "paused" if outcome == "paused" else "abandoned")
        for scope in list(self._children):
            self.end_child_run(scope, outcome)
        _end(self.run, outcome, error if outcome == "failed" else None)
        measured = {**self._labels, names.OUTCOME: outcome}
        if outcome == "failed" and error is not None:
            measured[names.ERROR_TYPE] = type_of(error)
        self._meters.runs_active.add(-1, *self._labels.values())
        self._meters.run_seconds.record(perf_counter() - self._since, measured)


def _end(span: Span, outcome: str, error: BaseException | None, *, told: bool = False) -> None:
    if error is not None:
        failed(span, error, told=told)
    span.set_attribute(names.OUTCOME, outcome)
    span.end()
