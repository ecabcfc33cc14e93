"""A process that records a run and dies; it says on its standard output what it was promised.

Arguments: the directory, and what to do. Each line of output is a promise: `acked N` (records below N are with the
system), `saved N PATH`, `have N` (records found at opening), `open` (the run is held), `locked`.
"""

from __future__ import annotations

import asyncio
import sys

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import RunLockedError
from tests.checkpoints.keys import SomeKeys


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def write(checkpointer: FileCheckpointer) -> None:
    """Do everything that a log can do, round after round."""
    log = await checkpointer.create("run")
    for turn in range(6):
        for size in (0, 100, 3000, 80_000 if turn % 2 else 10):
            log.append(Kind.EVENT, b"%d;" % log.next_seq + b"x" * size)
            if not log.push():
                await log.flush()
            say(f"acked {log.next_seq}")
        await log.flush(sync=True)
        say(f"acked {log.next_seq}")
        count = log.next_seq
        say(f"saved {count} {await log.save('point')}")
        upto = log.next_seq - 1
        await log.compact([(Kind.SNAPSHOT, b"%d;" % (upto - 1))], upto)
    await checkpointer.aclose()
    say("done")


async def go_on(checkpointer: FileCheckpointer) -> None:
    """Open a run and write one record."""
    log, records = await checkpointer.open("run")
    say(f"have {len(records)}")
    log.append(Kind.EVENT, b"%d;" % log.next_seq)
    await log.flush()
    await checkpointer.aclose()
    say("done")


async def hold(checkpointer: FileCheckpointer) -> None:
    """Open a run, and keep it until the standard input ends."""
    try:
        await checkpointer.open("run")
    except RunLockedError as error:
        say(f"locked {error}")
        return
    say("open")
    await asyncio.to_thread(sys.stdin.read)
    await checkpointer.aclose()


async def main() -> None:
    """Do what the arguments say."""
    checkpointer = FileCheckpointer(sys.argv[1], keyring=SomeKeys())
    try:
        await {"write": write, "go_on": go_on, "hold": hold}[sys.argv[2]](checkpointer)
    finally:
        await checkpointer.aclose()


if __name__ == "__main__":
    asyncio.run(main())
