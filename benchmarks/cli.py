"""The command line of the benchmarks: choose cases, run them, report, judge."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.chart import draw
from benchmarks.peers import PACKAGES
from benchmarks.plan import FLOOR, MUSTS, OURS, PEER_CASES, PEER_SIZE, PEERS, Case, find_cases, rounds_for
from benchmarks.processes import ChildError
from benchmarks.profiling import profile
from benchmarks.redis_peers import REDIS_PEERS
from benchmarks.redis_peers.side import use_python, version_of
from benchmarks.results import Measure, apply_musts, failed, growth_of, measures_of
from benchmarks.table import main_table, number, peer_table, ratio, redis_table
from benchmarks.worker import measure_apart

SCHEMA = 1
DEADLINE = 240.0
REDIS_PEERS_DEADLINE = 900.0
PEER_ROUNDS = 3
PEER_DEADLINE = 180.0

PeerCells = dict[tuple[str, int], dict[str, str]]


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds, no peers unless named")
    options.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a scenario or a family; repeatable"
    )
    options.add_argument(
        "--n", action="append", default=[], type=int, metavar="N", help="a size instead of the planned"
    )
    options.add_argument("--rounds", type=int, metavar="R", help="interleaved rounds instead of the planned number")
    options.add_argument("--peers", metavar="NAMES", help="peers to measure, with commas; 'none' for none")
    options.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the interpreter that has a peer over Redis; a path alone is for all of them",
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write every sample and verdict")
    options.add_argument("--svg", type=Path, metavar="FILE", help="write a bar chart of the ratios")
    options.add_argument("--gate", action="store_true", help="exit with 1 if a must is missed")
    options.add_argument("--must", action="append", default=[], metavar="KEY=VALUE", help="another limit for a must")
    options.add_argument("--profile", metavar="NAME", help="profile our side of one scenario instead of measuring")
    return options


def parse_musts(texts: list[str]) -> dict[str, float]:
    """Read `KEY=VALUE` limits.

    Raises:
        ValueError: A key has no must, or a value is no number.
    """
    limits: dict[str, float] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in MUSTS:
            raise ValueError(f"no must is called {key!r}; there are {', '.join(MUSTS)}")
        limits[key] = float(value)
    return limits


def environment() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "loop": "asyncio",
    }


def peer_versions() -> dict[str, str | None]:
    """Return each peer's installed version, None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in PEERS:
        package = PACKAGES[name]
        installed = importlib.util.find_spec(package) is not None
        found[name] = importlib.metadata.version(package) if installed else None
    return {**found, **{name: version_of(name) for name in REDIS_PEERS}}


def say(words: str) -> None:
    """Tell progress, apart from the report."""
    print(words, file=sys.stderr, flush=True)


def sizes_of(case: Case, options: argparse.Namespace) -> tuple[int, ...]:
    """Return the sizes to run: the user's, if the case has a size at all."""
    if options.n and case.where != "process":
        return tuple(options.n)
    return case.quick if options.quick else case.sizes


def run_case(case: Case, size: int, rounds: int) -> list[Measure]:
    """Measure one case in its own process and return its rows."""
    say(f"{case.name} N={size:,}, {rounds} rounds: {case.about}")
    try:
        if case.where == "memory":
            parts = [
                measure_apart(case.name, size, 1, [side], DEADLINE) for _ in range(rounds) for side in (FLOOR, OURS)
            ]
            found: dict[str, Any] = {"samples": {FLOOR: [], OURS: []}, "errors": {}}
            for part in parts:
                found["errors"].update(part["errors"])
                for side, samples in part["samples"].items():
                    found["samples"][side] += samples
        else:
            found = measure_apart(case.name, size, rounds, [FLOOR, OURS], DEADLINE)
    except ChildError as error:
        return failed(case, size, str(error))
    rows = measures_of(case, size, found["samples"])
    for side in (FLOOR, OURS):
        if side in found["errors"]:
            rows[0].error = f"{side}: {found['errors'][side]}"
    return rows


def run_redis_peers(case: Case, size: int, rounds: int, names: list[str]) -> list[Measure]:
    """Measure the installed queues over Redis beside ours and the floor, on one server; no rows if there is none."""
    versions = peer_versions()
    there = [name for name in names if versions[name] is not None]
    if not there:
        say(f"{case.name}: left out, as {'none of the peers is installed' if names else 'no peer of it is asked for'}")
        return []
    say(f"{case.name} N={size:,}, {rounds} rounds of {', '.join(there)}: {case.about}")
    try:
        found = measure_apart(case.name, size, rounds, [FLOOR, OURS, *there], REDIS_PEERS_DEADLINE)
    except ChildError as error:
        return failed(case, size, str(error))
    for name, words in found["errors"].items():
        say(f"  {name}: {words}")
    complete = {side: samples for side, samples in found["samples"].items() if side not in found["errors"]}
    rows = measures_of(case, size, complete)
    rows[0].absent = {name: "not installed" for name in names if name not in there}
    rows[0].absent |= dict.fromkeys(found["errors"], "failed")
    wrong = [f"{side}: {found['errors'][side]}" for side in (FLOOR, OURS) if side in found["errors"]]
    rows[0].error = "; ".join(wrong) or (None if rows[0].ratios else "every peer has failed")
    return rows


