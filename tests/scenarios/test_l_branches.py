"""Scenarios 29 and 32 of the imperative set, as far as they concern people: some ask, the rest does not run again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import (
    FeedbackManager,
    FileBroker,
    Task,
    TaskCompleted,
    Workflow,
    WorkflowPausedError,
    current_context,
)
from tests.durability.parts import counted, note
from tests.feedback.people import alone, answer, shown, spoken
from tests.scenarios.held import HeldClock

BOTH = pytest.mark.parametrize("way", ["sync", "async"])
TRANSACTIONS = {1: "normal", 2: "declined", 3: "review", 4: "declined", 5: "normal"}


@BOTH
@pytest.mark.parametrize(("says", "end"), [(True, "manual_approved"), (False, "declined")])
async def test_32_one_of_five_is_reviewed(way, says, end, tmp_path):
    """Imperative 32: four transactions finish while one waits for a person; resumed, only that one runs again."""

    def review(ctx):
        note()
        approved = yield ctx.request_approval("Approve 3?", request_id="review", timeout=0.3)
        return "manual_approved" if approved else "declined"

    reviews = Task("review", spoken(way, review), inject_context=True)

    async def transaction(ctx, number: int) -> str:
        note()
        kind = TRANSACTIONS[number]
        return await ctx.call(reviews) if kind == "review" else kind

    async def batch(ctx) -> list[str]:
        note()
        return await ctx.map(Task("transaction", transaction, inject_context=True), list(TRANSACTIONS))

    wf, clock, ended = alone(batch), HeldClock(), set()

    def listen(event: Any) -> None:
        if isinstance(event, TaskCompleted):
            ended.add(event.task_id)
            if len(ended) == len(TRANSACTIONS) - 1:
                clock.let_go()

    with counted() as bodies, pytest.raises(WorkflowPausedError):
        await wf.run(checkpoint_dir=tmp_path, run_id="r", clock=clock, listeners=[listen])
    assert bodies == {"batch": 1, "review": 1} | {f"transaction_{n}": 1 for n in TRANSACTIONS}
    broker = FileBroker(tmp_path / ".feedback")
    await FeedbackManager(broker).respond("review", run_id="r", approved=says)
    await broker.aclose()
    with counted() as bodies:
        assert await wf.resume("r", checkpoint_dir=tmp_path) == ["normal", "declined", end, "declined", "normal"]
    assert bodies == {"batch": 1, "transaction_3": 1, "review": 1}


async def test_29_a_hundred_items_of_which_some_ask(tmp_path):
    """Imperative 29: paused when some of a hundred items have an answer, resumed these do not run again."""

    async def item(ctx, number: int) -> int:
        note()
        if number % 10 == 0:
            await ctx.request_approval("ok?", request_id=f"q{number}", timeout=None)
        return number

    async def maps() -> list[int]:
        note()
        return await current_context().map(Task("item", item, inject_context=True), range(100))

    wf = Workflow("w", Task("maps", maps))
    left, have_answers = {"item_1", "item_11"}, asyncio.Event()

    def listen(event: Any) -> None:
        if isinstance(event, TaskCompleted):
            left.discard(event.task_id)
            if not left:
                have_answers.set()

    async with wf.start(checkpoint_dir=tmp_path, run_id="r", listeners=[listen]) as run:
        manager = FeedbackManager(FileBroker(tmp_path / ".feedback"))
        await answer(manager, "r", q0=True, q10=True)
        await shown(manager.broker, *(f"q{n}" for n in range(20, 100, 10)), run_id="r")
        await have_answers.wait()
        run.pause()
        with pytest.raises(WorkflowPausedError) as caught:
            await run
    assert len(caught.value.request_ids) == 8
    with counted() as bodies:
        async with asyncio.TaskGroup() as group:
            group.create_task(answer(manager, "r", **{f"q{n}": True for n in range(20, 100, 10)}))
            resumed = group.create_task(wf.resume("r", checkpoint_dir=tmp_path))
    assert resumed.result() == list(range(100))
    assert bodies == {"maps": 1} | {f"item_{n + 1}": 1 for n in range(20, 100, 10)}
    await manager.broker.aclose()
