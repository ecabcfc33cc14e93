"""Tasks that the tests let workers run; each worker imports them from here."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

import redis

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, task


def place() -> str:
    """Give the Redis at which bodies meet tests."""
    return os.environ["GRAFLOW_TEST_REDIS"]


async def say(name: str, what: object = "") -> None:
    """Say something at a place, in one go: a cancellation comes before or after it."""
    say_now(name, what)


async def hear(name: str) -> str:
    """Wait for something at a place; by hand, as the client may take a cancellation for something else."""
    reader, writer = await asyncio.open_unix_connection(urlsplit(place()).path)
    try:
        writer.write(f"BLPOP meet:{name} 0\r\n".encode())
        lines = [await reader.readline() for _ in range(5)]
        return lines[-1].decode().strip()
    finally:
        writer.close()


def say_now(name: str, what: object = "") -> None:
    """Say something at a place, blocking."""
    with redis.Redis.from_url(place()) as client:
        client.rpush(f"meet:{name}", str(what))


def hear_now(name: str) -> str:
    """Wait for something at a place, blocking."""
    with redis.Redis.from_url(place()) as client:
        while True:
            found: Any = client.blpop([f"meet:{name}"], 2)
            if found is not None:
                return found[1].decode()


ledger = redis.Redis.from_url(os.environ.get("GRAFLOW_TEST_REDIS", "redis://localhost"))


@task
async def square(x: int) -> int:
    """Square a number."""
    return x * x


@task
def where() -> int:
    """Say in which process it runs."""
    return os.getpid()


@task(executor="redis")
async def meets(name: str = "a") -> str:
    """Tell that it has begun, and wait to be told to end; tell, too, if it was cancelled."""
    await say(f"begun.{name}", os.getpid())
    try:
        return await hear(f"go.{name}")
    except asyncio.CancelledError:
        await say(f"cancelled.{name}", os.getpid())
        raise


@task(executor="redis")
def meets_in_thread(name: str = "t") -> str:
    """Do the same in a thread."""
    say_now(f"begun.{name}", os.getpid())
    return hear_now(f"go.{name}")


@task(executor="redis")
async def meets_by_process(name: str = "p") -> str:
    """Tell that it has begun, and wait to be told to end, where only this process hears it."""
    await say(f"begun.{name}", os.getpid())
    return await hear(f"go.{os.getpid()}")


@task(executor="redis")
async def kills_its_process() -> None:
    """End the process that runs it."""
    await say("kills", os.getpid())
    os._exit(7)


@task(executor="redis", inject_context=True)
async def maps(ctx: TaskExecutionContext, n: int = 4) -> list[int]:
    """Map over children."""
    return await ctx.map(square, range(n))


@task(executor="redis", inject_context=True)
def maps_in_thread(ctx: SyncTaskExecutionContext, n: int = 4) -> list[int]:
    """Map over children, from a thread."""
    return ctx.map(square, range(n))


@task(inject_context=True)
async def sums(ctx: TaskExecutionContext, n: int) -> int:
    """Add to the channel, and sum squares made by children."""
    await ctx.channel.atomic_add("sum", n)
    return sum(await ctx.map(square, range(n)))


@task
async def noted(x: int) -> int:
    """Write into a ledger that it has begun, then take a moment."""
    ledger.rpush("meet:ledger", f"{x} {os.getpid()}")
    await asyncio.sleep(0.02)
    return x * 2


@task
async def measured(data: bytes, n: int) -> int:
    """Say how much it was given."""
    return len(data) + n


@task
def pid() -> int:
    """Say where it runs."""
    return os.getpid()


@task(inject_context=True)
def pid_with_context(ctx: SyncTaskExecutionContext) -> int:
    """Say where a plain function runs that needs its context."""
    return os.getpid()


@task
async def pid_async() -> int:
    """Say where an async function runs."""
    return os.getpid()


@task
def dies_in_its_process() -> None:
    """End the process that it runs in."""
    os._exit(3)
