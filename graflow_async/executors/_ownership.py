"""Becoming the process that drives a run: after another one that has died, with what workers did meanwhile."""

from __future__ import annotations

import asyncio
import logging

from .._redis.jobs import Driver, Event
from ..errors import RunLockedError

logger = logging.getLogger("graflow_async.redis")

LONGEST_LEASE = 30.0  # seconds; that of a process which has died is not known
A_MOMENT = 0.001  # seconds


async def take_over(driver: Driver, lease: float, *, is_recorded: bool) -> list[Event]:
    """Own a run, and give the ends of jobs that a process before has sent, if it is the same run.

    The jobs of that process go: bodies that run have talked to a process that is no more, and cannot be understood in
    the middle; those that wait are sent again by whoever resumes the run.

    Raises:
        RunLockedError: another process drives the run, and goes on doing so.
        StoreUnavailableError: Redis does not answer.
    """
    await _own(driver, lease)
    ends: list[Event] = []
    after = "0"
    while is_recorded and (events := await driver.events(after, A_MOMENT)):
        ends += [event for event in events if event.kind == "done"]
        after = events[-1].id
    await driver.forget()
    await driver.own()
    return ends


async def _own(driver: Driver, lease: float) -> None:
    """Own a run, if need be as soon as the lease of a process that has died ends: nothing tells of that moment."""
    loop = asyncio.get_running_loop()
    until = loop.time() + max(lease, LONGEST_LEASE) + 1.0
    is_told = False
    while True:
        try:
            await driver.own()
        except RunLockedError as error:
            if loop.time() >= until:
                raise
            if not is_told:
                logger.warning("%s; waiting for that", error)
                is_told = True
            await asyncio.sleep(min(1.0, lease / 10))
        else:
            return
