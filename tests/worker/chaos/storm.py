"""One run of many tasks while its workers and its Redis are struck: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import redis.asyncio

from graflow_async import SyncTaskExecutionContext, task, workflow
from graflow_async._redis.jobs import JobQueue
from graflow_async.events import TaskCompleted, TaskEvent, TaskFailed
from graflow_async.executors.redis import RedisExecutor
from graflow_async.worker_errors import PoisonTaskError
from tests.aids.redis_server import RedisServer
from tests.worker.chaos.bodies import Done, noted, talked
from tests.worker.chaos.gang import Gang
from tests.worker.chaos.ledger import Body, Report, Strike, again_and_baseless, bodies

STAYS = (":w", ":wi", ":wake", ":s", ":dlq")  # of the queue, not of a run


class Storm(NamedTuple):
    """What is to happen: sizes, how often which disaster, and whether tasks talk with their run (and have children)."""

    seed: int
    tasks: int
    workers: int = 3
    concurrency: int = 8
    lease: float = 1.0
    window: int = 200
    moment: float = 0.02
    kills: int = 0
    stops: int = 0
    restarts: int = 0
    flushes: int = 0
    poison: int = 0
    talks: bool = False
    within: float = 600.0


class Ends:
    """Counts the ends of tasks, and lets others wait for so many of them."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self._total = 0
        self._awaited: tuple[int, asyncio.Future[None]] | None = None

    def __call__(self, event: Any) -> None:
        if isinstance(event, (TaskCompleted, TaskFailed)) and isinstance(event, TaskEvent):
            self.counts[event.key] += 1
            self._total += 1
            if self._awaited is not None and self._total >= self._awaited[0] and not self._awaited[1].done():
                self._awaited[1].set_result(None)

    async def reach(self, count: int) -> None:
        """Wait for so many ends."""
        if self._total < count:
            self._awaited = count, asyncio.get_running_loop().create_future()
            await self._awaited[1]


async def weather(storm: Storm) -> Report:
    """Let a storm come over a run, and tell what came of it."""
    options = ("--appendonly", "yes", "--appendfsync", "always") if storm.restarts else ()
    with RedisServer(*options) as server, RedisServer() as other, tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "workers.log"
        gang = Gang(server.url, other.url, log, concurrency=storm.concurrency, lease=storm.lease)
        gang.start(storm.workers)
        client: Any = redis.asyncio.from_url(other.url)
        try:
            async with asyncio.timeout(storm.within):
                return await _weather(storm, server, gang, client)
        finally:
            await gang.close()
            await client.aclose()


async def _weather(storm: Storm, server: RedisServer, gang: Gang, client: Any) -> Report:
    chance = random.Random(storm.seed)
    items = [*range(storm.tasks), *range(-storm.poison, 0)]
    chance.shuffle(items)
    ends, begun = Ends(), time.monotonic()
    with workflow("storm") as wf:

        @task(executor="thread", inject_context=True)
        def everything(ctx: SyncTaskExecutionContext) -> list[Any]:
            body: Any = talked if storm.talks else noted
            return ctx.map(body, items, moment=storm.moment, return_exceptions=True)

    executor = RedisExecutor(server.url, window=storm.window, lease=storm.lease)
    run = wf.start(executor=executor, listeners=[ends])
    await run.open()
    kinds = [kind for kind in ("kill", "stop", "restart", "flush") for _ in range(getattr(storm, kind + _s(kind)))]
    chance.shuffle(kinds)
    moments = sorted(chance.sample(range(storm.tasks // 20, storm.tasks * 9 // 10), len(kinds)))
    striking = asyncio.create_task(_strike(list(zip(moments, kinds, strict=True)), ends, gang, server, chance))
    value = await run
    await striking
    seconds = time.monotonic() - begun
    await gang.awake()
    await gang.dismiss()
    async with JobQueue(server.url) as queue:
        left, letters = await left_in(queue), await queue.dead.list()
    found = await bodies(client)
    again, baseless = again_and_baseless(found, gang.strikes)
    baseless = baseless[sum(gang.late.values()) :]
    wrong = [(item, got) for item, got in zip(items, value, strict=True) if not _is_right(item, got, found)]
    dead = {letter.job for letter in letters}
    told = [error for error in value if isinstance(error, PoisonTaskError)]
    return Report(
        {name: number for name, number in storm._asdict().items() if name != "within" and number},
        dict(Counter(kinds)),
        seconds,
        lost=len(wrong),
        twice=sum(number > 1 for number in ends.counts.values()),
        again=again,
        baseless=len(baseless),
        left=left,
        dead=sorted(dead ^ {error.job for error in told})
        + [f"{len(letters)} letters"] * (len(letters) != storm.poison),
        notes=gang.late,
        faults=[
            *gang.faults,
            *(f"again without a reason: {body}" for body in baseless[:5]),
            *(f"item {item} has {got!r}" for item, got in wrong[:5]),
            *(f"{error.job} died of something else: {error.story}" for error in told if "SIGKILL" not in error.story),
        ],
    )


def _s(kind: str) -> str:
    return "es" if kind.endswith("sh") else "s"


async def _strike(
    plan: list[tuple[int, str]], ends: Ends, gang: Gang, server: RedisServer, chance: random.Random
) -> None:
    """Let the disasters come, each at its moment."""
    for moment, kind in plan:
        await ends.reach(moment)
        begun = time.monotonic()
        if kind == "kill":
            await gang.kill(chance)
        elif kind == "stop":
            await gang.stop(chance)
        elif kind == "restart":
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            await asyncio.to_thread(server.start)
            # Whoever was silent for too long gives its tasks back, a lease later at the latest.
            gang.strikes.append(Strike(kind, begun, time.monotonic() + gang.lease))
        else:
            async with redis.asyncio.from_url(server.url) as client:
                await client.flushall()
            gang.strikes.append(Strike(kind, begun, time.monotonic() + gang.lease))


def _is_right(item: int, got: Any, found: dict[int, list[Body]]) -> bool:
    """Say whether an item has the value of one of its bodies, and poison its error."""
    if item < 0:
        return isinstance(got, PoisonTaskError)
    ended = {body.nonce for body in found.get(item, ()) if body.ended is not None}
    return isinstance(got, Done) and got.value == item * 2 and got.nonce in ended


async def left_in(queue: JobQueue) -> list[str]:
    """Give what is left of runs in a queue: entries, claims, keys."""
    client: Any = queue.calls.client
    length = await client.xlen(queue.calls.stream)
    pending = (await client.xpending(queue.calls.stream, "g"))["pending"]
    keys = [key.decode() async for key in client.scan_iter(match=queue.calls.prefix + "*")]
    return [
        *[f"{length} entries"] * bool(length),
        *[f"{pending} claims"] * bool(pending),
        # The epoch of a run that was taken over stays, so that a driver which only slept does not begin again.
        *sorted(key for key in keys if not key.endswith(STAYS) and ":in:" not in key and ":own:" not in key),
    ]
