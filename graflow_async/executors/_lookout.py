"""Looking after the jobs of a run: is anybody there who runs them, and does Redis still know them?"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple, Protocol

from .._redis.jobs import Driver, JobQueue
from .._runtime.ports import Notifier
from ..worker_errors import NoWorkersError
from ._code_of_run import CodeOfRun
from ._sent import Sent

logger = logging.getLogger("graflow_async.redis")

LOOKS = 3  # in a lease, for an outage that is over


class Settings(NamedTuple):
    """What RedisExecutor was told; see there."""

    window: int
    lease: float
    patience: float
    worker_timeout: float | None


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
        settings: Settings,
        notifier: Notifier | None,
    ) -> None:
        """Look after `jobs`.

        Args:
            jobs: the jobs.
            queue: theirs.
            driver: this process, as the queue sees it.
            code: the code of the run.
            settings: how often to look, how long to wait.
            notifier: hears of it when nobody is there; None without listeners.
        """
        self._jobs = jobs
        self._queue = queue
        self._driver = driver
        self._code = code
        self._settings = settings
        self._notifier = notifier
        self._is_alone = False

    async def look_for_workers(self) -> None:
        """Say that nobody is there to do the work, and let it fail after `worker_timeout`.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        queue, within, patience = self._queue, self._settings.worker_timeout, self._settings.patience
        while True:
            await self._jobs.busy.wait()
            alive = await queue.wait_for_workers(0, patience=patience)
            if not self._jobs.sent:
                continue
            if not alive:
                self._tell_nobody()
                alive = await queue.wait_for_workers(within, patience=patience)
            if not alive:
                self._jobs.fail(NoWorkersError(queue.name, within or 0.0), for_good=False)
                continue
            self._tell_somebody(alive[0].id)
            # Who is there now stays on the roll at least as long; those who live have lengthened it by then.
            await asyncio.sleep(max(worker.left for worker in alive))

    def _tell_nobody(self) -> None:
        """Tell that nobody is there: listeners once, the log whenever somebody begins to wait."""
        name, waiting = self._queue.name, len(self._jobs.sent)
        logger.warning(
            "no worker of queue %r is alive, and tasks of run %s wait (%d); start one: "
            "python -m graflow_async.worker --queue %s",
            *(name, self._driver.run, waiting, name),
        )
        if not self._is_alone and self._notifier is not None:
            self._notifier.no_workers(name, waiting)
        self._is_alone = True

    def _tell_somebody(self, worker: str) -> None:
        """Tell that somebody is there, if nobody was."""
        if not self._is_alone:
            return
        self._is_alone = False
        logger.info("a worker of queue %r has come: %s", self._queue.name, worker)
        if self._notifier is not None:
            self._notifier.workers_back(self._queue.name, worker)

    async def look_for_losses(self) -> None:
        """After an outage, and every now and then, send those jobs again that Redis has forgotten.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        calls = self._queue.calls
        looks, troubled_at = 0, calls.troubled_at
        while True:
            await asyncio.sleep(self._settings.lease / LOOKS)
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
