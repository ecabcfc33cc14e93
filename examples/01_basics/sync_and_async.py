"""Plain functions and coroutine functions side by side, and the two doors: `wf.execute()` and `await wf.run()`."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from graflow_async import Workflow, task

TEXT: str = "the loop runs the tasks and the tasks run the loop"


@task
def split() -> list[str]:
    """Work on data: a plain function runs in a worker thread, so it never holds up the loop."""
    return TEXT.split()


@task
def most_common(split: list[str]) -> str:
    """Use what `split` returned."""
    word, times = Counter(split).most_common(1)[0]
    return f"{word!r} stands there {times} times"


async def ask_python(expression: str) -> str:
    """Let another interpreter calculate something and wait for its answer without blocking anything."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"print({expression})"), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await child.communicate()
    return answer.decode().strip()


@task
async def power() -> str:
    """Wait for something: a coroutine function runs on the loop."""
    return await ask_python("2 ** 10")


@task
async def total() -> str:
    """Wait for something else at the same time: nothing leads from `power` to here."""
    return await ask_python("sum(range(101))")


@task
def report(most_common: str, power: str, total: str) -> str:
    """Take the results of both kinds: the tasks around it need not know how the others run."""
    return f"{most_common}; 2 ** 10 is {power}; 1 + ... + 100 is {total}"


def run_from_plain_code() -> None:
    """Use the door for code without a loop."""
    wf = Workflow("plain", split >> most_common)
    print("execute:", wf.execute())


async def run_from_async_code() -> None:
    """Use the door for code that runs on a loop already."""
    wf = Workflow("async", power | total)
    print("run:", await wf.run())


async def run_mixed() -> None:
    """Join both kinds in one workflow."""
    wf = Workflow("mixed", ((split >> most_common) | power | total) >> report)
    print("mixed:", await wf.run())


async def main() -> None:
    """Run the two workflows that need a loop."""
    await run_from_async_code()
    await run_mixed()


if __name__ == "__main__":
    run_from_plain_code()
    asyncio.run(main())
