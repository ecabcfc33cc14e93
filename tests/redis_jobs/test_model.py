"""Thousands of random steps of four workers and a driver, against the same steps of a plain model."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async._redis.jobs import Claim, Entry, JobQueue, Worker
from tests.redis_jobs.aids import beat, handed, jobs, joined, keys, owned, stream
from tests.redis_jobs.model import ENDED, Model

if TYPE_CHECKING:
    from graflow_async._redis.jobs import Driver

NAMES = [f"j{index}" for index in range(14)]
WORKERS = ["w0", "w1", "w2", "w3"]
VERBS = {
    "enqueue": 8,
    "fetch": 10,
    "read_some": 4,
    "begin": 5,
    "finish": 10,
    "late_finish": 3,
    "release": 3,
    "crash": 5,
    "say": 4,
    "tell": 2,
    "expire": 4,
    "beat": 4,
    "reclaim": 8,
    "cancel": 2,
    "retire": 1,
    "retry": 3,
    "repair": 1,
    "events": 2,
    "check": 1,
}


class Walk:
    """One walk: every step is taken on the server and in the model, and their answers are compared."""

    def __init__(self, queue: JobQueue, driver: Driver, chance: random.Random) -> None:
        self.queue = queue
        self.driver = driver
        self.chance = chance
        self.model = Model()
        self.workers: dict[str, Worker] = {}
        self.read: dict[str, list[Entry]] = {name: [] for name in WORKERS}
        # Every claim ever made, with its number in the model; most of them are over.
        self.claims: list[tuple[Worker, Claim, int]] = []
        self.fences: dict[str, int] = {}
        self.counts: dict[str, int] = dict.fromkeys(VERBS, 0)
        self.score = 0
        self.places: dict[str, bytes] = {}

    async def worker(self) -> Worker:
        name = self.chance.choice(WORKERS)
        if name not in self.workers:
            # Leases end when the walk says so, however long it takes.
            self.workers[name] = await joined(self.queue, name, lease=36_000)
            self.model.beat(name)
        return self.workers[name]

    async def step(self) -> None:
        verb = self.chance.choices(list(VERBS), list(VERBS.values()))[0]
        self.counts[verb] += 1
        await getattr(self, verb)()

    def note(self, worker: Worker, got: list[Claim], expected: list[str]) -> None:
        """Compare claims with the model's, and keep them."""
        assert [claim.job for claim in got] == expected
        for claim in got:
            job = self.model.jobs[claim.job]
            assert (claim.tries, claim.crashes, claim.solo) == (job.tries, job.crashes, job.runs_alone)
            # The one number that must never fall, whatever happened to the job before.
            assert claim.fence > self.fences.get(claim.job, 0)
            self.fences[claim.job] = claim.fence
            self.claims.append((worker, claim, job.claim))

    def some_claim(self, *, recent: bool) -> tuple[Worker, Claim, int] | None:
        alive = [one for one in self.claims[-60:] if not recent or self.model.report(one[1].job, one[2]) == "ok"]
        return self.chance.choice(alive) if alive else None

    async def enqueue(self) -> None:
        names = self.chance.sample(NAMES, self.chance.randint(1, 4))
        assert await self.driver.enqueue(jobs(*names)) == [self.model.enqueue(name) for name in names]

    async def fetch(self) -> None:
        worker, count = await self.worker(), self.chance.randint(1, 3)
        got = await worker.fetch(count)
        handed = self.model.hand(worker.id, count)
        self.note(worker, got, self.model.begin(worker.id, handed))

    async def read_some(self) -> None:
        worker, count = await self.worker(), self.chance.randint(1, 2)
        if self.model.waiting():
            got = await worker.read(count, 1)
            assert [entry.ref.decode() for entry in got] == [
                f"run:{name}" for name in self.model.hand(worker.id, count)
            ]
            self.read[worker.id] += got

    async def begin(self) -> None:
        worker = await self.worker()
        entries, self.read[worker.id] = self.read[worker.id], []
        if entries:
            current = [name for entry in entries if (name := self.same_entry(entry)) is not None]
            self.note(worker, await worker.begin(entries), self.model.begin(worker.id, current))

    def same_entry(self, entry: Entry) -> str | None:
        """Give the job of an entry that was read, if that entry is still the one that stands for it."""
        name = entry.ref.decode().removeprefix("run:")
        return name if self.places.get(name) == entry.id else None

    async def look(self) -> None:
        self.places = {ref.removeprefix("run:"): number for ref, number in await stream(self.queue)}

    async def finish(self, *, recent: bool = True) -> None:
        found = self.some_claim(recent=recent)
        if found is not None:
            worker, claim, number = found
            state: Any = self.chance.choice(["done", "failed"])
            expected = [self.model.finish(worker.id, claim.job, number, state) for _ in range(2)]
            assert await worker.finish([(claim, state, b"1"), (claim, state, b"2")]) == expected

    async def late_finish(self) -> None:
        await self.finish(recent=False)

    async def release(self) -> None:
        found = self.some_claim(recent=self.chance.random() < 0.8)
        if found is not None:
            worker, claim, number = found
            assert await worker.release([claim]) == [self.model.release(worker.id, claim.job, number)]

    async def crash(self) -> None:
        found = self.some_claim(recent=self.chance.random() < 0.9)
        if found is not None:
            worker, claim, number = found
            assert await worker.crash([claim], "died") == [self.model.crash(worker.id, claim.job, number)]

    async def say(self) -> None:
        found = self.some_claim(recent=self.chance.random() < 0.7)
        if found is not None:
            worker, claim, number = found
            assert await worker.say([(claim, b"m")]) == [self.model.say(worker.id, claim.job, number)]

    async def tell(self) -> None:
        found = self.some_claim(recent=self.chance.random() < 0.7)
        if found is not None:
            _, claim, number = found
            expected = self.model.report(claim.job, number) == "ok"
            assert await self.driver.tell([(claim.job, claim.fence, b"m")]) == [expected]

    async def expire(self) -> None:
        worker = await self.worker()
        # Later than all that ended before, and long ago: the model has no clock.
        roll = self.queue.calls.prefix + "w"
        for name in self.model.late:
            self.score += 1
            await self.queue.calls.client.zadd(roll, {name: self.score})
        await self.queue.calls.client.zadd(roll, {worker.id: self.score + 1})
        self.model.expire(worker.id)
        self.score += 1

    async def beat(self) -> None:
        worker = await self.worker()
        held = [
            (claim, number) for one, claim, number in self.claims if one is worker and claim in worker.held.values()
        ]
        news = await beat(worker)
        self.model.beat(worker.id)
        assert {claim for claim, number in held if not self.model.is_held(claim.job, number)} == set(news.lost)
        worker.drop(news.lost)

    async def reclaim(self) -> None:
        worker = await self.worker()
        expected = self.model.reclaim(worker.id)
        begun = [] if expected is None else self.model.begin(worker.id, [expected])
        got = await worker.reclaim()
        self.note(worker, [] if got is None else [got], begun)

    async def cancel(self) -> None:
        names = self.chance.sample(NAMES, 2)
        assert await self.driver.cancel(names) == {name: self.model.cancel(name) for name in names}
        for name in names:
            # A cancelled job is forgotten by time alone; here there is none.
            is_told = any(job == name for _, job, *_ in self.model.news)
            if not is_told and name in self.model.jobs and self.model.jobs[name].state == "cancelled":
                await self.queue.calls.client.hdel(self.queue.calls.prefix + "j:run", name)
                del self.model.jobs[name]

    async def retire(self) -> None:
        worker = await self.worker()
        held = {claim.job for claim in worker.held.values()}
        assert await worker.retire() == self.model.retire(worker.id, held)
        if worker.id not in self.model.roll:
            del self.workers[worker.id]

    async def retry(self) -> None:
        letters = await self.queue.dead.list()
        assert [letter.job for letter in letters] == self.model.letters
        if letters:
            letter = self.chance.choice(letters)
            if self.model.letters.count(letter.job) == 1:
                assert await self.queue.dead.retry(letter.id) == self.model.retry(letter.job)

    async def repair(self) -> None:
        expected = {name: self.model.jobs[name].state if name in self.model.jobs else "missing" for name in NAMES}
        assert await self.driver.repair(NAMES) == expected

    async def events(self) -> None:
        events = await self.driver.events(within=0.001)
        assert [(one.kind, one.job, one.tries, one.crashes, one.worker) for one in events] == self.model.news
        if events:
            await self.driver.ack(events[-1].id)
            self.model.acknowledge()

    async def check(self) -> None:
        """Compare everything that can be seen, and the rule that ties the stream to the states."""
        expected = self.model.snapshot()
        states = await self.driver.states(NAMES)
        assert {name: state for name, state in states.items() if state != "missing"} == expected["states"]
        await self.look()
        assert list(self.places) == expected["stream"]
        assert set(self.places) == {name for name, state in states.items() if state not in ENDED | {"missing"}}
        who = {place: worker.decode() for place, worker in (await handed(self.queue)).items()}
        assert {name: who[place] for name, place in self.places.items() if place in who} == expected["handed"]
        assert len(who) == len(expected["handed"])
        assert all(seconds > 0 for seconds in (await keys(self.queue)).values())


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(1, 1500), (2, 1500), *(pytest.param(seed, 10_000, marks=pytest.mark.long) for seed in (3, 4, 5, 6, 7))],
)
async def test_every_step_is_that_of_the_model(queue: JobQueue, seed: int, steps: int) -> None:
    """One owner at a time, fences that only grow, final states that stay, and a stream that matches the states."""
    print(f"seed {seed}")  # noqa: T201  # a test that fails shows it
    walk = Walk(queue, await owned(queue), random.Random(seed))
    for _ in range(steps):
        await walk.look()
        await walk.step()
    await walk.check()
    assert min(walk.counts.values()) > 0
