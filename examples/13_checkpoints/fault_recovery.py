"""A task that fails once: the run ends with its error, and `resume_from_latest` goes on where it stopped.

python fault_recovery.py [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from graflow_async import CheckpointManager, UnknownRunError, task, workflow


class Weather:
    """What the tasks depend on and cannot help."""

    def __init__(self) -> None:
        """Begin with a storm."""
        self.is_stormy = True

    def look(self) -> None:
        """Fail in a storm; after it the sky is clear."""
        if self.is_stormy:
            self.is_stormy = False
            raise ConnectionError("the line is down")


# -- plain code -----------------------------------------------------------------------------------------------


def plain(directory: Path) -> None:
    """Execute, and resume in the handler of the exception."""
    weather = Weather()
    with workflow("fault_tolerant") as wf:

        @task
        def entry_task() -> list[str]:
            """Run once in all."""
            print("  entry_task runs")
            return ["harbour", "hill"]

        @task
        def call_stations(entry_task: list[str]) -> dict[str, int]:
            """Fail the first time."""
            print("  call_stations runs")
            weather.look()
            return {name: len(name) for name in entry_task}

        @task
        def publish(call_stations: dict[str, int]) -> str:
            """Run once in all."""
            print("  publish runs")
            return f"published {', '.join(call_stations)}"

        entry_task >> call_stations >> publish

        try:
            result = wf.execute("entry_task", checkpoint_dir=directory)
        except Exception as e:  # noqa: BLE001  # whatever a task may raise
            print(f"Failed: {e}, resuming from checkpoint...")
            manager = CheckpointManager(checkpoint_dir=directory)
            result = manager.resume_from_latest()
    print(f"  {result}")


# -- coroutines -----------------------------------------------------------------------------------------------


async def awaited(directory: Path) -> None:
    """Run a fan-out of which one member fails, look at what a resumption would do, and resume."""
    weather = Weather()
    with workflow("fault_tolerant_async") as wf:

        @task
        async def stations() -> list[str]:
            """Run once in all."""
            print("  stations runs")
            return ["harbour", "hill"]

        @task
        async def call(stations: list[str]) -> list[int]:
            """Fail the first time."""
            print("  call runs")
            weather.look()
            return [len(name) for name in stations]

        @task
        async def forecast(call: list[int]) -> str:
            """Run once in all."""
            print("  forecast runs")
            return f"{sum(call)} degrees"

        stations >> call >> forecast

    manager = CheckpointManager(checkpoint_dir=directory)
    try:
        result = await wf.run(checkpoint_dir=directory, run_id="forecast")
    except ConnectionError as e:
        print(f"Failed: {e}, resuming from checkpoint...")
        plan = await manager.plan("forecast", wf)
        print(f"  kept: {', '.join(plan.kept)}; to run: {', '.join(plan.to_run)}")
        result = await manager.resume_from_latest(wf)
    print(f"  {result}")
    try:
        await manager.resume_from_latest(wf)
    except UnknownRunError as e:
        print(f"once more: {e}")


def main(directory: Path) -> None:
    """Show both."""
    print("=== Plain code ===")
    plain(directory / "plain")
    print("\n=== Coroutines ===")
    asyncio.run(awaited(directory / "awaited"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
