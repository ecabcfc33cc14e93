"""What scripts put together by hand, as packing it would cost the most of them, is what others read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from graflow_async._redis.jobs import Event, Job, JobQueue
from tests.redis_jobs.aids import joined, owned

READ = "return cjson.encode(cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1])))"
NAMES = ("a", "b c", "ü:1", "x" * 40, "")
FLAGS = (b"", b"1", b"1", b"y" * 60, b"")


async def record(queue: JobQueue, run: str, name: str) -> dict[str, Any]:
    """Give what Redis holds of a job, unpacked."""
    client: Any = queue.calls.client
    return dict(json.loads(await client.eval(READ, 1, f"{queue.calls.prefix}j:{run}", name)))


async def test_records_can_be_unpacked(queue: JobQueue) -> None:
    """Whatever a job is called, and whatever flags go with it, sent together with others: workers get and find it."""
    driver, worker = await owned(queue), await joined(queue, "w")
    sent = [Job(name, name.encode(), flags) for name, flags in zip(NAMES, FLAGS, strict=True)]
    assert await driver.enqueue(sent) == [None] * len(sent)
    assert await driver.enqueue(sent) == ["queued"] * len(sent)
    for job in sent:
        found = await record(queue, "run", job.id)
        assert (found["s"], found.get("x", "")) == ("queued", job.flags.decode())
    claims = await worker.take(10)
    assert [Job(claim.job, claim.payload, claim.flags) for claim in claims] == sent
    for claim in claims:
        assert await record(queue, "run", claim.job) == {
            "s": "running",
            "e": claim.entry.decode(),
            "f": str(claim.fence),
            "n": claim.nonce.decode(),
            "o": worker.id,
            "t": 1,
            **({"x": claim.flags.decode()} if claim.flags else {}),
        }
        assert (claim.tries, claim.crashes, claim.solo) == (1, 0, False)
    assert await worker.finish([(claim, "done", b"") for claim in claims]) == ["ok"] * len(sent)
    assert await record(queue, "run", "a") == {"s": "done", "f": str(claims[0].fence), "n": claims[0].nonce.decode()}


@pytest.mark.parametrize("order", ["as begun", "mixed"])
async def test_reports_about_different_claims_go_together(queue: JobQueue, order: str) -> None:
    """Results of jobs of two runs, begun at three moments, some of them failures: each driver hears its own."""
    one, two, worker = await owned(queue, "r"), await owned(queue, "r2"), await joined(queue, "w")
    for number in range(6):
        await (one if number % 2 else two).enqueue([Job(str(number), b"")])
    claims = [claim for count in (1, 3, 2) for claim in await worker.take(count)]
    (lost,) = claims[2:3]
    await worker.release([lost])
    claims += await worker.take(1)
    if order == "mixed":
        claims = claims[::2] + claims[1::2]
    reports = [(claim, "failed" if claim.job in "14" else "done", claim.job.encode()) for claim in claims]
    fates = await worker.finish(reports)  # type: ignore[arg-type]  # of literals
    assert fates == ["fenced" if claim is lost else "ok" for claim in claims]
    for driver, mine in ((one, "135"), (two, "024")):
        events: list[Event] = []
        while len(events) < 3 + ("2" in mine):
            events += await driver.events(events[-1].id if events else "0")
        ends = [event for event in events if event.kind != "lost"]
        expected = [claim for claim in claims if claim.job in mine and claim is not lost]
        assert [(end.job, end.fence, end.tries, end.worker) for end in ends] == [
            (claim.job, claim.fence, claim.tries, worker.id) for claim in expected
        ]
        assert [(end.kind, end.data) for end in ends] == [
            ("failed" if claim.job in "14" else "done", claim.job.encode()) for claim in expected
        ]
