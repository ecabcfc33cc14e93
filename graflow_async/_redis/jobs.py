"""The queue of jobs in Redis: how drivers (processes that await a run) and workers (that run jobs) find each other.

It carries bytes and knows nothing of tasks. What is true stands in one small hash per job; the stream of jobs, the
group that reads it and the streams of events follow that hash. Every change is one script, safe to be sent twice.

Keys, all below one prefix with one hash tag (`graflow:{q~NAME}:`), all with a time to live::

    s            stream   an entry (job, payload) for each job that has not ended; read by the group `g`
    j:RUN:JOB    hash     state, entry, fence, nonce, owner, tries, crashes, ...
    w            zset     worker -> end of its lease (ms by the clock of Redis)
    wi           hash     worker -> what it says about itself
    wake         stream   an entry whenever a worker comes
    in:WORKER    stream   what drivers have for the jobs that a worker runs
    ev:RUN       stream   what a run's driver must hear, in order; each entry holds a batch
    old:RUN      stream   what a driver of the run has heard that died since, and perhaps has not recorded
    own:RUN      hash     who drives the run: token, epoch, end of the lease
    dlq          stream   dead letters
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .jobs_calls import PATIENCE, Calls
from .jobs_data import Claim, DeadLetter, Delivery, Entry, Event, Job, WorkerInfo
from .jobs_dead import DeadLetters
from .jobs_driver import Driver
from .jobs_heart import Heart, News
from .jobs_roll import Roll
from .jobs_worker import LEASE, Worker
from .names import KEEP_FOR

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Claim",
    "DeadLetter",
    "Delivery",
    "Driver",
    "Entry",
    "Event",
    "Heart",
    "Job",
    "JobQueue",
    "News",
    "Worker",
    "WorkerInfo",
]


class JobQueue:
    """One queue of one Redis; drivers, workers and operators all start here.

    Attributes:
        calls: the connection and the scripts.
        dead: the dead letters of the queue.
        name: name of the queue.
    """

    def __init__(
        self, url: str | None = None, queue: str = "default", *, keep_for: int = KEEP_FOR, prefix: str = "graflow"
    ) -> None:
        """Use the queue of that name; nothing is sent before something is asked.

        Args:
            url: of the Redis; None for that of the environment, or the usual one on this machine.
            queue: name of the queue.
            keep_for: seconds that keys stay without a sign of life of whoever they belong to.
            prefix: first part of every key.

        Raises:
            ConfigError: the URL is none.
        """
        self.name = queue
        self.calls = Calls(url, queue, keep_for=keep_for, prefix=prefix)
        self.dead = DeadLetters(self.calls)
        self._roll = Roll(self.calls)

    async def check(self, *, any_eviction_policy: bool = False, patience: float | None = None) -> list[str]:
        """See whether this Redis can be relied on, and give what an operator should know, one sentence each.

        Raises:
            ConfigError: it is older than 6.2, or may throw keys away when memory runs out.
            StoreUnavailableError: it has not answered for `patience` seconds, ten if that is None.
        """
        return await self.calls.check(any_eviction_policy=any_eviction_policy, patience=patience)

    def driver(self, run_id: str, *, lease: float = LEASE, patience: float | None = PATIENCE) -> Driver:
        """Give the side of the process that awaits a run.

        Args:
            run_id: the run; another process that resumes it uses the same and finds what workers did meanwhile.
            lease: seconds that the run stays ours without `renew`.
            patience: seconds to try while Redis does not answer; None for ever.
        """
        return Driver(self.calls, run_id, lease=lease, patience=patience)

    def worker(
        self,
        name: str,
        info: bytes = b"",
        *,
        lease: float = LEASE,
        patience: float | None = None,
        life: str | None = None,
    ) -> Worker:
        """Give the side of a process that runs jobs; `join` comes first.

        Args:
            name: of letters, digits and `._-` only.
            info: what drivers and operators see of it.
            lease: seconds without a heartbeat after which its jobs are given to others.
            patience: seconds to try while Redis does not answer; None for ever.
            life: follows the name in the worker's id, and tells a process from all others of that name: one that is
                started again must not pass for its dead predecessor. None for a random one.

        Raises:
            ConfigError: the name has other characters, or the lease is not positive.
        """
        return Worker(self.calls, name, info, lease=lease, patience=patience, life=life)

    async def workers(self) -> list[WorkerInfo]:
        """List the workers that are alive.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._roll.workers()

    async def wait_for_workers(
        self, within: float | None = None, *, patience: float | None = PATIENCE
    ) -> list[WorkerInfo]:
        """Wait until at least one worker is alive, and list those that are; an empty list after `within` seconds.

        Raises:
            StoreUnavailableError: Redis has not answered for `patience` seconds.
        """
        return await self._roll.wait(within, patience)

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()

    async def __aenter__(self) -> Self:
        """Give the queue."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        del kind, error, trace
        await self.close()
