"""RedisCoordinator: has tasks run by workers, for one group or as the executor "redis" of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._lazy import lazily
from .options import check_queue_name
from .policy import require_number
from .protocols import Job, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .executors.redis import RedisExecutor
    from .keywords import RunOptions

_client = lazily("graflow_async._redis.client")  # the library behind both is slow to import
_keywords = lazily("graflow_async.keywords")  # for its types
_redis = lazily("graflow_async.executors.redis")

DEFAULT_QUEUE = "default"


class _Opened:
    """What is open on one event loop; runs that end at once are closed one after the other."""

    __slots__ = ("closing", "executor")

    def __init__(self, executor: RedisExecutor) -> None:
        self.executor = executor
        self.closing = asyncio.Lock()


class RedisCoordinator:
    """Has the members of a group run by workers: `ParallelGroup([a, b], name="g", coordinator=RedisCoordinator(url))`.

    It is an executor: all that a run can do with one (`executor=`, `group.with_execution(executor=...)`) can be done
    with it. Any number of groups and runs may share it; it connects with the first task, and is closed with the last
    run.

    Attributes:
        name: under which a run knows it; it tells the queue and not the place, so that a recorded run can be gone on
            with when Redis has moved.
        queue_name: the queue whose workers run the tasks.
    """

    takes_context = True

    def __init__(
        self,
        redis_url: str | None = None,
        queue_name: str | None = None,
        *,
        worker_timeout: float | None = None,
        secret_keys: Any = None,
        lease: float = 30.0,
    ) -> None:
        """Name the Redis and the queue; nothing is connected yet.

        Args:
            redis_url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            queue_name: the queue; workers are started with `--queue` of the same name. None for the usual one.
            worker_timeout: seconds without any worker after which waiting tasks fail; None to wait for ever.
            secret_keys: what tasks are signed with; None for GRAFLOW_SECRET_KEY. They are not pickled with it.
            lease: seconds after which another process may go on with a run of this one, should it die.

        Raises:
            ConfigError: no usable name of a queue, or a timeout that makes no sense.
        """
        check_queue_name(queue_name)
        if worker_timeout is not None:
            require_number("worker_timeout", worker_timeout, exclusive=True)
        self.queue_name = queue_name or DEFAULT_QUEUE
        self.name = f"redis:{self.queue_name}"
        self._url = redis_url
        self._options = {"worker_timeout": worker_timeout, "lease": lease}
        self._secret_keys = secret_keys
        # One for each event loop: connections belong to the loop that opened them.
        self._executors: dict[asyncio.AbstractEventLoop, _Opened] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return bool(self._executors)

    async def execute(self, job: Job) -> Any:
        """Have a job done by a worker; see RedisExecutor."""
        return await self._executor().execute(job)

    def start(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> Started:
        """Have a job done by a worker, and give its value to `done`; see RedisExecutor."""
        return self._executor().start(job, done)

    def _executor(self) -> RedisExecutor:
        """Give the executor of this event loop."""
        loop = asyncio.get_running_loop()
        opened = self._executors.get(loop)
        if opened is None:
            given: Mapping[str, Any] = self._options
            executor = _redis.RedisExecutor(self._url, queue=self.queue_name, secret_keys=self._secret_keys, **given)
            opened = self._executors[loop] = _Opened(executor)
        return opened.executor

    async def aclose(self) -> None:
        """Give back what runs that have ended have used."""
        loop = asyncio.get_running_loop()
        opened = self._executors.get(loop)
        if opened is None:
            return
        async with opened.closing:
            await opened.executor.aclose()
            if not opened.executor.is_open and self._executors.get(loop) is opened:
                del self._executors[loop]

    def __eq__(self, other: object) -> bool:
        """Say whether another one leads to the same queue of the same Redis."""
        if not isinstance(other, RedisCoordinator):
            return NotImplemented
        return self.name == other.name and _client.url_of(self._url) == _client.url_of(other._url)

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what it was made from; keys stay where they are."""
        return _coordinator, (self._url, self.queue_name, self._options)

    def __repr__(self) -> str:
        """Show the queue; the address may hold a password."""
        return f"<RedisCoordinator of queue {self.queue_name!r}>"


def coordinator_for(options: RunOptions) -> RedisCoordinator:
    """Make the coordinator that a run has under the name "redis"."""
    return RedisCoordinator(
        options.get("redis_url"),
        options.get("queue_name"),
        worker_timeout=options.get("worker_timeout"),
        secret_keys=options.get("secret_keys"),
    )


def _coordinator(url: str | None, queue_name: str, options: Mapping[str, Any]) -> RedisCoordinator:
    """Make a coordinator again."""
    return RedisCoordinator(url, queue_name, **options)
