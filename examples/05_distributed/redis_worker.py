"""A worker inside a program of one's own: beside a web server, with objects that its tasks share.

python redis_worker.py [REDIS_URL]

Without a URL a Redis is started for this program.
"""

from __future__ import annotations

import asyncio
import os
import sys

from cluster import redis_at

from graflow_async import ChannelFactory, QueueBackend, TaskQueueFactory, Workflow, task
from graflow_async.worker import Worker


class Connections:
    """Stands for what is dear to make and is to be shared by all tasks of a process, such as a pool of connections."""

    made = 0

    def __init__(self) -> None:
        """Count how often it is made."""
        Connections.made += 1


_connections: list[Connections] = []


def connections() -> Connections:
    """Give the one of this process, made when it is first needed."""
    if not _connections:
        _connections.append(Connections())
    return _connections[0]


@task
async def look_up(name: str) -> int:
    """Use what the process has; tasks find it by importing it, they do not carry it along."""
    connections()
    return len(name)


async def serve(url: str) -> None:
    """Run a worker on this loop, beside everything else that the program does, and stop it in the end."""
    worker = Worker(url, worker_id="embedded", queue="names", concurrency=10)
    serving = asyncio.create_task(worker.run())
    try:
        wf = Workflow("names", look_up)
        runs = [
            wf.run(inputs={"name": name}, queue_backend=QueueBackend.REDIS, queue_name="names", redis_url=url)
            for name in ("ada", "grace", "barbara")
        ]
        print(f"lengths: {await asyncio.gather(*runs)}")
        print(f"bodies that the worker has run: {worker.done}; connections made: {Connections.made}")
    finally:
        worker.stop()  # takes nothing more, lets what runs end; a second call hands it back at once
        await serving
    print("the worker has drained")


def feed(url: str) -> None:
    """Use a queue and a channel without any run, from plain code: a program that hands work in."""
    with TaskQueueFactory.create(QueueBackend.REDIS, "inbox", url) as queue:
        for name in ("ada", "grace"):
            queue.enqueue(name)
        print(f"{queue.size()} names wait: {queue.dequeue()}, then {queue.dequeue()}, then {queue.dequeue()}")
    with ChannelFactory.create("redis", "settings", url) as channel:
        channel.set("rate", 5)
        print(f"whoever opens the channel reads {channel.get('rate')}")


def main(url: str | None) -> None:
    """Show both."""
    with redis_at(url) as place:
        asyncio.run(serve(place))
        feed(place)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GRAFLOW_REDIS_URL"))
