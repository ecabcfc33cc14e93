"""`worker`, `dead` and `keygen`: what operators of workers need, over a real Redis."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from graflow_async import codec
from graflow_async._redis.jobs import Job, JobQueue
from graflow_async._redis.jobs_data import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Project


async def die_of(url: str, *names: str, queue: str = "default") -> list[str]:
    """Let workers die of some jobs until those are given up; give the ids of their letters, oldest first."""
    async with JobQueue(url, queue) as jobs:
        driver, worker = jobs.driver("a run"), jobs.worker("w")
        await driver.own()
        await worker.join()
        await driver.enqueue([Job(name, b"payload") for name in names])
        while len(await jobs.dead.list()) < len(names):
            await worker.crash(await worker.take(1), "killed by signal 9")
        await worker.retire()
        return [letter.id for letter in await jobs.dead.list()]


def test_letters_are_listed_shown_and_dropped(project: Project, redis_url: str) -> None:
    """An operator sees which tasks were given up and why, and throws one away; programs get the same as JSON."""
    where = ("--redis-url", redis_url)
    done = project("dead", *where)
    assert (done.returncode, done.stdout) == (0, "queue 'default' has no dead letters\n")
    first, second = asyncio.run(die_of(redis_url, "4.1.1", "5.1.1"))
    table = [line.split() for line in project("dead", "list", *where).stdout.splitlines()]
    assert table[0] == ["letter", "at", "run", "task", "deaths"]
    assert [(line[0], line[-2:]) for line in table[1:]] == [(first, ["4.1.1", "4"]), (second, ["5.1.1", "4"])]
    listed = json.loads(project("dead", "--json", *where).stdout)
    assert [(letter["id"], letter["job"], letter["payload"]) for letter in listed] == [
        (first, "4.1.1", 7),
        (second, "5.1.1", 7),
    ]
    shown = project("dead", "show", first, *where).stdout.splitlines()
    assert shown[0].split() == ["letter", first]
    assert sum(line.startswith("story") and line.endswith("killed by signal 9") for line in shown) == 4
    assert json.loads(project("dead", "show", first, *where, "--json").stdout) == listed[0]
    assert project("dead", "drop", first, *where).stdout == f"{first}: dropped\n"
    assert [letter["id"] for letter in json.loads(project("dead", "--json", *where).stdout)] == [second]


def test_a_letter_is_retried(project: Project, redis_url: str) -> None:
    """The job waits again and the letter is gone; the queue and the Redis may come from the environment."""
    (letter,) = asyncio.run(die_of(redis_url, "4.1.1", queue="other"))
    environment = {"GRAFLOW_REDIS_URL": redis_url, "GRAFLOW_QUEUE": "other"}
    assert project("dead", "retry", letter, **environment).stdout == f"{letter}: queued\n"
    assert json.loads(project("dead", "--json", **environment).stdout) == []

    async def waiting() -> dict[str, State]:
        async with JobQueue(redis_url, "other") as queue:
            return await queue.driver("a run").states(["4.1.1"])

    assert asyncio.run(waiting()) == {"4.1.1": "queued"}


@pytest.mark.parametrize("verb", ["show", "retry", "drop"])
def test_an_unknown_letter_is_refused(fails: Callable[..., str], redis_url: str, verb: str) -> None:
    """A letter that is not there is one line and exit code 1, whether it could be there or not."""
    for letter in ("1-1", "nope", f"1-{2**64}"):
        said = fails(1, "dead", verb, letter, "--redis-url", redis_url)
        assert said == f"queue 'default' has no dead letter {letter!r}"


def test_a_redis_that_is_not_there_is_told(fails: Callable[..., str]) -> None:
    """What is no address is a wrong command line; an address without a Redis has failed."""
    assert "is no address of a Redis" in fails(2, "dead", "--redis-url", "nonsense")
    assert "does not answer" in fails(1, "dead", "--redis-url", "unix:///no/such/redis.sock")


def test_every_key_is_new_and_signs(project: Project) -> None:
    """What `keygen` prints is a key that signs, another one each time."""
    first, second = (project("keygen").stdout for _ in range(2))
    assert first != second
    keyring = codec.Keyring.load(first.strip())
    assert codec.unseal(codec.seal(b"payload", "test", keyring), "test", keyring) == b"payload"


def test_the_worker_is_the_same_program(project: Project, redis_url: str) -> None:
    """`worker` takes the options of `python -m graflow_async.worker`, serves, and ends with code 0 after SIGTERM."""
    shown = project("worker", "--help")
    assert shown.returncode == 0
    assert "--worker-id" in shown.stdout
    assert project("worker", "--no-such-option").returncode == 2
    process = project.popen("worker", "--redis-url", redis_url, "--worker-id", "w1")
    with process:
        lines = []
        for line in process.stderr or ():
            lines.append(line)
            if "w1" in line and "serves" in line:
                break
        process.terminate()
        rest = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == 0, "".join(lines) + rest


def test_a_worker_without_a_redis_fails(project: Project) -> None:
    """A worker that cannot begin says why and ends with a code that is not 0."""
    done = project("worker", "--redis-url", "nonsense")
    assert done.returncode != 0
    assert "is no address of a Redis" in done.stderr
