"""Executors that a run has without being told: `process`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from ..protocols import Job

if TYPE_CHECKING:
    from .process import ProcessPool

process = lazily("graflow_async.executors.process")  # pickle and subprocess are slow to import


class ProcessExecutor:
    """Runs plain functions in child processes; none is started before the first job."""

    name = "process"

    def __init__(self) -> None:
        """Start nothing yet."""
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
            self._pool = process.ProcessPool()
        pool: Any = self._pool
        return await pool.run(job.func, job.args, job.kwargs)

    async def aclose(self) -> None:
        """Kill and reap the processes."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None
