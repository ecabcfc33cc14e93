"""Iterations: a task that asks for another turn of itself, with data, bounds, and one continuation at the end."""

from __future__ import annotations

import asyncio

from graflow_async import (
    CycleLimitExceededError,
    MaxStepsExceededError,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    Workflow,
    task,
)


@task
def newton(ctx: SyncTaskExecutionContext, guess: float = 1.0, square: float = 2.0) -> float:
    """Improve a guess until it no longer changes; `next_iteration(data)` fills the first parameter."""
    better = (guess + square / guess) / 2
    print(f"turn {ctx.cycle_count}: {better:.6f}")
    if abs(better - guess) > 1e-6:
        ctx.next_iteration(better)
    return better


@task
def show(newton: float) -> str:
    """Run once, after the last turn, with its result."""
    return f"the square root of 2 is {newton:.6f}"


@task
async def read_pages(ctx: TaskExecutionContext, page: int = 1) -> int:
    """Keep what turns have in common in the channel."""
    pages = {1: ["a", "b"], 2: ["c", "d"], 3: ["e"]}
    for entry in pages[page]:
        await ctx.channel.append("entries", entry)
    if page + 1 in pages:
        ctx.next_iteration(page=page + 1)
    return len(await ctx.channel.get("entries"))


@task(max_cycles=5)
def halve(ctx: SyncTaskExecutionContext, number: int) -> int:
    """Stop by itself at its own bound."""
    if number > 1 and ctx.can_iterate():
        ctx.next_iteration(number // 2)
    return number


@task(max_cycles=5)
def endless(ctx: SyncTaskExecutionContext) -> None:
    """Ask for another turn every time."""
    ctx.next_iteration()


def show_bounds() -> None:
    """Hit the bound of a task, and the bound of a run."""
    print("halved as often as allowed:", Workflow("halve", halve).execute(inputs={"number": 1000}))
    try:
        Workflow("endless", endless).execute()
    except CycleLimitExceededError as error:
        print("bound of the task:", type(error).__name__)
    try:
        Workflow("endless", endless).execute(max_steps=3)
    except MaxStepsExceededError as error:
        print("bound of the run:", type(error).__name__)


async def main() -> None:
    """Iterate in an async task."""
    print("entries read:", await Workflow("pages", read_pages).run())


if __name__ == "__main__":
    print(Workflow("newton", newton >> show).execute())
    asyncio.run(main())
    show_bounds()
