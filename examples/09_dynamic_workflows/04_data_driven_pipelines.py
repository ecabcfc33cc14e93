"""Data-driven pipelines: a schema, a configuration or a measurement says what there is to do."""

from __future__ import annotations

import asyncio
import csv
import json
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from graflow_async import GraphCompilationError, TaskExecutionContext, Workflow, flow, task

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data"

Row = dict[str, str]


# -- schema-driven processing ---------------------------------------------------------------------------------

VALIDATIONS: dict[str, Callable[[str], bool]] = {
    "not_null": lambda value: bool(value.strip()),
    "email_format": lambda value: value.count("@") == 1,
    "positive": lambda value: float(value) > 0,
}
TRANSFORMATIONS: dict[str, Callable[[Any], Any]] = {
    "trim": str.strip,
    "lowercase": str.lower,
    "to_int": int,
    "round": lambda value: round(float(value)),
}


@task
def validate_field(name: str, validation: str, row: Row) -> bool:
    """Check one rule of the schema."""
    return VALIDATIONS[validation](row[name])


@task
def transform_field(transform: str, value: Any) -> Any:
    """Apply one step of the schema."""
    return TRANSFORMATIONS[transform](value)


@flow
def process_row(schema: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    """Build the pipeline of each field from the schema: the program knows no field."""
    result: dict[str, Any] = {}
    for field in schema:
        name = field["name"]
        failed = [rule for rule in field["validations"] if not validate_field(name, rule, row)]
        if failed:
            print(f"   {name}={row[name]!r} left out: {', '.join(failed)}")
            continue
        value: Any = row[name]
        for transform in field["transformations"]:
            value = transform_field(transform, value)
        result[name] = value
    return result


def schema_driven() -> None:
    """Process rows by a schema that ships beside them."""
    schema = json.loads((DATA / "schema.json").read_text())
    for row in csv.DictReader((DATA / "people.csv").read_text().splitlines()):
        print(process_row(schema, row))


# -- a DAG from configuration ---------------------------------------------------------------------------------


@task
def read_orders() -> list[Row]:
    """Read what was ordered."""
    return list(csv.DictReader((DATA / "orders.csv").read_text().splitlines()))


@task
def read_prices() -> dict[str, float]:
    """Read what things cost."""
    return json.loads((DATA / "prices.json").read_text())


@task
def read_stock() -> dict[str, int]:
    """Read what there is."""
    tree = ET.fromstring((DATA / "stock.xml").read_text())  # noqa: S314  # the file came with the example
    return {node.get("name", ""): int(node.get("pieces", "0")) for node in tree}


@task
def price_orders(orders: list[Row], prices: dict[str, float]) -> dict[str, float]:
    """Price each order; the parameters are named after the steps whose results they get."""
    return {order["order"]: int(order["pieces"]) * prices[order["item"]] for order in orders}


@task
def find_missing(orders: list[Row], stock: dict[str, int]) -> list[str]:
    """Find what cannot be delivered."""
    return [order["item"] for order in orders if int(order["pieces"]) > stock[order["item"]]]


@task
def give_rebate(totals: dict[str, float], percent: int) -> dict[str, float]:
    """Take something off."""
    return {order: total * (100 - percent) / 100 for order, total in totals.items()}


@task
def order_more(missing: list[str], supplier: str) -> str:
    """Write to a supplier."""
    return f"{', '.join(missing)} from {supplier}"


@task
def write_report(totals: dict[str, float], missing: list[str]) -> str:
    """Say it in one line."""
    return f"{len(totals)} orders, {sum(totals.values()):.2f} in all, short of {', '.join(missing) or 'nothing'}"


REGISTRY = {
    "orders": read_orders,
    "prices": read_prices,
    "stock": read_stock,
    "totals": price_orders,
    "missing": find_missing,
    "rebate": give_rebate,
    "reorder": order_more,
    "report": write_report,
}


def dag_from_configuration() -> None:
    """Build workflows from a file and from changed copies of what it says; a wrong one is refused before it runs."""
    path = DATA / "pipeline.json"
    wf = Workflow.from_config(path, REGISTRY)
    print(f"{wf.name}:")
    print_results(wf.execute())

    config = json.loads(path.read_text())
    by_id = {step["id"]: step for step in config["steps"]}
    print("with a rebate, and nothing ordered but bells:")
    by_id["reorder"]["when"] = {"result_of": "missing", "contains": "bell"}
    by_id["rebate"]["enabled"] = True
    by_id["report"]["params"] = {"totals": {"result_of": "rebate"}}
    print_results(Workflow.from_config(config, REGISTRY).execute())

    by_id["orders"]["depends_on"] = ["report"]
    try:
        Workflow.from_config(config, REGISTRY)
    except GraphCompilationError as error:
        print("refused:", "a cycle" if "cycle" in str(error) else error)


def print_results(value: Any) -> None:
    """Show what the final steps returned: one value, or several by id."""
    print(value if isinstance(value, str) else "\n".join(f"{step}: {value[step]}" for step in sorted(value)))


# -- dependency resolution ------------------------------------------------------------------------------------


@task
async def resolve(ctx: TaskExecutionContext, steps: dict[str, list[str]]) -> str:
    """Start every step as soon as what it needs is there: a handle among the arguments is awaited by the child."""
    order = list(TopologicalSorter(steps).static_order())
    handles: dict[str, Any] = {}
    for name in order:
        handles[name] = ctx.submit(REGISTRY[name], *(handles[needed] for needed in steps[name]))
    return await handles[order[-1]]


# -- adaptive pipelines ---------------------------------------------------------------------------------------


def tolerant(text: str) -> float:
    """Read a number also with a decimal comma or with words around it."""
    digits = "".join(sign for sign in text.replace(",", ".") if sign.isdigit() or sign in ".-")
    return float(digits)


STRATEGIES: dict[str, Callable[[str], float]] = {"strict": float, "tolerant": tolerant}


@task
def process_batch(batch: list[str], strategy: str) -> list[float]:
    """Read what the strategy can read."""
    values = []
    for text in batch:
        try:
            values.append(STRATEGIES[strategy](text))
        except ValueError:
            continue
    return values


def adapt(strategy: str, batch: list[str], values: list[float]) -> str:
    """Choose the strategy for the next batch by how much of this one could be read."""
    return "tolerant" if len(values) < len(batch) / 2 + 1 else strategy


@flow
async def adaptive(batches: list[list[str]]) -> list[str]:
    """Change the strategy in a loop."""
    strategy, log = "strict", []
    for batch in batches:
        values = await process_batch(batch, strategy)
        log.append(f"{strategy}: {len(values)} of {len(batch)} read")
        strategy = adapt(strategy, batch, values)
    return log


@task
async def adaptive_turns(ctx: TaskExecutionContext, batches: list[list[str]], strategy: str = "strict") -> list[str]:
    """Do the same in turns: each one hands its successor what is left, and with a journal a crash costs one batch."""
    batch, *rest = batches
    values = await process_batch(batch, strategy)
    await ctx.channel.append("log", f"{strategy}: {len(values)} of {len(batch)} read")
    if rest:
        ctx.next_iteration(batches=rest, strategy=adapt(strategy, batch, values))
    return await ctx.channel.get("log")


async def adapting(batches: list[list[str]]) -> None:
    """Adapt in both ways."""
    log = await adaptive(batches)
    print(*log, sep="\n")
    print("in turns the same:", log == await adaptive_turns.run(batches=batches))


def main() -> None:
    """Run the patterns."""
    print("=== Schema-Driven Processing ===")
    schema_driven()
    print("\n=== DAG from Configuration ===")
    dag_from_configuration()
    print("\n=== Dependency Resolution ===")
    steps = json.loads((DATA / "steps.json").read_text())
    print(asyncio.run(resolve.run(steps=steps)))
    print("\n=== Adaptive Pipelines ===")
    asyncio.run(adapting(json.loads((DATA / "batches.json").read_text())))


if __name__ == "__main__":
    main()
