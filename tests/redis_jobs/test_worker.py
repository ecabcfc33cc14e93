"""What a process that runs jobs can rely on."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async._redis.jobs import JobQueue
from graflow_async.errors import ConfigError
from tests.redis_jobs.aids import beat, entries, expire, handed, jobs, joined, keys, names, owned, told


async def test_reports_are_accepted_once(queue: JobQueue) -> None:
    """A report sent twice is accepted once; one for a claim that was lost, or a job nobody knows, not at all."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    assert await worker.finish([(a, "done", b"1"), (a, "done", b"1")]) == ["ok", "already"]
    assert await worker.finish([(a, "failed", b"2")]) == ["already"]
    await worker.release([b])
    (again,) = await worker.take(1)
    assert again.fence > b.fence
    assert await worker.finish([(b, "done", b"old"), (again, "done", b"new")]) == ["fenced", "ok"]
    assert [(event.kind, event.job, event.data) for event in await driver.events()] == [
        ("done", "a", b"1"),
        ("lost", "b", b"released"),
        ("done", "b", b"new"),
    ]
    assert worker.held == {}
    await driver.ack("9999999999999-0")
    assert await worker.finish([(again, "done", b"new")]) == ["gone"]


async def test_a_nonce_guards_what_a_number_cannot(queue: JobQueue) -> None:
    """After a loss of data two claims may have one number: the nonce still tells them apart."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    claim.nonce = b"0" * 16
    assert await worker.finish([(claim, "done", b"")]) == ["fenced"]
    assert (await beat(worker)).lost == []
    assert await driver.states(["a"]) == {"a": "running"}


async def test_released_jobs_run_again_without_blame(queue: JobQueue) -> None:
    """A drained worker's jobs go to others at once; the driver hears that the claim is over."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "w2")
    await driver.enqueue(jobs("a"))
    claims = await worker.take(1)
    assert await worker.release(claims, "draining\nnow") == ["ok"]
    assert await worker.release(claims) == ["already"]
    (again,) = await other.take(1)
    assert (again.payload, again.tries, again.crashes) == (b"a", 2, 0)
    (event,) = await driver.events()
    assert (event.kind, event.fence, event.data) == ("lost", claims[0].fence, b"draining now")


async def test_messages_are_told_once_and_in_order(queue: JobQueue) -> None:
    """Messages come before the result, in order, and are ignored once the claim is lost."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    assert await worker.say([(a, b"1"), (b, b"2"), (a, b"3")]) == [True, True, True]
    a.said = 1  # as if the answer to the last one had been lost
    assert await worker.say([(a, b"3")]) == [True]
    await worker.finish([(a, "done", b"A")])
    await worker.release([b])
    assert await worker.say([(b, b"late")]) == [False]
    assert [(event.kind, event.job, event.data) for event in await driver.events()] == [
        ("message", "a", b"1"),
        ("message", "b", b"2"),
        ("message", "a", b"3"),
        ("done", "a", b"A"),
        ("lost", "b", b"released"),
    ]


async def test_concurrent_talk_keeps_its_order(queue: JobQueue) -> None:
    """Many tasks may talk at once: nothing is lost to the numbers that guard against repeats."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    await asyncio.gather(*(worker.say([(claim, str(number).encode())]) for number in range(50)))
    events = await driver.events()
    while len(events) < 50:
        events += await driver.events(events[-1].id)
    assert [event.data for event in events] == [str(number).encode() for number in range(50)]
    await asyncio.gather(*(driver.tell([("a", claim.fence, str(number).encode())]) for number in range(50)))
    assert [one.data for one in await worker.inbox()] == [str(number).encode() for number in range(50)]


async def test_waiting_for_jobs(queue: JobQueue) -> None:
    """A worker that waits gets a job as soon as there is one, and an empty list when its time is over."""
    driver, worker = await owned(queue), await joined(queue, "w")
    assert await worker.take(1, within=0.02) == []
    waiting = asyncio.create_task(worker.take(5))
    await asyncio.sleep(0)
    await driver.enqueue(jobs("a"))
    assert names(await waiting) == ["a"]


async def test_jobs_go_to_whoever_has_room(queue: JobQueue) -> None:
    """A worker gets no more than it asks for; the rest is left to others."""
    driver, one, two = await owned(queue), await joined(queue, "one"), await joined(queue, "two")
    await driver.enqueue(jobs(*"abcdef"))
    assert names(await one.take(2)) == ["a", "b"]
    assert names(await two.take(3)) == ["c", "d", "e"]
    assert names(await one.take(9)) == ["f"]


async def test_a_claim_belongs_to_who_was_handed_it(queue: JobQueue) -> None:
    """An entry that was handed to somebody else meanwhile is not begun."""
    driver, one, two = await owned(queue), await joined(queue, "one"), await joined(queue, "two")
    await driver.enqueue(jobs("a"))
    read = await one.read(1, 1)
    await expire(queue, one)
    claim = await two.reclaim()
    assert claim is not None
    assert (claim.job, claim.crashes) == ("a", 0)
    assert await one.begin(read) == []


