"""A process that drives a run, or goes on with it, until it is killed: `python -m tests.worker.chaos.driving ORDER`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from graflow_async import RunLockedError, SyncTaskExecutionContext, Workflow, task, workflow
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.checkpoints.redis import RedisCheckpointer
from graflow_async.events import TaskCompleted
from graflow_async.executors.redis import RedisExecutor
from tests.worker.chaos.bodies import noted


def say(*words: Any) -> None:
    """Tell whoever has started this process."""
    print(*words, flush=True)  # noqa: T201


def many(first: int, tasks: int, moment: float) -> Workflow:
    """Make a workflow that maps over so many numbers."""
    with workflow("many") as wf:

        @task(executor="thread", inject_context=True)
        def everything(ctx: SyncTaskExecutionContext) -> list[Any]:
            return ctx.map(noted, range(first, first + tasks), moment=moment)

    return wf


def keeper(place: str, lease: float) -> Any:
    """Give what keeps the journal: in a Redis if the place is an address of one."""
    return RedisCheckpointer(place, lease=lease) if "://" in place else FileCheckpointer(place)


async def drive(order: dict[str, Any]) -> Any:
    """Do what the order says: `wf.resume` as often as it takes until nobody else has the run. Gives its value."""
    wf = many(order["first"], order["tasks"], order["moment"])
    ends = 0

    def listen(event: Any) -> None:
        nonlocal ends
        if isinstance(event, TaskCompleted):
            ends += 1
            if ends == 1:
                say("first")

    options: Any = {
        "executor": RedisExecutor(order["url"], window=order["window"], lease=order["lease"]),
        "checkpointer": keeper(order["place"], order["lease"]),
        "listeners": [listen],
    }
    say("begins")
    while True:
        try:
            if order["resumes"]:
                value = await wf.resume(order["run"], **options)
            else:
                value = await wf.run(run_id=order["run"], **options)
        except RunLockedError as error:
            say("locked", error)
            if error.seconds_left is None:
                raise SystemExit(3) from error
            await asyncio.sleep(error.seconds_left)
        else:
            break
    await options["checkpointer"].aclose()
    say("done", ends)
    return value


def main() -> None:
    """Do what the command line says, and write the value down."""
    order = json.loads(sys.argv[1])
    value = asyncio.run(drive(order))
    Path(order["answer"]).write_text(json.dumps(value))


if __name__ == "__main__":
    main()
