"""Workflows with planted bugs, and without, that the aids are tried on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from graflow_async import Task, TaskExecutionContext, Workflow
from graflow_async.testing.harness import Harness
from graflow_async.testing.running import simulate
from graflow_async.testing.schedules import Plan, perform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Performed:
    """What performing a body came to.

    Attributes:
        number: how often it was performed; None if a performance failed.
        error: what it raised.
        what, repeat: which performance failed, and the options that repeat it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.error: BaseException | None = None
        self.what = ""
        self.repeat = ""


def performed(test: Callable[[Harness], Awaitable[Any]], **plan: Any) -> Performed:
    """Perform an asynchronous test as the plugin does."""
    harness, found = Harness(), Performed()

    def failed(what: str, repeat: str) -> None:
        found.what, found.repeat = what, repeat

    try:
        found.number = perform(lambda: simulate(lambda: test(harness)), Plan(**plan), harness, failed)
    except Exception as error:
        found.error = error
    return found


def overselling() -> Workflow:
    """Sell the last ticket to whoever looks before the other one has bought: a read, an await and a write."""
    left = {"tickets": 1}

    async def sell(turns_before: int) -> bool:
        for _ in range(turns_before):
            await asyncio.sleep(0)
        seen = left["tickets"]
        await asyncio.sleep(0)
        if seen:
            left["tickets"] = seen - 1
        return bool(seen)

    early, late = Task("early", sell)(0), Task("late", sell)(1)

    async def count(ctx: TaskExecutionContext) -> int:
        return sum([await ctx.get_result(task.id) for task in (early, late)])

    return Workflow("tickets", (early | late) >> Task("count", count))


def selling() -> Workflow:
    """Do the same with one atomic step."""

    async def sell(ctx: TaskExecutionContext, turns_before: int) -> bool:
        for _ in range(turns_before):
            await asyncio.sleep(0)
        return await ctx.channel.atomic_add("sold") == 1

    early, late = Task("early", sell)(turns_before=0), Task("late", sell)(turns_before=1)

    async def count(ctx: TaskExecutionContext) -> int:
        return sum([await ctx.get_result(task.id) for task in (early, late)])

    return Workflow("tickets", (early | late) >> Task("count", count))


def remembering() -> Workflow:
    """Keep a result in a variable on the side, which a new process does not have."""
    notes: dict[str, int] = {}

    async def fetch() -> None:
        notes["fetched"] = 20

    async def add() -> int:
        return notes.get("fetched", 0) + 1

    return Workflow("notes", Task("fetch", fetch) >> Task("add", add))


def counting(charges: list[str]) -> Workflow:
    """Charge somebody without looking whether that was done."""

    async def order() -> str:
        return "order-1"

    async def charge(order: str) -> int:
        charges.append(order)
        return len(charges)

    async def ship(charge: int) -> int:
        return charge

    return Workflow("shop", Task("order", order) >> Task("charge", charge) >> Task("ship", ship))


def careful(charges: dict[str, str]) -> Workflow:
    """Charge once for each key, and keep all else in results and the channel."""

    async def order(ctx: TaskExecutionContext) -> str:
        await ctx.channel.atomic_add("orders")
        return "order-1"

    async def charge(ctx: TaskExecutionContext, order: str) -> int:
        charges[ctx.idempotency_key] = order
        await ctx.step("receipt", lambda: "paid")
        return len(charges)

    async def ship(ctx: TaskExecutionContext, charge: int) -> int:
        await ctx.sleep(86_400.0)
        return charge + await ctx.channel.get("orders")

    return Workflow("shop", Task("order", order) >> Task("charge", charge) >> Task("ship", ship))
