"""Dynamic subflows: flows are values. Choose one, make one, put several together, run many at once."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import json
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from graflow_async import GraphCompilationError, TaskExecutionContext, Workflow, flow, parallel, task

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data"
KEY = b"a secret of the example"

Record = dict[str, Any]


# -- runtime flow selection -----------------------------------------------------------------------------------


@task
def read(path: Path) -> str:
    """Get the text of a source."""
    return path.read_text()


@flow
def transform_csv(text: str) -> list[Record]:
    """Make records of lines."""
    return [{"id": row["id"], "celsius": float(row["celsius"])} for row in csv.DictReader(text.splitlines())]


@flow
def transform_json(text: str) -> list[Record]:
    """Take records as they are."""
    return json.loads(text)


@flow
def transform_xml(text: str) -> list[Record]:
    """Make records of elements."""
    tree = ET.fromstring(text)  # noqa: S314  # the file came with the example
    return [{"id": node.get("id"), "celsius": float(node.findtext("celsius", ""))} for node in tree]


TRANSFORM_FLOWS = {".csv": transform_csv, ".json": transform_json, ".xml": transform_xml}


@task
def load(name: str, records: list[Record]) -> str:
    """Store what came out: here it is only counted."""
    return f"{name}: {len(records)} records, {mean(record['celsius'] for record in records):.2f} °C"


@flow
def etl(path: Path) -> str:
    """Select a transform flow by the type of the source and run it as a child run."""
    transform_flow = TRANSFORM_FLOWS.get(path.suffix)
    if transform_flow is None:
        return f"{path.name}: no transform for {path.suffix or 'this type'}"
    return load(path.name, transform_flow(read(path)))


# -- dynamic flow generation ----------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[list[int]], Any]] = {
    "aggregate": sum,
    "filter": lambda data: [value for value in data if value > 5],
    "transform": lambda data: [value * 2 for value in data],
}


def create_processing_flow(number: int, processing_type: str) -> Any:
    """Make a flow that was not there when the program started."""

    @task(id=processing_type)
    async def process(data: list[int]) -> Any:
        return OPERATIONS[processing_type](data)

    @flow(name=f"Dynamic {processing_type.title()} Flow #{number}")
    async def dynamic_flow(data: list[int]) -> Any:
        return await process(data)

    return dynamic_flow


@flow
async def generate_flows(orders: list[tuple[str, list[int]]]) -> None:
    """Generate a flow for each order and run it."""
    for number, (processing_type, data) in enumerate(orders, start=1):
        made = create_processing_flow(number, processing_type)
        print(f"{made.id}: {data} → {await made(data)}")


# -- pipeline composition -------------------------------------------------------------------------------------


@flow
async def validation(data: Record) -> Record:
    """Say whether the address can be one."""
    return {**data, "valid": "@" in data["email"]}


@flow
async def enrichment(data: Record) -> Record:
    """Add what follows from the data."""
    return {**data, "domain": data["email"].partition("@")[2], "adult": data["age"] >= 18}


@flow
async def anonymization(data: Record) -> Record:
    """Put a digest in the place of a person."""
    digest = hashlib.sha256(data["email"].encode()).hexdigest()[:8]
    return {**data, "name": "-", "email": "-", "digest": digest}


@flow
async def signature(data: Record) -> Record:
    """Make later changes visible."""
    text = json.dumps(data, sort_keys=True).encode()
    return {**data, "signature": hmac.digest(KEY, text, "sha256").hex()[:8]}


STAGES = {stage.id: stage for stage in (validation, enrichment, anonymization, signature)}


@flow
async def compose(names: list[str], data: Record) -> Record:
    """Run the configured stages in their order. All names are looked up first: nothing runs of a wrong pipeline.

    Raises:
        LookupError: there is no such stage.
    """
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        message = f"no stage {', '.join(unknown)}"
        raise LookupError(message)
    for name in names:
        data = await STAGES[name](data)
    return data


@task
def load_stages() -> dict[str, list[str]]:
    """Read which stages each pipeline has."""
    return json.loads((DATA / "stages.json").read_text())


@flow
async def composition() -> None:
    """Build pipelines from a file, and one that cannot work."""
    person = {"name": "Ada", "email": "ada@example.com", "age": 36}
    pipelines = {**await load_stages(), "broken": ["validation", "x"]}
    for name, stages in pipelines.items():
        try:
            result = await compose(stages, person)
        except LookupError as error:
            print(f"{name}: {error}")
        else:
            print(f"{name}: {' '.join(f'{key}={value}' for key, value in result.items())}")


# -- parallel subflows ----------------------------------------------------------------------------------------


@task
async def summarise(amounts: list[int]) -> str:
    """Sum one region up."""
    return f"{len(amounts)} sales, {sum(amounts)} in all, {mean(amounts):.1f} each"


@flow
async def process_region(region: str, amounts: list[int], everybody_is_here: asyncio.Barrier) -> str:
    """Treat one region. No region goes on before all have begun, so this ends only because they run concurrently."""
    await everybody_is_here.wait()
    return f"{region}: {await summarise(amounts)}"


@task
def load_regions() -> dict[str, list[int]]:
    """Read the sales of each region."""
    rows = csv.DictReader((DATA / "regions.csv").read_text().splitlines())
    by_region = groupby(rows, lambda row: row["region"])
    return {region: [int(row["amount"]) for row in of_region] for region, of_region in by_region}


@flow
async def all_regions() -> None:
    """Run the same flow many times at once, as child runs of this one."""
    regions = await load_regions()
    barrier = asyncio.Barrier(len(regions))
    for line in await asyncio.gather(*(process_region(name, sales, barrier) for name, sales in regions.items())):
        print(line)


# -- drawn workflows are values, too --------------------------------------------------------------------------


@task
def fetch(name: str) -> list[float]:
    """Read one source; `name` is an input of the child run."""
    return [record["celsius"] for record in json.loads((DATA / "sources" / name).read_text())]


@task
def coldest(fetch: list[float]) -> float:
    """Look at one end."""
    return min(fetch)


@task
def warmest(fetch: list[float]) -> float:
    """Look at the other end."""
    return max(fetch)


WORKFLOWS = {
    "coldest": Workflow("coldest", fetch >> coldest),
    "both": Workflow("both", fetch >> parallel(coldest, warmest)),
    "none": Workflow("none"),
}


@task
async def choose(ctx: TaskExecutionContext, wish: str) -> None:
    """Run one of several workflows as a child run; a failing one raises here and may be caught."""
    try:
        print(f"{wish}: {await ctx.run_workflow(WORKFLOWS[wish], inputs={'name': 'hill.json'})}")
    except GraphCompilationError:
        print(f"{wish}: nothing to run")


async def choose_all() -> None:
    """Choose each of them."""
    for wish in WORKFLOWS:
        await choose.run(wish=wish)


def main() -> None:
    """Run the patterns."""
    print("=== Runtime Flow Selection ===")
    for path in (*sorted((DATA / "sources").iterdir()), DATA / "inbox" / "MANIFEST"):
        print(etl(path))
    print("\n=== Dynamic Flow Generation ===")
    orders = [("aggregate", [1, 2, 3, 4, 5]), ("filter", [3, 6, 2, 8, 1, 9]), ("transform", [10, 20, 30])]
    asyncio.run(generate_flows.run(orders=orders))
    print("\n=== Pipeline Composition ===")
    asyncio.run(composition.run())
    print("\n=== Parallel Subflows ===")
    asyncio.run(all_regions.run())
    print("\n=== Workflows as Subflows ===")
    asyncio.run(choose_all())


if __name__ == "__main__":
    main()
