"""What the watched loop is held responsible for: looks are called by hand, at moments that the test chooses."""

from __future__ import annotations

import asyncio
import threading

import pytest

from graflow_async._runtime import loop_watch
from graflow_async._runtime.loop_watch import Block, LoopWatch

pytestmark = pytest.mark.near
THRESHOLD = 1000.0  # seconds


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread look by itself: one that has just been told to end would look once more."""
    monkeypatch.setattr(loop_watch._watchdog, "add", lambda _: None)


def hold(watch: LoopWatch, *moments: float) -> None:
    """Hold the loop while it is looked at from another thread."""

    def look() -> None:
        for now in moments:
            watch.look(now)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


async def reported(*callbacks: tuple[float, ...]) -> list[str]:
    """Let callbacks follow each other in one turn of the loop, and tell of which functions was reported."""
    found: list[Block] = []
    loop = asyncio.get_running_loop()
    watch = LoopWatch(loop, THRESHOLD, found.append)
    for moments in callbacks:
        loop.call_soon(hold, watch, *moments)
    over = asyncio.Event()
    loop.call_soon(loop.call_soon, over.set)
    await over.wait()
    watch.close()
    return [block.function for block in found]


async def test_a_callback_has_held_the_loop_since_it_was_first_seen() -> None:
    """A callback that was there when the loop was asked, and does not let it answer, counts from then on."""
    assert await reported((0.0, 250.0, 500.0, 750.0, 1000.0)) == ["hold"]
    assert await reported((0.0, 250.0, 500.0, 750.0, 999.0)) == []


async def test_two_callbacks_are_not_one() -> None:
    """A callback does not pay for the one before it, though the loop could not answer in between."""
    assert await reported((0.0,), (250.0, 500.0, 750.0, 1000.0)) == []
    assert await reported((0.0,), (250.0, 500.0, 750.0, 1000.0, 1250.0)) == ["hold"]
