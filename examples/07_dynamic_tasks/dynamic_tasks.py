"""Tasks made before the workflow runs: in loops, from flags and from a configuration that names them."""

from __future__ import annotations

import asyncio
from typing import Any

from graflow_async import SyncTaskExecutionContext, Task, Workflow, parallel, task, workflow

DOCUMENTS = ["red fish", "blue fish", "one fish two fish", "no birds", "fish"]


def batch_processing() -> None:
    """Define one task for each document of a batch; a loop is enough."""
    print("Scenario 1: Batch Processing")
    print(f"Creating {len(DOCUMENTS)} processing tasks dynamically...")
    with workflow("batch") as wf:
        processors: list[Task[..., int]] = []
        for number, document in enumerate(DOCUMENTS):

            @task(id=f"process_item_{number}")
            def process(document: str = document) -> int:  # the default keeps this turn's document
                return document.split().count("fish")

            processors.append(process)
            print(f"✅ Task process_item_{number} created")

        @task
        def combine(batch: dict[str, int]) -> str:
            return f"{sum(batch.values())} fish in {len(batch)} documents"

        parallel(*processors).set_group_name("batch") >> combine
    print(f"Result: {wf.execute()}")


@task
def extract() -> list[dict[str, Any]]:
    """Give raw orders."""
    return [{"id": 1, "total": 250}, {"id": 2, "total": -5}, {"id": 3, "total": 125}]


@task
def validate(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop orders that cannot be."""
    return [order for order in orders if order["total"] > 0]


@task
def load(orders: list[dict[str, Any]]) -> int:
    """Add up what arrived."""
    return sum(order["total"] for order in orders)


def conditional_pipeline(*, enable_validation: bool) -> None:
    """Leave a step in or out before anything runs."""
    print(f"Configuration: enable_validation={enable_validation}")
    pipeline: Any = extract
    print("✅ Extract task added")
    if enable_validation:
        pipeline = pipeline >> validate
        print("✅ Validation task added (conditional)")
    else:
        print("⏩ Validation task left out")
    pipeline = pipeline >> load
    print("✅ Load task added")
    print(f"Result: {Workflow('conditional', pipeline).execute()}")


def create_converter(unit: str, factor: float) -> Task[[float], str]:
    """Make a task of one kind; what it remembers comes from the configuration."""

    @task(id=f"to_{unit}")
    async def convert(metres: float) -> str:
        return f"{metres * factor:g} {unit}"

    return convert


async def from_configuration(units: dict[str, float]) -> None:
    """Make async tasks from a configuration and run them side by side."""
    print("\nScenario 3: Task Factory")
    converters = [create_converter(unit, factor) for unit, factor in units.items()]
    results = await Workflow("converter", parallel(*converters)).run(inputs={"metres": 1500.0})
    for name, value in results.items():
        print(f"✅ {name}: {value}")


def create_levels(depth: int, deepest: int) -> Task[..., int]:
    """Make a task, and behind it the ones for all deeper levels; the edges are drawn on the way back."""

    @task(id=f"level_{depth}")
    def level(ctx: SyncTaskExecutionContext) -> int:
        return int(ctx.get_result(f"level_{depth - 1}", default=1)) * 2

    if depth < deepest:
        level >> create_levels(depth + 1, deepest)
    return level


def recursive_tasks() -> None:
    """Build a chain by recursion; the open block collects it."""
    print("\nScenario 4: Recursive Tasks")
    with workflow("levels") as wf:
        create_levels(0, 3)
    print(f"Levels: {', '.join(wf.graph.nodes)}")
    print(f"Deepest level: {wf.execute()}")


def main() -> None:
    """Run the scenarios."""
    print("=== Dynamic Task Generation ===\n")
    batch_processing()
    print("\nScenario 2: Conditional Pipeline")
    conditional_pipeline(enable_validation=True)
    conditional_pipeline(enable_validation=False)
    asyncio.run(from_configuration({"kilometres": 0.001, "centimetres": 100.0}))
    recursive_tasks()


if __name__ == "__main__":
    main()
