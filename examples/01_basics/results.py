"""Where results are: the value of a run, results by task id, and the handle on a run."""

from __future__ import annotations

import asyncio
import statistics

from graflow_async import Workflow, task

READINGS = [18, 21, 19, 24, 22, 16]


@task
def readings() -> list[int]:
    """Give the numbers that the other tasks work on."""
    return READINGS


@task
def mean(readings: list[int]) -> float:
    """Average them."""
    return statistics.mean(readings)


@task
def extremes(readings: list[int]) -> dict[str, int]:
    """Find the lowest and the highest."""
    return {"low": min(readings), "high": max(readings)}


@task
def spread(low: int, high: int) -> int:
    """Take `low` and `high` out of the mapping that the task before returned."""
    return high - low


def show_values() -> None:
    """Run workflows with one end and with several."""
    one_end = Workflow("one_end", readings >> extremes >> spread)
    print("one final task:", one_end.execute())

    two_ends = Workflow("two_ends", readings >> (mean | extremes))
    print("a group at the end:", two_ends.execute())

    print("of the last run:", one_end.get_result("extremes"))
    print("of nothing:", one_end.get_result("no_such_task"), one_end.get_result("no_such_task", default=0))


async def main() -> None:
    """Hold a run by its handle while it works."""
    wf = Workflow("handle", readings >> extremes >> spread)
    async with wf.start(run_id="readings-1") as run:
        value = await run
    print("run", run.run_id, "is", run.status, "with", value)
    for task_id, result in run.results.items():
        print(f"  {task_id}: {result}")


if __name__ == "__main__":
    show_values()
    asyncio.run(main())
