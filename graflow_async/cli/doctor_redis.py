"""What `doctor` asks a Redis: whether it answers, how fast, whether it may be relied on, and who works for it."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from .._redis.client import connect, is_local
from .._redis.jobs import JobQueue
from .._redis.jobs_calls import NOT_TOLD
from .._redis.refusals import NO_CLUSTER, advice_on, is_of_cluster
from ..errors import ConfigError, StoreError
from .doctor_findings import Finding
from .failures import without_password

PATIENCE = 3.0  # seconds for Redis to answer
OLDEST = (6, 2)
_PINGS = 5
_SLOW = 0.02  # seconds for an answer, from where a run waits for Redis rather than for its tasks


async def look_at(url: str, queue: str, *, is_signed: bool) -> list[Finding]:
    """Look at a Redis; the first finding says whether there is one.

    Args:
        url: its address.
        queue: the queue whose workers are counted.
        is_signed: whether there is a key that other machines know, too.
    """
    place = without_password(url)
    try:
        client: Any = connect(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)
    except ConfigError as error:
        return [Finding("redis server", "problem", str(error))]
    try:
        async with client, asyncio.timeout(PATIENCE):
            about = await _about(client)
            latency = await _latency(client)
    except (RedisError, OSError, TimeoutError) as error:
        return [Finding("redis server", "problem", f"{place} {_why(error)}")]
    found = [
        *([Finding("redis server", "warning", f"{place}: {NOT_TOLD}")] if about is None else [_server(about, place)]),
        Finding("redis latency", "ok" if latency < _SLOW else "warning", f"{latency * 1000:.2f} ms"),
        *([] if about is None else [_eviction(about), _persistence(about)]),
        await _workers(url, queue),
    ]
    if not is_signed and not is_local(client):
        detail = "GRAFLOW_SECRET_KEY is not set: values from a Redis on another machine are refused (see keygen)"
        found.append(Finding("redis signing", "problem", detail))
    return found


async def _about(client: Any) -> dict[str, Any] | None:
    """Ask what Redis says of itself; None if its user may not know."""
    try:
        return await client.info("everything")  # type: ignore[no-any-return]
    except NoPermissionError:
        return None


def _why(error: BaseException) -> str:
    """Say why a Redis cannot be looked at."""
    if is_of_cluster(error):
        return f"cannot be used: {NO_CLUSTER}"
    advice = advice_on(error)
    return f"does not answer: {error or type(error).__name__}" if advice is None else f"cannot be used: {advice}"


async def _latency(client: Any) -> float:
    """Give how long an answer usually takes, in seconds."""
    times: list[float] = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        await client.ping()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _server(about: dict[str, Any], place: str) -> Finding:
    version = str(about.get("redis_version", "0"))
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if known < OLDEST:
        return Finding("redis server", "problem", f"{version} at {place}: 6.2 or newer is needed")
    return Finding("redis server", "ok", f"{version} at {place}")


def _eviction(about: dict[str, Any]) -> Finding:
    policy = str(about.get("maxmemory_policy", ""))
    if policy == "noeviction":
        return Finding("redis eviction", "ok", policy)
    if not policy:
        return Finding("redis eviction", "warning", "the server does not say its policy; it must be noeviction")
    advice = "jobs and runs may be thrown away when memory runs out; workers need maxmemory-policy noeviction"
    return Finding("redis eviction", "problem", f"{policy}: {advice}")


def _persistence(about: dict[str, Any]) -> Finding:
    if int(about.get("aof_enabled", 0)):
        return Finding("redis persistence", "ok", "the append-only file is on")
    detail = "the append-only file is off: if Redis stops, jobs and runs in it are lost (appendonly yes)"
    return Finding("redis persistence", "warning", detail)


async def _workers(url: str, queue: str) -> Finding:
    try:
        async with JobQueue(url, queue) as jobs, asyncio.timeout(PATIENCE):
            found = await jobs.workers()
    except (StoreError, TimeoutError) as error:
        return Finding("redis workers", "problem", f"queue {queue!r}: {error or 'no answer'}")
    if not found:
        return Finding("redis workers", "info", f"queue {queue!r} has none: start one with `graflow-async worker`")
    names = ", ".join(worker.id for worker in found[:5]) + (", ..." if len(found) > 5 else "")
    return Finding("redis workers", "ok", f"queue {queue!r} has {len(found)}: {names}")
