"""What happens to jobs whose worker died, and to jobs that kill their workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from graflow_async._redis import jobs_worker
from graflow_async._redis.jobs import JobQueue
from tests.redis_jobs.aids import beat, entries, expire, handed, jobs, joined, keys, names, owned, told

if TYPE_CHECKING:
    from graflow_async._redis.jobs import Claim, Worker


async def die(queue: JobQueue, worker: Worker) -> None:
    """Let a worker be dead, and its lease over."""
    await expire(queue, worker)


async def survivor_takes(queue: JobQueue, victim: Worker, name: str) -> Claim:
    """Let a new worker take a job over from a dead one."""
    await die(queue, victim)
    claim = await (await joined(queue, name)).reclaim()
    assert claim is not None
    return claim


async def test_a_dead_workers_job_runs_elsewhere(queue: JobQueue) -> None:
    """After the lease another worker has the job; whatever the first one still reports is refused."""
    driver, dead, other = await owned(queue), await joined(queue, "dead"), await joined(queue, "other")
    await driver.enqueue(jobs("a"))
    (old,) = await dead.take(1)
    assert await other.reclaim() is None
    await die(queue, dead)
    new = await other.reclaim()
    assert new is not None
    assert (new.job, new.payload, new.tries, new.crashes, new.solo) == ("a", b"a", 2, 1, False)
    assert new.fence > old.fence
    assert await dead.say([(old, b"boo")]) == [False]
    assert await dead.finish([(old, "done", b"old")]) == ["fenced"]
    assert await dead.release([old]) == ["fenced"]
    assert await other.finish([(new, "done", b"new")]) == ["ok"]
    lost, done = await driver.events()
    assert (lost.kind, lost.fence, lost.worker, lost.crashes, lost.data) == (
        *("lost", old.fence, "dead", 1),
        b"its lease ended",
    )
    assert (done.kind, done.fence, done.data) == ("done", new.fence, b"new")


async def test_one_suspect_at_a_time(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dead worker's jobs one call takes one, and a worker that takes by itself waits while that one is young."""
    assert jobs_worker.CALM <= 1.0
    monkeypatch.setattr(jobs_worker, "CALM", 60.0)  # it stays young while this goes on
    driver, dead, other = await owned(queue), await joined(queue, "dead"), await joined(queue, "other", lease=3000)
    await driver.enqueue(jobs("a", "b", "c"))
    await dead.take(3)
    await die(queue, dead)
    (first,) = await other.take(5, within=0.01) or [await other.reclaim()]
    assert first is not None
    assert first.job == "a"
    assert 0 < other.reclaim_in() <= 60.0  # and not as long as a lease: long jobs would wait for each other
    assert await other.take(5, within=0.01) == []
    await other.finish([(first, "done", b"")])
    assert other.reclaim_in() == 0
    assert names(await other.take(5, within=0.01)) == ["b"]
    third = await other.reclaim()
    assert third is not None
    assert third.job == "c"
    assert await other.reclaim() is None
    assert [worker.id for worker in await queue.workers()] == ["other"]


async def test_a_waiting_worker_wakes_when_a_lease_ends(queue: JobQueue) -> None:
    """An idle worker takes a dead one's job over at the end of the lease, without anybody telling it."""
    driver, dead = await owned(queue), await joined(queue, "dead", lease=0.3)
    await driver.enqueue(jobs("a"))
    await dead.take(1)
    other = await joined(queue, "other")
    assert other.reclaim_in() <= 0.31
    (claim,) = await other.take(1)
    assert (claim.job, claim.crashes) == ("a", 1)


async def test_what_was_never_begun_is_no_crash(queue: JobQueue) -> None:
    """A worker that dies between reading and beginning leaves no blame behind."""
    driver, dead = await owned(queue), await joined(queue, "dead")
    await driver.enqueue(jobs("a", "b"))
    (a,) = await dead.take(1)
    await dead.read(1, 1)
    await die(queue, dead)
    other = await joined(queue, "other")
    words = [other.id, b"nonce"]
    answer = await queue.calls.run("reclaim", words, "taking over")
    assert answer[2] == b"run:a"
    # The suspect's new holder dies before it has begun it: a second crash would be unjust.
    await expire(queue, other)
    third = await joined(queue, "third")
    claims = [await third.reclaim(), await third.reclaim()]
    assert {(claim.job, claim.crashes) for claim in claims if claim is not None} == {("a", 1), ("b", 0)}
    assert told(await driver.events()) == [("lost", "a")]
    assert await dead.finish([(a, "done", b"")]) == ["fenced"]


