"""What is said when Redis was given up: what went wrong, not just that the time was up."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions as faults

from graflow_async._redis.client import our_errors
from graflow_async._redis.link import Link
from graflow_async._redis.refusals import more_telling
from graflow_async.errors import StoreUnavailableError


async def test_the_last_try_does_not_hide_what_went_wrong_before():
    """A try that the end of patience cut off says nothing; the one before it does."""
    tries = 0

    async def send(_: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise faults.ConnectionError("Connection reset by peer")
        await asyncio.Event().wait()

    link = Link("redis://127.0.0.1:1/0", None, 0.3)
    with pytest.raises(faults.ConnectionError, match="reset by peer"):
        async with asyncio.timeout(60), link.used():
            await link.until_answered(send)


def test_a_fault_outlives_tries_that_came_to_nothing():
    """In errors of ours, too, where the fault is the cause; the newest that says something counts."""

    def ours(cause: Exception) -> Exception:
        with pytest.raises(StoreUnavailableError) as raised, our_errors("reading 'k'"):
            raise cause
        return raised.value

    reset, refused = ours(faults.ConnectionError("reset")), ours(faults.ConnectionError("refused"))
    mute = ours(TimeoutError())
    assert more_telling(mute, None) is mute
    assert more_telling(mute, reset) is reset
    assert more_telling(refused, reset) is refused
    assert more_telling(ours(faults.TimeoutError("Timeout connecting to server")), refused) is refused
    assert "nothing came in time" in str(mute)
