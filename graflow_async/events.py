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


@_event
class RunStarted(Event):
    """The run has begun; `workflow` is the name of its workflow."""

    workflow: str = ""


class TaskSkipped(Event):
    """A task will not run in this pass: nothing that leads to it has delivered."""


@_event
class RunFinished(Event):
    """The run (or a child run, named by `task_id`, its number in `scope`) has ended; `status` is as in `run.status`."""

    status: str
    error: BaseException | None = None
    scope: int = 0


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

    def __init__(self, run_id: str, task_id: str | None, at: float, key: int, attempt: int, turn: int) -> None:
        """Keep the fields."""
        # Written out, as are the two below: what is generated for frozen classes takes five times as long.
        fields = self.__dict__
        fields["run_id"] = run_id
        fields["task_id"] = task_id
        fields["at"] = at
        fields["key"] = key
        fields["attempt"] = attempt
        fields["turn"] = turn


class TaskStarted(TaskEvent):
    """The body of a task has begun."""


class TaskCancelled(TaskEvent):
    """A task was told to stop and has ended."""


@_event
class TaskCompleted(TaskEvent):
    """A task is done, its children included."""

    value: Any

    def __init__(
        self, run_id: str, task_id: str | None, at: float, key: int, attempt: int, turn: int, value: Any
    ) -> None:
        """Keep the fields."""
        super().__init__(run_id, task_id, at, key, attempt, turn)
        self.__dict__["value"] = value


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
class LoopBlocked(Event):
    """A callback held the event loop for `seconds` (so far) at `file`:`line`, in `function`.

    `task_id` and `key` name the instance whose body did it; None where it was no body.
    """

    key: int | None
    seconds: float
    file: str
    line: int
    function: str


class TaskDetail(TaskEvent):
    """How an instance gets on between its start and its end; told only to listeners whose `wants` names it."""


@_event
class TaskQueued(TaskDetail):
    """The inputs of a task are there: it may begin as soon as limits and the loop let it.

    Attributes:
        parent: key of the instance under which it was made; None at the top.
        cause: key of the instance whose end made it ready; None if that was the start of a run or a body that called.
    """

    parent: int | None
    cause: int | None

    def __init__(
        self,
        run_id: str,
        task_id: str | None,
        at: float,
        key: int,
        attempt: int,
        turn: int,
        parent: int | None,
        cause: int | None,
    ) -> None:
        """Keep the fields."""
        super().__init__(run_id, task_id, at, key, attempt, turn)
        self.__dict__["parent"] = parent
        self.__dict__["cause"] = cause


@_event
class TaskWaiting(TaskDetail):
    """A task begins to wait, before its body has begun or in it.

    `wait` is "limit", "sleep", "person", "event", "child" or "worker"; `about` is the name of the limit, the question,
    the event, the child, or the queue. A task that waited for a worker of a queue is told of when that is known, its
    `TaskResumed` at once with it: after the event before it, and with times that may lie before those.
    """

    wait: str
    about: str


@_event
class TaskResumed(TaskDetail):
    """What a task waited for has come; `by` is the key of the instance that gave it its place in a limit, if one did.

    One that waited for a limit from the moment it was queued is told only of the end of that.
    """

    wait: str
    about: str
    by: int | None = None


class TaskDropped(TaskDetail):
    """A task that was queued is not wanted any more: it never began."""


@_event
class NoWorkers(Event):
    """No worker of a queue is alive, and `waiting` tasks of the run are there for one: they wait until one comes.

    With `worker_timeout` they fail after so many seconds; `WorkersBack` follows should one come.
    """

    queue: str
    waiting: int


@_event
class WorkersBack(Event):
    """After `NoWorkers` there is a worker again, or the first one: `worker` is its id."""

    queue: str
    worker: str


@_event
class EventsLost(Event):
    """A reader of `run.events()` was too slow: `count` events are missing here."""

    count: int
