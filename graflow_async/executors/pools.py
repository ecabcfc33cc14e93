"""Executors that a run has without being told: `process`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..protocols import Job


class ProcessExecutor:
    """Runs plain functions in child processes; none is started before the first job."""

    name = "process"

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pool: Any = None

    async def execute(self, job: Job) -> Any:
        """Run a job in a child process; cancelling the call kills the process.

        Raises:
            NotSerializableError: the function, an argument or the result cannot be pickled.
            ProcessDiedError: the process ended before it answered.
        """
        if self._pool is None:
            # Imported by name: few programs need processes, and pickle and subprocess are slow to import.
            self._pool = import_module(".process", __package__).ProcessPool()
        return await self._pool.run(job.func, job.args, job.kwargs)

    async def aclose(self) -> None:
        """Kill and reap the processes."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None
