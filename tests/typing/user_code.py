"""A user's program, as strict as a type checker can be: what it asserts of the types is what the library promises."""
# Edges may be drawn by an expression that stands alone, which is the one thing a strict checker has to be told.
# pyright: strict, reportUnusedExpression=false

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
    _ = by_decorator, injected, awaited, contextual, nothing, wider
    assert_type(price.id, str)
    assert_type(price.func("apple"), Any)


class Report:
    """Methods are tasks, too."""

    def __init__(self, title: str) -> None:
        """Keep the title."""
        self.title = title

    @task
    def render(self, lines: list[str]) -> str:
        """Use the object."""
        return "\n".join([self.title, *lines])

    @task
    @staticmethod
    def rule(width: int) -> str:
        """Use nothing."""
        return "-" * width


# -- calling and awaiting -------------------------------------------------------------------------------------


async def calls() -> None:
    """A call binds, with all arguments or some of them; awaiting it gives what the function returns."""
    assert_type(await price("apple"), float)
    assert_type(await total([1.0], 0.5), float)
    assert_type(await total([1.0], task_id="sum"), float)
    assert_type(await loud(text="hello"), str)
    assert_type(await parse_order("apple:2"), Order)
    assert_type(await ping(port=8080, host="localhost"), bytes)
    assert_type(await ping(task_id="ping_again"), bytes)
    assert_type(await supervise([{"item": "apple", "count": 1}]), int)
    assert_type(await audit(True, task_id="audit_again"), str)  # noqa: FBT003  # a user's function
    assert_type(await annotated({"item": "apple", "count": 1}), str)
    assert_type(await price, float)
    assert_type(await price.run(item="apple"), float)
    assert_type(await Report("Sales").render(["a", "b"]), str)
    assert_type(await Report("Sales").rule(3), str)


async def calls_together() -> None:
    """What asyncio offers for awaitables knows the types of tasks."""
    assert_type(await asyncio.gather(price("apple"), loud("x"), parse_order("a:1")), tuple[float, str, Order])
    assert_type(await asyncio.wait_for(price("apple"), timeout=1), float)
    cost, text = await asyncio.gather(price("apple"), loud("x"))
    assert_type(cost, float)
    assert_type(text, str)


# -- maps -----------------------------------------------------------------------------------------------------


async def numbers() -> AsyncIterator[int]:
    """Be an asynchronous source."""
    yield 1


async def maps() -> None:
    """A map gives a list of what its task gives; exceptions are in its type once they may be in its place."""
    assert_type(await price.map(["apple", "pear"]), list[float])
    assert_type(await total.map([[1.0], [2.0]], discount=0.1), list[float])
    assert_type(await ping.map(["a", "b"], unmapped(443)), list[bytes])
    assert_type(await Task("double", double).map(numbers()), list[int])
    bounded = price.map(["apple"]).with_execution(max_concurrency=5)
    assert_type(await bounded, list[float])
    tolerant = price.map(["apple"]).with_execution(return_exceptions=True)
    assert_type(await tolerant, list[float | BaseException])
    assert_type(flatten([[1, 2], [3]]), list[int])
    assert_type(flatten(await Task("lines", str.splitlines).map(["a\nb"])), list[str])


@task(inject_context=True)
async def parent(context: TaskExecutionContext, items: list[str]) -> float:
    """Run children from a coroutine."""
    assert_type(await context.map(price, items), list[float])
    assert_type(await context.map(ping, items, unmapped(80), max_concurrency=2), list[bytes])
    outcomes = await context.map(price, items, return_exceptions=True)
    assert_type(outcomes, list[float | BaseException])
    handle = context.submit(price, "apple")
    assert_type(handle, ChildHandle[float])
    assert_type(await handle, float)
    assert_type(handle.result(), float)
    assert_type(handle.exception(), BaseException | None)
    assert_type(context.submit(price.map(items)), ChildHandle[list[float]])
    async for ended in context.as_completed([context.submit(loud, item) for item in items]):
        assert_type(ended, ChildHandle[str])
        assert_type(await ended, str)
    assert_type(await context.call(total, [1.0]), float)
    assert_type(await context.call(parse_order("a:1")), Order)
    assert_type(await context.call(price.map(items)), list[float])
    assert_type(await context.call(price >> loud), Any)
    assert_type(await context.step("double", double, 2), int)
    assert_type(await context.step("halve", halve, number=2), float)
    assert_type(context.next_task(price("apple"), goto=True), str)
    return sum(outcome for outcome in outcomes if not isinstance(outcome, BaseException))


