"""Tasks made in loops, by factories and from configuration, before the workflow runs."""

from __future__ import annotations

import asyncio
from typing import Any

from graflow_async import Task, Workflow, parallel, task, workflow

ITEMS = [3, 1, 4, 1, 5]


def batch_processing() -> None:
    """Define one task for each item in a loop, and one that collects their results."""
    print("Scenario 1: Batch Processing")
    print(f"Creating {len(ITEMS)} processing tasks dynamically...")
    with workflow("batch") as wf:
        processors: list[Task[..., int]] = []
        for number, item in enumerate(ITEMS):

            @task(id=f"process_item_{number}")
            def process(item: int = item) -> int:  # the default keeps this turn's item
                return item * item

            processors.append(process)
            print(f"✅ Task process_item_{number} created")

        @task
        def aggregate() -> int:
            return sum(wf.get_result(f"process_item_{number}") for number in range(len(ITEMS)))

        for processor in processors:
            processor >> aggregate

    print(f"Sum of squares: {wf.execute()}")


@task
def extract() -> list[Any]:
    """Give raw records."""
    return ["12", "x", "30"]


@task
def validate(records: list[Any]) -> list[Any]:
    """Keep those that are numbers."""
    return [record for record in records if record.isdigit()]


@task
def transform(records: list[Any]) -> list[Any]:
    """Turn text into numbers."""
    return [int(record) for record in records]


@task
def load(records: list[Any]) -> str:
    """Say what arrived."""
    return f"loaded {records}"


def conditional_pipeline(*, enable_validation: bool, enable_transform: bool) -> None:
    """Chain only the steps that the configuration asks for."""
    print("\nScenario 2: Conditional Pipeline")
    print(f"Configuration: enable_validation={enable_validation}, enable_transform={enable_transform}")
    print("Building conditional pipeline...")
    pipeline: Any = extract
    print("✅ Extract task added")
    if enable_validation:
        pipeline = pipeline >> validate
        print("✅ Validation task added (conditional)")
    if enable_transform:
        pipeline = pipeline >> transform
        print("✅ Transform task added (conditional)")
    pipeline = pipeline >> load
    print("✅ Load task added")
    wf = Workflow("conditional", pipeline)
    print(f"Order: {' -> '.join(wf.graph.nodes)}")
    print(f"Result: {wf.execute()}")


def create_scaler(name: str, factor: float) -> Task[[list[float]], list[float]]:
    """Make a task of a kind; the factory decides what it remembers."""

    @task(id=name)
    def scale(values: list[float]) -> list[float]:
        return [value * factor for value in values]

    return scale


async def task_factory(config: dict[str, float]) -> None:
    """Make one task for each entry of a mapping and run them side by side, from async code."""
    print("\nScenario 3: Task Factory")
    scalers = [create_scaler(name, factor) for name, factor in config.items()]
    print(f"Created from configuration: {', '.join(scaler.id for scaler in scalers)}")
    results = await Workflow("units", parallel(*scalers)).run(inputs={"values": [1.0, 2.5]})
    for name, values in results.items():
        print(f"✅ {name}: {values}")


def main() -> None:
    """Run the scenarios."""
    print("=== Dynamic Task Generation ===\n")
    batch_processing()
    conditional_pipeline(enable_validation=True, enable_transform=True)
    asyncio.run(task_factory({"to_grams": 1000.0, "to_tonnes": 0.001}))


if __name__ == "__main__":
    main()
