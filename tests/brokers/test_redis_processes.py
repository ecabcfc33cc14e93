"""Real processes on one Redis: racing for a question, answering a run that waits, and one that has gone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    FeedbackManager,
    FeedbackState,
    FeedbackTimeoutError,
    RedisBroker,
    RedisCheckpointer,
    Task,
    Workflow,
    WorkflowPausedError,
)
from graflow_async.testing._brokers import question
from tests.brokers.test_processes import PARTIES, ROUNDS, check_race, read, tell

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parents[2]


def command(url: str, what: str, more: str) -> list[str]:
    return [sys.executable, "-m", "tests.brokers.redis_party", url, what, more]


def test_four_processes_race_for_each_question(redis_url: str):
    """Two answers, a timeout and a cancellation from four processes: one transition, and every loser knows which."""
    broker = RedisBroker(redis_url)
    requests = [question(f"{number}") for number in range(ROUNDS)]

    async def ask() -> None:
        async with broker.watch("nobody"):
            for request in requests:
                await broker.ask(request)

    asyncio.run(ask())
    with ExitStack() as stack:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        parties = [
            stack.enter_context(subprocess.Popen(command(redis_url, "race", party), **pipes)) for party in PARTIES
        ]
        assert [read(process) for process in parties] == ["ready"] * 4
        outcomes: list[list[Any]] = []
        for number, request in enumerate(requests):
            for process in parties[number % 4 :] + parties[: number % 4]:
                tell(process, request.id)
            outcomes.append([json.loads(read(process)) for process in parties])
    check_race(asyncio.run(broker.find()), requests, outcomes)


async def elsewhere(url: str, what: str, text: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*command(url, what, text), cwd=ROOT, stdout=subprocess.PIPE)


async def asks(ctx: Any) -> str:
    return await ctx.request_text_input("Which way?", request_id="way")


async def asks_briefly(ctx: Any) -> str:
    return await ctx.request_text_input("Which way?", request_id="way", timeout=0.2)


@pytest.mark.parametrize("feedback", ["broker", "manager", "name"])
async def test_a_waiting_run_is_answered_from_another_process(
    feedback: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    """The task goes on with the answer as it comes, however the run was told where its questions go."""
    monkeypatch.setenv("GRAFLOW_REDIS_URL", redis_url)
    given: dict[str, Any] = {
        "broker": RedisBroker(redis_url),
        "manager": FeedbackManager("redis", redis_url=redis_url),
        "name": "redis",
    }
    person = await elsewhere(redis_url, "wait", "left")
    assert person.stdout is not None
    assert await person.stdout.readline() == b"ready\n"
    wf = Workflow("w", Task("asks", asks, inject_context=True))
    async with asyncio.timeout(60):
        assert await wf.run(feedback=given[feedback]) == "left"
        assert await person.stdout.readline() == b"way\n"
        assert await person.wait() == 0


@pytest.mark.parametrize("place", ["directory", "redis"])
async def test_a_run_is_answered_while_nobody_waits(place: str, redis_url: str, tmp_path: Path):
    """Its question times out, another process answers, and the resumed run has the answer."""
    where: dict[str, Any] = {"checkpoint_dir": tmp_path}
    if place == "redis":
        where = {"checkpointer": RedisCheckpointer(redis_url)}
    broker = RedisBroker(redis_url)
    wf = Workflow("w", Task("asks", asks_briefly, inject_context=True))
    async with asyncio.timeout(60):
        with pytest.raises(WorkflowPausedError) as caught:
            await wf.run(feedback=broker, run_id="r", **where)
        assert caught.value.request_ids == ("way",)
        (record,) = await broker.find(run_id="r")
        assert record.state is not FeedbackState.ANSWERED
        person = await elsewhere(redis_url, "answer", "right")
        output, _ = await person.communicate()
        assert (person.returncode, output) == (0, b"way\n")
        assert await wf.resume("r", feedback=broker, **where) == "right"
        (record,) = await broker.find(run_id="r")
        assert record.state is FeedbackState.ANSWERED
        assert record.response is not None
        assert record.response.responded_by == "ada"
    with pytest.raises(FeedbackTimeoutError):
        await wf.run(feedback=broker)
    if place == "redis":
        await where["checkpointer"].aclose()
