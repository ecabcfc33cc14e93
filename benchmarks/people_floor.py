"""Open questions by hand: what a bare future takes, and how soon its task goes on once it is answered."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.probes import Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

SEED = 7
WATCHED = 10  # every tenth answer is timed: the clock would be seen otherwise


class Open:
    """As many questions as asked for, open at the same time.

    Attributes:
        resumed: index -> when its task went on.
        taken: bytes that Python had allocated when the last one was open.
    """

    def __init__(self, count: int) -> None:
        """Wait for `count` of them."""
        self.count = count
        self.all = asyncio.Event()
        self.resumed: dict[int, float] = {}
        self.taken = 0
        self._open = 0

    def opened(self) -> None:
        """Count one."""
        self._open += 1
        if self._open == self.count:
            self.taken = tracemalloc.get_traced_memory()[0]
            self.all.set()

    async def answered(self, answer: Callable[[int], Awaitable[object]]) -> float:
        """Answer all in random order; give the median time until the task has gone on, in seconds."""
        order = list(range(self.count))
        random.Random(SEED).shuffle(order)
        waits: list[float] = []
        for number, index in enumerate(order):
            began = time.perf_counter()
            await answer(index)
            if number % WATCHED == 0:
                # Turn by turn: an event for each would cost more than what is measured.
                while index not in self.resumed:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                waits.append(self.resumed[index] - began)
        return median(waits)


async def questions(count: int) -> Sample:
    """Measure `count` coroutines that wait for a future each."""
    began = time.perf_counter()
    opened = Open(count)
    loop = asyncio.get_running_loop()
    futures: dict[int, asyncio.Future[int]] = {}

    async def waits(index: int) -> int:
        future = futures[index] = loop.create_future()
        opened.opened()
        answer = await future
        opened.resumed[index] = time.perf_counter()
        return answer - index

    async def answer(index: int) -> None:
        futures[index].set_result(index)

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    everybody = asyncio.gather(*(waits(index) for index in range(count)))
    await opened.all.wait()
    kept = (opened.taken - before) / count
    tracemalloc.stop()
    latency = await opened.answered(answer)
    await everybody
    return {"seconds": time.perf_counter() - began, "latency": latency, "kept": kept}


SCENARIOS: dict[str, Callable[[int], Coroutine[None, None, Sample]]] = {
    "questions": questions,
    "memory.question": questions,
}
