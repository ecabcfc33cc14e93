"""One claim that a worker holds, from its beginning to its end here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from .._core.state import Instance
from .._redis.jobs import Claim
from .._redis.payloads import Payloads
from .._runtime.far_body import FarBody
from .._runtime.far_link import FarLink
from ..executors._sent import dated
from .slots import Seat, Slots, let_rest
from .solo import SoloBody

if TYPE_CHECKING:
    from collections.abc import Callable

WORTH_TELLING = 0.001  # seconds
Fate = Literal["report", "release", "drop"]


class Held:
    """A claim and the body that runs for it.

    Attributes:
        claim: the claim.
        payloads: signs what is said about it.
        seat: the slots that it holds.
        fate: what is done when the body has ended: report how, give the claim back, or nothing as others have it.
        task: gets what it takes to run the body, if that is not at hand.
        order: of the run, asked for anew; None unless that is waited for.
        taken_at: when the claim was made, if the body could not begin at once; seconds of the loop's clock.
        task_id: for logs; empty before the order was read.
    """

    __slots__ = (
        "_delay", "_is_cancelled", "body", "claim", "fate", "order", "payloads", "seat", "taken_at", "task", "task_id",
    )  # fmt: skip

    def __init__(self, claim: Claim, payloads: Payloads, slots: Slots) -> None:
        """Hold a claim, and a slot."""
        self.claim = claim
        self.payloads = payloads
        self.seat = Seat(slots)
        self.fate: Fate = "report"
        self.body: FarBody | SoloBody | None = None
        self.task: asyncio.Task[None] | None = None
        self.order: asyncio.Future[bytes] | None = None
        self.task_id = ""
        self.taken_at = 0.0
        self._delay = 0.0
        self._is_cancelled = False

    def __repr__(self) -> str:
        """Name the run and the task, for logs."""
        what = f"task {self.task_id!r}" if self.task_id else "a task"
        return f"{what} of run {self.claim.run} (job {self.claim.job})"

    def has(self, body: FarBody | SoloBody) -> None:
        """Know the body; it may have been cancelled by now."""
        self.body = body
        if self._is_cancelled:
            body.cancel()

    def let_rest(self, link: FarLink, instance: Instance) -> None:
        """See to it that the body gives its slots back while it waits."""
        let_rest(link, instance, self.seat)

    def begins(self) -> None:
        """Note that the body could not begin before now."""
        delay = asyncio.get_running_loop().time() - self.taken_at
        if delay >= WORTH_TELLING:
            self._delay = delay

    def dated(self, data: bytes) -> bytes:
        """Say in the first message about the body how late it has begun, if it is worth a word."""
        if not self._delay:
            return data
        delay, self._delay = self._delay, 0.0
        return dated(data, delay)

    def take(self, data: bytes) -> None:
        """Take a message of the run."""
        order, body = self.order, self.body
        if order is not None:
            if not order.done():
                order.set_result(data)
        elif isinstance(body, FarBody):
            body.talk.take(data)
        elif body is not None:
            body.take(data)

    def cancel(self, fate: Fate | None = None) -> None:
        """Make the body stop, and say what is done then."""
        if fate is not None and self.fate == "report":
            self.fate = fate
        self._is_cancelled = True
        if self.body is not None:
            self.body.cancel()
        elif self.task is not None:
            self.task.cancel()

    async def ask_anew(self, ask: Callable[[Held], None]) -> bytes:
        """Ask the run for the order as it is by now; meanwhile others may have the slot."""
        self.order = asyncio.get_running_loop().create_future()
        ask(self)
        self.seat.rest()
        try:
            return await self.order
        finally:
            self.order = None
            self.seat.resume()

    async def wait_for_thread(self, threads: Slots) -> None:
        """Wait for one of the slots that plain functions have."""
        await threads.wait()
        self.seat.add(threads)
