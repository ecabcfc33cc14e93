"""The table of bad input: how a row is written, and what rows share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, task

Code = Callable[[], Awaitable[Any]]
CASES: list[Any] = []


def bad(error: type[BaseException], *words: str) -> Callable[[Code], Code]:
    """Put a row into the table: the code that follows, the error it must end with, words of its message."""

    def add(code: Code) -> Code:
        CASES.append(pytest.param(code, error, words, id=code.__name__))
        return code

    return add


def nodes(*ids: str) -> list[Task[Any, Any]]:
    return [Task(i) for i in ids]


@task
async def one(value: Any = 1) -> Any:
    return value


@task
async def needs(value: Any) -> Any:
    return value


async def inside(body: Callable[[g.TaskExecutionContext], Awaitable[Any]], **options: Any) -> Any:
    """Run `body` as the only task of a workflow."""

    async def run_body(ctx: g.TaskExecutionContext) -> Any:
        return await body(ctx)

    return await Workflow("w", Task("body", run_body, inject_context=True, **options)).run()