def run_peers(cases: list[Case], names: list[str], versions: dict[str, str | None]) -> PeerCells:
    """Measure the installed peers, and ours at the same small sizes, each beside a floor of its own."""
    cells: PeerCells = {}
    for case in cases:
        if case.name not in PEER_CASES:
            continue
        size = 1 if case.where == "process" else PEER_SIZE
        cells[case.name, size] = row = {}
        for name in (OURS, *names):
            if name != OURS and versions[name] is None:
                row[name] = "not installed"
                continue
            say(f"{case.name} N={size:,}: {name}")
            try:
                found = measure_apart(case.name, size, PEER_ROUNDS, [FLOOR, name], PEER_DEADLINE)
            except ChildError as error:
                row[name] = "too slow" if str(error).startswith("too slow") else "failed"
                say(f"  {error}")
                continue
            if name in found["errors"]:
                row[name] = found["errors"][name] if found["errors"][name] == "not applicable" else "failed"
                say(f"  {found['errors'][name]}")
                continue
            pairs = zip(found["samples"][FLOOR], found["samples"][name], strict=True)
            ratios = sorted(peer["seconds"] / floor["seconds"] for floor, peer in pairs)
            row[name] = ratio(ratios[len(ratios) // 2])
    return cells


def chosen_peers(options: argparse.Namespace) -> list[str]:
    """Return the peers to measure: those named, else all in a full run and none in a quick one.

    Raises:
        ValueError: A name is no peer.
    """
    known = (*PEERS, *REDIS_PEERS)
    if options.peers is None:
        if options.quick or options.n:
            return list(REDIS_PEERS) if "redis.peers" in options.only else []
        return list(known)
    names = [] if options.peers == "none" else options.peers.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no peer is called {unknown[0]!r}; there are {', '.join(known)}")
    return names


def set_interpreters(texts: list[str]) -> None:
    """Read `NAME=PATH`, or a path for all.

    Raises:
        ValueError: A name is no peer over Redis.
    """
    for text in texts:
        name, _, path = text.rpartition("=")
        if name and name not in REDIS_PEERS:
            raise ValueError(f"no peer over Redis is called {name!r}; there are {', '.join(REDIS_PEERS)}")
        for one in [name] if name else REDIS_PEERS:
            use_python(one, path)


def missed_lines(rows: list[Measure]) -> list[str]:
    """Return one line for each must that was missed."""
    return [
        f"missed: {row.key} N={row.size:,}: {row.error or number(row.value)}, must be at most {number(row.must)}"
        for row in rows
        if row.verdict == "missed"
    ]


def report(rows: list[Measure], cells: PeerCells, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Print the tables, write the files asked for, and return the JSON document."""
    versions = peer_versions()
    document = {
        "schema": SCHEMA,
        "environment": environment(),
        "options": {"quick": options.quick, "only": options.only, "n": options.n, "rounds": options.rounds},
        "measures": [row.as_json() for row in rows],
        "peers": {
            "versions": versions,
            "ratios": [{"scenario": case, "size": size, "sides": row} for (case, size), row in cells.items()],
        },
        "missed": missed_lines(rows),
    }
    facts = document["environment"]
    print(
        f"Python {facts['python']}, {facts['system']}, {facts['cpus']} CPUs, load {facts['load']:.2f}, plain asyncio\n"
    )
    print(main_table(rows))
    queues = redis_table(rows, versions)
    if queues:
        print(f"\n{queues}")
    if cells:
        print(f"\n{peer_table([OURS, *(name for name in names if name in PEERS)], cells)}")
    elif not queues:
        installed = [name for name, version in versions.items() if version is not None]
        print(f"\npeers not measured; installed: {', '.join(installed) or 'none'}")
    if options.json:
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.svg:
        title = f"{OURS} against raw asyncio, Python {facts['python']}"
        options.svg.write_text(draw(rows, title), encoding="utf-8")
    return document


def gate(rows: list[Measure]) -> int:
    """Say which musts are missed and return the exit code: 0 none, 1 some, 2 nothing was judged."""
    missed = missed_lines(rows)
    judged = [row for row in rows if row.must is not None]
    if not judged:
        print("\ngate: none of these measures has a must")
        return 2
    print(f"\ngate: {len(judged) - len(missed)} of {len(judged)} musts held")
    for line in missed:
        print(line)
    return 1 if missed else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and return the exit code."""
    reader = parser()
    options = reader.parse_args(arguments)
    try:
        cases, limits, names = find_cases(options.only), parse_musts(options.must), chosen_peers(options)
        set_interpreters(options.peer_python)
        if options.profile:
            print(profile(options.profile, options.n[0] if options.n else 10_000))
            return 0
    except ValueError as error:
        reader.error(str(error))
    rows: list[Measure] = []
    for case in cases:
        for size in sizes_of(case, options):
            rounds = options.rounds or rounds_for(case, size, quick=options.quick)
            if case.where == "peers":
                rows += run_redis_peers(case, size, rounds, [name for name in names if name in REDIS_PEERS])
            else:
                rows += run_case(case, size, rounds)
    rows += growth_of(rows)
    apply_musts(rows, limits, every_size=bool(options.n))
    others = [name for name in names if name in PEERS]
    cells = run_peers(cases, others, peer_versions()) if others else {}
    report(rows, cells, names, options)
    return gate(rows) if options.gate else 0