async def test_the_answer_to_a_reclaim_can_be_had_again(queue: JobQueue) -> None:
    """Sent twice, taking over gives the same job, and blames it once."""
    driver, dead, other = await owned(queue), await joined(queue, "dead"), await joined(queue, "other")
    await driver.enqueue(jobs("a", "b"))
    await dead.take(2)
    await die(queue, dead)
    first = await queue.calls.run("reclaim", [other.id, b"n1"], "taking over")
    again = await queue.calls.run("reclaim", [other.id, b"n1"], "taking over", again=True)
    assert again[1:] == first[1:]
    claims = await other.fetch(5)
    assert claims == []
    _, rows = await queue.calls.run("begin", [other.id, b"n2", 30_000, 0, first[1]], "beginning")
    assert [(row[1], row[3].split()[2]) for row in rows] == [(b"run:a", b"1")]


async def test_poison_is_set_aside_and_nobody_else(queue: JobQueue) -> None:
    """A job that kills its worker dies after two deaths alone; the neighbours of its first two deaths all succeed."""
    driver = await owned(queue)
    await driver.enqueue(jobs("n1", "poison", "n2", "n3"))
    alone: list[str] = []
    done: set[str] = set()
    worker, round_number, bodies = await joined(queue, "w0"), 0, 0
    while len(done) < 3 or not await queue.dead.list():
        round_number += 1
        assert round_number < 30
        company = [claim for claim in [await worker.reclaim()] if claim is not None] or await worker.fetch(4)
        alone += [claim.job for claim in company if claim.solo]
        # What has to run alone runs in a process of its own: its death is not that of its worker.
        for claim in [claim for claim in company if claim.solo]:
            company.remove(claim)
            if claim.job == "poison":
                bodies += 1
                await worker.crash([claim], "killed by signal 9")
            else:
                await worker.finish([(claim, "done", b"")])
                done.add(claim.job)
        if "poison" in names(company):
            bodies += 1
            await die(queue, worker)
            worker = await joined(queue, f"w{round_number}")
        else:
            await worker.finish([(claim, "done", b"") for claim in company])
            done.update(names(company))
    assert done == {"n1", "n2", "n3"}
    assert bodies == 4
    assert alone.count("poison") == 2
    (letter,) = await queue.dead.list()
    assert (letter.run, letter.job, letter.payload, letter.crashes) == ("run", "poison", b"poison", 4)
    lines = letter.reason.splitlines()
    assert [line.split(": ")[0].split(" ", 3)[3] for line in lines] == ["in company", "in company", "alone", "alone"]
    assert lines[-1].endswith("killed by signal 9")
    dead = [event for event in await driver.events() if event.kind == "dead"]
    assert [(event.job, event.data.decode()) for event in dead] == [("poison", letter.reason)]
    assert await entries(queue) == []
    assert await handed(queue) == {}
    assert await driver.states(["poison"]) == {"poison": "dead"}


async def test_a_whole_worker_that_dies_with_a_job_alone_counts_little(queue: JobQueue) -> None:
    """Of whole workers eight must die with a job that runs alone: being killed often does not make it poison."""
    driver, worker = await owned(queue), await joined(queue, "w0")
    await driver.enqueue(jobs("p"))
    await worker.take(1)
    for number in range(1, 10):
        claim = await survivor_takes(queue, worker, f"w{number}")
        assert (claim.crashes, claim.solo, claim.tries) == (number, number > 1, number + 1)
        worker = queue.worker(f"w{number}", life="")
    await die(queue, worker)
    assert await (await joined(queue, "last")).reclaim() is None
    assert [event.kind for event in await driver.events()] == [*["lost"] * 9, "dead"]


async def test_deaths_of_a_worker_and_of_a_process_add_up(queue: JobQueue) -> None:
    """Alone, one death of its own process and four of whole workers are enough for a job."""
    driver, worker = await owned(queue), await joined(queue, "w0")
    await driver.enqueue(jobs("p"))
    await worker.take(1)
    await survivor_takes(queue, worker, "w1")
    alone = await survivor_takes(queue, queue.worker("w1", life=""), "w2")
    other = queue.worker("w2", life="")
    other.held[alone.ref, alone.fence] = alone
    assert await other.crash([alone], "exit code 7") == ["ok"]
    assert [claim.solo for claim in await other.take(1)] == [True]
    await survivor_takes(queue, other, "w3")
    for number in (4, 5):
        await survivor_takes(queue, queue.worker(f"w{number - 1}", life=""), f"w{number}")
    await die(queue, queue.worker("w5", life=""))
    assert await (await joined(queue, "last")).reclaim() is None
    assert [event.kind for event in await driver.events()] == [*["lost"] * 6, "dead"]


async def test_a_worker_started_again_is_not_its_predecessor(queue: JobQueue) -> None:
    """A worker that dies and comes back under its name takes its own old jobs over as crashed, like anybody else's."""
    driver, first = await owned(queue), await joined(queue, "worker-1", life=None)
    await driver.enqueue(jobs("a"))
    await first.take(1)
    second = await joined(queue, "worker-1", life=None)
    await die(queue, first)
    claim = await second.reclaim()
    assert claim is not None
    assert (claim.job, claim.crashes) == ("a", 1)


