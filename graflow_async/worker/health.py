"""The sign of life of a worker for whoever supervises it: a file that is touched at every confirmed heartbeat."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from .._redis.jobs import Heart, News, Worker

if TYPE_CHECKING:
    from collections.abc import Callable


class HealthyHeart(Heart):
    """A heart that touches a file with every beat that Redis has confirmed, and removes it at the end."""

    def __init__(self, worker: Worker, tell: Callable[[News], object], path: str | None) -> None:
        """Beat for `worker`; None for no file."""
        super().__init__(worker, tell)  # type: ignore[arg-type]  # what it gives is not used
        self._path = None if path is None else Path(path)

    def _beat(self) -> News:
        news = super()._beat()
        if self._path is not None:
            with contextlib.suppress(OSError):  # a disk that is full says nothing about the worker's tasks
                self._path.touch()
        return news

    async def aclose(self) -> None:
        """Stop beating."""
        await super().aclose()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
