"""Typed channels: values are checked when they are written, against a dataclass or a TypedDict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypedDict

from graflow_async import ChannelTypeError, SyncTaskExecutionContext, TaskExecutionContext, Workflow, task


@dataclass
class Reading:
    """A measured temperature.

    Attributes:
        place: where it was measured.
        celsius: the temperature in degrees Celsius.
    """

    place: str
    celsius: float


class Summary(TypedDict):
    """What is left of many readings."""

    places: list[str]
    mean: float


@task
def measure(ctx: SyncTaskExecutionContext) -> None:
    """Write values that fit."""
    readings = ctx.get_typed_channel(Reading)
    readings.set("roof", Reading("roof", 17.5))
    readings.set("cellar", Reading("cellar", 12.5))


@task
def mistake(ctx: SyncTaskExecutionContext) -> None:
    """Write values that do not: nothing is stored."""
    readings = ctx.get_typed_channel(Reading)
    for wrong in (Reading("attic", "warm"), {"place": "attic", "celsius": 21.0}):  # type: ignore[arg-type]
        try:
            readings.set("attic", wrong)  # type: ignore[arg-type]
        except ChannelTypeError as error:
            print(f"{type(error).__name__}:", str(error).rpartition(": ")[2])
    print("stored:", sorted(readings.keys()))


@task
async def summarise(ctx: TaskExecutionContext) -> Summary:
    """Read with types, write another model into a channel of its own name."""
    readings = ctx.get_typed_channel(Reading)
    found = [reading for key in sorted(await readings.keys()) if (reading := await readings.get(key)) is not None]
    summary: Summary = {
        "places": [reading.place for reading in found],
        "mean": sum(reading.celsius for reading in found) / len(found),
    }
    await ctx.get_typed_channel(Summary, "reports").set("today", summary)
    return summary


async def main() -> None:
    """Run the three tasks one after the other."""
    print(await Workflow("readings", measure >> mistake >> summarise).run())


if __name__ == "__main__":
    asyncio.run(main())
