"""Provided objects: settings and services that tasks ask for by name or by type, and that tests replace."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from graflow_async import TaskExecutionContext, Workflow, task


@dataclass(frozen=True)
class Settings:
    """What the tasks should not decide.

    Attributes:
        currency: letters behind an amount.
        discount: part of the price that is taken off, from 0 to 1.
    """

    currency: str
    discount: float


class Prices:
    """A service: it looks prices up in a database."""

    opened = 0

    def __init__(self, database: sqlite3.Connection) -> None:
        """Read from a database."""
        self.database = database
        Prices.opened += 1

    def of(self, item: str) -> float:
        """Give the price of an item."""
        (price,) = self.database.execute("SELECT price FROM prices WHERE item = ?", (item,)).fetchone()
        return price


@task(executor="inline")
def lookup(item: str, prices: Prices) -> float:
    """Ask for the service by type; inline, as a connection stays on the thread that made it."""
    return prices.of(item)


@task
async def total(ctx: TaskExecutionContext, settings: Settings, items: list[str]) -> float:
    """Ask for the settings by type, take the items from the inputs, and run a child for each of them."""
    found = await ctx.map(lookup, items)
    return sum(found) * (1 - settings.discount)


@task
def label(total: float, settings: Settings, shop_name: str) -> str:
    """Ask for a value by name."""
    return f"{shop_name}: {total:.2f} {settings.currency}"


async def main() -> None:
    """Register what the tasks ask for, then run."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE prices (item TEXT, price REAL)")
        database.executemany("INSERT INTO prices VALUES (?, ?)", [("lamp", 40.0), ("chair", 60.0)])

        def open_prices() -> Prices:
            return Prices(database)

        wf = Workflow("shop", total >> label)
        wf.provide(Settings, Settings(currency="EUR", discount=0.1))
        wf.provide(Prices, open_prices)  # a factory: called once per run, when a task asks first
        wf.provide("shop_name", "Corner shop")

        print(await wf.run(inputs={"items": ["lamp", "chair", "lamp"]}))
        print("times the service was opened:", Prices.opened)
        wf.provide(Settings, Settings(currency="USD", discount=0.0))
        print(await wf.run(inputs={"items": ["chair"]}))
        print("times the service was opened:", Prices.opened)


if __name__ == "__main__":
    asyncio.run(main())