async def test_the_answer_to_a_take_can_be_had_again(queue: JobQueue) -> None:
    """Claims whose answer was lost come with the next take, as the same claims: no second body is counted."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b", "c"))
    words = [worker.id, b"nonce", 30_000, 1]
    _, first = await queue.calls.run("begin", words, "beginning")
    _, again = await queue.calls.run("begin", words, "beginning", again=True)
    assert again == first
    await worker.read(1, 1)
    _, both = await queue.calls.run("begin", [worker.id, b"nonce", 30_000, 2], "beginning", again=True)
    assert [row[1] for row in both] == [b"run:a", b"run:b"]
    assert [row[3].split()[1] for row in both] == [b"1", b"1"]
    assert await queue.calls.run("begin", [worker.id, b"other", 30_000, 0], "beginning", again=True) == [-1, []]
    assert await queue.calls.run("begin", [worker.id, b"other", 30_000, 0, first[0][0]], "beginning") == [-1, []]


async def test_a_heartbeat_gives_back_what_its_worker_does_not_know(queue: JobQueue) -> None:
    """A job whose delivery got lost goes back after a lease, without blame, however long the worker lives."""
    driver, worker = await owned(queue), await joined(queue, "w", lease=0.01)
    await driver.enqueue(jobs("a", "b", "c"))
    (kept,) = await worker.take(1)
    (unknown,) = await worker.take(1)
    await worker.read(1, 1)
    worker.drop([unknown])
    await asyncio.sleep(0.02)
    assert await beat(worker) == ([], [], False)
    assert await entries(queue) == ["run:a", "run:b", "run:c"]
    again = await worker.take(5)
    assert [(claim.job, claim.tries, claim.crashes) for claim in again] == [("b", 2, 0), ("c", 1, 0)]
    assert await worker.finish([(unknown, "done", b""), (kept, "done", b"")]) == ["fenced", "ok"]


async def test_a_heartbeat_tells_what_was_lost_and_what_is_to_end(queue: JobQueue) -> None:
    """Claims that others have now are reported as lost, and wishes to cancel as such."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "w2")
    await driver.enqueue(jobs("a", "b", "c"))
    a, b, c = await worker.take(3)
    assert await beat(worker) == ([], [], False)
    await expire(queue, worker)
    assert await other.reclaim() is not None
    await driver.cancel(["b"])
    assert await beat(worker) == ([a], [b], False)
    await driver.forget()
    assert await beat(worker) == ([a, b, c], [], False)


async def test_a_worker_forgotten_by_redis_comes_back_with_its_heartbeat(queue: JobQueue) -> None:
    """After a loss of data a heartbeat puts the worker on the roll again and wakes who waits for one."""
    worker = await joined(queue, "w", info=b"me")
    await queue.calls.client.flushall()
    waiting = asyncio.create_task(queue.wait_for_workers())
    await asyncio.sleep(0)
    await beat(worker)
    assert [(one.id, one.info) for one in await waiting] == [("w", b"me")]


async def test_waiting_for_workers(queue: JobQueue) -> None:
    """Who waits for workers wakes when one comes; a worker whose lease has ended is none."""
    assert await queue.wait_for_workers(within=0.02) == []
    waiting = asyncio.create_task(queue.wait_for_workers())
    await asyncio.sleep(0)
    worker = await joined(queue, "w", info=b"i", lease=200)
    (one,) = await waiting
    assert (one.id, one.info) == ("w", b"i")
    assert 100 < one.left <= 200
    await expire(queue, worker)
    assert await queue.workers() == []


async def test_retiring_leaves_nothing(queue: JobQueue) -> None:
    """A worker goes only without claims; what it was handed without knowing goes back without blame."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b", "c"))
    (a,) = await worker.take(1)
    (b,) = await worker.take(1)
    await worker.read(1, 1)
    worker.drop([b])
    await driver.tell([("a", a.fence, b"hello")])
    assert await worker.retire() == 1
    assert len(await handed(queue)) == 1
    await worker.release([a])
    assert await worker.retire() == 0
    assert await queue.workers() == []
    assert await queue.calls.client.xinfo_consumers(queue.calls.stream, "g") == []
    assert not [key for key in await keys(queue) if key.endswith((":wi", ":w", "in:w"))]
    again = await (await joined(queue, "w2")).take(5)
    assert {(claim.job, claim.crashes) for claim in again} == {("a", 0), ("b", 0), ("c", 0)}
    assert told(await driver.events()) == [("lost", "a")]


async def test_jobs_of_a_forgotten_run_disappear(queue: JobQueue) -> None:
    """An entry whose job is known no more is cleared away by whoever reads it."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b"))
    read = await worker.read(1, 1)
    await queue.calls.client.delete(queue.calls.prefix + "j:run")
    assert await worker.begin(read) == []
    assert await worker.fetch(5) == []
    assert await entries(queue) == []
    assert await handed(queue) == {}


def test_odd_workers_are_refused() -> None:
    """An id that cannot stand in a key, or a lease without length, is a mistake of whoever starts the worker."""
    queue = JobQueue("unix:///nowhere")
    with pytest.raises(ConfigError, match="name of a worker"):
        queue.worker("a b")
    with pytest.raises(ConfigError, match="lease"):
        queue.worker("w", lease=0)