@task(inject_context=True)
def sync_parent(context: SyncTaskExecutionContext, items: list[str]) -> list[float]:
    """Run children from a plain function."""
    assert_type(context.map(price, items, return_exceptions=True), list[float | BaseException])
    assert_type(context.map(ping, items, port=80), list[bytes])
    handle = context.submit(price, "apple")
    assert_type(handle, SyncHandle[float])
    assert_type(handle.result(), float)
    assert_type(context.call(parse_order, "a:1"), Order)
    assert_type(context.step("halve", halve, 2), float)
    for ended in context.as_completed([context.submit(loud, item) for item in items]):
        assert_type(ended, SyncHandle[str])
    context.channel.set("seen", len(items))
    return context.map(price, items)


def helper() -> str:
    """Find the context from any depth."""
    assert_type(current_context(), TaskExecutionContext)
    context = current_context(None)
    assert_type(context, TaskExecutionContext | None)
    return context.task_id if context is not None else "nobody"


# -- flows ----------------------------------------------------------------------------------------------------


@flow
async def shop(lines: list[str]) -> float:
    """Await tasks."""
    orders = await parse_order.map(lines)
    return await total([await price(order["item"]) for order in orders])


@flow(name="Kiosk", max_retries=1)
def kiosk(lines: list[str], shouted: bool = False) -> int:  # noqa: FBT001, FBT002  # a user's function
    """Be plain."""
    return len(lines) + shouted


@flow
def pipeline(text: str) -> None:
    """Pass on what tasks return."""
    shouted = loud(text)
    loud(shouted)
    parse_order(loud(shouted), task_id="parse_shouted")


async def flows() -> None:
    """An async flow is awaited, a plain one called."""
    assert_type(await shop(["apple:1"]), float)
    assert_type(await shop.run(lines=["apple:1"]), float)
    assert_type(await kiosk.run(lines=["apple:1"]), int)


def plain_flows() -> None:
    """A plain flow gives its value where it is called."""
    assert_type(kiosk(["apple:1"]), int)
    assert_type(kiosk(["apple:1"], shouted=True), int)


# -- workflows ------------------------------------------------------------------------------------------------


def drawn() -> Workflow:
    """Operators give chains and groups; a statement of them draws."""
    assert_type(price >> loud, Chain)
    assert_type(price << loud, Chain)
    assert_type(price | loud, Group)
    assert_type(price >> (loud | ping) >> total, Chain)
    assert_type(chain(price, loud, ping), Chain)
    assert_type(parallel(price, loud, policy=at_least(1)).set_group_name("both"), Group)
    assert_type((price | loud).with_execution(max_concurrency=2), Group)
    with workflow("drawn") as wf:
        price >> (loud | ping.map().with_execution(max_concurrency=4)) >> total(task_id="sum")
        shop >> kiosk
    return wf


async def runs() -> None:
    """What a run gives depends on its graph, so nobody can know its type."""
    wf = drawn()
    assert_type(await wf.run(inputs={"item": "apple"}, max_concurrency=3), Any)
    assert_type(wf.execute(start_node="price"), Any)
    async with Workflow("alone", price("apple")).start(timeout=5) as run:
        async for event in run.events():
            assert_type(event.task_id, str | None)
        assert_type(await run, Any)
        assert_type(run.status, str)


def chosen(make: Callable[[str], Task[..., float]] = price) -> Task[..., float]:
    """Hand tasks around as values: calling one gives another."""
    return make("apple")
