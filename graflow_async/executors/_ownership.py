"""Becoming the process that drives a run: after another one that has died, with what workers did meanwhile."""

from __future__ import annotations

import asyncio
import logging

from .._redis.jobs import Driver, Event
from ..errors import RunLockedError

logger = logging.getLogger("graflow_async.redis")

A_MOMENT = 0.001  # seconds


async def take_over(driver: Driver, *, is_recorded: bool) -> list[Event]:
    """Own a run, and give the ends of jobs that a process before has sent, if it is the same run.

    The jobs of that process go: bodies that run have talked to a process that is no more, and cannot be understood in
    the middle; those that wait are sent again by whoever resumes the run.

    Raises:
        RunLockedError: another process drives the run, and goes on doing so.
        StoreUnavailableError: Redis does not answer.
    """
    await _own(driver)
    if is_recorded:
        return [event for event in await driver.inherit() if event.kind == "done"]
    await driver.forget()
    await driver.own()
    return []


async def _own(driver: Driver) -> None:
    """Own a run; if another process has it, when its lease ends, which nothing announces.

    Raises:
        RunLockedError: that process lives: it has lengthened its lease by then.
        StoreUnavailableError: Redis does not answer.
    """
    try:
        await driver.own()
    except RunLockedError as error:
        logger.warning("%s; waiting for that", error)
        await asyncio.sleep((error.seconds_left or 0.0) + A_MOMENT)
        await driver.own()
