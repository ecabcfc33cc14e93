"""Worker: claims jobs from a queue, runs their bodies on this loop and in threads, and reports what came of them."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
from typing import TYPE_CHECKING, Any, Literal

from .._core.state import Instance
from .._lazy import lazily
from .._redis.jobs import Claim, Delivery, Heart, JobQueue, News
from .._redis.payloads import Payloads, keyring_for
from .._runtime.far_body import FarBody
from .._runtime.far_link import FarLink
from .._runtime.orders import needs
from ..context import TaskExecutionContext
from ..context.blocking import FlowContext, SyncTaskExecutionContext
from ..errors import GraflowError
from ..executors.redis import PURPOSE
from ..executors.threads import ThreadPool
from .code import Code

if TYPE_CHECKING:
    from collections.abc import Coroutine

logger = logging.getLogger("graflow_async.worker")
codec = lazily("graflow_async.codec")

Report = tuple[Claim, Literal["done", "failed"], bytes]


class Worker:
    """One worker: `await worker.run()` until `stop()`.

    Attributes:
        worker_id: its name.
        done: how many bodies have ended here.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        worker_id: str | None = None,
        queue: str = "default",
        concurrency: int = 100,
        threads: int = 40,
        lease: float = 30.0,
        grace: float = 25.0,
        secret_keys: Any = None,
    ) -> None:
        """Serve a queue.

        Args:
            url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            worker_id: its name, unique among those alive; None for host and process.
            queue: name of the queue.
            concurrency: how many bodies run at once.
            threads: how many of them may be plain functions, each in a thread.
            lease: seconds without a sign of life after which others take its jobs over.
            grace: seconds that bodies may run on after `stop`.
            secret_keys: what jobs are signed with; None for GRAFLOW_SECRET_KEY.
        """
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.done = 0
        self._queue = JobQueue(url, queue)
        self._worker = self._queue.worker(self.worker_id, lease=lease)
        self._keyring = keyring_for(self._queue.calls.client, secret_keys)
        self._code = Code(self._queue.calls.client)
        self._concurrency = concurrency
        self._thread_slots = asyncio.Semaphore(threads)
        self._pool: ThreadPool | None = None
        self._grace = grace
        self._bodies: dict[tuple[str, int], FarBody] = {}
        self._running: dict[Claim, asyncio.Task[None]] = {}
        self._reports: list[Report] = []
        self._messages: list[tuple[Claim, bytes]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()

    def stop(self) -> None:
        """Take no more jobs, let those that run end within `grace`, and hand the rest back; twice: hand back at once."""
        if self._stopping.is_set():
            self._forced.set()
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            ConfigError: the Redis cannot be relied on.
        """
        for line in await self._queue.check():
            logger.info("redis: %s", line)
        loop = asyncio.get_running_loop()
        await self._worker.join()
        heart = Heart(self._worker, lambda news: loop.call_soon_threadsafe(self._hear, news))
        heart.start()
        serving = [loop.create_task(self._take_jobs()), loop.create_task(self._read_inbox())]
        stopping = loop.create_task(self._stopping.wait())
        logger.info("worker %s serves queue %r", self.worker_id, self._queue.name)
        try:
            await asyncio.wait([*serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            serving[0].cancel()
            await asyncio.gather(serving[0], return_exceptions=True)
            await self._drain()
        finally:
            for task in (*serving, stopping):
                task.cancel()
            ends = await asyncio.gather(*serving, return_exceptions=True)
            heart.stop()
            await self._leave()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    # -- jobs -------------------------------------------------------------------------------------------------

    async def _take_jobs(self) -> None:
        while True:
            room = self._concurrency - len(self._running)
            if room <= 0:
                self._free.clear()
                await self._free.wait()
                continue
            for claim in await self._worker.take(room):
                self._running[claim] = asyncio.create_task(self._serve(claim))

    async def _serve(self, claim: Claim) -> None:
        """Run the body of a claim, and report how it ended."""
        body = None
        try:
            body = await self._body_of(claim)
            self._bodies[claim.job, claim.fence] = body
            outcome = await body.run()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # an order that cannot be read: its task has failed
            logger.warning("job %s cannot be run here: %s", claim.job, error)
            outcome = self._cannot(error)
        finally:
            self._bodies.pop((claim.job, claim.fence), None)
            self._running.pop(claim, None)
            self._free.set()
        self.done += 1
        self._reports.append((claim, "done", self._payloads(claim).seal(outcome)))
        self._flush_soon()

    async def _body_of(self, claim: Claim) -> FarBody:
        payloads = self._payloads(claim)
        needed, rest = needs(payloads.unseal(claim.payload))
        reader = await self._code.reader(claim.run, needed, payloads)
        order, graph, task = reader.read(rest)
        return FarBody(
            order,
            graph,
            task,
            lambda data: self._say(claim, payloads.seal(data)),
            self._threads,
            _new_face,
            f"worker {self.worker_id}",
        )

    def _payloads(self, claim: Claim) -> Payloads:
        return Payloads(self._keyring, PURPOSE).bound_to(claim.run)

    def _cannot(self, error: Exception) -> bytes:
        """Make the outcome of a body that could not begin."""
        return pickle.dumps(("raised", 0, [], pickle.dumps((codec.dumps_error(error), False), 5)), 5)

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool()
        return self._pool

    # -- what is said -----------------------------------------------------------------------------------------

    def _say(self, claim: Claim, data: bytes) -> None:
        self._messages.append((claim, data))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        """Send messages, then reports: all that have come together."""
        try:
            while self._messages or self._reports:
                reports, self._reports = self._reports, []
                messages, self._messages = self._messages, []
                if messages:
                    await self._worker.say(messages)
                if reports:
                    for (claim, _, _), fate in zip(reports, await self._worker.finish(reports), strict=True):
                        if fate in ("fenced", "gone"):
                            logger.warning("job %s: its result comes too late, others have it (%s)", claim.job, fate)
        finally:
            self._flushing = None

    async def _read_inbox(self) -> None:
        after = "0"
        while True:
            for delivery in await self._worker.inbox(after):
                after = delivery.id
                self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        body = self._bodies.get((delivery.job, delivery.fence))
        if body is None:
            return
        if delivery.kind == "cancel":
            body.cancel()
            return
        payloads = Payloads(self._keyring, PURPOSE).bound_to(delivery.run)
        try:
            body.talk.take(payloads.unseal(delivery.data))
        except GraflowError as error:
            logger.warning("job %s: a message cannot be read: %s", delivery.job, error)
            body.cancel()

    def _hear(self, news: News) -> None:
        """Take what the heartbeat found."""
        for claim in (*news.lost, *news.cancelled):
            body = self._bodies.get((claim.job, claim.fence))
            if body is not None:
                body.cancel()
        if news.lost and not news.is_fenced:
            self._worker.drop(news.lost)

    # -- the end ----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let bodies end, for `grace` seconds or until told again; hand back what has not ended."""
        running = list(self._running.values())
        forced = asyncio.get_running_loop().create_task(self._forced.wait())
        if running:
            everything: Coroutine[Any, Any, Any] = _all_of(running)
            ending = asyncio.get_running_loop().create_task(everything)
            await asyncio.wait([ending, forced], timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
        forced.cancel()
        left = dict(self._running)
        for task in left.values():
            task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        if self._flushing is not None:
            await self._flushing
        if left:
            logger.warning("worker %s hands %d jobs back", self.worker_id, len(left))
            await self._worker.release(list(left), "the worker stops")

    async def _leave(self) -> None:
        """Leave the queue, and give everything back."""
        try:
            await asyncio.wait_for(self._worker.retire(), 5.0)
        except (GraflowError, TimeoutError) as error:
            logger.warning("worker %s could not say goodbye: %s", self.worker_id, error)
        if self._pool is not None:
            await self._pool.aclose()
        await self._queue.close()


async def _all_of(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def _new_face(link: FarLink, instance: Instance) -> Any:
    """Make the context of a body."""
    if instance.kind == "async":
        return TaskExecutionContext(link, instance)
    return (FlowContext if instance.task.definition.is_flow else SyncTaskExecutionContext)(link, instance)
