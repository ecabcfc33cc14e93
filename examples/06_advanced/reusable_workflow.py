"""Workflows as values: kept in a dict, chosen at run time and run as children of an async task."""

from __future__ import annotations

import asyncio
from typing import Any

from graflow_async import TaskExecutionContext, Workflow, task


@task
def read_csv(text: str) -> list[int]:
    """Read numbers between commas."""
    return [int(part) for part in text.split(",")]


@task
def read_lines(text: str) -> list[int]:
    """Read one number from each line."""
    return [int(line) for line in text.splitlines()]


@task
def total(numbers: list[int]) -> int:
    """Add them up."""
    return sum(numbers)


READERS = {
    "csv": Workflow("csv_total", read_csv >> total),
    "lines": Workflow("lines_total", read_lines >> total),
}


@task
async def add_up(ctx: TaskExecutionContext, documents: list[tuple[str, str]]) -> dict[str, Any]:
    """Choose a workflow for each document and run them all at once, each with its own inputs and results."""

    async def read(kind: str, text: str) -> int | str:
        try:
            return await ctx.run_workflow(READERS[kind], inputs={"text": text})
        except ValueError:  # a failing child run raises here, as it is, and may be caught
            return "unreadable"

    totals = await asyncio.gather(*(read(kind, text) for kind, text in documents))
    return {text.replace("\n", "/"): value for (_, text), value in zip(documents, totals, strict=True)}


async def main() -> None:
    """Run the choosing task as a workflow of its own."""
    documents = [("csv", "1,2,3"), ("lines", "10\n20"), ("csv", "4,four")]
    for document, value in (await add_up.run(documents=documents)).items():
        print(f"{document} -> {value}")


if __name__ == "__main__":
    asyncio.run(main())
