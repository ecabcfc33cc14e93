"""What is drawn of a run, as plain data, and what the screen asks of a run that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ._pace import Pace
from ._words import clock, rate, shown

if TYPE_CHECKING:
    import asyncio


class Bar(NamedTuple):
    """A line of the picture: how far a map or a task is; `total` is None where it is not known."""

    name: str
    done: float
    total: float | None
    pace: Pace
    message: str


class Shown(NamedTuple):
    """A run as it is drawn: a line of counts, lines that say why something waits or failed, and bars."""

    name: str
    clock: str
    counts: list[tuple[str, str]]
    pace: str
    notes: list[str]
    asked: list[str]
    bars: list[Bar]


class Showing(Protocol):
    """A run that is shown."""

    loop: asyncio.AbstractEventLoop | None

    @property
    def is_lost(self) -> bool:
        """Whether the loop was closed under the run."""
        ...

    def shown(self) -> Shown:
        """Look at the run and say what to draw."""
        ...

    def farewell(self, status: str, error: BaseException | None = None) -> str:
        """Give the line that stays when the picture is gone."""
        ...


def bar_words(bar: Bar) -> tuple[str, str, str]:
    """Write the numbers of a bar: how much of how much, how fast, and the time that is left."""
    count = shown(bar.done) if bar.total is None else f"{shown(bar.done)}/{shown(bar.total)}"
    left = bar.pace.left(bar.total)
    return count, rate(bar.pace.rate), "" if left is None else f"{clock(left)} left"
