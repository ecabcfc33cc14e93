"""RedisExecutor: tasks travel to workers through a queue in Redis; the run stays with the process that awaits it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._redis.jobs import JobQueue
from .._redis.payloads import keyring_for
from ..policy import require_count, require_number
from ..protocols import Job, Started, StartingExecutor
from ._lookout import Settings
from ._run_of_jobs import RunOfJobs

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 2000  # jobs


class RedisExecutor:
    """Sends tasks to workers (`python -m graflow_async.worker`), with everything that their contexts can do.

    One may serve several runs, one after the other or at once on one loop; the connections are given back when the
    last has ended.
    """

    name = "redis"
    takes_context = True

    def __init__(
        self,
        url: str | None = None,
        *,
        queue: str = "default",
        worker_timeout: float | None = None,
        window: int = WINDOW,
        secret_keys: Any = None,
        lease: float = 30.0,
        patience: float = 300.0,
    ) -> None:
        """Send through a queue of that name.

        Args:
            url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            queue: name of the queue; workers of that queue run the tasks.
            worker_timeout: seconds without any worker after which waiting tasks fail; None to wait for ever.
            window: how many jobs of a run wait in Redis at once; those of which it is known that they run are not
                counted, as they may wait for others.
            secret_keys: what jobs are signed with; None for GRAFLOW_SECRET_KEY.
            lease: seconds after which another process may go on with a run of this one, should it die; also how often
                it is looked whether Redis has forgotten jobs, which are then sent again.
            patience: seconds that Redis may not answer before the tasks that are under way fail.

        Raises:
            ConfigError: a number makes no sense.
        """
        require_count("window", window, least=1)
        require_number("lease", lease, exclusive=True)
        require_number("patience", patience)
        if worker_timeout is not None:
            require_number("worker_timeout", worker_timeout)
        self._url = url
        self._queue_name = queue
        self._settings = Settings(window, lease, patience, worker_timeout)
        self._secret_keys = secret_keys
        self._queue: JobQueue | None = None
        self._runs: dict[str, RunOfJobs] = {}
        self._closing = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._queue is not None

    async def execute(self, job: Job) -> Any:
        """Have a job done by a worker, and give its value.

        Raises:
            NotSerializableError: the task, an argument or its result cannot be pickled.
            NoWorkersError: there was no worker for `worker_timeout` seconds.
            PoisonTaskError: workers die of it.
            StoreUnavailableError: Redis has not answered for `patience` seconds.
            BaseException: what the task raised.
        """
        return await execute(self, job)

    def start(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> Started:
        """Have a job done by a worker, and give its value to `done`, or the exception that `execute` would raise.

        Raises:
            NotSerializableError: the task or an argument cannot be pickled.
        """
        run = self._runs.get(job.run_id)
        if run is None:
            if self._queue is None:
                self._queue = JobQueue(self._url, self._queue_name)
            keyring = keyring_for(self._queue.calls.client, self._secret_keys)
            run = self._runs[job.run_id] = RunOfJobs(self._queue, job, keyring, self._settings)
        return run.start(job, done)

    async def aclose(self) -> None:
        """Give back what runs that have ended have used."""
        self._closing += 1
        try:
            for run_id, run in list(self._runs.items()):
                if run.is_over and self._runs.pop(run_id, None) is run:
                    await run.aclose()
        finally:
            self._closing -= 1
        # Runs that end together close together: the last one gives the connections back.
        if not self._runs and not self._closing and self._queue is not None:
            queue, self._queue = self._queue, None
            await queue.close()


async def execute(executor: StartingExecutor, job: Job) -> Any:
    """Have a job done by an executor that calls back, and wait for it; a cancellation of the wait cancels the job.

    Raises:
        BaseException: what has become of it.
    """
    ended: asyncio.Future[tuple[Any, BaseException | None]] = asyncio.get_running_loop().create_future()
    started = executor.start(job, lambda value, error: ended.set_result((value, error)))
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            started.cancel()  # how it ends then is its end
    value, error = ended.result()
    if error is not None:
        raise error
    return value
