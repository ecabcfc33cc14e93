"""A listener that keeps the events of runs, and says what it expects of them in words that show the story."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from ..events import Event, TaskCompleted, TaskEvent, TaskFailed, TaskIterated, TaskRetrying, TaskStarted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

E = TypeVar("E", bound=Event)

_LONGEST_STORY = 60  # lines in a message


class EventRecorder:
    """Keeps what happens in the runs that it listens to: `wf.run(listeners=[recorder])`.

    Attributes:
        events: in the order in which they happened.
        wants: the classes of events that are kept; None for all but details.
    """

    def __init__(self, *, wants: Collection[type[Event]] | None = None) -> None:
        """Begin without events.

        Args:
            wants: the classes of events to keep; None for all but details such as waits.
        """
        self.events: list[Event] = []
        self.wants: tuple[type[Event], ...] | None = None if wants is None else tuple(wants)

    def on_event(self, event: Event) -> None:
        """Keep an event."""
        if self.wants is None or isinstance(event, self.wants):
            self.events.append(event)

    def clear(self) -> None:
        """Forget everything."""
        self.events.clear()

    def of(self, kind: type[E], task_id: str | None = None) -> list[E]:
        """List the events of a class, those of its subclasses included; of one task, or of all."""
        return [event for event in self.events if isinstance(event, kind) and task_id in (None, event.task_id)]

    def ids_of(self, kind: type[Event]) -> list[str]:
        """List the ids of the tasks that events of a class are about, in the order in which they happened."""
        return [event.task_id for event in self.of(kind) if event.task_id is not None]

    def starts(self, task_id: str) -> int:
        """Count how often the body of a task has begun, every attempt and every turn."""
        return len(self.of(TaskStarted, task_id))

    def story(self) -> str:
        """Tell what happened, a line for each event, with the seconds since the first one."""
        lines = [_line(event, self.events[0].at) for event in self.events]
        if len(lines) > _LONGEST_STORY:
            lines = [f"... {len(lines) - _LONGEST_STORY} events before", *lines[-_LONGEST_STORY:]]
        return "\n".join(lines) or "nothing happened"

    # -- what is expected -------------------------------------------------------------------------------------

    def assert_completed(self, *task_ids: str) -> None:
        """Expect each of these tasks to have completed.

        Raises:
            AssertionError: one has not; with the story.
        """
        done = self._ends()
        missing = [task_id for task_id in task_ids if task_id not in done]
        if missing:
            raise self._complaint(f"{_list(missing)} did not complete")

    def assert_ran_once(self, *task_ids: str) -> None:
        """Expect the body of each of these tasks to have begun exactly once.

        Raises:
            AssertionError: one never began, or began again; with the story.
        """
        for task_id in task_ids:
            self.assert_ran(task_id, 1)

    def assert_ran(self, task_id: str, times: int) -> None:
        """Expect the body of a task to have begun so many times, attempts and turns together.

        Raises:
            AssertionError: it was another number; with the story.
        """
        number = self.starts(task_id)
        if number != times:
            raise self._complaint(f"{task_id!r} began {_times(number)}, not {_times(times)}")

    def assert_never_ran(self, *task_ids: str) -> None:
        """Expect none of these tasks to have begun.

        Raises:
            AssertionError: one has; with the story.
        """
        begun = [task_id for task_id in task_ids if self.starts(task_id)]
        if begun:
            raise self._complaint(f"{_list(begun)} began")

    def assert_order(self, *task_ids: str) -> None:
        """Expect each of these tasks to have completed before the next one began for the first time.

        Raises:
            AssertionError: it was otherwise; with the story.
        """
        self.assert_completed(*task_ids)
        begins, ends = self._begins(), self._ends()
        for first, second in pairwise(task_ids):
            if second not in begins:
                raise self._complaint(f"{second!r} never began")
            if ends[first] > begins[second]:
                raise self._complaint(f"{second!r} began before {first!r} had completed")

    def assert_overlapped(self, first: str, second: str) -> None:
        """Expect each of two tasks to have begun before the other one had completed.

        Raises:
            AssertionError: one waited for the other; with the story.
        """
        self.assert_completed(first, second)
        begins, ends = self._begins(), self._ends()
        if begins[first] > ends[second] or begins[second] > ends[first]:
            raise self._complaint(f"{first!r} and {second!r} ran one after the other")

    def assert_failed(self, task_id: str, kind: type[BaseException] = BaseException) -> BaseException:
        """Expect a task to have failed for good with an exception of that kind, and give it.

        Raises:
            AssertionError: it has not, or with another one; with the story.
        """
        errors = [event.error for event in self.of(TaskFailed, task_id) if not isinstance(event, TaskRetrying)]
        if not errors:
            raise self._complaint(f"{task_id!r} did not fail")
        if not isinstance(errors[-1], kind):
            raise self._complaint(f"{task_id!r} failed with {errors[-1]!r}, which is no {kind.__name__}")
        return errors[-1]

    def _begins(self) -> dict[str, int]:
        """Give the place of the first start of each task."""
        found: dict[str, int] = {}
        for place, event in enumerate(self.events):
            if isinstance(event, TaskStarted) and event.task_id is not None:
                found.setdefault(event.task_id, place)
        return found

    def _ends(self) -> dict[str, int]:
        """Give the place of the first completion of each task."""
        found: dict[str, int] = {}
        for place, event in enumerate(self.events):
            is_end = isinstance(event, TaskCompleted) and not isinstance(event, TaskIterated)
            if is_end and event.task_id is not None:
                found.setdefault(event.task_id, place)
        return found

    def _complaint(self, what: str) -> AssertionError:
        return AssertionError(f"{what}; this happened:\n{self.story()}")


def _line(event: Event, since: float) -> str:
    """Tell one event."""
    words = [f"{event.at - since:10.3f} s  {type(event).__name__}"]
    if event.task_id is not None:
        words.append(event.task_id)
    if isinstance(event, TaskEvent):
        words += [f"{name} {number}" for name in ("attempt", "turn") if (number := getattr(event, name)) != 1]
    for name in ("status", "error", "outcome", "delay", "count"):
        value = getattr(event, name, None)
        if value is not None:
            words.append(f"{name}={value!r}" if name != "error" else f"{type(value).__name__}: {value}")
    return " ".join(words)


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")
