"""A worker that is there to be killed: it runs jobs until then, and dies of those that are poison."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

from graflow_async._redis.jobs import Claim, Heart, JobQueue

ROOM = 4


async def main(url: str, name: str, lease: float) -> None:
    """Run jobs for ever."""
    async with JobQueue(url) as queue:
        worker = queue.worker(name, lease=lease)
        await worker.join()
        # What was lost meanwhile is refused when it is reported: that is what is tested.
        Heart(worker, lambda _: None).start()
        room = asyncio.Semaphore(ROOM)

        async def run(claim: Claim) -> None:
            try:
                await asyncio.sleep(random.random() * 0.02)
                if claim.payload == b"poison" and claim.solo:
                    # Alone it runs in a process of its own, which dies instead.
                    await worker.crash([claim], "killed by signal 9")
                elif claim.payload == b"poison":
                    os.kill(os.getpid(), signal.SIGKILL)
                else:
                    await worker.finish([(claim, "done", name.encode())])
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            while True:
                await room.acquire()
                for claim in await worker.take(1):
                    group.create_task(run(claim))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
