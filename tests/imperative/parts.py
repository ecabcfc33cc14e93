"""What the scenarios share: parents made of plain bodies, sources that know how far they were read."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Iterator
from typing import Any

from graflow_async import Task, Workflow


async def within(body: Any, **options: Any) -> Any:
    """Run `body(ctx)`, async or plain, as the only task of a run."""
    return await Workflow("w", Task("parent", body, inject_context=True)).run(**options)


def as_async(func: Any) -> Any:
    """Make a coroutine function of a plain one, which lets others go first."""

    @functools.wraps(func)
    async def body(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        value = func(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    return body


class Style:
    """Makes tasks of plain functions in one of the two ways a user may choose: "async" or "sync"."""

    def __init__(self, name: str) -> None:
        self.name = name

    def task(self, func: Any, **options: Any) -> Task[Any, Any]:
        """Make a task; a sync one runs in a thread."""
        return Task(func.__name__.strip("<>"), as_async(func) if self.name == "async" else func, **options)


class Source:
    """A generator's worth of numbers that counts how many were taken, and whether it was closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pulled = 0
        self.is_closed = False

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self.pulled += 1
                yield number
        finally:
            self.is_closed = True

    async def slowly(self) -> Any:
        """Give the same asynchronously."""
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                self.pulled += 1
                yield number
        finally:
            self.is_closed = True
