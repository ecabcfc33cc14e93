"""The jobs of one run: sends them in batches, and hears what becomes of them."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._core.wishes import Wishes
from .._redis.jobs import Event, Job, JobQueue
from .._runtime.orders import OrderWriter
from ..errors import GraflowError, StoreUnavailableError
from ..protocols import Job as TaskJob
from ..worker_errors import PoisonTaskError, QueueFullError
from ._code_of_run import CodeOfRun
from ._fullness import Fullness
from ._lookout import Lookout, Settings
from ._ownership import take_over
from ._sent import ALONE, ANEW, Sent, Service, fingerprint, payloads_of, undated
from ._waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

logger = logging.getLogger("graflow_async.redis")

TOLD_AT_ONCE = 256  # ended jobs that Redis is asked to forget together
CLOSE_WITHIN = 10.0  # seconds
REST = 1.0  # seconds, after Redis was away for longer than anybody waits


class RunOfJobs:
    """The jobs of one run.

    Attributes:
        sent: those that are under way, by id.
        busy: set while there are some.
    """

    def __init__(self, queue: JobQueue, job: TaskJob, keyring: Any, settings: Settings) -> None:
        """Begin with the first job of a run."""
        self.sent: dict[str, Sent] = {}
        self.busy = asyncio.Event()
        self._queue = queue
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._scheduler = job.home.link.scheduler
        self._is_recorded = job.home.link.memory is not None
        self._waits = waits_of(job.home.link, queue.name)
        self._driver = queue.driver(job.run_id, lease=settings.lease, patience=settings.patience)
        self._payloads = payloads_of(keyring, self._driver.run)
        self._writer = OrderWriter(self._scheduler.state.root.graph, self._scheduler.cancel_grace)
        self._code = CodeOfRun(queue.calls, self._driver.run, self._payloads, self._writer, settings.patience)
        self._waiting: dict[str, Sent] = {}
        self._fullness = Fullness(settings.patience, self._flush_soon)
        self._in_window = 0
        self._messages: list[tuple[Sent, int, bytes]] = []
        self._cancelled: dict[str, None] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._after = "0"
        self._early: dict[str, bytes] = {}
        self._told: deque[tuple[str, list[str]]] = deque()
        self._told_count = 0
        self._error: BaseException | None = None
        self._is_closed = False
        self._ready = self._own(self._open())

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._scheduler.done.done()

    def start(self, job: TaskJob, done: Callable[[Any, BaseException | None], None]) -> Sent:
        """Have a job done, and give its value to `done`."""
        if self._error is not None:
            raise copy.copy(self._error)
        sent = self._new(job, done)
        if self._waits is not None:
            self._waits.begin(sent)
        self.sent[sent.id] = self._waiting[sent.id] = sent
        self.busy.set()
        self._flush_soon()
        return sent

    def _new(self, job: TaskJob, done: Callable[[Any, BaseException | None], None]) -> Sent:
        order = self._order(job)
        name = f"{job.key}.{job.turn}.{job.attempt}"
        if self._is_recorded:
            # What an earlier process was told of a job of this name counts only if it was the very same.
            name += "." + fingerprint(job, self._code.digest(), partial(self._order, job, is_bare=True))
        return Sent(job, name, self._payloads.seal(order), self, done)

    def _order(self, job: TaskJob, *, is_bare: bool = False) -> bytes:
        home = job.home
        return self._writer.write(home.link, home.instance, job.args, job.kwargs, is_bare=is_bare)

    def stop(self, sent: Sent) -> None:
        """Have a job cancelled, and wait for its end; a second cancellation ends the wait."""
        if self._waiting.pop(sent.id, None) is not None or sent.is_over or self._error is not None or sent.cancels > 1:
            self._loop.call_soon(sent.end, asyncio.CancelledError(), context=contextvars.Context())
        else:
            self._cancel(sent)

    def settled(self, sent: Sent, value: Any, wishes: Wishes | None, error: BaseException | None) -> None:
        """Let a job end here, once nobody serves its body any more."""
        if sent.is_settled:
            return
        sent.is_settled = True
        if self._waits is not None:
            self._waits.settled(sent, error)
        self._forget(sent)
        if wishes is not None:
            sent.task.home.face.wishes = wishes
        if sent.service is None:
            sent.done(value, error)
        else:
            closing = self._own(self._close(sent, sent.service, value, error))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, sent: Sent, service: Service, value: Any, error: BaseException | None) -> None:
        await service.aclose()
        sent.done(value, error)

    def _cancel(self, sent: Sent) -> None:
        self._cancelled[sent.id] = None
        self._flush_soon()

    def _forget(self, sent: Sent) -> None:
        """Let go of a job that has ended here; a body that goes on is told to stop."""
        self._waiting.pop(sent.id, None)
        if self.sent.pop(sent.id, None) is not None and sent.is_sent:
            self._leave_window(sent)
            if not sent.is_over and sent.id not in self._cancelled:
                self._cancel(sent)
        if not self.sent:
            self.busy.clear()
        if self._waiting or self._told_count >= TOLD_AT_ONCE:
            self._flush_soon()

    def _leave_window(self, sent: Sent) -> None:
        """Count a job no more: it has ended, or is known to run."""
        if not sent.has_talked:
            self._in_window -= 1

    # -- to Redis ---------------------------------------------------------------------------------------------

    def tell(self, sent: Sent, data: bytes) -> None:
        """Pass on what is said to whoever runs a job."""
        self._messages.append((sent, sent.fence, self._payloads.seal(data)))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flushing is None and not self._is_closed:
            self._flushing = self._own(self._flush())

    async def _flush(self) -> None:
        """Send everything that has come together: code, jobs, messages, cancellations."""
        try:
            if not self._ready.done():
                await asyncio.shield(self._ready)
            while self._error is None:
                await self._send()
                if self._fullness.is_full or not (
                    self._messages or self._cancelled or (self._waiting and self._room() > 0)
                ):
                    return
        except StoreUnavailableError as error:
            self.fail(error, for_good=False)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task: the jobs have to hear of it
            self.fail(error)
        finally:
            self._flushing = None

    async def _send(self) -> None:
        """Send what there is at this moment."""
        jobs = self._next_jobs()
        messages, self._messages = self._messages, []
        cancelled, self._cancelled = self._cancelled, {}
        try:
            if jobs or messages:
                await self._code.send()
            if jobs:
                flags = str(self._driver.epoch).encode()
                await self._driver.enqueue([Job(sent.id, sent.payload or b"", flags) for sent in jobs])
                self._fullness.taken()
        except QueueFullError as error:
            jobs = self._hold_back(jobs, error)
        for sent in jobs:
            sent.payload = None
        if not self._code.is_sent:  # Redis is full, and messages may need it
            self._messages, messages = [*messages, *self._messages], []
        if messages:
            await self._driver.tell([(sent.id, fence, data) for sent, fence, data in messages])
        if cancelled:
            for name, state in (await self._driver.cancel(cancelled)).items():
                if state in ("cancelled", "missing") and name in self.sent:
                    self._over(self.sent[name], asyncio.CancelledError())
        await self._acknowledge()

    def _next_jobs(self) -> list[Sent]:
        """Take jobs for which there is room; those that an earlier process has had done need no worker."""
        jobs: list[Sent] = []
        for name in list(islice(self._waiting, max(0, self._room()))):
            sent = self._waiting.pop(name)
            early = self._early.pop(name, None)
            if early is not None:
                sent.is_over = True
                sent.take_end(early)
            else:
                sent.is_sent = True
                self._in_window += 1
                jobs.append(sent)
        return jobs

    def _hold_back(self, jobs: list[Sent], error: QueueFullError) -> list[Sent]:
        """Keep jobs for which Redis has no room, and give those that it has taken."""
        kept = {sent.id: sent for sent in jobs[error.taken :] if not sent.is_settled}
        self._waiting = kept | self._waiting
        for sent in kept.values():
            sent.is_sent = False
        self._in_window -= len(kept)
        self._fullness.refused(error, is_alone=len(self.sent) == len(self._waiting))
        return jobs[: error.taken]

    def _room(self) -> int:
        return 0 if self._fullness.is_full else self._settings.window - self._in_window

    async def _acknowledge(self) -> None:
        """Let Redis forget what was told, once the tasks have ended for it."""
        if self._told_count < TOLD_AT_ONCE and not self._fullness.is_full:
            return
        upto = None
        while self._told:
            batch, names = self._told[0]
            if any(name in self.sent for name in names):
                break
            upto = batch
            self._told_count -= len(names)
            self._told.popleft()
        if upto is not None:
            await self._driver.ack(upto)

    def send_again(self, names: Iterable[str]) -> None:
        """Send jobs that Redis has forgotten, with what their tasks know by now."""
        for name in names:
            sent = self.sent.get(name)
            if sent is None or not sent.is_sent:
                continue
            self._leave_window(sent)
            if sent.has_talked:
                self._begin_anew(sent)
            sent.payload = self._payloads.seal(self._order(sent.task))
            sent.fence = 0
            sent.is_sent = False
            self._waiting[name] = sent
        self._flush_soon()

    # -- from Redis -------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Become the driver of the run, and begin to listen."""
        for line in await self._queue.check():
            logger.info("redis: %s", line)
        for event in await take_over(self._driver, is_recorded=self._is_recorded):
            data, _ = undated(self._payloads.unseal(event.data))
            if data[:1] in ALONE:  # one that has talked has talked to a process that is no more
                self._early[event.job] = data
        self._code.epoch = self._driver.epoch
        notifier = self._scheduler.notifier
        lookout = Lookout(self, self._queue, self._driver, self._code, self._settings, notifier)
        for work in (self._driver.keep, self._listen, lookout.look_for_workers, lookout.look_for_losses):
            self._own(self._guarded(work))

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something as long as the run lasts; while Redis is away for too long what is under way fails, no more."""
        while True:
            try:
                await work()
            except StoreUnavailableError as error:
                self.fail(error, for_good=False)
                await asyncio.sleep(REST)
            except Exception as error:  # noqa: BLE001  # nobody awaits this task: the jobs have to hear of it
                self.fail(error)
                return

    async def _listen(self) -> None:
        while True:
            events = await self._driver.events(self._after)
            ended: dict[str, list[str]] = {}
            for event in events:
                names = ended.setdefault(event.id, [])
                if event.kind != "message":
                    names.append(event.job)
                    self._told_count += 1
                sent = self.sent.get(event.job)
                if sent is not None and event.fence >= sent.fence:
                    self._take(sent, event)
            self._after = events[-1].id
            self._told.extend(ended.items())

    def _take(self, sent: Sent, event: Event) -> None:
        kind = event.kind
        if kind in ("message", "done"):
            try:
                data, delay = undated(self._payloads.unseal(event.data))
                if event.fence > sent.fence:
                    self._meet(sent, event.fence)
                if self._waits is not None and data != ANEW:
                    self._waits.heard(sent, event, delay)
                if kind == "done":
                    self._over(sent)
                    sent.take_end(data)
                elif data == ANEW:
                    self.tell(sent, self._order(sent.task))
                else:
                    self._talks(sent)
                    sent.take(data)
            except Exception as error:  # noqa: BLE001  # what a worker sends cannot be read: its job has failed
                sent.end(error)
        elif kind == "lost":
            sent.lost(event)
            if self._waits is not None:
                self._waits.lost(sent, event)
            self._meet(sent, event.fence + 1)
        elif kind == "dead":
            self._over(sent, PoisonTaskError(sent.id, event.crashes, event.data.decode(errors="replace")))
        else:
            self._over(sent, asyncio.CancelledError())

    def _meet(self, sent: Sent, fence: int) -> None:
        """Talk with another claim of a job from now on."""
        sent.fence = fence
        if sent.has_talked:
            self._in_window += 1
            self._begin_anew(sent)

    def _begin_anew(self, sent: Sent) -> None:
        service = sent.begin_anew()
        if service is not None:
            self._own(service.give_up())

    def _talks(self, sent: Sent) -> None:
        self._leave_window(sent)
        sent.has_talked = True
        if self._waiting:
            self._flush_soon()

    def _over(self, sent: Sent, error: BaseException | None = None) -> None:
        sent.is_over = True
        if error is not None:
            sent.end(error)

    def fail(self, error: BaseException, *, for_good: bool = True) -> None:
        """Let every job that is under way fail, and those to come as well if it is for good."""
        if for_good and self._error is None:
            self._error = error
            logger.error("run %s has lost its workers: %s", self._driver.run, error)
        for sent in list(self.sent.values()):
            alike = copy.copy(error)  # notes are put on it, for each task other ones
            alike.__cause__ = error.__cause__
            sent.end(alike)

    # -- the end ----------------------------------------------------------------------------------------------

    def _own(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # Not in the context of the body that happens to be the first.
        task = self._loop.create_task(coro, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Stop listening, and remove what is left of the run in Redis."""
        self._is_closed = True
        self._fullness.close()
        for sent in list(self.sent.values()):
            sent.end(asyncio.CancelledError())
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_WITHIN)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._driver.epoch == 0:
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._code.remove()
                await self._driver.forget()
        except (GraflowError, TimeoutError) as error:
            logger.warning("what run %s left in Redis stays there for a while: %s", self._driver.run, error)
