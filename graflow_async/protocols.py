"""The ports that other modules plug into: clock, executor, listener; and the job that crosses the executor's border."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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
        idempotency_key: the same for every attempt of this turn, also after a resume.
        home: opaque: where the job comes from, for executors that let the task use its context elsewhere.
    """

    __slots__ = ("args", "attempt", "func", "home", "idempotency_key", "key", "kwargs", "run_id", "task_id", "turn")

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
        home: Any = None,
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
        self.idempotency_key = idempotency_key
        self.home = home


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


@runtime_checkable
class ListensToEvents(Protocol):
    """An object that wants to know what happens in a run."""

    def on_event(self, event: Any) -> Awaitable[None] | None:
        """Take an event; called on the loop, so it must not block."""
        ...
