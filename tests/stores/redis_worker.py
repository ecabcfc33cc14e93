"""A process of its own that changes values in Redis, for the tests of stores between processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from graflow_async.channel import Channel
from graflow_async.stores.redis import RedisStore


async def work(url: str, name: str, count: int) -> None:
    """Do `count` turns of every changing verb on shared keys."""
    async with RedisStore(url) as store:
        channel = Channel(store, "shared")
        await store.append("shared:ready", name)
        await channel.wait("go")
        for number in range(count):
            await channel.atomic_add("sum")
            await channel.append("list", (name, number))
            await channel.update("updated", lambda value: value + 1, 0)
            async with channel.lock("lock") as fence:
                seen = await channel.get("inside", 0)
                await channel.append("fences", fence)
                await channel.set("inside", seen + 1)


async def hold(url: str) -> None:
    """Take a lock, say so, and die."""
    store = RedisStore(url, lease=0.5)
    fence = await store.lock("shared:lock").__aenter__()
    await store.set("shared:fence", fence)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        asyncio.run(hold(sys.argv[2]))
    else:
        asyncio.run(work(sys.argv[2], sys.argv[3], int(sys.argv[4])))
