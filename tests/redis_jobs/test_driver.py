"""What the process that awaits a run can rely on."""

from __future__ import annotations

import pytest

from graflow_async._redis.jobs import Job, JobQueue
from graflow_async.errors import RunLockedError
from tests.redis_jobs.aids import entries, expire, jobs, joined, keys, names, owned, told


async def test_jobs_arrive_in_order_with_their_bytes(queue: JobQueue) -> None:
    """Workers get jobs in the order of sending, with payload and flags untouched."""
    driver = await owned(queue)
    blob = bytes(range(256)) * 20
    assert await driver.enqueue([Job("a b:c", blob, b"\x00f"), Job("\udcffé", b"")]) == [None, None]
    worker = await joined(queue, "w")
    first, second = await worker.take(5)
    assert (first.run, first.job, first.payload, first.flags) == ("run", "a b:c", blob, b"\x00f")
    assert (second.job, second.payload, second.flags) == ("\udcffé", b"", b"")
    assert (first.tries, first.crashes, first.solo) == (1, 0, False)


async def test_thousand_jobs_of_any_size_go_in_batches(queue: JobQueue) -> None:
    """Neither the number of jobs nor their size matters to whoever sends them."""
    driver = await owned(queue)
    many = [Job(f"j{index}", b"x" * (300_000 if index % 100 == 7 else 10)) for index in range(1000)]
    assert await driver.enqueue(many) == [None] * 1000
    assert await entries(queue) == [f"run:{job.id}" for job in many]
    worker = await joined(queue, "w")
    sizes: list[int] = []
    while len(sizes) < 1000:
        claims = await worker.take(300)
        sizes += [len(claim.payload) for claim in claims]
        assert set(await worker.finish([(claim, "done", claim.payload) for claim in claims])) == {"ok"}
    assert sizes == [len(job.payload) for job in many]


async def test_a_known_job_is_never_sent_twice(queue: JobQueue) -> None:
    """Sending again says where the job stands and changes nothing, whatever that is."""
    driver = await owned(queue)
    await driver.enqueue(jobs("a", "b"))
    assert await driver.enqueue(jobs("b", "c", "c")) == ["queued", None, "queued"]
    worker = await joined(queue, "w")
    a, b, c = await worker.take(3)
    assert await driver.enqueue(jobs("a")) == ["running"]
    await worker.finish([(a, "done", b""), (b, "failed", b"")])
    await driver.cancel(["c"])
    await worker.release([c])
    assert await driver.enqueue(jobs("a", "b", "c")) == ["done", "failed", "cancelled"]
    assert await entries(queue) == []


