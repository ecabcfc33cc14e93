"""Workflows that fail in bad weather, each in its own way, and whose outcome is known in good weather."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from graflow_async import (
    Task,
    TaskExecutionContext,
    Workflow,
    at_least,
    critical,
    parallel,
    workflow,
)
from tests.durability.parts import is_bad, note, strike

SEEDS = range(4)


Made = tuple[Workflow, dict[str, Any]]
Maker = Callable[[], Made]


def steady(name: str) -> Task[Any, Any]:
    """Make a task that counts in the channel."""

    async def body(ctx: TaskExecutionContext) -> str:
        note()
        await ctx.channel.atomic_add(name)
        await asyncio.sleep(0)
        return name

    return Task(name, body)


def shaky(name: str, **options: Any) -> Task[Any, Any]:
    """Make a task that fails while the weather is bad, after it has written into the channel."""

    async def body(ctx: TaskExecutionContext) -> str:
        note()
        if ctx.attempt == 1:
            await ctx.channel.atomic_add(name)
        for _ in range(4):
            await asyncio.sleep(0)
        strike(ValueError(name))
        return name

    return Task(name, body, **options)


def plain() -> Made:
    first, left = steady("first"), steady("left")
    return Workflow("plain", first >> (left | shaky("bad")) >> steady("end")), {}


def after_retries() -> Made:
    return Workflow("retried", steady("first") >> shaky("bad", max_retries=2) >> steady("end")), {}


def grouped(policy: Any) -> Maker:
    def make() -> Made:
        members = [steady("m1") >> steady("m2"), shaky("bad"), shaky("worse") >> steady("m3")]
        group = parallel(*members, policy=policy).set_group_name("g")
        return Workflow("grouped", steady("first") >> group >> steady("end")), {}

    return make


def mapped() -> Made:
    async def item(x: int) -> int:
        note()
        await asyncio.sleep(0)
        if x == 2:
            strike(ValueError(x))
        return x * x

    async def maps(ctx: TaskExecutionContext) -> list[int]:
        note()
        await ctx.channel.append("maps", 1)
        return await ctx.map(Task("item", item), range(5))

    return Workflow("mapped", steady("first") >> Task("maps", maps) >> steady("end")), {"max_concurrency": 2}


def drawn_map() -> Made:
    async def item(x: int) -> int:
        note()
        if x == 2:
            strike(ValueError(x))
        return x

    return Workflow("drawn_map", steady("first") >> Task("item", item).map(range(4)) >> steady("end")), {}


def grandchild() -> Made:
    async def low(ctx: TaskExecutionContext, x: int) -> str:
        note()
        return await ctx.call(shaky("bad")) + str(x)

    async def high(ctx: TaskExecutionContext) -> Any:
        note()
        kept = await ctx.call(steady("kept"))
        return kept, await ctx.call(Task("low", low), 7)

    return Workflow("grandchild", steady("first") >> Task("high", high) >> steady("end")), {}


def child_run() -> Made:
    async def runs(ctx: TaskExecutionContext) -> Any:
        note()
        inner = Workflow("inner", steady("inner1") >> shaky("inner2") >> steady("inner3"))
        return await ctx.run_workflow(inner, inputs={"given": 3})

    return Workflow("child_run", steady("first") >> Task("runs", runs) >> steady("end")), {}


def released() -> Made:
    async def parent(ctx: TaskExecutionContext) -> str:
        note()
        await ctx.channel.atomic_add("parent")
        ctx.next_task(steady("k1"))
        ctx.next_task(steady("k2") >> shaky("k3") >> steady("k4"))
        ctx.next_task(steady("k5"), wait=False)
        return "parent"

    return Workflow("released", steady("first") >> Task("parent", parent) >> steady("end")), {}


def iterated() -> Made:
    async def loop(ctx: TaskExecutionContext, n: int = 0) -> int:
        note(f".{n}")
        await ctx.channel.atomic_add("turns")
        if n == 2:
            strike(ValueError(n))
        if n < 4:
            ctx.next_iteration(n + 1)
        return n

    return Workflow("iterated", steady("first") >> Task("loop", loop) >> steady("end")), {}


def too_slow() -> Made:
    async def slow(ctx: TaskExecutionContext) -> str:
        note()
        if is_bad():
            await asyncio.Event().wait()
        return "in time"

    return Workflow("too_slow", steady("first") >> Task("slow", slow, timeout=0.01) >> steady("end")), {}


def cancels() -> Made:
    async def gives_up(ctx: TaskExecutionContext) -> str:
        note()
        await ctx.channel.atomic_add("given up")
        if is_bad():
            ctx.cancel_workflow("no way")
        return "went on"

    return Workflow("cancels", steady("first") >> (steady("left") | Task("gives_up", gives_up)) >> steady("end")), {}


def several() -> Made:
    with workflow("several") as wf:
        last = steady("end")
        for number in range(4):
            steady(f"root{number}") >> shaky(f"bad{number}") >> last
    return wf, {}


def unawaited() -> Made:
    async def parent(ctx: TaskExecutionContext) -> str:
        note()
        ctx.submit(steady("kept"))
        ctx.submit(shaky("bad"))
        return "parent"

    return Workflow("unawaited", steady("first") >> Task("parent", parent) >> steady("end")), {}


def tolerated_before() -> Made:
    """A failure that a group has tolerated is no cause: it stays as it was."""

    async def odd() -> None:
        note()
        raise KeyError("tolerated")

    group = parallel(Task("odd", odd), steady("m1"), policy="best_effort").set_group_name("g")
    return Workflow("tolerated", steady("first") >> group >> shaky("bad") >> steady("end")), {}


def caught_before() -> Made:
    async def odd() -> None:
        note()
        raise KeyError("caught")

    async def careful(ctx: TaskExecutionContext) -> str:
        note()
        try:
            await ctx.call(Task("odd", odd))
        except KeyError:
            return "caught"
        return "never"

    return Workflow("caught", Task("careful", careful) >> shaky("bad") >> steady("end")), {}


MAKERS: dict[str, Maker] = {
    "plain": plain,
    "after_retries": after_retries,
    "strict": grouped("strict"),
    "all_of_two": grouped(at_least(3)),
    "quorum": grouped(at_least(2, cancel_rest=True)),
    "critical": grouped(critical(["bad"])),
    "mapped": mapped,
    "drawn_map": drawn_map,
    "grandchild": grandchild,
    "child_run": child_run,
    "released": released,
    "iterated": iterated,
    "too_slow": too_slow,
    "cancels": cancels,
    "several": several,
    "unawaited": unawaited,
    "tolerated_before": tolerated_before,
    "caught_before": caught_before,
}
