"""What several tests of running workflows share: crowds that count bodies, bodies that wait, looks at a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

SEEDS = range(10)
HANGS_AFTER = 60.0


class Crowd:
    """Counts how many bodies are inside at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.total = 0

    def __enter__(self) -> None:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


class Stay:
    """A body that says that it has begun, never ends by itself, and notes how it was cleaned up."""

    def __init__(self, name: str = "stay", cleanup_turns: int = 3) -> None:
        self.__name__ = name
        self.began = asyncio.Event()
        self.cleaned = False
        self.turns = cleanup_turns

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.cleaned = True


def timers_left() -> list[Any]:
    """List what the running (not uvloop's) loop still has to call later."""
    loop: Any = asyncio.get_running_loop()
    return [handle for handle in loop._scheduled if not handle._cancelled]


async def until(condition: Callable[[], Any], turns: int = 10_000) -> None:
    """Let the loop turn until something is true."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    message = "it did not come true"
    raise AssertionError(message)


@asynccontextmanager
async def background(awaitable: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """Await something in a task of its own, which is cancelled and seen through at the end."""

    async def wait() -> Any:
        return await awaitable

    before = asyncio.all_tasks()
    task = asyncio.create_task(wait())
    try:
        yield task
    finally:
        task.cancel()
        _, hanging = await asyncio.wait([task], timeout=HANGS_AFTER)
        if hanging:
            for other in asyncio.all_tasks() - before:
                other.cancel()  # one test shall fail, not the rest of the suite wait
            await asyncio.wait([task])
            message = "it cannot be cancelled"
            raise AssertionError(message)


def now() -> float:
    """Give the loop's time in seconds."""
    return asyncio.get_running_loop().time()


async def through(run: Any) -> Any:
    """Hold a run until it has ended and give its value, or raise what the block raises."""
    async with run:
        return await run


async def cancel_when(run: Any, *events: asyncio.Event, reason: str | None = None) -> None:
    """Hold a run, cancel it once the events have happened, and leave."""
    async with run:
        for event in events:
            await event.wait()
        run.cancel(reason)
