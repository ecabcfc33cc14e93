"""A map over a long input that is pulled as slots free up: the input of both sides, and the floor by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.probes import Sample, Tally, memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND = 100


def parcels(count: int) -> Iterator[bytes]:
    """Give `count` elements of 1 kB, made one by one."""
    return (bytes([number % 256]) * 1_000 for number in range(count))


async def async_parcels(count: int) -> AsyncIterator[bytes]:
    """Do the same asynchronously."""
    for parcel in parcels(count):
        yield parcel


async def map_memory(count: int) -> Sample:
    """Measure what 100 runners on a generator of `count` items take at their worst moment, beyond the results."""
    return await _measured(count, parcels)


async def map_memory_async(count: int) -> Sample:
    """Measure the same over an async generator."""
    return await _measured(count, async_parcels)


async def _measured(count: int, source: Callable[[int], Any]) -> Sample:
    tally = Tally()
    await _map(BOUND, source, tally)
    before = memory_bytes()[0]
    results = await _map(count, source, tally)
    peak = memory_bytes()[1] - before - sys.getsizeof(results)
    tally.expect(count + BOUND)
    return {"peak": peak}


async def _map(count: int, source: Callable[[int], Any], tally: Tally) -> list[int | None]:
    results: list[int | None] = []
    pulled = source(count)
    # An async generator cannot be asked twice at once.
    turn = asyncio.Lock()

    async def pull() -> tuple[int, bytes | None]:
        async with turn:
            parcel = await anext(pulled, None) if isinstance(pulled, AsyncIterator) else next(pulled, None)
            if parcel is not None:
                results.append(None)
            return len(results) - 1, parcel

    async def runner() -> None:
        while True:
            index, parcel = await pull()
            if parcel is None:
                return
            await asyncio.sleep(0)
            tally.ran += 1
            results[index] = len(parcel)

    async with asyncio.TaskGroup() as group:
        for _ in range(BOUND):
            group.create_task(runner())
    return results
