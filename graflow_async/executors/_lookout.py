"""Looking after the jobs of a run: is anybody there who runs them, and does Redis still know them?"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from .._redis.jobs import Driver, JobQueue
from ..worker_errors import NoWorkersError
from ._code_of_run import CodeOfRun
from ._sent import Sent

logger = logging.getLogger("graflow_async.redis")

LOOKS = 3  # in a lease, for an outage that is over


class Jobs(Protocol):
    """The jobs that are looked after."""

    sent: dict[str, Sent]
    busy: asyncio.Event

    def fail(self, error: BaseException, *, for_good: bool = True) -> None:
        """Let every job that is under way fail."""
        ...

    def send_again(self, names: list[str]) -> None:
        """Send jobs that Redis has forgotten."""
        ...


class Lookout:
    """Looks after the jobs of one run."""

    def __init__(
        self,
        jobs: Jobs,
        queue: JobQueue,
        driver: Driver,
        code: CodeOfRun,
        *,
        lease: float,
        worker_timeout: float | None,
    ) -> None:
        """Look after `jobs`.

        Args:
            jobs: the jobs.
            queue: theirs.
            driver: this process, as the queue sees it.
            code: the code of the run.
            lease: seconds between two looks.
            worker_timeout: seconds without workers after which jobs fail; None for never.
        """
        self._jobs = jobs
        self._queue = queue
        self._driver = driver
        self._code = code
        self._lease = lease
        self._worker_timeout = worker_timeout

    async def look_for_workers(self) -> None:
        """Say that nobody is there to do the work, and let it fail after `worker_timeout`.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        queue, within = self._queue, self._worker_timeout
        while True:
            await self._jobs.busy.wait()
            alive = await queue.wait_for_workers(0)
            if not alive:
                logger.warning(
                    "no worker of queue %r is alive, and tasks of run %s wait (%d); start one: "
                    "python -m graflow_async.worker --queue %s",
                    queue.name,
                    self._driver.run,
                    len(self._jobs.sent),
                    queue.name,
                )
                alive = await queue.wait_for_workers(within)
                if alive:
                    logger.info("a worker of queue %r has come: %s", queue.name, alive[0].id)
                else:
                    self._jobs.fail(NoWorkersError(queue.name, within or 0.0), for_good=False)
                    continue
            # Who is there now stays on the roll at least as long; those who live have lengthened it by then.
            await asyncio.sleep(max(worker.left for worker in alive))

    async def look_for_losses(self) -> None:
        """After an outage, and every now and then, send those jobs again that Redis has forgotten.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        calls = self._queue.calls
        looks, troubled_at = 0, calls.troubled_at
        while True:
            await asyncio.sleep(self._lease / LOOKS)
            looks += 1
            if looks % LOOKS and calls.troubled_at == troubled_at:
                continue
            troubled_at = calls.troubled_at
            await self._code.keep()
            names = [sent.id for sent in self._jobs.sent.values() if sent.is_sent and not sent.is_over]
            states = await self._driver.repair(names)
            missing = [name for name, state in states.items() if state == "missing"]
            if missing:
                logger.warning(
                    "Redis has forgotten %d jobs of run %s; sending them again", len(missing), self._driver.run
                )
                self._jobs.send_again(missing)
