"""A run of some five hundred tasks that is killed again and again, and gone on with by new processes.

Arguments: a directory, a seed, the number of kills, and the durability. Each life is a fork of this process, which has
imported everything and runs nothing itself. One line of JSON is printed for each kill and one for each run at its end.

Every body begins with one write into a ledger that no buffer delays, so that what has begun is known after a kill.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from graflow_async import (
    FileCheckpointer,
    Task,
    TaskExecutionContext,
    Workflow,
    current_context,
    parallel,
    task,
    workflow,
)
from graflow_async.errors import CheckpointCorruptError, CheckpointError, UnknownRunError
from tests.durability.parts import RUN, steps

CONCURRENCY = 8
MAPPED, THREADED, DYNAMIC, TURNS, LAYERS, WIDTH = 180, 60, 70, 80, 9, 12
PARENTS = frozenset({"maps.1", "blocks.1", "nests.1"})
"""Bodies that wait for children and so hold no slot; there may be more of them under way than slots."""


class Ledger:
    """Where bodies write that they begin; it kills its process when enough have."""

    def __init__(self) -> None:
        self.fd = -1
        self.left = -1

    def open(self, path: Path, kill_after: int) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.left = kill_after

    def begin(self) -> None:
        context = current_context()
        os.write(self.fd, f"{context.task_id}.{context.cycle_count}\n".encode())
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


ledger = Ledger()


@task
async def static(ctx: TaskExecutionContext) -> int:
    """One of many in the drawn layers."""
    ledger.begin()
    await ctx.channel.atomic_add("static")
    await asyncio.sleep(0)
    return 1


@task
async def item(ctx: TaskExecutionContext, x: int) -> int:
    """One of many in a map."""
    ledger.begin()
    await ctx.channel.atomic_add("items", x)
    await asyncio.sleep(0)
    return x * x


@task(inject_context=True)
def threaded(ctx: Any, x: int) -> int:
    """One of many in a map of a sync task."""
    ledger.begin()
    ctx.get_channel().atomic_add("threaded")
    return x + 1


@task
async def maps(ctx: TaskExecutionContext) -> int:
    """Map, call, and keep a step."""
    ledger.begin()
    first = await ctx.step("first", _count, ctx)
    squares = await ctx.map(item, range(MAPPED))
    await ctx.channel.append("maps", len(squares))
    return sum(squares) + first


async def _count(ctx: Any) -> int:
    return await ctx.channel.atomic_add("steps")


@task(inject_context=True)
def blocks(ctx: Any) -> int:
    """Map in a sync task."""
    ledger.begin()
    return sum(ctx.map(threaded, range(THREADED)))


@task
async def leaf(ctx: TaskExecutionContext, n: int) -> int:
    """Made at run time."""
    ledger.begin()
    await ctx.channel.update("leaves", lambda old: old + n, default=0)
    return n


@task
async def grows(ctx: TaskExecutionContext) -> int:
    """Release many tasks, some detached."""
    ledger.begin()
    for number in range(DYNAMIC):
        ctx.next_task(leaf(task_id=f"leaf{number}", n=number), wait=bool(number % 5))
    return DYNAMIC


@task
async def loop(ctx: TaskExecutionContext, n: int = 1) -> int:
    """Iterate."""
    ledger.begin()
    turns = await ctx.channel.get("turns", 0)
    await ctx.channel.set("turns", turns + 1)
    if n < TURNS:
        ctx.next_iteration(n + 1)
    return n


@task
async def inner(ctx: TaskExecutionContext, given: int) -> int:
    """Part of a child run."""
    ledger.begin()
    await ctx.channel.set("mine", given)
    ctx.next_task(leaf(task_id="inner leaf", n=given))
    return given


@task
async def nests(ctx: TaskExecutionContext) -> int:
    """Start a child run, and retry once."""
    ledger.begin()
    return await ctx.run_workflow(Workflow("inner", inner >> static(task_id="inner end")), inputs={"given": 7})


@task
async def end(ctx: TaskExecutionContext) -> dict[str, Any]:
    """Give everything that can be told afterwards."""
    ledger.begin()
    names = ("static", "items", "threaded", "steps", "maps", "leaves", "turns")
    found = {name: await ctx.channel.get(name) for name in names}
    for name in ("maps", "blocks", "loop", "nests", "grows"):
        found[f"result of {name}"] = await ctx.get_result(name)
    return found


def make() -> Workflow:
    """Draw the workflow."""
    with workflow("killed") as wf:
        whole: Any = static(task_id="s")
        for layer in range(LAYERS):
            members: list[Task[Any, Any]] = [static(task_id=f"s{layer}-{number}") for number in range(WIDTH)]
            whole = whole >> parallel(*members).set_group_name(f"layer{layer}")
            if layer == 2:
                whole = whole >> parallel(maps, loop).set_group_name("middle")
            if layer == 4:
                whole = whole >> parallel(blocks, grows, nests).set_group_name("late")
        whole >> end
    return wf


# -- one life -----------------------------------------------------------------------------------------------------


async def live(directory: Path, durability: str) -> Any:
    """Begin the run, or go on with it."""
    wf = make()
    options: Any = {"checkpoint_dir": directory, "durability": durability}
    try:
        return await wf.resume(RUN, **options)
    except (UnknownRunError, CheckpointCorruptError, CheckpointError) as error:
        if not isinstance(error, UnknownRunError):
            # It was killed before it had started: nothing has run, and there is nothing to go on with.
            keeper = FileCheckpointer(directory)
            await keeper.delete(RUN)
            await keeper.aclose()
        return await wf.run(run_id=RUN, max_concurrency=CONCURRENCY, **options)


def fork(home: Path, durability: str, kill_after: int, kill_in: float) -> bool:
    """Let a fork live until it is killed or done; say whether it is done."""
    child = os.fork()
    if not child:
        try:
            ledger.open(home / "ledger", kill_after)
            if kill_in:
                timer = threading.Timer(kill_in, os.kill, (os.getpid(), signal.SIGKILL))
                timer.daemon = True
                timer.start()
            value = asyncio.run(live(home, durability))
            (home / "value").write_text(json.dumps(value, sort_keys=True))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a life ended with {os.WEXITSTATUS(status)}")
    return os.WIFEXITED(status)


# -- what is told -------------------------------------------------------------------------------------------------


def begun(home: Path) -> list[str]:
    """Read the ledger."""
    path = home / "ledger"
    return path.read_text().splitlines() if path.exists() else []


def known(home: Path) -> Counter[str]:
    """Count the bodies of which there is a record."""

    async def look() -> Counter[str]:
        keeper = FileCheckpointer(home)
        try:
            return Counter(f"{step.task_id}.{step.turn}" for step in steps(await keeper.read(RUN), make()))
        except CheckpointError:
            return Counter()  # it was killed before its head was written
        finally:
            await keeper.aclose()

    return asyncio.run(look())


def main() -> None:
    """Kill until there were enough kills."""
    place, seed, kills, durability = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    rng = random.Random(seed)
    (place / "clean").mkdir()
    before = time.monotonic()
    fork(place / "clean", durability, -1, 0.0)
    takes, bodies = time.monotonic() - before, len(begun(place / "clean"))
    want = (place / "clean" / "value").read_text()
    print(json.dumps({"what": "clean", "bodies": bodies, "value": want}), flush=True)  # noqa: T201
    number = 0
    while kills > 0:
        number += 1
        home = place / str(number)
        home.mkdir()
        kills -= one_run(home, durability, rng, min(kills, rng.randint(1, 4)), takes, bodies)
        value = (home / "value").read_text()
        print(json.dumps({"what": "end", "run": number, "bodies": len(begun(home)), "value": value}), flush=True)  # noqa: T201


def one_run(home: Path, durability: str, rng: random.Random, kills: int, takes: float, bodies: int) -> int:
    """Kill one run some times, then let it come to its end; give how often it was killed."""
    killed = 0
    for left in range(kills, -1, -1):
        was, recorded = begun(home), known(home)
        is_by_number = rng.random() < 0.5
        kill_after = rng.randint(1, max(bodies - len(was), 2)) if left and is_by_number else -1
        kill_in = rng.random() * takes if left and not is_by_number else 0.0
        is_done = fork(home, durability, kill_after, kill_in)
        killed += not is_done
        now = begun(home)[len(was) :]
        told = {
            "what": "life",
            "run": home.name,
            "killed": not is_done,
            "began": len(now),
            "recorded": sum(recorded.values()),
            "recorded and run again": sorted(recorded.keys() & set(now)),
            "begun and not recorded": sorted((Counter(was) - recorded).keys() - recorded.keys()),
            "run again": sorted(set(was) & set(now)),
        }
        print(json.dumps(told), flush=True)  # noqa: T201
        if is_done:
            break
    return killed


if __name__ == "__main__":
    main()
