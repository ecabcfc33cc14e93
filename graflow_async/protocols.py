"""The ports that other modules plug into: clock, executor, listener; and the job that crosses the executor's border."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager


class TimerHandle(Protocol):
    """A timer that can be forgotten."""

    def cancel(self) -> None:
        """Forget it; harmless once it has fired."""
        ...


@runtime_checkable
class Clock(Protocol):
    """Where time comes from. Durations are seconds of `monotonic`, moments are seconds of `time` since the epoch."""

    def time(self) -> float:
        """Give the wall clock, in seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Give a clock that never goes back, in seconds."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Call back on the loop after `delay` seconds."""
        ...


class Job:
    """One attempt of a task, ready to be called.

    Attributes:
        task_id, run_id: whose.
        key: number of the instance in its run.
        attempt, turn: both 1-based.
        func, args, kwargs: what to call; the context is among the arguments if the task wants it.
        around: makes the block in which the body is to run (see `Surrounds`), or None; it can be pickled.
    """

    __slots__ = (
        "_idempotency_key",
        "args",
        "around",
        "attempt",
        "func",
        "key",
        "kwargs",
        "run_id",
        "task_id",
        "turn",
    )

    def __init__(
        self,
        run_id: str,
        task_id: str,
        key: int,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        attempt: int = 1,
        turn: int = 1,
        idempotency_key: str = "",
        around: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        """Keep what is to be called, and for whom."""
        self.run_id = run_id
        self.task_id = task_id
        self.key = key
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.attempt = attempt
        self.turn = turn
        self._idempotency_key = idempotency_key
        self.around = around

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this turn, also after a resume."""
        return self._idempotency_key

    @property
    def home(self) -> Any:
        """Opaque: where the job comes from, for executors that let the task use its context elsewhere."""
        return None


@runtime_checkable
class Executor(Protocol):
    """Turns a job into its value, somewhere else. Tasks choose it by name; cancelling the call must stop the job."""

    @property
    def name(self) -> str:
        """The name that `@task(executor=...)` uses."""
        ...

    async def execute(self, job: Job) -> Any:
        """Run the job and give its value, or raise what it raised."""
        ...

    async def aclose(self) -> None:
        """Give back everything that is held; called when the run ends."""
        ...


class Started(Protocol):
    """A job that an executor has started."""

    def cancel(self) -> None:
        """Make it stop, and call back when it has; called again, it calls back without waiting for that."""
        ...


class StartingExecutor(Executor, Protocol):
    """An executor that calls back when a job has ended: no asyncio task has to wait for each of thousands."""

    def start(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> Started:
        """Start a job; `done` takes its value, or its exception, on the loop, and never inside `start` or `cancel`.

        What the job's `timeout` says is the executor's affair: it counts from when the body begins.
        """
        ...


@runtime_checkable
class ListensToEvents(Protocol):
    """An object that wants to know what happens in a run."""

    def on_event(self, event: Any) -> Awaitable[None] | None:
        """Take an event; called on the loop, so it must not block."""
        ...


class Attempt:
    """One attempt of a task that begins, as `around` is told of it.

    Attributes:
        run_id: of the run.
        task_id: of the task.
        name: the id of the task's definition, which is the same for all items of a `map`.
        key: number of the instance in its run; attempts and turns of one instance share it.
        attempt, turn: both 1-based.
        retries: how many further attempts there may be.
        kind: how the body runs: "async", "thread", "inline", or the name of an executor.
        parent: key of the instance that started this one; None for a node of the workflow's own graph.
        workflow: name of the workflow to whose graph it belongs.
        scope: number of the child run that it belongs to, 0 for the run itself.
        caller: key of the instance that awaits that child run; None for the run itself.
        after: ids of the tasks whose values led to it.
    """

    __slots__ = (
        "after", "attempt", "caller", "key", "kind", "name", "parent", "retries", "run_id", "scope", "task_id", "turn",
        "workflow",
    )  # fmt: skip

    def __init__(
        self,
        run_id: str,
        task_id: str,
        *,
        name: str,
        key: int,
        attempt: int,
        turn: int,
        retries: int,
        kind: str,
        parent: int | None,
        workflow: str,
        scope: int,
        caller: int | None,
        after: tuple[str, ...],
    ) -> None:
        """Keep what is known when the attempt begins."""
        self.run_id = run_id
        self.task_id = task_id
        self.name = name
        self.key = key
        self.attempt = attempt
        self.turn = turn
        self.retries = retries
        self.kind = kind
        self.parent = parent
        self.workflow = workflow
        self.scope = scope
        self.caller = caller
        self.after = after


@runtime_checkable
class Surrounds(Protocol):
    """A listener that puts a block around each body, in the body's own context variables and wherever it runs."""

    def around(self, attempt: Attempt) -> Callable[[], AbstractContextManager[Any]] | None:
        """Give what makes the block for an attempt that begins now, or None; called on the loop.

        For a task that runs elsewhere what makes the block is pickled and called there; where it cannot be loaded, the
        body runs without it. A plain function that returns an awaitable has the block twice: one for each part.
        """
        ...