async def test_results_come_in_order_and_stay_until_acknowledged(queue: JobQueue) -> None:
    """Events are read again until they are acknowledged; then the jobs are forgotten as well."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b", "c"))
    a, b, c = await worker.take(3)
    await worker.finish([(b, "failed", b"oh"), (a, "done", b"A")])
    first = await driver.events()
    assert [(event.kind, event.job, event.data) for event in first] == [("failed", "b", b"oh"), ("done", "a", b"A")]
    assert (first[0].fence, first[0].tries, first[0].crashes, first[0].worker) == (b.fence, 1, 0, "w")
    assert await driver.events() == first
    await worker.finish([(c, "done", b"C")])
    second = await driver.events(first[-1].id)
    assert told(second) == [("done", "c")]
    await driver.ack(first[-1].id)
    assert await driver.events() == second
    assert await driver.states(["a", "b", "c"]) == {"a": "missing", "b": "missing", "c": "done"}


async def test_waiting_for_events_ends(queue: JobQueue) -> None:
    """A wait with a limit ends with nothing, without events and before any were ever there."""
    assert await (await owned(queue)).events(within=0.05) == []


async def test_results_wait_for_whoever_resumes_the_run(queue: JobQueue, redis_url: str) -> None:
    """What workers finished while nobody drove the run is adopted by the next process."""
    first, worker = await owned(queue), await joined(queue, "w")
    await first.enqueue(jobs("a", "b"))
    (a,) = await worker.take(1)
    await first.give_up()
    await worker.finish([(a, "done", b"A")])
    async with JobQueue(redis_url) as other:
        second = await owned(other)
        assert second.epoch > first.epoch
        assert [(event.job, event.data) for event in await second.events()] == [("a", b"A")]
        assert await second.repair(["a", "b"]) == {"a": "done", "b": "queued"}
        assert await second.enqueue(jobs("a", "b")) == ["done", "queued"]


async def test_what_a_driver_leaves_outlives_its_heirs(queue: JobQueue) -> None:
    """Ends of jobs are there for every process that takes a run over, until it is forgotten; its jobs go at once."""
    worker = await joined(queue, "w")
    drivers = [queue.driver("run", lease=30) for _ in range(3)]
    for number, driver in enumerate(drivers):
        await queue.calls.client.hset(queue.calls.prefix + "own:run", "u", "1")
        await driver.own()
        heard = [(event.kind, event.job) for event in await driver.inherit()]
        assert heard == [("done", f"a{before}") for before in range(number)]
        assert await driver.events(within=0.001) == []
        await driver.enqueue(jobs(f"a{number}", f"b{number}", f"c{number}"))
        done, running = await worker.take(2)
        await worker.finish([(done, "done", b"")])
        with pytest.raises(RunLockedError):
            await drivers[number - 1].inherit() if number else await queue.driver("run").own()
        if number == 1:
            assert [event.job for event in await driver.events()] == ["a1"]  # heard, and not acknowledged
    await queue.calls.client.hset(queue.calls.prefix + "own:run", "u", "1")
    last = queue.driver("run")
    await last.own()
    assert {event.job for event in await last.inherit()} == {"a0", "a1", "a2"}
    assert await last.states(["a2", "b2", "c2"]) == dict.fromkeys(["a2", "b2", "c2"], "missing")
    assert await entries(queue) == []
    assert await worker.finish([(running, "done", b"")]) == ["gone"]
    assert [delivery.kind for delivery in await worker.inbox()] == ["cancel"] * 3
    await last.forget()
    ((kept, seconds),) = [(key, left) for key, left in (await keys(queue)).items() if ":run" in key]
    assert kept.endswith("own:run")
    assert seconds > 0
    for driver in drivers:  # they may only have slept
        with pytest.raises(RunLockedError):
            await driver.enqueue(jobs("z"))
        with pytest.raises(RunLockedError):
            await driver.renew()
    assert await queue.driver("run").own() > last.epoch


async def test_one_driver_at_a_time(queue: JobQueue) -> None:
    """A second process waits for the lease to end, and then shuts the first one out of every verb."""
    first, second = await owned(queue, lease=30), queue.driver("run", lease=30)
    with pytest.raises(RunLockedError, match="driven by another process"):
        await second.own()
    assert await first.own() == first.epoch
    await queue.calls.client.hset(queue.calls.prefix + "own:run", "u", "1")
    await first.renew()
    with pytest.raises(RunLockedError):
        await second.own()
    await first.enqueue(jobs("a"))
    await queue.calls.client.hset(queue.calls.prefix + "own:run", "u", "1")
    await second.own()
    for verb in (first.renew(), first.enqueue(jobs("b")), first.ack("1-0"), first.cancel(["a"]), first.repair(["a"])):
        with pytest.raises(RunLockedError):
            await verb
    with pytest.raises(RunLockedError):
        await first.forget()
    await first.give_up()
    assert await second.states(["a", "b"]) == {"a": "queued", "b": "missing"}
    await second.renew()


async def test_a_lease_that_redis_forgot_is_taken_again(queue: JobQueue) -> None:
    """After a loss of data the driver goes on, and its epoch still grows for whoever comes next."""
    driver = await owned(queue)
    await queue.calls.client.flushall()
    await driver.renew()
    other = queue.driver("run")
    with pytest.raises(RunLockedError):
        await other.own()
    await driver.give_up()
    assert await other.own() > driver.epoch


async def test_cancelling_waiting_jobs(queue: JobQueue) -> None:
    """A job that nobody runs is cancelled at once and for good, and twice is as good as once."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b", "c"))
    (read,) = await worker.read(1, 1)
    assert await driver.cancel(["a", "b", "nobody"]) == {"a": "cancelled", "b": "cancelled", "nobody": "missing"}
    assert await driver.cancel(["a"]) == {"a": "cancelled"}
    assert await worker.begin([read]) == []
    assert names(await worker.take(5)) == ["c"]
    assert await driver.events(within=0.01) == []


