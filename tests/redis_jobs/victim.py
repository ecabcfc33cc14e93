"""A worker in a process of its own: takes jobs, says so, and waits until it is killed, stopped or told to report."""

from __future__ import annotations

import asyncio
import sys

from graflow_async._redis.jobs import Claim, Heart, JobQueue, News


def say(*words: object) -> None:
    """Tell the test."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(url: str, name: str, lease: float, count: int) -> None:
    """Take jobs, print each, wait for a line and the loss of all, then report them and print what became of that."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[News] = asyncio.Queue()
    async with JobQueue(url) as queue:
        worker = queue.worker(name, lease=lease, life="")
        await worker.join()

        def tell(one: News) -> None:
            loop.call_soon_threadsafe(news.put_nowait, one)

        heart = Heart(worker, tell)
        heart.start()
        claims = await worker.take(count)
        say("took", *(claim.job for claim in claims))
        await asyncio.to_thread(sys.stdin.readline)
        lost: set[Claim] = set()
        while not lost.issuperset(claims):
            lost.update((await news.get()).lost)
        say("heard", *(claim.job for claim in claims))
        say("fates", *await worker.finish([(claim, "done", name.encode()) for claim in claims]))
        heart.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
