"""Executors that a run has without being told: `process`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from ..protocols import Job

if TYPE_CHECKING:
    from .process import ProcessPool

process = lazily("graflow_async.executors.process")  # pickle and subprocess are slow to import
within = lazily("graflow_async.executors._within")


class ProcessExecutor:
    """Runs plain functions in child processes; none is started before the first job."""

    name = "process"

    def __init__(self, max_workers: int | None = None) -> None:
        """Start nothing yet; there will be at most so many processes, one per processor if nothing is said."""
        self._max_workers = max_workers
        self._pool: ProcessPool | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a pool of processes."""
        return self._pool is not None

    async def execute(self, job: Job) -> Any:
        """Run a job in a child process; cancelling the call kills the process.

        Raises:
            NotSerializableError: the function, an argument or the result cannot be pickled.
            ProcessDiedError: the process ended before it answered.
        """
        if self._pool is None:
            self._pool = process.ProcessPool(self._max_workers)
        pool: Any = self._pool
        func = job.func if job.around is None else within.Within(job.around, job.func)
        home: Any = job.home
        notifier: Any = None if home is None else home.link.notifier
        if home is None or notifier is None:
            return await pool.run(func, job.args, job.kwargs)
        wait = (home.instance, "worker", self.name)
        notifier.waiting(*wait)
        return await pool.run(func, job.args, job.kwargs, on_begin=partial(notifier.resumed, *wait))

    async def aclose(self) -> None:
        """Kill and reap the processes."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None
