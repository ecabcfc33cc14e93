"""What the routes of one application share; they find it in the application's state."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from fastapi import Request  # noqa: TC002  # the framework reads the annotations

from ..inbox import Inbox
from .access import Access, Caller
from .problems import Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator

LONGEST_SHOWN = 100  # characters of a name that somebody made up
MOST_STREAMS = 256
"""How many streams of changes are open at once, at most."""


class Streams:
    """The open streams of changes: they never end by themselves, so that somebody has to end them."""

    def __init__(self) -> None:
        """Start without any."""
        self._open: set[asyncio.Event] = set()
        self._is_closed = False

    def __len__(self) -> int:
        """Tell how many are open."""
        return len(self._open)

    def close(self) -> None:
        """End all streams, and every later one at once. To be called on their loop, when the server shuts down."""
        self._is_closed = True
        for ended in self._open:
            ended.set()

    @contextmanager
    def place(self, ended: asyncio.Event) -> Generator[None]:
        """Count a stream in for a while; `ended` is set when it has to end.

        Raises:
            Problem: 429, there are too many.
        """
        if len(self._open) >= MOST_STREAMS:
            headers = {"Retry-After": "30"}
            raise Problem(429, "too_many", "too many streams are open", headers=headers)
        if self._is_closed:
            ended.set()
        self._open.add(ended)
        try:
            yield
        finally:
            self._open.remove(ended)


@dataclass(frozen=True)
class Site:
    """One application.

    Attributes:
        inbox: where the questions are.
        access: who may do what.
        now: gives the wall time, in seconds since the epoch.
        body_timeout: seconds that a body may take to arrive.
        heartbeat: seconds of silence after which a stream says that it is still there.
        streams: the open ones.
    """

    inbox: Inbox
    access: Access
    now: Callable[[], float]
    body_timeout: float
    heartbeat: float
    streams: Streams = field(default_factory=Streams)


async def site_of(request: Request) -> Site:
    """Give the application that a request came to."""
    return cast("Site", request.app.state.site)


async def clear_query(request: Request) -> None:
    """Refuse a parameter that is given twice: readers differ in which one counts.

    Raises:
        Problem: 422.
    """
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise Problem(422, "invalid", f"query.{name[:LONGEST_SHOWN]}: given more than once")
        seen.add(name)


async def caller_of(request: Request) -> Caller:
    """Tell who calls.

    Raises:
        Problem: 401.
    """
    return (await site_of(request)).access.caller(request)
