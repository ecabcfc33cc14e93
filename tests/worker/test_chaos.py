"""Whole runs under disasters: no task is lost, none counts twice, and what runs again has a reason.

The sizes here take seconds; `python -m tests.worker.chaos` takes any, and `-m long` runs those that were promised.
"""

from __future__ import annotations

import pytest

from tests.worker.chaos.ledger import Report
from tests.worker.chaos.storm import Storm, weather
from tests.worker.chaos.succession import Pair, Succession, side_by_side, succeed

# Seconds that a task takes in a long storm. Where a worker is killed every second, a task that is no poison may well be
# under way at six kills, twice in company and four times alone, and is set aside then.
MOMENT = 0.1

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def check(report: Report, again: int) -> None:
    """Look at what is left; `again` bodies may have run in vain, and those of workers that got no processor."""
    print(report)  # noqa: T201  # seeds and counts are told
    assert report.is_good, str(report)
    assert report.again <= again + report.notes["refused late"] + report.notes["fenced"], str(report)


async def test_workers_are_killed():
    """Three workers, eight of them killed: only what was in flight at a kill runs again."""
    storm = Storm(seed=7, tasks=600, kills=8, lease=0.5, within=300)
    check(await weather(storm), again=storm.kills * storm.concurrency)


async def test_zombies_restarts_and_poison():
    """Workers that wake up too late change nothing, a Redis that restarts loses nothing, poison is set aside."""
    storm = Storm(seed=2, tasks=300, kills=2, stops=2, restarts=1, poison=3, lease=0.6, within=300)
    hit = storm.kills + storm.stops + 2 * storm.poison + storm.restarts * storm.workers
    check(await weather(storm), again=hit * storm.concurrency)


async def test_redis_forgets_everything():
    """FLUSHALL, three times: what Redis has forgotten is sent again, be it under way, or ended and not heard of."""
    storm = Storm(seed=3, tasks=400, flushes=3, lease=0.6, within=300)
    check(await weather(storm), again=2 * storm.flushes * storm.workers * storm.concurrency)


@pytest.mark.parametrize(("place", "seed", "deaths"), [("files", 1, 4), ("redis", 2, 3)])
async def test_drivers_are_killed(place: str, seed: int, deaths: int):
    """Who resumes a run takes over what workers have finished meanwhile; one that was only stopped changes nothing."""
    about = Succession(seed=seed, tasks=deaths * 60, deaths=deaths, window=30, place=place, within=300)
    check(await succeed(about), again=deaths * about.workers * about.concurrency)


async def test_two_drivers_share_workers():
    """Runs of two processes on the same workers, one of which is killed, get their own results and no other's."""
    about = Pair(seed=1, tasks=150, kills=1, within=300)
    check(await side_by_side(about), again=about.concurrency)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_thirty_kills(seed: int):
    """Five workers, thirty kills, 10,000 tasks."""
    storm = Storm(seed=seed, tasks=10_000, workers=5, kills=30, moment=MOMENT)
    check(await weather(storm), again=storm.kills * storm.concurrency)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_at_once(seed: int):
    """Kills, zombies, three restarts and three poisoned tasks among 10,000."""
    storm = Storm(seed=seed, tasks=10_000, workers=5, kills=15, stops=15, restarts=3, poison=3, moment=MOMENT)
    hit = storm.kills + storm.stops + 2 * storm.poison + storm.restarts * storm.workers
    check(await weather(storm), again=hit * storm.concurrency)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_three_floods(seed: int):
    """Three times FLUSHALL during 8,000 tasks."""
    storm = Storm(seed=seed, tasks=8_000, workers=5, flushes=3, moment=MOMENT)
    check(await weather(storm), again=2 * storm.flushes * storm.workers * storm.concurrency)


@pytest.mark.long
@pytest.mark.parametrize(("kills", "restarts", "flushes"), [(10, 0, 0), (3, 3, 0), (0, 0, 3)])
async def test_tasks_that_talk(kills: int, restarts: int, flushes: int):
    """Tasks with children, steps and channels come through it as well; they do not count while they wait."""
    storm = Storm(1, 1_000, lease=3.0, kills=kills, restarts=restarts, flushes=flushes, talks=True)
    check(await weather(storm), again=(kills + restarts + flushes) * storm.tasks)


@pytest.mark.long
@pytest.mark.parametrize("place", ["files", "redis"])
async def test_twenty_drivers(place: str):
    """Twenty drivers are killed during 2,000 tasks."""
    about = Succession(seed=1, tasks=2_000, deaths=20, place=place)
    check(await succeed(about), again=about.deaths * about.workers * about.concurrency)


@pytest.mark.long
async def test_two_long_drivers():
    """Two drivers with 3,000 tasks each, and ten kills of their workers."""
    about = Pair(seed=1, tasks=3_000, kills=10, workers=4)
    check(await side_by_side(about), again=about.kills * about.concurrency)
