"""An executor that runs every task as a worker would, on this very loop: all that crosses the border is bytes."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

from graflow_async._runtime import orders
from graflow_async._runtime.conversation import Conversation
from graflow_async._runtime.decoding import Decoder
from graflow_async._runtime.encoding import Encoder
from graflow_async._runtime.far_body import FarBody
from graflow_async._runtime.orders import OrderReader, OrderWriter, needs
from graflow_async.context import TaskExecutionContext
from graflow_async.context.blocking import FlowContext, SyncTaskExecutionContext
from graflow_async.context.plain import path_of
from graflow_async.executors.threads import ThreadPool
from graflow_async.workflow import Workflow

if TYPE_CHECKING:
    import pytest

    from graflow_async import Job

MARK = b"L"


class Loopback:
    """Runs tasks with `executor="far"`."""

    name = "far"
    takes_context = True

    def __init__(self) -> None:
        """Have run nothing."""
        self._runs: dict[str, tuple[OrderWriter, OrderReader]] = {}
        self._pool: ThreadPool | None = None
        self.count = 0

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool()
        return self._pool

    async def execute(self, job: Job) -> Any:
        """Run the job on the other side of a border of bytes."""
        self.count += 1
        home, loop = job.home, asyncio.get_running_loop()
        if job.run_id not in self._runs:
            self._runs[job.run_id] = OrderWriter(home.link.scheduler.state.root.graph), OrderReader()
        writer, reader = self._runs[job.run_id]
        place = path_of(home.instance)
        number, rest = needs(writer.write(home.link, home.instance, place, home.face, job.args, job.kwargs))
        reader.learn(writer.code[reader.known : number])
        order, graph, task = reader.read(rest)
        conversation = Conversation(home.link, home.instance, lambda data: loop.call_soon(body.talk.take, data))
        body = FarBody(
            order,
            graph,
            task,
            lambda data: loop.call_soon(conversation.take, data),
            self._threads,
            _new_face,
            "the other side",
        )
        running = asyncio.ensure_future(body.run())
        try:
            conversation.take(await asyncio.shield(running))
            value, home.face.wishes = await conversation.outcome
        except asyncio.CancelledError:
            body.cancel()
            await asyncio.wait([running])
            raise
        finally:
            await conversation.aclose()
        return value

    async def aclose(self) -> None:
        """Close the threads."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None


def _new_face(link: Any, instance: Any) -> Any:
    if instance.kind == "async":
        return TaskExecutionContext(link, instance)
    face = FlowContext if instance.task.definition.is_flow else SyncTaskExecutionContext
    return face(link, instance)


def install(patch: pytest.MonkeyPatch) -> None:
    """Let every run of a test send its tasks over the border; values stay in memory as they are."""
    kept: list[Any] = []
    loads, new_run, learn = Decoder.loads, Workflow._new_run, OrderReader.learn

    def dumps_here(self: Encoder, value: Any, what: str, part: int | None = None) -> bytes:
        del self, what, part
        kept.append(value)
        return MARK + str(len(kept) - 1).encode()

    def loads_here(self: Decoder, data: bytes) -> Any:
        return kept[int(data[1:])] if data[:1] == MARK else loads(self, data)

    def whole_here(graph: Any, live: Any) -> bytes:
        del live
        kept.append(graph)
        return MARK + str(len(kept) - 1).encode()

    def learn_here(self: OrderReader, records: list[bytes]) -> None:
        if self._decoder is None and records:
            _, payload = pickle.loads(records.pop(0))
            self._decoder = Decoder(kept[int(payload[1:])], {}, None)
            self.known += 1
        learn(self, records)

    def far_run(self: Workflow, start_node: Any, options: Any, *, watched: bool) -> Any:
        if not {"checkpointer", "checkpoint_dir", "executor"} & options.keys():
            options = {**options, "executor": Loopback()}
        return new_run(self, start_node, options, watched=watched)

    patch.setattr(Encoder, "dumps", dumps_here)
    patch.setattr(Encoder, "dumps_slowly", dumps_here)
    patch.setattr(Decoder, "loads", loads_here)
    patch.setattr(orders, "whole", whole_here)
    patch.setattr(OrderReader, "learn", learn_here)
    patch.setattr(Workflow, "_new_run", far_run)
