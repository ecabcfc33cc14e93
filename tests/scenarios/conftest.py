"""The styles in which a scenario is told: plain tasks in threads, plain tasks on the loop, async tasks."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from graflow_async import task


class Style:
    """Makes tasks of plain functions, and runs workflows, in one of the ways a user may choose."""

    def __init__(self, name: str) -> None:
        """Remember the way: "thread", "inline" or "async"."""
        self.name = name

    def task(self, id_or_func: Any = None, **options: Any) -> Any:
        """Stand in for `@task`, on plain functions only."""
        if callable(id_or_func):
            return self.task()(id_or_func)

        def decorate(func: Any) -> Any:
            if self.name == "inline":
                return task(id_or_func, executor="inline", **options)(func)
            return task(id_or_func, **options)(self.body(func))

        return decorate

    def body(self, func: Any) -> Any:
        """Make the function of a task: in async style a coroutine function that lets others go first."""
        if self.name != "async":
            return func

        @functools.wraps(func)
        async def in_turn(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return func(*args, **kwargs)

        return in_turn

    def run(self, wf: Any, start: Any = None, **options: Any) -> Any:
        """Run a workflow from plain code: through the sync door, or awaited on a loop that must be left clean."""
        if self.name != "async":
            return wf.execute(start, **options)

        async def awaited() -> Any:
            try:
                return await wf.run(start, **options)
            finally:
                assert asyncio.all_tasks() == {asyncio.current_task()}

        return asyncio.run(awaited())


@pytest.fixture(params=["thread", "inline", "async"])
def style(request: pytest.FixtureRequest) -> Style:
    """Tell the scenario in every style."""
    return Style(request.param)
