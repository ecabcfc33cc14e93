"""What the threads of a test are doing, as far as it matters for virtual time: running, or waiting to be woken.

No thread says when it falls asleep, so that this looks at where each one stands.
"""

from __future__ import annotations

import linecache
import sys
import threading
from enum import IntEnum
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

_BYSTANDERS = frozenset({"graflow-loop-watch"})  # they only look on, in real time
_JOINS = frozenset({"join", "_wait_for_tstate_lock"})


class Business(IntEnum):
    """How busy threads are."""

    IDLE = 0  # all wait for somebody to wake them
    DOZING = 1  # one of them wakes by itself, after some real time, or is woken from outside
    BUSY = 2


def business(others_than: Collection[threading.Thread]) -> Business:
    """Say how busy the busiest thread is, among those that are neither this one nor `others_than`."""
    me = threading.get_ident()
    alive = {thread.ident: thread for thread in threading.enumerate()}
    found = Business.IDLE
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # there is no other way to ask
    for ident, thread in alive.items():
        if ident == me or thread in others_than or thread.name in _BYSTANDERS or ident not in frames:
            continue
        found = max(found, _business(frames[ident or 0], alive))
    del frames[me]  # it would keep this frame alive, which has it
    return found


def newcomers(before: Collection[threading.Thread]) -> list[threading.Thread]:
    """List the threads that matter and are not among those of `before`."""
    return [thread for thread in threading.enumerate() if thread not in before and thread.name not in _BYSTANDERS]


def places(threads: Collection[threading.Thread]) -> str:
    """Name threads and where they stand, for people."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # there is no other way to ask
    named: list[str] = []
    for thread in sorted(threads, key=lambda thread: thread.name):
        frame = frames.get(thread.ident or 0)
        named.append(thread.name if frame is None else f"{thread.name} at {frame.f_code.co_filename}:{frame.f_lineno}")
    return ", ".join(named)


def _business(frame: FrameType, alive: Collection[int | None]) -> Business:
    """Say how busy the thread is whose innermost frame this is."""
    code, known = frame.f_code, frame.f_locals
    file = Path(code.co_filename).name
    if file == "threading.py" and code.co_name in _JOINS:
        joined: Any = known.get("self")
        return Business.IDLE if getattr(joined, "ident", None) in alive else Business.BUSY
    if file == "threading.py" and code.co_name == "wait":
        waiter: Any = known.get("waiter")
        if waiter is None or not waiter.locked() or known.get("gotit"):
            return Business.BUSY  # it was woken, or is about to wait
        return Business.IDLE if known.get("timeout") is None else Business.DOZING
    if file == "selectors.py" and code.co_name == "select":
        return Business.DOZING
    if ".get(" in linecache.getline(code.co_filename, frame.f_lineno):
        queues = list(_queues(frame))
        # Between the queue and the variable, a piece of work is in neither; whoever cares looks twice.
        if queues and all(queue.empty() for queue in queues):
            return Business.IDLE
    return Business.BUSY


def _queues(frame: FrameType) -> Iterator[SimpleQueue[Any]]:
    """Find the queues that a frame may wait for, in its variables and its object: that has no frame of its own."""
    known = frame.f_locals
    yield from (value for value in known.values() if isinstance(value, SimpleQueue))
    owner: Any = known.get("self")
    for name in frame.f_code.co_names if owner is not None else ():
        kind: Any = owner.__class__
        if not isinstance(getattr(kind, name, None), property):
            value = getattr(owner, name, None)
            if isinstance(value, SimpleQueue):
                yield value
