"""`python -m tests.worker.chaos --seed 1 --tasks 10000 --kills 30`: let disasters come over runs, and count."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from tests.worker.chaos.ledger import Report
from tests.worker.chaos.storm import Storm, weather
from tests.worker.chaos.succession import Pair, Succession, side_by_side, succeed

SIZES = ("workers", "concurrency", "window", "lease", "moment")
COUNTS = {
    "kills": "workers that are killed",
    "stops": "workers that are stopped for longer than their lease, and go on",
    "restarts": "deaths of a Redis with an append-only file, which comes back",
    "flushes": "times that Redis forgets everything",
    "poison": "tasks that kill whoever runs them",
}


def main() -> None:
    """Read the command line, run, and print; the exit code is 1 if a promise was broken."""
    options = _parser().parse_args()
    # What is lost for a while is told line by line; only what is lost for good is of interest here.
    logging.basicConfig(level=logging.ERROR)
    good = True
    for seed in range(options.seed, options.seed + options.seeds):
        report = asyncio.run(_run(options, seed))
        print(report, flush=True)  # noqa: T201  # that is what it is for
        good = good and report.is_good
    raise SystemExit(0 if good else 1)


def _run(options: argparse.Namespace, seed: int) -> Coroutine[Any, Any, Report]:
    if options.drivers:
        about = Succession(seed, options.tasks, options.drivers, place=options.journal)
        return succeed(about._replace(**_given(options, SIZES)))
    if options.pair:
        pair = Pair(seed, options.tasks, options.kills, place=options.journal)
        return side_by_side(pair._replace(**_given(options, SIZES)))
    return weather(Storm(seed, options.tasks)._replace(**_given(options, Storm._fields[2:])))


def _given(options: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Give what the command line says; the rest is as it is made."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.worker.chaos", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=1, metavar="N", help="of what is random (1)")
    add("--seeds", type=int, default=1, metavar="N", help="how many seeds, one run after the other (1)")
    add("--tasks", type=int, default=1000, metavar="N", help="of the run (1000)")
    add("--workers", type=int, metavar="N", help="processes")
    add("--concurrency", type=int, metavar="N", help="tasks at once in each")
    add("--window", type=int, metavar="N", help="tasks that wait in Redis at once")
    add("--lease", type=float, metavar="S", help="seconds, of workers and drivers")
    add("--moment", type=float, metavar="S", help="seconds that a task takes; one in forty takes ten times as long")
    for name, text in COUNTS.items():
        add(f"--{name}", type=int, default=0, metavar="N", help=text)
    add("--talks", action="store_true", help="tasks call children, remember steps and write into channels")
    add("--drivers", type=int, default=0, metavar="N", help="drivers that are killed, each followed by another")
    add("--pair", action="store_true", help="two drivers at once, each with a run of its own")
    add("--journal", choices=("files", "redis"), default="files", help="where drivers record their runs")
    return parser


if __name__ == "__main__":
    main()
