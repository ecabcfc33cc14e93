"""What the tests of bodies that run elsewhere share; what crosses the border is a copy, so state is kept here."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from graflow_async import Task, Workflow, task
from tests.aids.loopback import Loopback

count: Counter[str] = Counter()
reached: dict[str, asyncio.Event] = {}


def event(name: str) -> asyncio.Event:
    """Give an event that both sides of the border know."""
    return reached.setdefault(name, asyncio.Event())


def forget() -> None:
    """Forget what an earlier test has left here."""
    count.clear()
    reached.clear()


def alone(body: Any, **options: Any) -> Workflow:
    """Make a workflow of one body with a context."""
    return Workflow("w", Task("parent", body, inject_context=True, **options))


async def far(body: Any, **options: Any) -> Any:
    """Run `body(ctx)`, and everything that it starts, over the border."""
    loopback = Loopback()
    value = await alone(body).run(executor=loopback, **options)
    assert loopback.count
    return value


class Opaque:
    """Equal to nothing but itself."""

    def __init__(self, number: int) -> None:
        self.number = number


class OwnError(Exception):
    """An exception whose constructor wants something else than its arguments."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code


@task
async def double(n: int) -> int:
    """Give twice a number."""
    return 2 * n


@task
def triple(n: int) -> int:
    """Give three times a number, in a thread."""
    return 3 * n


@task
async def fails(n: int) -> None:
    """Raise something of the user's own."""
    raise OwnError(n, "there")


@task(executor="inline")
async def here() -> str:
    """Have no executor of its own: it runs where the default says."""
    return "here"
