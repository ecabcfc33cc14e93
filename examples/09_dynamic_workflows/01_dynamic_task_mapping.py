"""Dynamic task mapping: as many tasks as the data asks for, a number that nobody knows before the run."""

from __future__ import annotations

import asyncio
import csv
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from graflow_async import TaskExecutionContext, Workflow, flatten, flow, task, unmapped

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data"
COLDEST_POSSIBLE = -273.15


# -- basic mapping: a plain `def` flow, in which calls run and give values ------------------------------------


@task
def discover_files(directory: Path) -> list[Path]:
    """Find out what there is."""
    return sorted(directory.iterdir())


@task
def analyze_file(path: Path) -> dict[str, Any]:
    """Look at one file; plain functions run in worker threads, so many files are read at once."""
    return {"path": path, "kind": path.suffix.removeprefix(".") or "none", "lines": len(path.read_text().splitlines())}


@task
def process_by_type(analysis: dict[str, Any]) -> str:
    """Treat one file according to what the analysis says."""
    path: Path = analysis["path"]
    match analysis["kind"]:
        case "txt":
            return f"{path.name}: {len(path.read_text().split())} words"
        case "csv":
            return f"{path.name}: {analysis['lines'] - 1} rows"
        case "json":
            return f"{path.name}: {len(json.loads(path.read_text()))} entries"
        case _:
            return f"{path.name}: left as it is"


@flow
def process_files(directory: Path) -> list[str]:
    """Map one task over the files, and the next one over its results."""
    return process_by_type.map(analyze_file.map(discover_files(directory)))


# -- nested mapping: an unknown number of endpoints for each of an unknown number of services -----------------


@task
def discover_services() -> list[str]:
    """List the services that have a file."""
    return sorted(path.stem for path in (DATA / "services").glob("*.json"))


@task
def discover_endpoints(service: str) -> list[str]:
    """List what one service offers."""
    return list(json.loads((DATA / "services" / f"{service}.json").read_text()))


@task
def call_endpoint(service: str, endpoint: str) -> str:
    """Ask one endpoint for its records."""
    records = json.loads((DATA / "services" / f"{service}.json").read_text())[endpoint]
    return f"{service}/{endpoint}={len(records)}"


@task
async def survey(ctx: TaskExecutionContext, service: str) -> list[str]:
    """Map inside a mapped task; it holds no slot while it waits, so depth never deadlocks."""
    return await ctx.map(call_endpoint, unmapped(service), await discover_endpoints(service))


@flow
async def call_services() -> None:
    """Show both ways: a loop with a map in it, and a map of a task that maps."""
    in_a_loop = []
    for service in await discover_services():
        endpoints = await discover_endpoints(service)
        in_a_loop.append(await call_endpoint.map([service] * len(endpoints), endpoints))
    nested = await survey.map(await discover_services())
    for replies in nested:
        print(*replies)
    print("the loop found the same:", nested == in_a_loop)


# -- unmapping: lists of different lengths become one list ----------------------------------------------------


@task
def extract_records(path: Path) -> list[dict[str, Any]]:
    """Read one source; how many records it has is not known before."""
    match path.suffix:
        case ".csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
        case ".json":
            rows = json.loads(path.read_text())
        case _:
            tree = ET.fromstring(path.read_text())  # noqa: S314  # the file came with the example
            rows = [{"id": node.get("id"), "celsius": node.findtext("celsius")} for node in tree]
    return [{"source": path.stem, "id": row["id"], "celsius": float(row["celsius"])} for row in rows]


@task
async def validate_record(record: dict[str, Any]) -> dict[str, Any]:
    """Judge one record."""
    return {**record, "valid": record["celsius"] > COLDEST_POSSIBLE}


@flow
async def collect_records() -> None:
    """Fan out over sources, flatten, fan out over records."""
    per_source = await extract_records.map(sorted((DATA / "sources").iterdir()))
    print("records per source:", [len(records) for records in per_source])
    checked = await validate_record.map(flatten(per_source))
    refused = [record["id"] for record in checked if not record["valid"]]
    print(f"{len(checked)} records, refused: {', '.join(refused)}")


def hours(lines: list[str]) -> Iterator[int]:
    """Give one temperature after the other, each when it is asked for."""
    for row in csv.DictReader(lines):
        yield int(row["celsius"])


# -- batching: the amount of data decides on the size of a batch ----------------------------------------------


@task
def load_lines() -> list[str]:
    """Read the file: one temperature for each hour."""
    return (DATA / "hours.csv").read_text().splitlines()


@task
def parse_hours(load_lines: list[str], first: int) -> list[int]:
    """Take the first hours."""
    return list(islice(hours(load_lines), first))


@task
def cut_in_batches(values: list[int]) -> list[list[int]]:
    """Choose the size of a batch by the number of values."""
    size = 20 if len(values) > 100 else 10 if len(values) > 50 else 5
    return [values[start : start + size] for start in range(0, len(values), size)]


@task
def process_batch(batch: list[int]) -> int:
    """Treat one batch."""
    return max(batch)


@task
def report(process_batch: list[int]) -> str:
    """Get the results of all batches: the parameter has the name of the mapped task."""
    return f"{len(process_batch)} batches, warmest: {process_batch}"


def batching(first: int) -> str:
    """Do it with a drawn workflow: `map()` without iterables maps over what arrives from upstream."""
    wf = Workflow("batching", load_lines >> parse_hours >> cut_in_batches >> process_batch.map() >> report)
    return wf.execute(inputs={"first": first})


@task
async def above(celsius: int, threshold: int) -> bool:
    """Compare one value."""
    return celsius > threshold


@flow
async def warm_hours(ctx: TaskExecutionContext, threshold: int) -> int:
    """Map over a generator: it is read as slots free up, never all at once."""
    lines = await load_lines()
    return sum(await ctx.map(above, hours(lines), threshold=threshold, max_concurrency=8))


def main() -> None:
    """Run the four patterns."""
    print("=== Basic Mapping ===")
    for line in process_files(DATA / "inbox"):
        print(line)
    print("\n=== Nested Mapping ===")
    asyncio.run(call_services.run())
    print("\n=== Dynamic Unmapping ===")
    asyncio.run(collect_records.run())
    print("\n=== Dynamic Batching ===")
    print("75 hours:", batching(75))
    print("24 hours:", batching(24))
    print("hours above 15 °C:", asyncio.run(warm_hours.run(threshold=15)))


if __name__ == "__main__":
    main()
