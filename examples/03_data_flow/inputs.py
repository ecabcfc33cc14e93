"""Inputs: one workflow, run many times with different data, also at once."""

from __future__ import annotations

import asyncio

from graflow_async import SyncTaskExecutionContext, Workflow, task


@task
def celsius(fahrenheit: float) -> float:
    """Take `fahrenheit` from the inputs of the run."""
    return (fahrenheit - 32) * 5 / 9


@task
def sentence(celsius: float, place: str, digits: int = 1) -> str:
    """Take one parameter from upstream and the others from the inputs."""
    return f"{place}: {celsius:.{digits}f} degrees"


@task
def show_inputs(ctx: SyncTaskExecutionContext) -> list[str]:
    """Find the inputs in the channel: that is where they land."""
    return sorted(ctx.channel.keys())


WEATHER = Workflow("weather", celsius >> sentence)


async def main() -> None:
    """Run the same workflow three times at once: runs share nothing."""
    measured = {"Oslo": 41.0, "Rome": 77.0, "Lima": 68.0}
    runs = [WEATHER.run(inputs={"place": place, "fahrenheit": value}) for place, value in measured.items()]
    for line in await asyncio.gather(*runs):
        print(line)


if __name__ == "__main__":
    print(WEATHER.execute(inputs={"place": "Bonn", "fahrenheit": 50.0, "digits": 0}))
    asyncio.run(main())
    print(Workflow("look", show_inputs).execute(inputs={"a": 1, "b": 2}))
