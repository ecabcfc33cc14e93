"""The two halves of a peer as a program."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.redis_peers import CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

T = TypeVar("T")

WARM_UP = 100


async def a_few_at_once(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Await all, a hundred at once: as many connections as that are enough for a pool."""
    free = asyncio.Semaphore(CONCURRENCY)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


def serves(file: str) -> None:
    """Tell that the worker serves."""
    Path(file).touch()


async def _drive(drive: Callable[[str, int], Awaitable[list[Any]]], url: str, count: int) -> dict[str, float]:
    await drive(url, WARM_UP)
    began, used = time.perf_counter(), time.process_time()
    results = await drive(url, count)
    sample = {"seconds": time.perf_counter() - began, "cpu.driver": (time.process_time() - used) / count}
    if results != list(range(count)):
        raise RuntimeError("the results are not those of the jobs")
    return sample


def main(work: Callable[[str, str], object], drive: Callable[[str, int], Awaitable[list[Any]]]) -> None:
    """Do what the command line says."""
    what, url, rest = sys.argv[1:]
    if what == "work":
        work(url, rest)
    else:
        print(json.dumps(asyncio.run(_drive(drive, url, int(rest)))))
