"""Spans: what drawings read of the timeline of a run, and what one drawn box says of the attempts in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..story import Span, Wait
from .text import TIMES, duration, many, times
from .view import STATES, Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NUMBERED = re.compile(r"(.+?)_\d+")  # how ids of children of one kind are made
ENDED = frozenset({"completed", "failed", "cancelled"})


class Instance:
    """All attempts of one instance, in order.

    Attributes:
        key: its number.
        task_id: the id of its task.
        parent: key of the instance that started it; None at the top.
        spans: its attempts, at least one.
    """

    __slots__ = ("key", "parent", "spans", "task_id")

    def __init__(self, key: int, span: Span) -> None:
        """Begin with the first attempt."""
        self.key = key
        self.task_id = span.task_id
        self.parent = span.parent
        self.spans = [span]

    @property
    def state(self) -> str:
        """How far it is, by its last attempt."""
        status = self.spans[-1].status
        return status if status in STATES else "completed"

    @property
    def turns(self) -> int:
        """How many turns it has begun."""
        return max(span.turn for span in self.spans)

    @property
    def began(self) -> float | None:
        """When its first body began."""
        return min((span.started_at for span in self.spans if span.started_at is not None), default=None)

    @property
    def ended(self) -> float | None:
        """When its last attempt ended; None while it runs."""
        return self.spans[-1].finished_at


def instances_of(spans: Iterable[Span]) -> dict[int, Instance]:
    """Gather the attempts of each instance: key -> instance, in order of appearance; what was skipped below zero."""
    found: dict[int, Instance] = {}
    for span in spans:
        known = found.get(span.key) if span.key else None
        if known is None:
            # What was skipped has no key: it never was an instance.
            key = span.key or -len(found) - 1
            found[key] = Instance(key, span)
        else:
            known.spans.append(span)
    return found


def look_of(label: str, instances: Sequence[Instance]) -> Look:
    """Say of a task how far it is; of one that ran several times, how far the last one is."""
    last = instances[-1]
    notes = [*_open_wait(last), _taken(last.spans, last.state), *_repeats(last)]
    if len(instances) > 1:
        notes.append(f"{many(len(instances))} passes")
    return Look(label, state=last.state, note=_joined(notes))


def look_of_many(label: str, instances: Sequence[Instance], state: str = "") -> Look:
    """Say of many tasks in one box how many are how far; `state` is that of the map they belong to, if they do."""
    counts = counted(instance.state for instance in instances)
    state = state or next(iter(counts), "completed")
    spans = [span for instance in instances for span in instance.spans]
    notes = [f"{TIMES} {many(len(instances))}", _taken(spans, state)]
    notes += [f"{many(count)} {told}" for told, count in counts.items() if told not in {state, "completed"}]
    return Look(label, state=state, note=_joined(notes), counts=counts, is_many=True)


def counted(states: Iterable[str]) -> Mapping[str, int]:
    """Count states, in the order in which they are told."""
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    for state in states:
        counts[state] += 1
    return {state: count for state, count in counts.items() if count}


def _taken(spans: Sequence[Span], state: str) -> str:
    """Say how long something took; "" while it has not ended."""
    begun = [span.started_at for span in spans if span.started_at is not None]
    ends = [span.finished_at for span in spans if span.finished_at is not None]
    return duration(max(ends) - min(begun)) if begun and ends and state in ENDED else ""


def _repeats(instance: Instance) -> list[str]:
    """Say how often an instance was tried again in its last turn."""
    attempts = max(span.attempt for span in instance.spans)
    return [times(attempts, "attempt")] if attempts > 1 else []


def _open_wait(instance: Instance) -> list[str]:
    """Say what an instance waits for now."""
    waits = [wait for wait in instance.spans[-1].waits if wait.until is None]
    if not waits or instance.ended is not None:
        return []
    return [wait_label(waits[-1])]


def wait_label(wait: Wait) -> str:
    """Name a wait: its kind, and what it was about."""
    return f"{wait.kind}: {wait.about}" if wait.about else wait.kind


def _joined(notes: Iterable[str]) -> str:
    """Put notes in one line."""
    return ", ".join(note for note in notes if note)
