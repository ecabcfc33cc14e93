"""A user's program, as strict as a type checker can be: what it asserts of the types is what the library promises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict, assert_type

from graflow_async import (
    Cache,
    Chain,
    ChildHandle,
    Group,
    RetryPolicy,
    SyncHandle,
    SyncTaskExecutionContext,
    Task,
    TaskExecutionContext,
    TaskWrapper,
    Workflow,
    at_least,
    chain,
    current_context,
    flatten,
    flow,
    parallel,
    task,
    unmapped,
    workflow,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Order(TypedDict):
    """What a shop is asked for."""

    item: str
    count: int


# -- definitions ----------------------------------------------------------------------------------------------


@task
async def price(item: str) -> float:
    """Look a price up."""
    await asyncio.sleep(0)
    return float(len(item))


@task
def total(prices: list[float], discount: float = 0.0) -> float:
    """Add prices up, in a thread."""
    return sum(prices) * (1 - discount)


@task("shout")
async def loud(text: str) -> str:
    """Carry an id."""
    return text.upper()


@task(id="parse", max_retries=3, timeout=2.5, limits=["api"], tags=("input",), cache=Cache(ttl=60))
def parse_order(line: str) -> Order:
    """Carry options."""
    item, _, count = line.partition(":")
    return {"item": item, "count": int(count)}


@task(retry_policy=RetryPolicy(max_retries=2, jitter=True))
async def ping(host: str, port: int = 80) -> bytes:
    """Carry a policy."""
    return f"{host}:{port}".encode()


@task(inject_context=True)
async def supervise(context: TaskExecutionContext, orders: list[Order]) -> int:
    """Take the context first."""
    await context.sleep(0)
    return len(orders)


@task("audit", inject_context=True)
def audit(context: SyncTaskExecutionContext, ok: bool) -> str:  # noqa: FBT001  # a user's function
    """Take the blocking context first."""
    return f"{context.task_id}: {ok}"


@task
async def annotated(context: TaskExecutionContext, order: Order) -> str:
    """Ask for the context by its annotation alone."""
    return f"{context.run_id}: {order['item']}"


def double(number: int) -> int:
    """Be a plain function."""
    return 2 * number


async def halve(number: int) -> float:
    """Be a coroutine function."""
    return number / 2


async def with_context(context: TaskExecutionContext, number: int) -> str:
    """Be a coroutine function that wants the context."""
    return context.task_id * number


def definitions() -> None:
    """Parameters and result of a task are those of its function; an injected context is no parameter."""
    by_decorator: Task[[str], float] = price
    injected: Task[[list[Order]], int] = supervise
    plain: Task[[int], int] = Task("double", double)
    awaited: Task[[int], float] = TaskWrapper("halve", halve, max_retries=1)
    contextual: Task[[int], str] = Task("with_context", with_context, inject_context=True)
    nothing: Task[[], None] = Task("barrier")
    wider: Task[[int], float] = plain
    print(by_decorator, injected, awaited, contextual, nothing, wider)
    assert_type(price.id, str)
    assert_type(price.task_id, str)
