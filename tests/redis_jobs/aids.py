"""What the tests of the queue of jobs share: looking behind the verbs, and letting leases end at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graflow_async._redis.jobs import Claim, Driver, Event, Job, JobQueue, News, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable


def jobs(*names: str, payload: bytes = b"") -> list[Job]:
    """Make jobs whose payload is their name, unless one is given."""
    return [Job(name, payload or name.encode()) for name in names]


async def expire(queue: JobQueue, worker: Worker | str, score: int = 1) -> None:
    """Let the lease of a worker be over, as if it had been silent for that long."""
    name = worker if isinstance(worker, str) else worker.id
    await queue.calls.client.zadd(queue.calls.prefix + "w", {name: score})


async def joined(queue: JobQueue, name: str, **options: Any) -> Worker:
    """Give a worker that is on the roll."""
    options.setdefault("life", "")
    worker = queue.worker(name, **options)
    await worker.join()
    return worker


async def owned(queue: JobQueue, run: str = "run", **options: Any) -> Driver:
    """Give a driver that owns its run."""
    driver = queue.driver(run, **options)
    await driver.own()
    return driver


async def beat(worker: Worker) -> News:
    """Send one heartbeat without the heart's thread."""
    claims = list(worker.held.values())
    words: list[Any] = [worker.id, int(worker.lease * 1000), worker.info, ""]
    for claim in claims:
        words += (claim.entry, claim.ref, claim.fence, claim.nonce)
    lost, cancelled = await worker.calls.run("beat", words, "beating")
    return News([claims[at] for at in lost], [claims[at] for at in cancelled])


def told(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Give (kind, job) of events."""
    return [(event.kind, event.job) for event in events]


def names(claims: Iterable[Claim]) -> list[str]:
    """Give the jobs of claims."""
    return [claim.job for claim in claims]


async def entries(queue: JobQueue) -> list[str]:
    """Give the refs that stand in the stream, in order."""
    return [ref for ref, _ in await stream(queue)]


async def stream(queue: JobQueue) -> list[tuple[str, bytes]]:
    """Give the refs that stand in the stream with their places, in order."""
    client: Any = queue.calls.client
    return [(fields[b"j"].decode(), number) for number, fields in await client.xrange(queue.calls.stream)]


async def handed(queue: JobQueue) -> dict[bytes, bytes]:
    """Give who has which entry of the stream."""
    client: Any = queue.calls.client
    rows = await client.xpending_range(queue.calls.stream, "g", "-", "+", 10_000)
    return {row["message_id"]: row["consumer"] for row in rows}


async def keys(queue: JobQueue) -> dict[str, int]:
    """Give every key of the queue and how long it lives; -1 for ever."""
    client = queue.calls.client
    return {key.decode(): await client.ttl(key) async for key in client.scan_iter(match=queue.calls.prefix + "*")}
