"""RedisExecutor: tasks travel to workers through a queue in Redis; the run stays with the process that awaits it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from .._redis.jobs import Event, Job, JobQueue
from .._redis.names import KEEP_FOR, run_prefix
from .._redis.payloads import Payloads, keyring_for
from .._runtime.conversation import Conversation
from .._runtime.orders import OrderWriter
from ..context.plain import path_of
from ..errors import GraflowError
from ..protocols import Job as TaskJob
from ..worker_errors import NoWorkersError, PoisonTaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("graflow_async.redis")
codec = lazily("graflow_async.codec")

WINDOW = 2000  # jobs that are in Redis at once, at most; the rest wait here
PURPOSE = "job"


class RedisExecutor:
    """Sends tasks to workers (`python -m graflow_async.worker`), with everything that their contexts can do.

    One may serve several runs, one after the other or at once; the connections are given back when the last has ended.
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
    ) -> None:
        """Send through a queue of that name.

        Args:
            url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            queue: name of the queue; workers of that queue run the tasks.
            worker_timeout: seconds without any worker after which waiting tasks fail; None to wait for ever.
            window: how many jobs may be in Redis at once.
            secret_keys: what jobs are signed with; None for GRAFLOW_SECRET_KEY.
            lease: seconds after which another process may go on with a run of this one, should it die.
        """
        self._url = url
        self._queue_name = queue
        self._worker_timeout = worker_timeout
        self._window = window
        self._secret_keys = secret_keys
        self._lease = lease
        self._queue: JobQueue | None = None
        self._runs: dict[str, _RunOfJobs] = {}

    async def execute(self, job: TaskJob) -> Any:
        """Have a job done by a worker, and give its value.

        Raises:
            NotSerializableError: the task, an argument or its result cannot be pickled.
            NoWorkersError: there was no worker for `worker_timeout` seconds.
            PoisonTaskError: workers die of it.
            BaseException: what the task raised.
        """
        run = self._runs.get(job.run_id)
        if run is None:
            if self._queue is None:
                self._queue = JobQueue(self._url, self._queue_name)
            keyring = keyring_for(self._queue.calls.client, self._secret_keys)
            payloads = Payloads(keyring, PURPOSE).bound_to(job.run_id)
            run = self._runs[job.run_id] = _RunOfJobs(
                self._queue, job, payloads, self._window, self._lease, self._worker_timeout
            )
        return await run.execute(job)

    async def aclose(self) -> None:
        """Give back what runs that have ended have used."""
        for run_id, run in list(self._runs.items()):
            if run.is_over:
                del self._runs[run_id]
                await run.aclose()
        if not self._runs and self._queue is not None:
            queue, self._queue = self._queue, None
            await queue.close()


class _Sent:
    """A job that is under way."""

    __slots__ = ("conversation", "fence", "is_doubtful", "job")

    def __init__(self, job: Job, conversation: Conversation) -> None:
        self.job = job
        self.conversation = conversation
        self.fence = 0
        self.is_doubtful = False


