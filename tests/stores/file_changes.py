"""What tests of file stores share, and a program that changes one, as a seed says, until somebody kills it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from pathlib import Path

from graflow_async.codec import Keyring
from graflow_async.stores.file import FileStore

KEYRING = Keyring({"k1": random.Random(7).randbytes(32)})


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def store_at(path, **options):
    return FileStore(path, keyring=options.pop("keyring", KEYRING), **options)


async def contents(store):
    return await store.get_many(await store.keys())


async def change(store, number, seed):
    """Make change `number`: it depends on nothing but number and seed, and leaves a trace of itself."""
    draw = random.Random(seed * 1_000_003 + number)
    key = f"k{draw.randrange(5)}"
    match draw.randrange(8):
        case 0:
            await store.set(key, [number])
        case 1:
            await store.set(key, [number, "x" * (70_000 if key == "k0" else 1_000)])
        case 2:
            await store.clear(key)
            await store.set("n", number)
        case 3:
            await store.add("counter", number)
        case 4:
            await store.prepend("front", number)
        case 5:
            await store.delete("front")
            await store.set("n", number)
        case _:
            await store.append("log", number)


async def main(path, seed, compact_at):
    """Change and say so on standard output, for ever."""
    async with FileStore(path, keyring=KEYRING, compact_at=compact_at) as store:
        for number in itertools.count():
            await change(store, number, seed)
            os.write(1, b".")
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
