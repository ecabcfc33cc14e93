"""Worker: claims jobs from a queue, runs their bodies on this loop and in threads, and reports what came of them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from .._redis.jobs import Delivery, JobQueue, News
from .._redis.payloads import Payloads, keyring_for
from .._runtime.far_body import FarBody
from .._runtime.far_host import FarHost
from .._runtime.reading_orders import OrderReader
from ..errors import GraflowError, InternalError, StoreUnavailableError, text_of
from ..executors._sent import ANEW, payloads_of
from ..executors.pools import ProcessExecutor
from ..executors.threads import ThreadPool
from ..policy import require_count, require_number
from .code import Code, Written, written_in
from .faces import cannot, new_face
from .health import HealthyHeart
from .held import Held
from .holdings import Holdings
from .post import Post
from .slots import Slots
from .solo import ChildDiedError, SoloBody

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("graflow_async.worker")

CANCEL_GRACE = 3.0  # seconds that cancelled bodies have before their jobs are handed back all the same
A_MOMENT = 0.5  # seconds that they have after a second signal
GOODBYE_WITHIN = 5.0  # seconds
RUNS_KEPT = 256


class Worker:
    """One worker: `await worker.run()` until `stop()`.

    Attributes:
        worker_id: its name.
        done: how many bodies have ended here.
        has_left_behind: at the end some body did not stop; only the end of the process ends it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        worker_id: str | None = None,
        queue: str = "default",
        concurrency: int = 100,
        threads: int = 40,
        processes: int = 0,
        lease: float = 30.0,
        grace: float = 25.0,
        patience: float | None = None,
        health_file: str | None = None,
        secret_keys: Any = None,
        allowed_modules: Sequence[str] | None = None,
    ) -> None:
        """Serve a queue.

        Args:
            url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            worker_id: its name; None for host and process.
            queue: name of the queue.
            concurrency: how many bodies run at once. Those that wait for children or people do not count, so that
                what they wait for can run; when they go on it may be a few more for a while.
            threads: how many of them may be plain functions, each in a thread.
            processes: in how many child processes plain functions run that take no context; 0 to run all in threads.
            lease: seconds without a sign of life after which others take its jobs over.
            grace: seconds that bodies may run on after `stop`.
            patience: seconds that Redis may not answer before the worker gives up; None for ever, ten at the start.
            health_file: a file that is touched three times a lease, after Redis has confirmed that the worker lives.
            secret_keys: what jobs are signed with; None for GRAFLOW_SECRET_KEY.
            allowed_modules: only tasks that stand in these modules, or inside these packages, are run, and none that
                came by value; others fail. None for all.

        Raises:
            ConfigError: something of it makes no sense.
            UnsignedPayloadError: there is no key, and the Redis is elsewhere.
        """
        require_count("concurrency", concurrency, least=1)
        require_count("threads", threads, least=1)
        require_count("processes", processes, least=0)
        require_number("grace", grace)
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.done = 0
        self.has_left_behind = False
        self._queue = JobQueue(url, queue)
        self._worker = self._queue.worker(self.worker_id, lease=lease, patience=patience)
        self._keyring = keyring_for(self._queue.calls.client, secret_keys)
        self._allowed = allowed_modules
        self._code = Code(self._queue.calls, patience, allowed_modules)
        self._post = Post(self._worker, self._give_up)
        self._slots = Slots(concurrency)
        self._thread_slots = Slots(threads)
        self._pool: ThreadPool | None = None
        self._apart = ProcessExecutor(processes) if processes else None
        self._host: FarHost
        self._grace = grace
        self._patience = patience
        self._health_file = health_file
        self._held = Holdings()
        self._payloads: dict[str, Payloads] = {}
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self._failure: Exception | None = None

    def stop(self) -> None:
        """Take no more jobs, let those that run end within `grace`, hand the rest back; twice: hand back at once."""
        if self._stopping.is_set():
            self._forced.set()
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            ConfigError: the Redis cannot be relied on.
            StoreUnavailableError: Redis has not answered for `patience` seconds.
        """
        loop = asyncio.get_running_loop()
        where = f"worker {self.worker_id}"
        self._host = FarHost(self._threads, new_face, where, self._broke, apart=self._apart)
        await self._come()
        tell = partial(loop.call_soon_threadsafe, self._hear)
        heart = HealthyHeart(self._worker, tell, self._health_file)
        heart.start()
        taking = loop.create_task(self._guarded(self._take_jobs()))
        reading = loop.create_task(self._guarded(self._read_inbox()))
        logger.info("worker %s serves queue %r", self.worker_id, self._queue.name)
        try:
            await self._stopping.wait()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            await self._drain()
        finally:
            for task in (taking, reading):
                task.cancel()
            await asyncio.gather(taking, reading, return_exceptions=True)
            await heart.aclose()
            await self._leave()
        if self._failure is not None:
            raise self._failure

    async def _come(self) -> None:
        """Join the queue, if its Redis can be relied on."""
        try:
            for line in await self._queue.check(patience=self._patience):
                logger.info("redis: %s", line)
            await self._worker.join()
        except BaseException:
            await self._queue.close()
            raise

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # nobody awaits this task
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Stop at once: there is no use in going on."""
        if self._failure is None:
            self._failure = error
            logger.error("worker %s gives up: %s", self.worker_id, error)
        self._stopping.set()
        self._forced.set()

    def _broke(self, error: BaseException) -> None:
        """Stop: something has happened that must not, and some body may never end."""
        logger.critical("worker %s broke; please report this", self.worker_id, exc_info=error)
        self._give_up(InternalError(f"worker {self.worker_id} broke: {type(error).__name__}: {text_of(error)}"))

    # -- jobs -------------------------------------------------------------------------------------------------

    async def _take_jobs(self) -> None:
        while True:
            await self._slots.wait()
            for claim in await self._worker.take(self._slots.free):
                held = Held(claim, self._payloads_for(claim.run), self._slots)
                self._held.add(held)
                self._begin(held)
            await asyncio.sleep(0)  # bodies that end at once leave their slots before the next look at them

    def _begin(self, held: Held) -> None:
        """Begin to run what was claimed: at once, if nothing has to be waited for before."""
        claim = held.claim
        if not claim.solo and claim.tries == 1:
            try:
                order = written_in(claim, held.payloads.unseal(claim.payload))
                reader = self._code.known(order)
                body = None if reader is None else self._read(held, reader, order)
            except Exception as error:  # noqa: BLE001  # an order that cannot be read: its task has failed
                self._refuse(held, error)
                return
            if body is not None and body.instance.kind == "async":
                body.start(partial(self._ended, held))
                return
        loop = asyncio.get_running_loop()
        held.taken_at = loop.time()
        held.task = loop.create_task(self._in_the_end(held))
        held.task.add_done_callback(partial(self._given_back, held))

    def _refuse(self, held: Held, error: Exception) -> None:
        logger.warning("%r cannot be run here: %s: %s", held, type(error).__name__, error)
        self._ended(held, cannot(error))

    async def _in_the_end(self, held: Held) -> None:
        """Get what it takes to run a body, and run it."""
        try:
            body = held.body or await self._body_of(held)
        except StoreUnavailableError as error:
            self._give_up(error)
            held.fate = "release"
            self._ended(held, b"")
            return
        except Exception as error:  # noqa: BLE001  # an order that cannot be read: its task has failed
            self._refuse(held, error)
            return
        if isinstance(body, SoloBody):
            await self._run_alone(held, body)
            return
        if body.instance.kind != "async" and not body.instance.doomed:
            held.body = None  # a cancellation ends the wait
            await held.wait_for_thread(self._thread_slots)
            held.has(body)
        held.begins()
        body.start(partial(self._ended, held))

    async def _run_alone(self, held: Held, body: SoloBody) -> None:
        """Run a body in a process of its own."""
        held.begins()
        try:
            outcome = await body.run()
        except ChildDiedError as error:
            logger.warning("%r has killed its process: %s", held, error)
            self._ended(held, b"", str(error))
        else:
            self._ended(held, outcome)

    async def _body_of(self, held: Held) -> FarBody | SoloBody:
        claim, payloads = held.claim, held.payloads
        if claim.tries > 1:
            data = await held.ask_anew(self._ask_anew)
        else:
            data = payloads.unseal(claim.payload)
        order = written_in(claim, data)
        if claim.solo:
            logger.warning("%r has killed %d workers, and runs in a process of its own", held, claim.crashes)
            code = await self._code.pieces(order, payloads)
            body = SoloBody(code, order.rest, partial(self._say, held), self.worker_id, self._allowed)
            held.has(body)
            return body
        return self._read(held, await self._code.reader(order, payloads), order)

    def _read(self, held: Held, reader: OrderReader, written: Written) -> FarBody:
        order, scope, task = reader.read(written.rest)
        held.task_id = order.task_id
        body = FarBody(order, scope, task, partial(self._say, held), self._host, held.let_rest)
        held.has(body)
        return body

    def _payloads_for(self, run: str) -> Payloads:
        found = self._payloads.get(run)
        if found is None:
            if len(self._payloads) >= RUNS_KEPT:
                self._payloads.clear()
            found = self._payloads[run] = payloads_of(self._keyring, run)
        return found

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool()
        return self._pool

    def _given_back(self, held: Held, task: asyncio.Task[None]) -> None:
        """See to it that the claim of a body that could not begin is not kept."""
        if task.cancelled():
            if held.fate == "report":
                held.fate = "release"
            self._ended(held, b"")
        elif (error := task.exception()) is not None:
            self._ended(held, cannot(error))

    def _ended(self, held: Held, outcome: bytes, crash: str | None = None) -> None:
        """Tell how a body has ended, or of what its process has died, if that is for us to tell."""
        if not self._held.let_go(held):
            return
        held.seat.leave()
        self.done += 1
        if held.fate == "release":
            self._post.give_back(held)
        elif held.fate == "report" and crash is not None:
            self._post.crashed(held, crash)
        elif held.fate == "report":
            self._post.report(held, held.payloads.seal(held.dated(outcome)))

    # -- what is said -----------------------------------------------------------------------------------------

    def _say(self, held: Held, data: bytes) -> None:
        self._post.say(held.claim, held.payloads.seal(held.dated(data)))

    def _ask_anew(self, held: Held) -> None:
        self._post.say(held.claim, held.payloads.seal(ANEW))

    async def _read_inbox(self) -> None:
        after = "0"
        while True:
            for delivery in await self._worker.inbox(after):
                after = delivery.id
                self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        held = self._held.find(delivery)
        if held is None:
            return
        if delivery.kind == "cancel":
            held.cancel()
            return
        try:
            data = held.payloads.unseal(delivery.data)
        except GraflowError as error:
            logger.warning("%r: a message cannot be read: %s", held, error)
            held.cancel()
        else:
            held.take(data)

    def _hear(self, news: News) -> None:
        """Take what the heartbeat found."""
        for claim in news.cancelled:
            held = self._held.find(claim)
            if held is not None:
                held.cancel()
        for claim in news.lost:
            held = self._held.find(claim)
            if held is not None:
                logger.warning("%r: its lease is lost, and it is stopped", held)
                held.cancel("release" if news.is_fenced else "drop")
        if not news.is_fenced:
            self._worker.drop(news.lost)

    # -- the end ----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let bodies end, for `grace` seconds or until told again; hand back what has not ended."""
        loop = asyncio.get_running_loop()
        if self._held:
            logger.info("worker %s waits for %d tasks", self.worker_id, len(self._held))
            await self._held.gone(self._grace, self._forced)
        left = self._held.all()
        for held in left:
            held.cancel("release")
        if left:
            logger.warning("worker %s hands %d tasks back", self.worker_id, len(left))
            await self._held.gone(A_MOMENT if self._forced.is_set() else CANCEL_GRACE)
        for held in self._held.all():  # in a thread, or deaf: the process ends soon
            self.has_left_behind = True
            self._post.give_back(held)
            held.fate = "drop"
        end = loop.time() + GOODBYE_WITHIN
        try:
            async with asyncio.timeout_at(end):
                await self._post.flushed()
        except TimeoutError:
            logger.warning("worker %s could not tell everything", self.worker_id)

    async def _leave(self) -> None:
        """Leave the queue, and give everything back."""
        try:
            async with asyncio.timeout(GOODBYE_WITHIN):
                await self._worker.retire()
        except (GraflowError, TimeoutError) as error:
            logger.warning("worker %s could not say goodbye: %s", self.worker_id, error)
        await self._post.aclose()
        if self._pool is not None:
            await self._pool.aclose()
        if self._apart is not None:
            await self._apart.aclose()
        await self._queue.close()
