"""Redis without memory for more jobs: they wait here, and those that are there end and make room."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from ..worker_errors import QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("graflow_async.redis")

PAUSE = 0.5  # seconds; nothing announces that there is room again


class Fullness:
    """Whether Redis is full, as far as one run knows.

    Attributes:
        is_full: it has refused jobs a moment ago.
    """

    __slots__ = ("_again", "_patience", "_since", "_timer", "is_full")

    def __init__(self, patience: float, again: Callable[[], None]) -> None:
        """Call `again` when it is worth another try; give up after `patience` seconds in which nothing can change."""
        self.is_full = False
        self._patience = patience
        self._again = again
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def refused(self, error: QueueFullError, *, is_alone: bool) -> None:
        """Take note that jobs were refused; `is_alone` says that no job of this run is there that could end.

        Raises:
            QueueFullError: it has been so for too long.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._since is None or not is_alone:
            if self._since is None:
                logger.warning("%s; what is to be sent waits until others have ended", error)
            self._since = now
        elif now - self._since > self._patience:
            self._since = None
            raise error
        self.is_full = True
        # Not at the same moments as everybody else.
        self._timer = loop.call_later(PAUSE * random.uniform(0.5, 1.0), self._try_again)  # noqa: S311

    def taken(self) -> None:
        """Take note that jobs were taken."""
        self._since = None

    def _try_again(self) -> None:
        self.is_full = False
        self._again()

    def close(self) -> None:
        """Do not try again."""
        if self._timer is not None:
            self._timer.cancel()
