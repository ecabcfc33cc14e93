"""An executor that runs every task as a worker would, on this very loop: all that crosses the border is bytes."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from graflow_async import codec
from graflow_async._runtime import (
    conversation,
    decoding,
    elsewhere,
    encoding,
    far_body,
    far_store,
    orders,
    talk,
)
from graflow_async._runtime.conversation import Conversation
from graflow_async._runtime.decoding import Decoder
from graflow_async._runtime.encoding import Encoder
from graflow_async._runtime.far_body import FarBody
from graflow_async._runtime.far_host import FarHost
from graflow_async._runtime.orders import OrderWriter, needs
from graflow_async._runtime.reading_orders import OrderReader
from graflow_async._runtime.talk import FarEncoder, Talk
from graflow_async.context import TaskExecutionContext
from graflow_async.context.blocking import FlowContext, SyncTaskExecutionContext
from graflow_async.executors.threads import ThreadPool
from graflow_async.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from graflow_async import Job
    from graflow_async.protocols import Started

MARK = b"L"
SETTLED = {"checkpointer", "checkpoint_dir", "executor", "queue_backend", "redis_url", "worker_timeout"}
"""Options of runs that `install` leaves alone."""


class Loopback:
    """Runs tasks with `executor="far"`."""

    name = "far"
    takes_context = True

    def __init__(self) -> None:
        """Have run nothing."""
        self._runs: dict[str, tuple[OrderWriter, OrderReader]] = {}
        self._pool: ThreadPool | None = None
        self._host: FarHost | None = None
        self.count = 0

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool()
        return self._pool

    def start(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> Started:
        """Run the job on the other side, and call back."""
        return _Started(self.execute(job), done)

    async def execute(self, job: Job) -> Any:
        """Run the job on the other side of a border of bytes."""
        self.count += 1
        if self._host is None:
            self._host = FarHost(self._threads, _new_face, "the other side", _broken, is_plain=False)
        home, loop = job.home, asyncio.get_running_loop()
        if job.run_id not in self._runs:
            self._runs[job.run_id] = (
                OrderWriter(home.link.scheduler.state.root.graph, home.link.scheduler.cancel_grace),
                OrderReader(),
            )
        writer, reader = self._runs[job.run_id]
        number, rest = needs(writer.write(home.link, home.instance, job.args, job.kwargs))
        reader.learn(writer.code[reader.known : number])

        def to_body(data: bytes) -> None:
            loop.call_soon(body.talk.take, data)

        def to_run(data: bytes) -> None:
            loop.call_soon(serving.take, data)

        _ = home.face
        serving = Conversation(home.link, home.instance, to_body)
        body = FarBody(*reader.read(rest), to_run, self._host)
        running = asyncio.ensure_future(body.run())
        running.add_done_callback(lambda done: serving.take(done.result()[1:]))
        while not serving.outcome.done():
            try:
                await asyncio.wait([serving.outcome])
            except asyncio.CancelledError:
                body.cancel()  # how it ends then is its end
        body.cancel()
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                body.cancel()
        await serving.aclose()
        value, home.face.wishes = serving.outcome.result()
        return value

    async def aclose(self) -> None:
        """Close the threads."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None


def _broken(error: BaseException) -> None:
    raise error


def _new_face(link: Any, instance: Any) -> Any:
    if instance.kind == "async":
        return TaskExecutionContext(link, instance)
    face = FlowContext if instance.task.definition.is_flow else SyncTaskExecutionContext
    return face(link, instance)


class _Started:
    """A job that runs; told to stop a second time it calls back at once."""

    def __init__(self, coro: Any, done: Callable[[Any, BaseException | None], None]) -> None:
        self._done = done
        self._coro = coro
        self._is_over = False
        self._is_cancelled = False
        loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] = loop.create_task(_end_of(coro), context=contextvars.copy_context())
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        self._task.cancel()
        if self._is_cancelled:
            asyncio.get_running_loop().call_soon(self._end, None, asyncio.CancelledError())
        self._is_cancelled = True

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._coro.close()  # it may have been cancelled before it began
        self._end(*((None, asyncio.CancelledError()) if task.cancelled() else task.result()))

    def _end(self, value: Any, error: BaseException | None) -> None:
        if not self._is_over:
            self._is_over = True
            contextvars.Context().run(self._done, value, error)


async def _end_of(coro: Any) -> tuple[Any, BaseException | None]:
    """Give what a coroutine gives or raises; an asyncio task lets KeyboardInterrupt out."""
    try:
        return await coro, None
    except BaseException as error:
        return None, error


class _AsTheyAre:
    """Exceptions that cross the border in memory; everything else of the module that it stands for."""

    def __init__(self, kept: list[Any]) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(codec, name)

    def dumps_error(self, error: BaseException) -> bytes:
        """Keep it."""
        self._kept.append(error)
        return MARK + str(len(self._kept) - 1).encode()

    def loads_error(self, data: bytes) -> BaseException:
        """Give it, or one that was written elsewhere."""
        return self._kept[int(data[1:])] if data[:1] == MARK else codec.loads_error(data)


def install(patch: pytest.MonkeyPatch) -> None:
    """Let every run of a test send its tasks over the border; values stay in memory as they are."""
    kept: list[Any] = []
    loads, new_run = Decoder.loads, Workflow._new_run

    def keep(value: Any) -> bytes:
        kept.append(value)
        return MARK + str(len(kept) - 1).encode()

    def dumps_here(self: Any, value: Any, what: str, part: int | None = None) -> bytes:
        del self, what, part
        return keep(value)

    def loads_here(self: Decoder, data: bytes) -> Any:
        return kept[int(data[1:])] if data[:1] == MARK else loads(self, data)

    def far_run(self: Workflow, start_node: Any, options: Any, *, watched: bool) -> Any:
        if not SETTLED & options.keys():
            options = {**options, "executor": Loopback()}
        return new_run(self, start_node, options, watched=watched)

    for kind in (Encoder, FarEncoder):
        patch.setattr(kind, "dumps", dumps_here)
        patch.setattr(kind, "dumps_slowly", dumps_here)
    patch.setattr(Talk, "_dumps", dumps_here)
    patch.setattr(Decoder, "loads", loads_here)
    patch.setattr(orders, "whole", keep)
    patch.setattr(OrderReader, "_load_whole", lambda self, data: kept[int(data[1:])])
    patch.setattr(Workflow, "_new_run", far_run)
    for module in (conversation, decoding, elsewhere, encoding, far_body, far_store, talk):
        patch.setattr(module, "codec", _AsTheyAre(kept))
