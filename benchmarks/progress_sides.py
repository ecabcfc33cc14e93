"""What live progress costs: the same map on both sides, shown in a terminal on ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.probes import Sample, Tally
from graflow_async import TaskExecutionContext, Workflow, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@contextmanager
def terminal() -> Iterator[None]:
    """Let stderr be a terminal that another process reads, as a person's is."""
    master, slave = os.openpty()
    reader = subprocess.Popen(
        [sys.executable, "-c", READER], stdin=master, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(master)
    with (
        reader,
        os.fdopen(slave, "w", encoding="utf-8") as stream,
        patch.object(sys, "stderr", stream),
        patch.dict(os.environ, {"TERM": "xterm-256color"}),
    ):
        yield


READER = """
import os
try:
    while os.read(0, 65536):
        pass
except OSError:
    pass
"""


async def _map(count: int, *, progress: bool) -> Sample:
    tally = Tally()

    @task
    async def leaf(index: int) -> int:
        tally.ran += 1
        return index

    @task(inject_context=True)
    async def source(ctx: TaskExecutionContext) -> int:
        return len(await ctx.map(leaf, range(count)))

    workflow = Workflow("shown", source)
    with terminal():
        began = time.perf_counter()
        await workflow.run(progress=progress)
        seconds = time.perf_counter() - began
    tally.expect(count)
    return {"seconds": seconds}


async def silent(count: int) -> Sample:
    """Measure a map over `count` items that nobody watches."""
    return await _map(count, progress=False)


async def shown(count: int) -> Sample:
    """Measure the same map with `progress=True`, in a terminal."""
    return await _map(count, progress=True)


FLOOR_SCENARIOS: dict[str, Callable[[int], Coroutine[None, None, Sample]]] = {"progress": silent}
OUR_SCENARIOS: dict[str, Callable[[int], Coroutine[None, None, Sample]]] = {"progress": shown}
