"""Ten thousand open questions in one process."""

from __future__ import annotations

import asyncio
import random
import threading

from graflow_async import FeedbackManager, MemoryBroker, TaskExecutionContext, Workflow, task

COUNT = 10_000
SEED = 20_261_121


async def test_ten_thousand_open_questions_hold_no_thread_and_get_their_own_answers():
    """Answered in random order (the seed is printed), each task goes on with the answer to its own question."""
    print(f"seed {SEED}")  # noqa: T201
    manager = FeedbackManager(MemoryBroker())

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext, index: int) -> str:
        return await ctx.request_text_input("Which one?", request_id=f"q{index}")

    @task(inject_context=True)
    async def everybody(ctx: TaskExecutionContext) -> list[str]:
        return await ctx.map(asks, range(COUNT))

    threads = threading.active_count()
    addresses: dict[str, str] = {}
    async with manager.watch() as changes:
        run = asyncio.ensure_future(Workflow("many", everybody).run(feedback=manager))
        async for change in changes:
            assert change.record is not None
            addresses[change.record.request.request_id] = change.record.request.id
            if len(addresses) == COUNT:
                break
    assert threading.active_count() == threads
    assert len(await manager.list_pending()) == COUNT
    order = list(addresses)
    random.Random(SEED).shuffle(order)
    for name in order:
        await manager.respond(addresses[name], text=f"the answer to {name}")
    assert await run == [f"the answer to q{index}" for index in range(COUNT)]
