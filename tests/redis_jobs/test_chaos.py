"""Real workers that are killed and stopped at random while they work, with poison among their jobs."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graflow_async._redis.jobs import Job, JobQueue
from tests.aids.redis_server import RedisServer
from tests.redis_jobs.aids import entries, handed, owned

if TYPE_CHECKING:
    from graflow_async._redis.jobs import Driver

LABOURER = Path(__file__).with_name("labourer.py")
LEASE = 1.0  # seconds


class Gang:
    """Worker processes; when one is killed another comes in its place, under the same name.

    Attributes:
        blows: how many were killed, and how many stopped.
    """

    def __init__(self, url: str, size: int) -> None:
        self.url = url
        self.blows: Counter[str] = Counter()
        self._members: list[asyncio.subprocess.Process | None] = [None] * size

    async def fill(self) -> None:
        """Start a worker for each one that is dead."""
        for place, member in enumerate(self._members):
            if member is None or member.returncode is not None:
                self._members[place] = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *(str(LABOURER), self.url, f"w{place}", str(LEASE)),
                    env={"PYTHONPATH": str(LABOURER.parents[2])},
                )

    async def strike(self, chance: random.Random) -> None:
        """Kill one, or stop one for longer than its lease."""
        while not (living := [one for one in self._members if one is not None and one.returncode is None]):
            await self.fill()  # poison was quicker
        member = chance.choice(living)
        if chance.random() < 0.6:
            self.blows["killed"] += 1
            member.kill()
            await member.wait()
        else:
            self.blows["stopped"] += 1
            with suppress(ProcessLookupError):  # poison was quicker
                member.send_signal(signal.SIGSTOP)
                await asyncio.sleep(LEASE * 1.5)
                member.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """Kill everybody."""
        for member in self._members:
            if member is not None:
                if member.returncode is None:
                    member.kill()
                await member.wait()


def weights(story: str) -> list[int]:
    """Give how much each death has counted that befell a job alone, after two in company."""
    lines = [line.split(": ", 1) for line in story.splitlines()]
    assert [head.split(" ", 3)[3] for head, _ in lines] == ["in company"] * 2 + ["alone"] * (len(lines) - 2), story
    return [4 if cause.startswith("killed by") else 1 for _, cause in lines[2:]]


async def collect(driver: Driver, wanted: int, ended: Counter[tuple[str, str]]) -> None:
    """Count the ends of jobs, by kind, until so many different jobs have ended."""
    after = "0"
    while len({job for _, job in ended}) < wanted:
        for event in await driver.events(after):
            after = event.id
            if event.kind in {"done", "failed", "dead", "cancelled"}:
                ended[event.kind, event.job] += 1
        await driver.ack(after)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize(
    ("seed", "count", "blows"),
    [(11, 300, 5), *(pytest.param(seed, 3000, 30, marks=pytest.mark.long) for seed in (12, 13, 14))],
)
async def test_every_job_ends_once_and_only_poison_is_set_aside(seed: int, count: int, blows: int) -> None:
    """Kills, stops and a restart of the server lose no job, end none twice, and set exactly the poison aside."""
    print(f"seed {seed}")  # noqa: T201  # a test that fails shows it
    chance = random.Random(seed)
    poison = {f"p{number}" for number in range(3)}
    many = [Job(f"j{number}", b"work") for number in range(count)] + [Job(name, b"poison") for name in sorted(poison)]
    chance.shuffle(many)
    ended: Counter[tuple[str, str]] = Counter()
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        gang = Gang(server.url, 4)
        async with JobQueue(server.url) as queue:
            driver = await owned(queue, patience=None)
            collecting = asyncio.create_task(collect(driver, len(many), ended))
            await gang.fill()
            try:
                for number in range(blows):
                    await driver.enqueue(many[number * len(many) // blows : (number + 1) * len(many) // blows])
                    await asyncio.sleep(chance.random() * 0.5)
                    await gang.strike(chance)
                    if number == blows // 2:
                        await asyncio.to_thread(server.restart)
                    await gang.fill()
                while not collecting.done():
                    # Poison goes on killing workers, and each needs a successor.
                    await asyncio.wait([collecting], timeout=0.1)
                    await gang.fill()
            finally:
                await gang.close()
            await collecting
            letters = await queue.dead.list()
            assert await entries(queue) == []
            assert await handed(queue) == {}
    assert sum(gang.blows.values()) == blows
    assert set(ended.values()) == {1}
    assert {job for kind, job in ended if kind == "dead"} == poison
    assert {letter.job for letter in letters} == poison
    for letter in letters:
        # A worker that dies, or is silent for a lease, while it runs poison alone counts as well, but little.
        deaths = weights(letter.reason)
        assert letter.crashes == len(deaths) + 2
        assert sum(deaths[:-1]) < 8 <= sum(deaths), letter
    assert {job for kind, job in ended if kind == "done"} == {job.id for job in many} - poison
