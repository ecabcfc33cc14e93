"""Open questions of graflow_async: what one takes, and how soon its task goes on once it is answered."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import TYPE_CHECKING

from benchmarks.people_floor import Open
from benchmarks.probes import Sample
from graflow_async import FeedbackManager, MemoryBroker, TaskExecutionContext, Workflow, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def questions(count: int) -> Sample:
    """Measure `count` children that ask a question each."""
    began = time.perf_counter()
    opened = Open(count)
    manager = FeedbackManager(MemoryBroker())
    addresses: dict[str, str] = {}

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext, index: int) -> int:
        answer = await ctx.request_text_input("How many?", request_id=f"q{index}")
        opened.resumed[index] = time.perf_counter()
        return int(answer) - index

    @task(inject_context=True)
    async def everybody(ctx: TaskExecutionContext) -> list[int]:
        return await ctx.map(asks, range(count))

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    run = asyncio.ensure_future(Workflow("people", everybody).run(feedback=manager))
    # A view of the changes would be measured with the questions.
    while len(await manager.list_pending()) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    kept = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    for record in await manager.list_pending():
        addresses[record.request.request_id] = record.request.id
    latency = await opened.answered(lambda index: manager.respond(addresses[f"q{index}"], text=str(index)))
    if await run != [0] * count:
        raise RuntimeError("a task has got the answer of another one")
    return {"seconds": time.perf_counter() - began, "latency": latency, "kept": kept}


SCENARIOS: dict[str, Callable[[int], Coroutine[None, None, Sample]]] = {
    "questions": questions,
    "memory.question": questions,
}
