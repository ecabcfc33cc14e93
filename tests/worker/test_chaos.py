"""Workers that are killed at random instants: no task is lost, none is recorded twice, few bodies run again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from graflow_async import SyncTaskExecutionContext, task, workflow
from graflow_async.events import TaskCompleted
from graflow_async.executors.redis import RedisExecutor
from tests.worker.aids import Meeting, Workers, soon, started
from tests.worker.tasks import noted

LEASE = 0.5
CONCURRENCY = 8


async def chaos(
    workers: Workers, meeting: Meeting, *, seed: int, count: int, tasks: int, kills: int, within: float
) -> dict[str, Any]:
    """Run tasks while workers are killed and started, and give what came of it."""
    chance = random.Random(seed)
    options = ("--lease", str(LEASE), "--concurrency", str(CONCURRENCY), "--log-level", "error")
    alive = [await workers.start(f"w{n}", *options, ready=False) for n in range(count)]

    with workflow("chaos") as wf:

        @task(executor="thread", inject_context=True)
        def everything(ctx: SyncTaskExecutionContext) -> list[int]:
            return ctx.map(noted, range(tasks))

    completed: Counter[int] = Counter()

    def count_ends(event: Any) -> None:
        if isinstance(event, TaskCompleted):
            completed[event.key] += 1

    run = await started(wf, executor=RedisExecutor(workers.url, window=200), listeners=[count_ends])
    ending = asyncio.ensure_future(soon(run, within))
    killed: set[int] = set()
    moments = sorted(chance.sample(range(tasks // 20, tasks - tasks // 10), kills))
    client: Any = meeting.client
    async with asyncio.timeout(within):
        for number, moment in enumerate(moments):
            while await meeting.said("ledger") < moment:  # noqa: ASYNC110  # it is in Redis
                await asyncio.sleep(0.005)
            victim = alive.pop(chance.randrange(len(alive)))
            killed.add(victim.process.pid)
            await victim.kill()
            alive.append(await workers.start(f"x{number}", *options, ready=False))
        value = await ending
    ran: dict[int, list[int]] = defaultdict(list)
    for line in await client.lrange("meet:ledger", 0, -1):
        item, pid = map(int, line.split())
        ran[item].append(pid)
    again = {item: pids for item, pids in ran.items() if len(pids) > 1}
    return {
        "seed": seed,
        "kills": len(killed),
        "lost": sum(found != item * 2 for item, found in enumerate(value)) + tasks - len(value),
        "recorded twice": sum(number > 1 for number in completed.values()),
        "bodies again": sum(len(pids) - 1 for pids in again.values()),
        "again without a kill": [pids for pids in again.values() if not killed.issuperset(pids[:-1])],
        "waiting": await meeting.waiting(),
        "left": await meeting.left(),
    }


def check(found: dict[str, Any], kills: int) -> None:
    """Look at what chaos has left."""
    print(found)  # noqa: T201  # seeds and counts are told
    assert found["kills"] == kills
    assert (found["lost"], found["recorded twice"]) == (0, 0), found
    assert found["again without a kill"] == [], found
    assert found["bodies again"] <= kills * CONCURRENCY, found
    assert (found["waiting"], found["left"]) == (0, []), found


@pytest.mark.slow
@pytest.mark.chaos
async def test_eight_kills(workers: Workers, meeting: Meeting):
    """Three workers, eight kills, 600 tasks."""
    check(await chaos(workers, meeting, seed=7, count=3, tasks=600, kills=8, within=60), 8)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_thirty_kills(seed: int, workers: Workers, meeting: Meeting):
    """Five workers, thirty kills, 10,000 tasks."""
    check(await chaos(workers, meeting, seed=seed, count=5, tasks=10_000, kills=30, within=300), 30)
