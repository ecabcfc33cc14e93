"""The errors of tasks that travel to workers; loaded when somebody sends one.

Their place in the tree of `errors` is below GraflowRuntimeError.
"""

from __future__ import annotations

from typing import Any

from .errors import GraflowRuntimeError, StoreUnavailableError


class PoisonTaskError(GraflowRuntimeError):
    """Workers died of a task again and again; it is a dead letter now, and not tried any more.

    Attributes:
        job: name of the dead letter.
        crashes: how many workers died.
        story: what is known of these deaths, one line each.
    """

    def __init__(self, job: str, crashes: int, story: str = "") -> None:
        """Tell the story."""
        lines = "".join(f"\n  {line}" for line in story.strip().splitlines())
        super().__init__(f"job {job} has killed {crashes} workers and was set aside as a dead letter{lines}")
        self.job = job
        self.crashes = crashes
        self.story = story

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what it is made of."""
        return type(self), (self.job, self.crashes, self.story)


class NoWorkersError(GraflowRuntimeError):
    """There was no worker to run a task.

    Attributes:
        queue: the queue that none served.
        seconds: for how long.
    """

    def __init__(self, queue: str, seconds: float) -> None:
        """Say where to start one."""
        super().__init__(
            f"no worker of queue {queue!r} was alive for {seconds:g} s; start one: "
            f"python -m graflow_async.worker --queue {queue}"
        )
        self.queue = queue
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what it is made of."""
        return type(self), (self.queue, self.seconds)


class QueueFullError(StoreUnavailableError):
    """Redis has no memory left for more jobs; those that are there can still be finished.

    Attributes:
        taken: of the jobs that were to be sent together, so many of the first were taken.
    """

    taken = 0
