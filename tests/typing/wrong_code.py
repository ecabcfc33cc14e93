"""Mistakes of a user that a type checker has to find: one in each line that ends in `# wrong`, none elsewhere."""
# pyright: strict, reportUnusedExpression=false, reportUnusedCoroutine=false

from __future__ import annotations

import asyncio

from graflow_async import (
    SyncTaskExecutionContext,
    Task,
    TaskExecutionContext,
    chain,
    flow,
    parallel,
    task,
    workflow,
)


@task
async def price(item: str) -> float:
    """Look a price up."""
    return float(len(item))


@task
def add(left: int, right: int) -> int:
    """Add, in a thread."""
    return left + right


@task(id="count", inject_context=True)
async def count(context: TaskExecutionContext, items: list[str]) -> int:
    """Take the context first."""
    return context.cycle_count * len(items)


@flow
def kiosk(lines: list[str]) -> int:
    """Be a plain flow."""
    return len(lines)


def plain(number: int) -> int:
    """Be no task."""
    return number


async def wrong_arguments() -> None:
    """What a call binds has to fit the parameters."""
    price(1)  # wrong
    price("apple", "pear")  # wrong
    price(3, task_id="three")  # wrong
    add("1", 2)  # wrong
    add(1, "2")  # wrong
    add(1, "2", task_id="sum")  # wrong
    count(3)  # wrong
    add(1, 2, task_id=3)  # wrong
    kiosk("apple:1")  # wrong


async def wrong_results() -> None:
    """What an await gives is what the function returns."""
    text: str = await price("apple")  # wrong
    numbers: list[int] = await price.map(["apple"])  # wrong
    pair: tuple[str, str] = await asyncio.gather(price("apple"), count([]))  # wrong
    lines: list[str] = kiosk(["apple:1"])  # wrong
    unawaited: float = price("apple")  # wrong
    counted: str = await count.run(items=["apple"])  # wrong
    _ = text, numbers, pair, lines, unawaited, counted


@task(inject_context=True)
async def wrong_children(context: TaskExecutionContext) -> None:
    """Children have the types of their tasks."""
    prices: list[str] = await context.map(price, ["apple"])  # wrong
    outcomes: list[float] = await context.map(price, ["apple"], return_exceptions=True)  # wrong
    text: str = await context.submit(price, "apple")  # wrong
    value: str = await context.call(add, 1, 2)  # wrong
    context.next_task(plain)  # wrong
    context.submit(plain, 1)  # wrong
    step: str = await context.step("plain", plain, 1)  # wrong
    await context.step("plain", plain, "1")  # wrong
    _ = prices, outcomes, text, value, step


@task(inject_context=True)
def wrong_sync_children(context: SyncTaskExecutionContext) -> None:
    """A plain function gets values, not awaitables."""
    prices: list[str] = context.map(price, ["apple"])  # wrong
    text: str = context.submit(price, "apple").result()  # wrong
    context.submit(price, "apple").upper()  # wrong
    _ = prices, text


def wrong_definitions() -> None:
    """Options have names and types, tasks the types of their functions."""
    task("slow", timeout="1 s")(plain)  # wrong
    task("again", max_retry=3)(plain)  # wrong
    Task("plain", plain, limits=3)  # wrong
    takes_text: Task[[str], int] = Task("plain", plain)  # wrong
    gives_text: Task[[int], str] = Task("plain", plain)  # wrong
    _ = takes_text, gives_text


def wrong_expressions() -> None:
    """Only tasks and what is made of them can be combined."""
    price >> plain  # wrong
    price | "add"  # wrong
    chain(price, 3)  # wrong
    parallel(price, add, policy=3)  # wrong


async def wrong_runs() -> None:
    """A run has the options that it has."""
    with workflow("wrong") as wf:
        price >> add
    await wf.run(max_step=3)  # wrong
    await wf.run(timeout="1 s")  # wrong
    await wf.run(3)  # wrong
