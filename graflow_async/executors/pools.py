"""Executors that a run has without being told: `process`, and `redis`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from ..protocols import Job

if TYPE_CHECKING:
    from .process import ProcessPool
    from .redis import RedisExecutor

process = lazily("graflow_async.executors.process")  # pickle and subprocess are slow to import
redis = lazily("graflow_async.executors.redis")  # and so is the client


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


class QueueExecutor:
    """Sends tasks to workers through Redis; nothing is connected before the first job."""

    name = "redis"
    takes_context = True

    def __init__(self, url: str | None, worker_timeout: float | None, secret_keys: Any) -> None:
        """Send through the Redis at `url`; the arguments are those of RedisExecutor."""
        self._options: dict[str, Any] = {"worker_timeout": worker_timeout, "secret_keys": secret_keys}
        self._url = url
        self._executor: RedisExecutor | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._executor is not None

    async def execute(self, job: Job) -> Any:
        """Have a job done by a worker; see RedisExecutor."""
        if self._executor is None:
            self._executor = redis.RedisExecutor(self._url, **self._options)
        executor: Any = self._executor
        return await executor.execute(job)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._executor is not None:
            await self._executor.aclose()
            self._executor = None
