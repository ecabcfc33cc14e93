"""Channels: what all tasks of a run share, read and written at once, in plain and in async tasks."""

from __future__ import annotations

import asyncio

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, Workflow, task

LINES = ["to be or not to be", "that is the question", "to sleep to dream"]


@task
def count_words(ctx: SyncTaskExecutionContext, line: str) -> None:
    """Count in plain code: each of these calls is atomic, also beside other threads."""
    channel = ctx.get_channel()
    for word in line.split():
        channel.atomic_add("words")
        channel.update("longest", lambda known, word=word: max(known, len(word)), default=0)
    channel.append("lines_done", line)


@task
def summary(ctx: SyncTaskExecutionContext) -> str:
    """Read what the others wrote; a default stands in for what nobody did."""
    channel = ctx.get_channel()
    done: list[str] = channel.get("lines_done")
    return (
        f"{channel.get('words')} words in {len(done)} lines, the longest has {channel.get('longest')} letters, "
        f"{channel.get('errors', default=0)} errors"
    )


@task(inject_context=True)
async def producer(ctx: TaskExecutionContext) -> None:
    """Hand over one thing at a time: write, then wait until it was taken."""
    for number in (2, 3, 5):
        await ctx.channel.set("offer", number)
        await ctx.channel.wait("offer", lambda offer: offer is None)
    await ctx.channel.set("offer", "end")


@task(inject_context=True)
async def consumer(ctx: TaskExecutionContext) -> list[int]:
    """Take things as they come; a waiting task costs no thread."""
    taken: list[int] = []
    while (offer := await ctx.channel.wait("offer", lambda offer: offer is not None)) != "end":
        taken.append(offer * offer)
        await ctx.channel.set("offer", None)
    return taken


async def main() -> None:
    """Let two tasks talk while they run, then look at the channel from outside."""
    async with Workflow("talk", producer | consumer).start() as run:
        print("consumer took:", (await run)["consumer"])
        print("left in the channel:", await run.channel.get("offer"))


if __name__ == "__main__":
    counting = Workflow("counting", count_words.map(LINES) >> summary)
    print(counting.execute())
    asyncio.run(main())
