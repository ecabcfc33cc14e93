"""What the queue of jobs should do, said without Redis: one list in order, one record per job, nothing else."""

from __future__ import annotations

from typing import Any

ENDED = {"done", "failed", "dead", "cancelled"}


class ModelJob:
    """Where one job stands.

    Attributes:
        state: as the queue names it.
        place: its place in the stream; the larger, the later.
        holder: the worker that the stream handed it to.
        claim: number of the claim that counts; a claim is alive while this is its own.
    """

    def __init__(self, place: int) -> None:
        self.state = "queued"
        self.place = place
        self.holder: str | None = None
        self.claim = 0
        self.tries = 0
        self.crashes = 0
        self.alone = 0
        self.runs_alone = False
        self.is_unwanted = False


class Model:
    """The queue, its workers, and the news for the one driver.

    Attributes:
        jobs: every job that is known.
        news: (kind, job, tries, crashes, worker) in order.
        late: workers whose lease has ended, the first one first.
        roll: workers that are known.
        letters: dead jobs, in order.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.news: list[tuple[str, str, int, int, str]] = []
        self.late: list[str] = []
        self.roll: set[str] = set()
        self.letters: list[str] = []
        self._places = 0
        self._claims = 0

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    def _next_claim(self) -> int:
        self._claims += 1
        return self._claims

    def tell(self, kind: str, name: str, worker: str) -> None:
        job = self.jobs[name]
        self.news.append((kind, name, job.tries, job.crashes, worker))

    def waiting(self) -> list[str]:
        """Give the jobs that nobody was handed, in order."""
        return [
            name
            for name, job in sorted(self.jobs.items(), key=lambda item: item[1].place)
            if job.state == "queued" and job.holder is None
        ]

    def handed_to(self, worker: str) -> list[str]:
        """Give the jobs that a worker was handed, in order."""
        return [
            name
            for name, job in sorted(self.jobs.items(), key=lambda item: item[1].place)
            if job.state not in ENDED and job.holder == worker
        ]

    def enqueue(self, name: str) -> str | None:
        if name in self.jobs:
            return self.jobs[name].state
        self.jobs[name] = ModelJob(self._next_place())
        return None

    def hand(self, worker: str, count: int) -> list[str]:
        """Let a worker read."""
        names = self.waiting()[:count]
        for name in names:
            self.jobs[name].holder = worker
        return names

    def begin(self, worker: str, names: list[str]) -> list[str]:
        """Let a worker begin what it has read; those that it may begin come back."""
        if worker not in self.roll or worker in self.late:
            self.beat(worker)
        begun: list[str] = []
        for name in sorted(names, key=lambda one: self.jobs[one].place if one in self.jobs else 0):
            job = self.jobs.get(name)
            if job is None or job.holder != worker or job.state not in {"queued", "suspect"}:
                continue
            job.state = "running"
            job.claim = self._next_claim()
            job.tries += 1
            job.runs_alone = job.crashes >= 2
            begun.append(name)
        return begun

    def is_held(self, name: str, claim: int) -> bool:
        job = self.jobs.get(name)
        return job is not None and job.claim == claim

    def report(self, name: str, claim: int) -> str:
        """Say what becomes of a report."""
        job = self.jobs.get(name)
        if job is None:
            return "gone"
        if job.claim != claim:
            return "fenced"
        return "ok" if job.state == "running" else "already"

    def end(self, name: str, state: str, worker: str) -> None:
        job = self.jobs[name]
        self.tell(state, name, worker)
        job.state = state
        job.holder = None

    def finish(self, worker: str, name: str, claim: int, state: str) -> str:
        fate = self.report(name, claim)
        if fate == "ok":
            self.end(name, state, worker)
        return fate if fate != "already" or self.jobs[name].state in ENDED else "fenced"

    def release(self, worker: str, name: str, claim: int) -> str:
        fate = self.report(name, claim)
        if fate == "ok":
            if self.jobs[name].is_unwanted:
                self.end(name, "cancelled", worker)
            else:
                self.tell("lost", name, worker)
                self.put_back(name)
        return fate

    def crash(self, worker: str, name: str, claim: int) -> str:
        fate = self.report(name, claim)
        if fate == "ok":
            if self.jobs[name].is_unwanted:
                self.end(name, "cancelled", worker)
            elif not self.blame(name, worker, 4):
                self.put_back(name)
        return fate

    def put_back(self, name: str) -> None:
        job = self.jobs[name]
        job.state, job.holder, job.place = "queued", None, self._next_place()

    def blame(self, name: str, worker: str, weight: int) -> bool:
        job = self.jobs[name]
        job.crashes += 1
        job.alone += weight * job.runs_alone
        if job.alone < 8:
            self.tell("lost", name, worker)
            return False
        self.end(name, "dead", worker)
        self.letters.append(name)
        return True

    def say(self, worker: str, name: str, claim: int) -> bool:
        if self.report(name, claim) == "ok":
            self.tell("message", name, worker)
            return True
        return self.is_held(name, claim) and self.jobs[name].state in ENDED

    def cancel(self, name: str) -> str:
        job = self.jobs.get(name)
        if job is None:
            return "missing"
        if job.state == "running":
            job.is_unwanted = True
        elif job.state not in ENDED:
            job.state, job.holder = "cancelled", None
        return job.state

    def beat(self, worker: str) -> None:
        self.roll.add(worker)
        if worker in self.late:
            self.late.remove(worker)

    def expire(self, worker: str) -> None:
        self.beat(worker)
        self.late.append(worker)

    def reclaim(self, worker: str) -> str | None:
        """Let a worker take over one job, and give it."""
        # Who has something and is on no roll was lost from it; its lease is taken to end now, after all the others.
        for one in sorted({job.holder for job in self.jobs.values() if job.holder} - self.roll - {worker}):
            self.expire(one)
        while late := [one for one in self.late if one != worker]:
            handed = self.handed_to(late[0])
            if not handed:
                self.late.remove(late[0])
                self.roll.discard(late[0])
                continue
            name = handed[0]
            job = self.jobs[name]
            if job.is_unwanted:
                self.end(name, "cancelled", late[0])
            elif job.state != "running":
                job.holder = worker
                return name
            elif not self.blame(name, late[0], 1):
                job.state, job.holder, job.claim = "suspect", worker, self._next_claim()
                return name
        return None

    def retire(self, worker: str, held: set[str]) -> int:
        """Let a worker go; it knows of these claims only."""
        busy = 0
        for name in self.handed_to(worker):
            job = self.jobs[name]
            if job.state == "running" and name in held:
                busy += 1
            elif job.is_unwanted:
                self.end(name, "cancelled", worker)
            else:
                job.claim = self._next_claim()
                self.put_back(name)
        if not busy:
            self.roll.discard(worker)
            if worker in self.late:
                self.late.remove(worker)
        return busy

    def retry(self, name: str) -> str:
        """Let a dead job run again."""
        job = self.jobs.get(name)
        if job is not None and job.state != "dead":
            return job.state
        self.letters.remove(name)
        self.jobs[name] = ModelJob(self._next_place())
        self.jobs[name].claim = self._next_claim()
        return "queued"

    def acknowledge(self) -> None:
        """Let everything be forgotten whose end was told."""
        for kind, name, *_ in self.news:
            if kind in {"done", "failed", "cancelled"} and name in self.jobs and self.jobs[name].state == kind:
                del self.jobs[name]
        self.news.clear()

    def snapshot(self) -> dict[str, Any]:
        """Give what the queue must look like."""
        ordered = sorted(self.jobs.items(), key=lambda item: item[1].place)
        return {
            "states": {name: job.state for name, job in self.jobs.items()},
            "stream": [name for name, job in ordered if job.state not in ENDED],
            "handed": {name: job.holder for name, job in ordered if job.state not in ENDED and job.holder},
            "letters": list(self.letters),
        }
