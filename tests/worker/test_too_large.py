"""More than Redis takes at once is refused where it is written: tried again it would break each connection anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import NotSerializableError, Workflow, task
from graflow_async._redis import payloads
from graflow_async._runtime.talk import Talk
from graflow_async.stores.redis import RedisStore
from graflow_async.worker import Worker

LIMIT = 200_000
TOO_LARGE = bytes(LIMIT + 1)


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Redis take less than it does."""
    monkeypatch.setattr(Talk, "largest", LIMIT)
    monkeypatch.setattr(payloads, "LARGEST", LIMIT + 10_000)


@task(inject_context=True, executor="thread")
async def puts(ctx: Any) -> None:
    """Put it where the run is."""
    await ctx.channel.set("large", TOO_LARGE)


@task
async def gives() -> bytes:
    """Return it."""
    return TOO_LARGE


@task(inject_context=True)
async def gives_after_talk(ctx: Any) -> bytes:
    """Return it when something has been said."""
    await ctx.channel.set("k", 1)
    return TOO_LARGE


@task(inject_context=True)
async def writes(ctx: Any) -> None:
    """Send it to the run."""
    await ctx.channel.set("k", TOO_LARGE)


@task(inject_context=True)
async def reads(ctx: Any) -> int:
    """Have it sent."""
    return len(await ctx.channel.get("large"))


@task
async def takes(data: bytes) -> int:
    """Be given something."""
    return len(data)


async def test_what_is_too_large_fails_its_task_and_nothing_else(redis_url: str) -> None:
    """Results, what is written, read and given: a sentence with sizes; the worker and its run go on."""
    worker = Worker(redis_url, queue="large")
    options: Any = {"queue_backend": "redis", "queue_name": "large", "redis_url": redis_url}
    cases = {
        gives(): "the result of task 'gives' takes 2000",
        gives_after_talk(): "the result of task 'gives_after_talk' takes 2000",
        writes(): "takes 2000",
        puts() >> reads(): "takes 2000",
        takes(data=bytes(LIMIT + 20_000)): "more than the 210000 that Redis takes at once",
    }
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        for body, words in cases.items():
            with pytest.raises(NotSerializableError, match=words):
                await Workflow("w", body).run(**options)
        assert await Workflow("w", takes(data=b"four")).run(**options) == 4
        worker.stop()


async def test_stores_refuse_it(redis_url: str) -> None:
    """So do stores, at once."""
    async with RedisStore(redis_url) as store:
        with pytest.raises(NotSerializableError, match="Redis takes at once"):
            await store.set("k", bytes(LIMIT + 20_000))
