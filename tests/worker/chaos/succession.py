"""Drivers that are killed and followed by others, and drivers side by side: what a process does is not lost with it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import redis.asyncio

from graflow_async._redis.jobs import JobQueue
from graflow_async.recovery import replay
from tests.aids.redis_server import RedisServer
from tests.aids.workers import Process
from tests.worker.chaos.bodies import ENV, KEY
from tests.worker.chaos.driving import keeper, many
from tests.worker.chaos.gang import Gang
from tests.worker.chaos.ledger import Body, Report, Strike, again_and_baseless, bodies
from tests.worker.chaos.storm import left_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RUN = "succession"
REPORTED_WITHIN = 1.0  # seconds from the end of a body until Redis has its report


class Succession(NamedTuple):
    """What is to happen: sizes, how many drivers are killed, and where their journal is: "files" or "redis".

    With a journal in Redis, whose lock is a lease, some are stopped instead, and go on when another one has the run.
    """

    seed: int
    tasks: int
    deaths: int
    workers: int = 2
    concurrency: int = 4
    window: int = 100
    lease: float = 0.6
    moment: float = 0.08
    place: str = "files"
    within: float = 600.0


class Stage:
    """What drivers share: a queue with its workers, a ledger, and a place for journals."""

    def __init__(self, folder: Path, server: RedisServer, other: RedisServer, gang: Gang) -> None:
        self.folder, self.server, self.other, self.gang = folder, server, other, gang
        self.client: Any = redis.asyncio.from_url(other.url)

    def driver(self, about: Any, run: str, place: str, first: int = 0, *, resumes: bool) -> Process:
        """Start a driver."""
        order = {
            **{name: getattr(about, name) for name in ("tasks", "window", "lease", "moment")},
            "url": self.server.url,
            "run": run,
            "place": place,
            "first": first,
            "resumes": resumes,
            "answer": str(self.answer(run)),
        }
        command = ("-m", "tests.worker.chaos.driving", json.dumps(order))
        return Process(*command, **{ENV: self.other.url})

    def answer(self, run: str) -> Path:
        """Give the file with the value of a run."""
        return self.folder / f"{run}.json"

    def place(self, about: Any) -> str:
        """Give where journals are."""
        return self.other.url if about.place == "redis" else str(self.folder / "runs")


@asynccontextmanager
async def _staged(about: Succession | Pair) -> AsyncIterator[Stage]:
    """Set up servers and workers, and give what is to happen on them its time."""
    with RedisServer() as server, RedisServer() as other, tempfile.TemporaryDirectory() as name:
        log = Path(name) / "workers.log"
        gang = Gang(server.url, other.url, log, concurrency=about.concurrency, lease=about.lease)
        stage = Stage(Path(name), server, other, gang)
        gang.start(about.workers)
        try:
            async with asyncio.timeout(about.within):
                yield stage
        finally:
            await gang.close()
            await stage.client.aclose()


async def succeed(about: Succession) -> Report:
    """Kill one driver after the other, let the last one end the run, and tell what came of it."""
    async with _staged(about) as stage:
        return await _succeed(about, stage)


async def _succeed(about: Succession, stage: Stage) -> Report:
    chance, place = random.Random(about.seed), stage.place(about)
    begun = time.monotonic()
    strikes: list[Strike] = []
    absences: list[tuple[float, float]] = []
    zombies: list[Process] = []
    for number in range(about.deaths):
        driver = stage.driver(about, RUN, place, resumes=number > 0)
        came = asyncio.create_task(_came(driver, time.monotonic(), strikes))
        await driver.says("begins")
        is_stopped = about.place == "redis" and number % 3 == 2
        if is_stopped:
            await came  # it has the run
        elif number == 0 or chance.random() < 0.6:
            await _reach(stage.client, about.tasks * 2 * (number + 1) // (about.deaths + 2))
        else:
            await asyncio.sleep(chance.uniform(0.0, 3 * about.lease))  # at any moment of its coming
        if is_stopped and not driver.has_ended:
            driver.signal(signal.SIGSTOP)
            zombies.append(driver)
        else:
            await driver.kill()
            await came
        died = time.monotonic()
        await asyncio.sleep(chance.choice([0.0, chance.uniform(0.0, 2 * about.lease)]))
        absences.append((died, time.monotonic()))
    last = stage.driver(about, RUN, place, resumes=about.deaths > 0)
    came = asyncio.create_task(_came(last, time.monotonic(), strikes))
    code = await last.ended(about.within)
    await came
    undead = [await _wake(zombie) for zombie in zombies]
    seconds = time.monotonic() - begun
    await stage.gang.dismiss()
    found = await bodies(stage.client)
    value = json.loads(stage.answer(RUN).read_text()) if code == 0 else []
    wrong = wrong_items(value, range(about.tasks), found)
    again, baseless = again_and_baseless(found, strikes, lag=REPORTED_WITHIN)
    baseless = baseless[sum(stage.gang.late.values()) :]
    async with JobQueue(stage.server.url) as queue:
        left = await left_in(queue)
    return Report(
        about._asdict(),
        {"drivers killed": about.deaths - len(zombies), "drivers stopped": len(zombies)},
        seconds,
        lost=len(wrong),
        twice=sum(count > 1 for count in (await _recorded(about, place)).values()),
        again=again,
        baseless=len(baseless),
        left=left,
        dead=[],
        notes={"adopted": _adopted(found, absences), **stage.gang.late},
        faults=[
            *stage.gang.faults,
            *([f"the last driver ended with {code}: {last.text[-2000:]}"] if code else []),
            *[fault for fault in undead if fault],
            *(f"again without a reason: {body}" for body in baseless[:5]),
            *(f"item {item} has {got!r}" for item, got in wrong[:5]),
        ],
    )


async def _wake(zombie: Process) -> str:
    """Let a driver go on that has been followed by another; give what is wrong with its end."""
    if zombie.line_with("done"):
        await zombie.ended()
        return ""  # it was through before it was stopped
    zombie.signal(signal.SIGCONT)
    code = await zombie.ended()
    is_refused = code != 0 and ("RunLockedError" in zombie.text or "has taken it over" in zombie.text)
    return "" if is_refused else f"a driver that was followed by another ended with {code}: {zombie.text[-2000:]}"


async def _came(driver: Process, begun: float, strikes: list[Strike]) -> None:
    """Note when a driver may have taken the run over: bodies that run then are cancelled, and run again."""
    await driver.comes_to("first", within=600.0)
    strikes.append(Strike("takeover", begun, time.monotonic()))


async def _reach(client: Any, lines: int) -> None:
    """Wait until the ledger has so many lines."""
    while await client.llen(KEY) < lines:  # noqa: ASYNC110  # it is in Redis
        await asyncio.sleep(0.005)


def wrong_items(value: list[Any], items: Any, found: dict[int, list[Body]]) -> list[tuple[int, Any]]:
    """Give items without the value of one of their bodies."""
    wrong: list[tuple[int, Any]] = []
    for number, item in enumerate(items):
        got = value[number] if number < len(value) else None
        ended = {body.nonce for body in found.get(item, ()) if body.ended is not None}
        if got is None or got[0] != item * 2 or got[1] not in ended:
            wrong.append((item, got))
    return wrong


def _adopted(found: dict[int, list[Body]], absences: list[tuple[float, float]]) -> int:
    """Count bodies that ended while nobody drove the run, and that no other body had to repeat."""
    return sum(
        len(each) == 1 and each[0].ended is not None and any(start < each[0].ended < end for start, end in absences)
        for each in found.values()
    )


async def _recorded(about: Succession, place: str) -> Counter[str]:
    """Count the results of each task in the journal."""
    kept = keeper(place, about.lease)
    try:
        frames = replay(RUN, many(0, about.tasks, about.moment), checkpointer=kept)
        return Counter([frame.task_id async for frame in frames])
    finally:
        await kept.aclose()


class Pair(NamedTuple):
    """What is to happen: two drivers at once, and workers that are killed."""

    seed: int
    tasks: int
    kills: int
    workers: int = 3
    concurrency: int = 8
    window: int = 100
    lease: float = 0.6
    moment: float = 0.02
    place: str = "files"
    within: float = 600.0


async def side_by_side(about: Pair) -> Report:
    """Let two processes drive runs of their own with the same workers."""
    async with _staged(about) as stage:
        return await _side_by_side(about, stage)


async def _side_by_side(about: Pair, stage: Stage) -> Report:
    chance, begun = random.Random(about.seed), time.monotonic()
    runs = {"one": range(about.tasks), "two": range(about.tasks, 2 * about.tasks)}
    drivers = [stage.driver(about, run, stage.place(about), items.start, resumes=False) for run, items in runs.items()]
    for number in range(about.kills):
        await _reach(stage.client, 4 * about.tasks * (number + 1) // (about.kills + 2))
        await stage.gang.kill(chance)
    codes = [await driver.ended(about.within) for driver in drivers]
    seconds = time.monotonic() - begun
    await stage.gang.dismiss()
    found = await bodies(stage.client)
    again, baseless = again_and_baseless(found, stage.gang.strikes)
    baseless = baseless[sum(stage.gang.late.values()) :]
    wrong = [
        wrong
        for (run, items), code in zip(runs.items(), codes, strict=True)
        for wrong in wrong_items(json.loads(stage.answer(run).read_text()) if code == 0 else [], items, found)
    ]
    async with JobQueue(stage.server.url) as queue:
        left = await left_in(queue)
    return Report(
        about._asdict(),
        {"kill": about.kills},
        seconds,
        lost=len(wrong),
        twice=0,
        again=again,
        baseless=len(baseless),
        left=left,
        dead=[],
        notes={"drivers": len(drivers), **stage.gang.late},
        faults=[
            *stage.gang.faults,
            *(
                f"a driver ended with {driver.text[-2000:]}"
                for driver, code in zip(drivers, codes, strict=True)
                if code
            ),
            *(f"again without a reason: {body}" for body in baseless[:5]),
            *(f"item {item} has {got!r}" for item, got in wrong[:5]),
        ],
    )
