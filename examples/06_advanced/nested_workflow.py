"""Nested workflows: a task opens a workflow of its own, and nothing of it leaks into the outer one."""

from __future__ import annotations

from typing import Any

from graflow_async import task, workflow

Record = dict[str, Any]
RECORDS: list[Record] = [{"name": " Ada ", "born": 1815}, {"name": "Alan", "born": 1912}]


def validate(records: list[Record]) -> list[Record]:
    """Check records in a workflow of its own."""
    print("   🔹 Inner Workflow: validation_workflow")
    with workflow("validation_workflow") as inner:

        @task
        def validate_schema(records: list[Record]) -> list[Record]:
            if any(set(record) != {"name", "born"} for record in records):
                message = "a record needs a name and a year of birth, and nothing else"
                raise ValueError(message)
            print("      ✅ validate_schema completed")
            return records

        @task
        def validate_values(validate_schema: list[Record]) -> list[Record]:
            if any(record["born"] < 0 for record in validate_schema):
                message = "a year of birth is not negative"
                raise ValueError(message)
            print("      ✅ validate_values completed")
            return validate_schema

        validate_schema >> validate_values

    checked = inner.execute(inputs={"records": records})
    print("   ✅ Inner validation workflow completed\n")
    return checked


def transform(validate: list[Record]) -> list[Record]:
    """Improve what `validate` let through in a workflow of its own."""
    print("   🔹 Inner Workflow: transformation_workflow")
    with workflow("transformation_workflow") as inner:

        @task
        def normalize_data(records: list[Record]) -> list[Record]:
            normal = [{**record, "name": record["name"].strip().upper()} for record in records]
            print("      ✅ normalize_data completed")
            return normal

        @task
        def enrich_data(normalize_data: list[Record]) -> list[Record]:
            rich = [{**record, "century": record["born"] // 100 + 1} for record in normalize_data]
            print("      ✅ enrich_data completed")
            return rich

        normalize_data >> enrich_data

    improved = inner.execute(inputs={"records": validate})
    print("   ✅ Inner transformation workflow completed\n")
    return improved


def main() -> None:
    """Run the outer workflow, whose two tasks each run an inner one."""
    print("=== Nested Workflows Demo ===\n")
    print("Scenario 1: Basic Nested Workflows")
    with workflow("data_processing") as outer:
        task(validate) >> task(transform)

    print(f"📦 Outer Workflow: {outer.name}")
    result = outer.execute(inputs={"records": RECORDS})
    print("✅ Outer workflow completed")

    # The outer graph has its own two tasks only; what came out went through all four inner ones.
    assert outer.graph.nodes == ["validate", "transform"]
    assert [record["century"] for record in result] == [19, 20]


if __name__ == "__main__":
    main()
