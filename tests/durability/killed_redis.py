"""The run of `killed`, recorded in Redis: killed again and again, and gone on with by new processes.

Arguments are those of `killed`; where Redis is stands in GRAFLOW_REDIS_URL. Each run has a prefix of its own there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from graflow_async import RedisCheckpointer
from graflow_async.errors import CheckpointError, RunLockedError, UnknownRunError
from tests.durability import killed
from tests.durability.parts import RUN, steps

LEASE = 0.25


def keeper_of(home: Path) -> RedisCheckpointer:
    """Give what keeps the run of a directory."""
    return RedisCheckpointer(prefix=home.name, lease=LEASE)


async def live(home: Path, durability: str) -> Any:
    """Begin the run, or go on with it when the lease of the life before has ended."""
    wf, checkpointer = killed.make(), keeper_of(home)
    options: Any = {"checkpointer": checkpointer, "durability": durability}
    while True:
        try:
            return await wf.resume(RUN, **options)
        except RunLockedError:
            await asyncio.sleep(LEASE / 5)
        except CheckpointError as error:
            if not isinstance(error, UnknownRunError):
                # It was killed before it had started: nothing has run, and there is nothing to go on with.
                await checkpointer.delete(RUN)
            return await wf.run(run_id=RUN, max_concurrency=killed.CONCURRENCY, **options)


def known(home: Path) -> Counter[str]:
    """Count the bodies of which there is a record."""

    async def look() -> Counter[str]:
        try:
            records = await keeper_of(home).read(RUN)
            return Counter(f"{step.task_id}.{step.turn}" for step in steps(records, killed.make()))
        except CheckpointError:
            return Counter()  # it was killed before its head was written

    return asyncio.run(look())


if __name__ == "__main__":
    killed.live = live
    killed.known = known
    killed.main()
