"""Count a source tree and rank its modules by who imports them: one task per file, created while the run goes.

    python code_census.py [folder] [--out DIR] [--concurrency N] [--limit N] [--processes] [--quiet]
                          [--checkpoint-dir DIR [--resume]]

The graph is `discover >> scan >> link >> rank >> report >> (write_json | write_chart)`. `scan` fans out, `rank` turns
until its scores settle, and sync tasks (threads, child processes) and async tasks share one event loop. With
`--checkpoint-dir` a census that was killed goes on with `--resume`: files that were recorded are not read again.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiofiles
from census_graph import ImportGraph, Ranking, link_modules, rank_once
from census_progress import Progress, show_progress
from census_report import make_chart, make_report, make_table, printable
from census_source import (
    MAX_BYTES,
    Facts,
    Problem,
    SourceError,
    Tree,
    find_files,
    read_facts,
    read_facts_apart,
    silent_compiler,
)

from graflow_async import (
    CheckpointError,
    CheckpointManager,
    ParallelGroupError,
    ProcessDiedError,
    RetryPolicy,
    SyncTaskExecutionContext,
    Task,
    TaskExecutionContext,
    Workflow,
    task,
)

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Scan:
    """The fan-in: what was counted, by path, and what could not be."""

    facts: dict[str, Facts]
    problems: list[Problem]


@task
def discover(folder: Path, limit: int | None) -> Tree:
    """Walk the tree; a plain function, so it runs in a thread."""
    return find_files(folder, limit)


@task
async def scan(ctx: TaskExecutionContext, folder: Path, discover: Tree, concurrency: int, parser: str) -> Scan:
    """Fan out over what was found, one task per file, and fan in: a file that fails is a line in the report."""
    results: list[Any] = await ctx.map(
        examine, discover.files, folder=folder, parser=parser, max_concurrency=concurrency, return_exceptions=True
    )
    facts: dict[str, Facts] = {}
    problems = list(discover.problems)
    for path, result in zip(discover.files, results, strict=True):
        match result:
            case Facts():
                facts[path] = result
            case SourceError(kind=kind, detail=detail):
                problems.append(Problem(path, kind, detail))
            case OSError():
                problems.append(Problem(path, "unreadable", result.strerror or str(result)))
            case ProcessDiedError():
                problems.append(Problem(path, "unparsable", "the process that parsed it died"))
            case _:
                raise result  # nothing that a file can do: a mistake in this program
    return Scan(facts, problems)


@task(retry_policy=RetryPolicy(max_retries=2, initial_interval=0.05, retry_on=OSError))
async def examine(path: str, folder: Path, parser: str) -> Facts:
    """Read one file without holding up the loop, then have it parsed by a child task that may block."""
    async with aiofiles.open(folder / path, "rb") as file:
        source = await file.read(MAX_BYTES + 1)
    return await PARSERS[parser](source)


PARSERS: dict[str, Task[[bytes], Facts]] = {
    "threads": task("parse", limits=["cpu"])(read_facts),
    "processes": task("parse", limits=["cpu"], executor="process")(read_facts_apart),
}


@task
def link(folder: Path, scan: Scan) -> ImportGraph:
    """Find out who imports whom."""
    return link_modules(folder, scan.facts)


@task(max_cycles=200)
def rank(ctx: SyncTaskExecutionContext, link: ImportGraph, before: Ranking | None = None) -> Ranking:
    """Let importance flow along the imports, one step a turn, until it hardly changes any more."""
    ranking = rank_once(link, before)
    if not ranking.converged and ctx.can_iterate():
        ctx.next_iteration(before=ranking)
    return ranking


@task
def report(folder: Path, started: float, scan: Scan, link: ImportGraph, rank: Ranking) -> dict[str, Any]:
    """Put everything together; only `seconds` tells one run over a tree from another."""
    told = make_report(folder, scan.facts, scan.problems, link, rank)
    return told | {"seconds": round(time.perf_counter() - started, 2)}


@task
def write_json(out: Path, report: dict[str, Any]) -> Path:
    """Write the report for programs."""
    return _replace(out / "census.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")


@task
def write_chart(out: Path, report: dict[str, Any]) -> Path:
    """Write the chart for people."""
    return _replace(out / "census.svg", make_chart(report))


def _replace(path: Path, text: str) -> Path:
    """Write a file whole or not at all, however the run ends."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        return unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


census = Workflow("code_census", discover >> scan >> link >> rank >> report >> (write_json | write_chart))


async def take_census(options: argparse.Namespace) -> dict[str, Any]:
    """Run the workflow, show how far it is, and give the report."""
    inputs = {
        "folder": options.folder,
        "limit": options.limit,
        "concurrency": options.concurrency,
        "parser": "processes" if options.processes else "threads",
        "out": options.out,
        "started": time.perf_counter(),
    }
    # Threads of one interpreter cannot parse at the same time, and in Python 3.11 `ast` may fail when they try.
    limits = {"cpu": (os.cpu_count() or 1) if options.processes else 1}
    if options.resume:
        return await _go_on(options, limits, started=inputs["started"])
    async with census.start(inputs=inputs, limits=limits, checkpoint_dir=options.checkpoint_dir) as run:
        if not options.quiet:
            await show_progress(run.events(), sys.stderr)
        await run
    return run.results["report"]


async def _go_on(options: argparse.Namespace, limits: dict[str, int], *, started: float) -> dict[str, Any]:
    """Go on with the census that was stopped last, with the folder and the settings that it was begun with."""
    progress = Progress(io.StringIO() if options.quiet else sys.stderr)
    try:
        await CheckpointManager(options.checkpoint_dir).resume_from_latest(
            census, inputs={"out": options.out, "started": started}, limits=limits, listeners=[progress.note]
        )
    finally:
        progress.close()
    if not options.quiet:
        files = len(census.get_result("discover").files)
        kept = files - progress.done
        print(f"resumed: {kept:,} of {files:,} files were recorded and not analysed again", file=sys.stderr)
    return census.get_result("report")


def main(arguments: list[str] | None = None) -> int:
    """Run the program and give its exit code."""
    options = _parse(arguments)
    try:
        next(options.folder.iterdir(), None)
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}", USAGE)
    try:
        with silent_compiler():
            told = asyncio.run(take_census(options))
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except ParallelGroupError as error:
        return _complain("; ".join(str(reason) for reason in error.failed.values()), FAILED)
    except CheckpointError as error:
        return _complain(str(error), FAILED)
    if not options.quiet:
        print(make_table(told))
        print(f"{told['seconds']} s; see {options.out / 'census.json'} and {options.out / 'census.svg'}")
    return OK


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Count a source tree and rank its modules by who imports them.")
    stdlib = sysconfig.get_path("stdlib")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=stdlib, help="what to count (default: the standard library)"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default="./census", help="where to write (default: %(default)s)"
    )
    parser.add_argument("--concurrency", metavar="N", type=_count, default=32, help="files at a time (default: 32)")
    parser.add_argument("--limit", metavar="N", type=_count, help="only the first N files in sorted order")
    parser.add_argument("--processes", action="store_true", help="parse in child processes instead of threads")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--checkpoint-dir", metavar="DIR", type=Path, help="record every file that is done")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the census in --checkpoint-dir that was stopped last"
    )
    options = parser.parse_args(arguments)
    if options.resume and options.checkpoint_dir is None:
        parser.error("--resume needs --checkpoint-dir")
    return options


def _count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)


def _complain(text: str, code: int) -> int:
    """Say in one line what is wrong."""
    print(f"code_census: {printable(text)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    # A name may hold what the terminal's encoding does not.
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    sys.exit(main())