class _RunOfJobs:
    """The jobs of one run: sends them in batches, and hears what becomes of them."""

    def __init__(
        self,
        queue: JobQueue,
        job: TaskJob,
        payloads: Payloads,
        window: int,
        lease: float,
        worker_timeout: float | None,
    ) -> None:
        self._queue = queue
        self._payloads = payloads
        self._window = window
        self._worker_timeout = worker_timeout
        self._loop = asyncio.get_running_loop()
        self._driver = queue.driver(job.run_id, lease=lease)
        self._scheduler = job.home.link.scheduler
        self._writer = OrderWriter(job.home.link.scheduler.state.root.graph)
        self._code_key = run_prefix(job.run_id) + "code"
        self._code_sent = 0
        self._sent: dict[str, _Sent] = {}
        self._waiting: list[_Sent] = []
        self._messages: list[tuple[str, int, bytes]] = []
        self._cancelled: list[str] = []
        self._flushing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = self._own(self._open())
        self._early: dict[str, Event] = {}
        self._unacknowledged: deque[tuple[str, list[str]]] = deque()

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._scheduler.done.done()

    async def execute(self, job: TaskJob) -> Any:
        """Have a job done, and give its value."""
        home = job.home
        name = f"{job.key}.{job.turn}.{job.attempt}"
        order = self._writer.write(home.link, home.instance, path_of(home.instance), home.face, job.args, job.kwargs)
        sent: _Sent
        conversation = Conversation(home.link, home.instance, lambda data: self._tell(sent, data))
        sent = _Sent(Job(name, self._payloads.seal(order)), conversation)
        self._sent[name] = sent
        self._waiting.append(sent)
        self._flush_soon()
        try:
            value, home.face.wishes = await conversation.outcome
        except asyncio.CancelledError:
            await self._stop(sent)
            raise
        finally:
            self._sent.pop(sent.job.id, None)
            if self._waiting or self._unacknowledged:
                self._flush_soon()
            await conversation.aclose()
        return value

    async def _stop(self, sent: _Sent) -> None:
        """Have a job cancelled, and wait for its end, through further cancellations: the run gives up in the end."""
        if sent in self._waiting:
            self._waiting.remove(sent)
            return
        self._cancelled.append(sent.job.id)
        self._flush_soon()
        await asyncio.wait([sent.conversation.outcome])
        if not sent.conversation.outcome.cancelled():
            sent.conversation.outcome.exception()

    # -- to Redis ---------------------------------------------------------------------------------------------

    def _tell(self, sent: _Sent, data: bytes) -> None:
        self._messages.append((sent.job.id, sent.fence, self._payloads.seal(data)))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = self._own(self._flush())

    async def _flush(self) -> None:
        """Send everything that has come together: code, jobs, messages, cancellations."""
        try:
            await asyncio.shield(self._ready)
            while True:
                await self._send()
                await self._acknowledge()
                if not (self._messages or self._cancelled or (self._waiting and self._room() > 0)):
                    return
        except Exception as error:  # noqa: BLE001  # nobody awaits this task: the jobs have to hear of it
            self._fail(error)
        finally:
            self._flushing = None

    async def _send(self) -> None:
        """Send what there is at this moment."""
        jobs = self._waiting[: max(self._room(), 0)]
        del self._waiting[: len(jobs)]
        messages, self._messages = self._messages, []
        cancelled, self._cancelled = self._cancelled, []
        if jobs:
            await self._send_code()
            states = await self._driver.enqueue([sent.job for sent in jobs])
            for sent, state in zip(jobs, states, strict=True):
                self._adopt(sent, state)
        if messages:
            await self._driver.tell(messages)
        if cancelled:
            for name, state in (await self._driver.cancel(cancelled)).items():
                if state in ("cancelled", "missing") and name in self._sent:
                    self._end(self._sent[name], asyncio.CancelledError())

    def _adopt(self, sent: _Sent, state: str | None) -> None:
        """Go on with a job that an earlier process has sent: take its result, or have it done anew if it is half done.

        A body that runs has talked to a process that is no more, and cannot be understood in the middle.
        """
        event = self._early.pop(sent.job.id, None)
        if event is not None:
            self._take(event)
        elif state in ("running", "suspect") and not sent.is_doubtful:
            self._cancelled.append(sent.job.id)
            del self._sent[sent.job.id]
            sent.job = sent.job._replace(id=f"{sent.job.id}.{self._driver.epoch}")
            sent.is_doubtful = True
            self._sent[sent.job.id] = sent
            self._waiting.append(sent)

    async def _acknowledge(self) -> None:
        """Let Redis forget what was told, once what follows from it has been recorded."""
        upto = None
        while self._unacknowledged:
            batch, names = self._unacknowledged[0]
            if any(name in self._sent or name in self._early for name in names):
                break
            upto = batch
            self._unacknowledged.popleft()
        if upto is not None:
            await self._driver.ack(upto)

    def _room(self) -> int:
        return self._window - (len(self._sent) - len(self._waiting))

    async def _send_code(self) -> None:
        """Put code that was not sent before where workers find it."""
        code, first = self._writer.code, self._code_sent
        if first < len(code):
            records = {str(n): self._payloads.seal(code[n]) for n in range(first, len(code))}
            client = self._queue.calls.client
            await client.hset(self._code_key, mapping=records)  # pyright: ignore[reportGeneralTypeIssues]
            await client.expire(self._code_key, KEEP_FOR)
            self._code_sent = len(code)

    # -- from Redis -------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Become the driver of the run, and begin to listen."""
        for line in await self._queue.check():
            logger.info("redis: %s", line)
        await self._driver.own()
        self._own(self._guarded(self._driver.keep))
        self._own(self._guarded(self._listen))
        self._own(self._guarded(self._look_for_workers))

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # nobody awaits this task: the jobs have to hear of it
            self._fail(error)

    async def _listen(self) -> None:
        after = "0"
        while True:
            events = await self._driver.events(after)
            ended: dict[str, list[str]] = {}
            for event in events:
                names = ended.setdefault(event.id, [])
                if event.kind != "message":
                    names.append(event.job)
                self._take(event)
            after = events[-1].id
            self._unacknowledged.extend(ended.items())

    def _take(self, event: Event) -> None:
        sent = self._sent.get(event.job)
        if sent is None:
            if event.kind in ("done", "failed", "dead"):
                self._early[event.job] = event
            return
        if event.fence < sent.fence:
            return
        sent.fence = event.fence
        if event.kind in ("message", "done", "failed"):
            try:
                sent.conversation.take(self._payloads.unseal(event.data))
            except Exception as error:  # noqa: BLE001  # what a worker sends cannot be read: its job has failed
                self._end(sent, error)
        elif event.kind == "cancelled":
            self._end(sent, asyncio.CancelledError())
        elif event.kind == "dead":
            self._end(sent, PoisonTaskError(event.job, event.crashes, event.data.decode(errors="replace")))
        elif event.kind == "lost":
            logger.warning("job %s was lost with worker %s; another one runs it", event.job, event.worker)

    def _end(self, sent: _Sent, error: BaseException) -> None:
        if not sent.conversation.outcome.done():
            sent.conversation.outcome.set_exception(error)

    async def _look_for_workers(self) -> None:
        """Say that nobody is there to do the work, and give up after `worker_timeout`."""
        while True:
            if not await self._queue.wait_for_workers(self._worker_timeout or 10.0):
                logger.warning("no worker of queue %r is alive: %d tasks wait", self._queue.name, len(self._sent))
                if self._worker_timeout is not None:
                    raise NoWorkersError(self._queue.name, self._worker_timeout)
                continue
            await asyncio.sleep(self._worker_timeout or 10.0)

    def _fail(self, error: BaseException) -> None:
        """Let every job that is under way fail."""
        self._error = error
        for sent in list(self._sent.values()):
            self._end(sent, error)
        self._waiting.clear()

    # -- the end ----------------------------------------------------------------------------------------------

    def _own(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Stop listening, and remove what is left of the run in Redis."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._driver.epoch == 0:
                return
            if self._scheduler.done.result().kind == "paused":
                await self._driver.give_up()
                return
            await self._driver.forget()
            await self._queue.calls.client.delete(self._code_key)
        except GraflowError as error:
            logger.warning("what the run left in Redis stays there for a while: %s", error)
