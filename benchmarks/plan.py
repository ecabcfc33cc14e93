"""What is measured: the cases with their sizes, and the bars a release has to hold.

Sizes and bars only; how a case runs is the sides' business, what a number means is `results`.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOOR = "floor"
OURS = "graflow_async"
# Peers of the scenarios in one process; those over Redis are in `redis_peers`.
PEERS = ("langgraph", "prefect", "graflow", "dask")
PEER_SIZE = 200
PEER_CASES = ("fanout", "map", "chain", "loop", "layers", "sleepers", "import", "cold")


@dataclass(frozen=True)
class Case:
    """One scenario: where it runs (`timed`, `process`, `memory` or `peers`), and for which sizes."""

    name: str
    about: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    where: str = "timed"
    per_body: bool = True


CKPT_SIZES = (50, 200, 1_000)

CASES = (
    Case(
        "fanout", "one task makes N children at run time, then a successor", (1_000, 10_000, 100_000), (1_000, 10_000)
    ),
    Case("map", "ctx.map over N items, against TaskGroup", (1_000, 10_000, 100_000), (1_000, 10_000)),
    Case("chain", "N distinct tasks in a row", (1_000, 10_000, 100_000), (1_000, 10_000)),
    Case("loop", "one task that asks for its next turn N times", (1_000, 10_000, 100_000), (10_000,)),
    Case("layers", "20 layers of N / 20 tasks, group after group", (1_000, 4_000), (1_000, 4_000)),
    Case("sleepers", "N tasks that sleep 10 ms at once", (1_000, 10_000, 100_000), (1_000,), per_body=False),
    Case(
        "mixed", "N tasks of 1 ms: half on the loop, half in 16 threads (floor: 6)", (1_000,), (1_000,), per_body=False
    ),
    Case("mixed6", "the same with 6 threads on both sides", (1_000,), (1_000,), per_body=False),
    Case("mixed40", "the same with the 40 threads a run has by default", (1_000,), (1_000,), per_body=False),
    Case("fanlag", "largest gap of a heartbeat during a fan-out of N", (10_000,), (10_000,), per_body=False),
    Case(
        "import",
        "a process that imports the library, and one that imports asyncio",
        (1,),
        (1,),
        "process",
        per_body=False,
    ),
    Case("cold", "a whole hello world process", (1,), (1,), "process", per_body=False),
    Case(
        "map.memory",
        "MB that a map over a generator of N items takes beyond its results, 100 at once",
        (100_000,),
        (100_000,),
        "memory",
    ),
    Case("map.memory.aio", "the same over an async generator", (100_000,), (100_000,), "memory"),
    Case("ckpt", "N steps in a row with a journal that survives a kill", CKPT_SIZES, CKPT_SIZES),
    Case("ckpt.sync", "the same with a journal that survives a power cut, an fsync per step", CKPT_SIZES, CKPT_SIZES),
    Case("ckpt.fan", "N children of one task, all on disk, against an fsync per child", (1_000,), (1_000,)),
    Case(
        "ckpt.lag",
        "largest gap of a heartbeat, N records, 64 at once, fsync takes 50 ms",
        (5_000,),
        (5_000,),
        per_body=False,
    ),
    Case("ckpt.fold", "a journal of N records, read and told", (100_000,), (100_000,), per_body=False),
    Case(
        "questions",
        "median time from an answer until its task goes on, N open at once",
        (10_000,),
        (10_000,),
        per_body=False,
    ),
    Case(
        "memory.question",
        "bytes that Python allocates per open question, its task included",
        (10_000,),
        (10_000,),
        "memory",
    ),
    Case(
        "progress",
        "a map over N items that is shown in a terminal, against the same that is not",
        (10_000, 100_000),
        (10_000,),
    ),
    Case("redis", "one task maps N items over a worker process, against batched streams", (5_000,), (5_000,)),
    Case("redis.signed", "the same with signatures on our side", (5_000,), (1_000,)),
    Case("redis.fan", "one task adds N children that a worker does, then a successor", (5_000,), (1_000,)),
    Case("redis.away", "the same map by a task that is in the worker itself", (5_000,), (1_000,)),
    Case(
        "redis.single", "median of one job after the other, against a bare round trip", (500,), (300,), per_body=False
    ),
    Case("redis.peers", "N jobs by other queues over Redis, one worker process each", (5_000,), (1_000,), "peers"),
    Case("memory.finished", "bytes per finished child of a run that goes on", (100_000,), (20_000,), "memory"),
    Case("memory.sleeping", "bytes per task asleep", (10_000,), (10_000,), "memory"),
    Case("memory.loop", "bytes kept per iteration", (100_000,), (50_000,), "memory"),
)


@dataclass(frozen=True)
class Must:
    """A bar: the largest value that passes, and the sizes where it counts (all if empty)."""

    limit: float
    sizes: tuple[int, ...] = ()


MUSTS = {
    "fanout": Must(1.0, (1_000, 10_000, 100_000)),
    "fanout.growth": Must(1.7),
    "map": Must(1.2, (10_000, 100_000)),
    "map.growth": Must(1.4),
    "map.memory": Must(20.0, (100_000,)),
    "map.memory.aio": Must(20.0, (100_000,)),
    "chain": Must(0.7, (1_000, 10_000)),
    "loop": Must(0.5, (10_000,)),
    "layers": Must(1.3, (1_000, 4_000)),
    "sleepers": Must(1.3, (1_000,)),
    "mixed": Must(0.6),
    "mixed.lag": Must(10.0),
    "fanlag": Must(30.0),
    "fanlag.beyond": Must(5.0),
    "import": Must(1.5),
    "cold": Must(1.3),
    "cold.peak": Must(28.0),
    "ckpt": Must(1.25, CKPT_SIZES),
    "ckpt.sync": Must(1.2, CKPT_SIZES),
    "ckpt.bytes": Must(300.0, CKPT_SIZES),
    "ckpt.fan": Must(0.15, (1_000,)),
    "ckpt.lag": Must(30.0, (5_000,)),
    "ckpt.fold": Must(3_000.0, (100_000,)),
    "questions": Must(5.0, (10_000,)),
    "progress": Must(1.1, (10_000, 100_000)),
    "redis": Must(2.5, (5_000,)),
    "redis.single": Must(2.0),
    "redis.peers": Must(0.125, (5_000,)),
    "memory.question": Must(4_096.0),
    "memory.finished": Must(800.0),
    "memory.finished.peak": Must(800.0),
    "memory.sleeping": Must(3_500.0),
    "memory.loop": Must(0.0),
}


GROWTH = {"fanout": (1_000, 100_000), "map": (10_000, 100_000)}
"""Scenarios whose cost per task at the larger size is compared with that at the smaller."""


def rounds_for(case: Case, size: int, *, quick: bool) -> int:
    """Return how many interleaved rounds a case gets: more where a run is short and noise is large."""
    if case.where == "process":
        return 5 if quick else 15
    if case.where == "memory":
        return 1 if quick else 3
    if case.name in ("ckpt.lag", "redis.peers"):
        return 1 if quick else 3
    if size > 20_000:
        return 3
    if quick:
        return 5
    return 15 if size <= 1_000 else 7


def find_cases(names: list[str]) -> list[Case]:
    """Return the cases of these names, a family (`memory`, `mixed`) standing for all its members; all if none is named.

    Raises:
        ValueError: A name fits no case.
    """
    if not names:
        return list(CASES)
    chosen: list[Case] = []
    for name in names:
        fitting = [case for case in CASES if case.name == name or case.name.rstrip("0123456789").split(".")[0] == name]
        if not fitting:
            raise ValueError(f"no scenario {name!r}; there are {', '.join(case.name for case in CASES)}")
        chosen += [case for case in fitting if case not in chosen]
    return chosen