async def test_dead_letters_can_be_shown_retried_and_dropped(queue: JobQueue) -> None:
    """An operator sees the payload, lets a job run again with its deaths forgotten, or throws it away."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("p", "q"))
    for _ in range(8):
        await worker.crash(await worker.take(1), "gone")
    first, second = await queue.dead.list()
    assert await queue.dead.list(after=first.id) == [second]
    assert await queue.dead.list(count=1) == [first]
    assert await queue.dead.show(first.id) == first
    assert await queue.dead.retry(first.id) == "queued"
    assert await queue.dead.retry(first.id) == "missing"
    (claim,) = await worker.take(1)
    assert (claim.ref, claim.payload, claim.crashes, claim.solo) == (
        b"run:" + first.job.encode(),
        first.payload,
        0,
        False,
    )
    assert await worker.finish([(claim, "done", b"at last")]) == ["ok"]
    assert (await driver.events())[-1].data == b"at last"
    assert await queue.dead.drop(second.id) is True
    assert await queue.dead.drop(second.id) is False
    assert await queue.dead.show(second.id) is None
    assert await queue.dead.list() == []


async def test_a_dead_letter_does_not_run_beside_its_job(queue: JobQueue) -> None:
    """A job that its driver sent anew is not sent once more by retrying its letter."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("p"))
    for _ in range(4):
        await worker.crash(await worker.take(1), "gone")
    (letter,) = await queue.dead.list()
    await queue.calls.client.hdel(queue.calls.prefix + "j:run", "p")
    await driver.enqueue(jobs("p"))
    assert await queue.dead.retry(letter.id) == "queued"
    assert await entries(queue) == ["run:p"]
    assert await queue.dead.list() == [letter]


async def test_a_beating_heart_keeps_every_job(queue: JobQueue) -> None:
    """A worker that beats keeps its jobs for any number of leases."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "other")
    await driver.enqueue(jobs("a"))
    (claim,) = await worker.take(1)
    for _ in range(10):
        await expire(queue, worker)
        await beat(worker)
        assert await other.reclaim() is None
    assert await worker.finish([(claim, "done", b"")]) == ["ok"]


async def test_after_an_outage_the_living_have_time_to_say_so(queue: JobQueue) -> None:
    """A worker that had no answer takes nothing from others before they can have sent a heartbeat."""
    worker = await joined(queue, "w", lease=200)
    queue.calls.troubled_at = asyncio.get_running_loop().time()
    await expire(queue, "other")
    await worker.fetch(1)
    assert 40 < worker.reclaim_in() <= 100


async def test_readers_that_nobody_knows_are_found(queue: JobQueue) -> None:
    """What somebody has who is not on the roll any more is taken over as well."""
    driver, lost, other = await owned(queue), await joined(queue, "lost"), await joined(queue, "other")
    await driver.enqueue(jobs("a"))
    await lost.take(1)
    await queue.calls.client.zrem(queue.calls.prefix + "w", "lost")
    claim = await other.reclaim()
    assert claim is not None
    assert claim.job == "a"


async def test_the_group_follows_the_hash(queue: JobQueue) -> None:
    """A group made anew hands running jobs out again: they stay with whoever runs them."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "other")
    await driver.enqueue(jobs("a", "b", "c"))
    await worker.take(2)
    client, stream = queue.calls.client, queue.calls.stream
    await client.xgroup_destroy(stream, "g")
    await client.xgroup_create(stream, "g", "0")
    assert names(await other.fetch(5)) == ["c"]
    assert sorted((await handed(queue)).values()) == [b"other", b"w", b"w"]
    await expire(queue, other)
    claim = await worker.reclaim()
    assert claim is not None
    assert claim.job == "c"


async def test_everything_left_behind_is_documented_and_passes(queue: JobQueue) -> None:
    """After jobs of every fate, and with everybody gone, a handful of keys is left, each with a time to live."""
    driver, worker, other = await owned(queue), await joined(queue, "w"), await joined(queue, "other")
    await driver.enqueue(jobs(*"abcdefgh"))
    claims = await worker.take(6)
    await worker.say([(claims[0], b"m")])
    await driver.tell([("a", claims[0].fence, b"m")])
    await worker.finish([(claims[0], "done", b""), (claims[1], "failed", b"")])
    await worker.release([claims[2]])
    await driver.cancel(["d", "g"])
    await die(queue, worker)
    while (claim := await other.reclaim()) is not None:
        await other.finish([(claim, "done", b"")])
    await other.finish([(claim, "done", b"") for claim in await other.take(9)])
    for _ in range(2):
        await driver.renew()
        await driver.ack((await driver.events("0"))[-1].id if await driver.events(within=0.01) else "0")
    assert all(0 < left <= 604_800 for left in (await keys(queue)).values())
    await other.retire()
    await driver.forget()
    left = await keys(queue)
    assert sorted(key.removeprefix(queue.calls.prefix) for key in left) == ["s", "wake"]
    assert all(0 < seconds <= 604_800 for seconds in left.values())
    assert await queue.calls.client.xlen(queue.calls.stream) == 0
