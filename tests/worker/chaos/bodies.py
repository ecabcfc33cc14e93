"""Tasks that live through disasters; each tells a ledger, which no disaster reaches, when it begins and ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from typing import NamedTuple

import redis

from graflow_async import TaskExecutionContext, task

ENV = "GRAFLOW_CHAOS_LEDGER"
KEY = "chaos:ledger"
MOMENT = 0.02  # seconds that a body takes
LONGER = 10  # times as long take some: one in so many
ONE_IN = 40

ledger = redis.Redis.from_url(os.environ.get(ENV, "redis://localhost"))


class Done(NamedTuple):
    """What a body gives: something that only this one can have made."""

    value: int
    nonce: str


def note(what: str, x: int, nonce: str) -> None:
    """Write a line; all processes of a machine have one monotonic clock."""
    # Alone in a process of its own, a body is hit together with the worker above it.
    ledger.rpush(KEY, f"{what} {x} {os.getpid()} {os.getppid()} {nonce} {time.monotonic():.4f}")


@task
async def noted(x: int, moment: float = MOMENT) -> Done:
    """Take a moment, some longer than others; a negative number kills its process."""
    nonce = secrets.token_hex(6)
    note("begun", x, nonce)
    if x < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(moment if x % ONE_IN else moment * LONGER)
    note("ended", x, nonce)
    return Done(x * 2, nonce)


@task
async def tripled(x: int) -> int:
    """Be called by another body."""
    await asyncio.sleep(MOMENT)
    return x * 3


@task(inject_context=True)
async def talked(ctx: TaskExecutionContext, x: int, moment: float = MOMENT) -> Done:
    """Do the same, with a step that is remembered, children, and a channel."""
    nonce = secrets.token_hex(6)
    note("begun", x, nonce)
    remembered = await ctx.step("remembered", secrets.token_hex, 6)
    children = await ctx.map(tripled, [x, x + 1, x + 2])
    await asyncio.sleep(moment if x % ONE_IN else moment * LONGER)
    again = await ctx.step("remembered", secrets.token_hex, 6)
    await ctx.channel.set(f"seen {x}", nonce)
    is_right = children == [x * 3, x * 3 + 3, x * 3 + 6] and again == remembered
    note("ended", x, nonce)
    return Done(x * 2 if is_right else -1, nonce)
