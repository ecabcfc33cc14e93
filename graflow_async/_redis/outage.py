"""What is logged of a Redis that is away: a line when it has been for a moment, another one when it is back."""

from __future__ import annotations

import logging
from typing import Final

from .urls import shown

logger = logging.getLogger("graflow_async.redis")

TOLD_AFTER: Final = 1.0  # seconds; what passes sooner is nobody's business


class Outage:
    """The troubles of one connection.

    Attributes:
        is_on: the last command has failed.
    """

    __slots__ = ("_is_told", "_place", "_since", "is_on")

    def __init__(self, url: str) -> None:
        """Speak of the Redis at this address."""
        self._place = shown(url)
        self._since = 0.0
        self._is_told = False
        self.is_on = False

    def met(self, error: Exception, now: float) -> None:
        """Take note that a command has failed, and is tried again."""
        if not self.is_on:
            self.is_on, self._since = True, now
        elif not self._is_told and now - self._since >= TOLD_AFTER:
            self._is_told = True
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            logger.warning("%s cannot be used, and is tried again: %s", self._place, why)

    def over(self, now: float) -> None:
        """Take note that a command was carried out."""
        if self._is_told:
            logger.warning("%s can be used again, after %.1f s", self._place, now - self._since)
        self.is_on = self._is_told = False
