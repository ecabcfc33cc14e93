"""Telling listeners how long jobs have waited for a worker: from what events of the queue say anyhow.

The fence of a claim is the moment at which it was made, and the id of a batch of events the moment at which it was
written, both by the clock of Redis. Their difference is how long ago, seen from the event, the worker took the job.
"""

from __future__ import annotations

from typing import Protocol

from .._core.state import Instance
from .._redis.jobs import Event
from .._runtime.link import Link
from .._runtime.ports import Notifier
from ..protocols import Clock
from ..worker_errors import NoWorkersError


class Waiting(Protocol):
    """A job that waits for a worker, or has one.

    Attributes:
        since: when it began to wait, in seconds since the epoch.
        met: fence of the last claim of which listeners were told; 0 before there is one.
        is_sent: Redis has it.
        is_over: Redis has told its end.
    """

    since: float
    met: int
    is_sent: bool
    is_over: bool

    @property
    def instance(self) -> Instance:
        """Whose body it is."""
        ...


class Waits:
    """The waits of one run's jobs for a worker; only made where somebody listens."""

    def __init__(self, notifier: Notifier, clock: Clock, queue: str) -> None:
        """Tell `notifier`, by its run's `clock`, of waits for a worker of `queue`."""
        self._notifier = notifier
        self._clock = clock
        self._queue = queue

    def begin(self, job: Waiting) -> None:
        """Note that a job waits from now on."""
        job.since, job.met = self._clock.time(), 0

    def heard(self, job: Waiting, event: Event, delay: float = 0.0) -> None:
        """Tell of the wait for a claim, at the first event about it.

        Args:
            job: whose.
            event: the event.
            delay: seconds that the worker had the job before the body could begin.
        """
        if event.fence == job.met:
            return
        job.met = event.fence
        now = self._clock.time()
        held = int(event.id.partition("-")[0]) / 1e3 - event.fence / 1e6
        self._tell(job, min(now - max(held, 0.0) + delay, now))

    def lost(self, job: Waiting, event: Event) -> None:
        """Tell of the wait for a claim that was lost; the job waits for another one from now on."""
        self.heard(job, event)
        job.since = self._clock.time()

    def settled(self, job: Waiting, error: BaseException | None) -> None:
        """Tell of the wait of a job that has ended here and, as is known, was never begun."""
        if error is None or job.met:
            return
        if not job.is_sent or job.is_over or isinstance(error, NoWorkersError):
            self._tell(job, self._clock.time())

    def _tell(self, job: Waiting, until: float) -> None:
        self._notifier.waited(job.instance, "worker", self._queue, job.since, max(job.since, until))


def waits_of(link: Link, queue: str) -> Waits | None:
    """Make what tells of the waits of a run's jobs for workers of a queue; None if nobody wants to know."""
    notifier = link.notifier
    return Waits(notifier, link.clock, queue) if notifier is not None and notifier.is_detailed else None