async def test_cancelling_a_running_job_asks_its_worker(queue: JobQueue) -> None:
    """The worker hears of it at once, and however the job ends is what the driver hears."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b", "c"))
    a, b, c = await worker.take(3)
    assert await driver.cancel(["a", "b", "c"]) == {"a": "running", "b": "running", "c": "running"}
    await driver.cancel(["a"])
    wishes = await worker.inbox()
    assert [(one.kind, one.run, one.job, one.fence) for one in wishes] == [
        ("cancel", "run", claim.job, claim.fence) for claim in (a, b, c)
    ]
    await worker.finish([(a, "done", b"still")])
    await worker.release([b])
    await expire(queue, worker)
    assert await (await joined(queue, "w2")).reclaim() is None
    assert told(await driver.events()) == [("done", "a"), ("cancelled", "b"), ("cancelled", "c")]
    assert await worker.finish([(c, "done", b"")]) == ["already"]
    assert await entries(queue) == []


async def test_messages_reach_whoever_holds_the_claim(queue: JobQueue) -> None:
    """What a driver says goes to the worker that runs the job, in order, and to nobody once the claim is lost."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue(jobs("a", "b"))
    a, b = await worker.take(2)
    assert await driver.tell([("a", a.fence, b"1"), ("b", b.fence, b"2"), ("a", a.fence, b"3")]) == [True] * 3
    assert await driver.tell([("a", a.fence - 1, b"x"), ("none", 1, b"x"), ("b", b.fence, b"4")]) == [
        False,
        False,
        True,
    ]
    heard = await worker.inbox()
    assert [(one.kind, one.job, one.fence, one.data) for one in heard] == [
        ("message", "a", a.fence, b"1"),
        ("message", "b", b.fence, b"2"),
        ("message", "a", a.fence, b"3"),
        ("message", "b", b.fence, b"4"),
    ]
    assert await worker.inbox(heard[-1].id, within=0.01) == []
    await worker.finish([(a, "done", b"")])
    assert await driver.tell([("a", a.fence, b"5")]) == [False]


async def test_forgetting_a_run_leaves_nothing_of_it(queue: JobQueue) -> None:
    """Jobs in any state, events and the lease go; a worker that still runs one is asked to stop and then fenced."""
    driver, worker = await owned(queue), await joined(queue, "w")
    await driver.enqueue([Job(f"j{index}", b"") for index in range(1200)])
    claims = await worker.take(10)
    await worker.finish([(claim, "done", b"") for claim in claims[:5]])
    await driver.forget()
    assert not [key for key in await keys(queue) if "run" in key]
    assert await entries(queue) == []
    assert [one.kind for one in await worker.inbox()] == ["cancel"] * 5
    assert await worker.finish([(claims[7], "done", b"")]) == ["gone"]
    assert await driver.events(within=0.01) == []


async def test_runs_do_not_meet(queue: JobQueue) -> None:
    """Two runs with the same job ids share a queue and its workers, and each hears of its own jobs only."""
    one, two = await owned(queue, "one"), await owned(queue, "two: odd/name")
    worker = await joined(queue, "w")
    await one.enqueue(jobs("a", payload=b"1"))
    await two.enqueue(jobs("a", payload=b"2"))
    claims = await worker.take(2)
    assert [claim.run for claim in claims] == [one.run, two.run]
    await worker.finish([(claim, "done", claim.payload) for claim in claims])
    assert [event.data for event in await one.events()] == [b"1"]
    assert [event.data for event in await two.events()] == [b"2"]
    await one.forget()
    assert told(await two.events()) == [("done", "a")]
