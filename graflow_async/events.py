"""What listeners and `run.events()` see: frozen dataclasses with `run_id`, `task_id` and `at`, seconds since the epoch.

They are made only when somebody listens; the machine has its own, cheaper facts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as _event
else:
    # Comparison and repr are written once below: generating them for each class is slow to import.
    _event = partial(dataclass, frozen=True, repr=False, eq=False)


@_event
class Event:
    """Something that happened. `task_id` is None for what concerns the run as a whole."""

    run_id: str
    task_id: str | None
    at: float

    def __eq__(self, other: object) -> bool:
        """Compare the fields."""
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Hash what never changes and is always hashable."""
        return hash((self.__class__, self.run_id, self.task_id, self.at))

    def __repr__(self) -> str:
        """Show the fields by name."""
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return f"{type(self).__name__}({shown})"


class RunStarted(Event):
    """The run has begun."""


class TaskSkipped(Event):
    """A task will not run in this pass: nothing that leads to it has delivered."""


@_event
class RunFinished(Event):
    """The run (or a child run, named by `task_id`) has ended; `status` is as in `run.status`."""

    status: str
    error: BaseException | None = None


@_event
class GroupFinished(Event):
    """A group (named by `task_id`) has ended; `passed` is what its policy said."""

    passed: bool


@_event
class TaskEvent(Event):
    """Something that happened to an instance: `key` is its number, `attempt` and `turn` are 1-based."""

    key: int
    attempt: int
    turn: int


class TaskStarted(TaskEvent):
    """The body of a task has begun."""


class TaskCancelled(TaskEvent):
    """A task was told to stop and has ended."""


@_event
class TaskCompleted(TaskEvent):
    """A task is done, its children included."""

    value: Any


class TaskIterated(TaskCompleted):
    """A turn of a task is done and it asked for another one."""


@_event
class TaskFailed(TaskEvent):
    """A task failed for good."""

    error: BaseException


@_event
class TaskRetrying(TaskFailed):
    """An attempt failed; the next one (`attempt`) begins after `delay` seconds."""

    delay: float


@_event
class FeedbackRequested(TaskEvent):
    """A task has asked a person: `request` is a `FeedbackRequest`, and can be answered from now on."""

    request: Any


@_event
class FeedbackSettled(TaskEvent):
    """A question has ended as `outcome`: "answered", "expired", "cancelled", or "withdrawn" by its task."""

    request: Any
    outcome: str
    response: Any


@_event
class Emitted(TaskEvent):
    """A task said something with `ctx.emit(data)`."""

    data: Any


@_event
class Progress(TaskEvent):
    """A task said how far it is with `ctx.report_progress(done, total, message)`."""

    done: float
    total: float | None
    message: str


@_event
class EventsLost(Event):
    """A reader of `run.events()` was too slow: `count` events are missing here."""

    count: int
