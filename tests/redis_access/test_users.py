"""Redis with users of its own: the one of the manual can do everything, and who may not is told so at once."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest

from graflow_async import CheckpointError
from graflow_async._redis.refusals import RIGHTS
from graflow_async.cli import doctor_redis
from graflow_async.redis_errors import RedisAccessError
from graflow_async.worker import Worker
from tests.redis_access import deeds
from tests.redis_access.servers import PASSWORD, USER, Server, close_to_strangers, rights_of_the_manual

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = "s3cret-and-wrong"
COMMANDS = (
    ("graflow_async.worker",),
    ("graflow_async", "dead", "list"),
    ("graflow_async", "doctor"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis with the manual's user, one that may do too little and one that may not ask; the usual one is off."""
    with Server() as server:
        server.ask("ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~other:*", "resetchannels", "+@all")
        server.ask("ACL", "SETUSER", "mute", "on", f">{PASSWORD}", "~*", "+@all", "-config", "-info")
        close_to_strangers(server)
        yield server


def at(server: Server, name: str, password: str = PASSWORD, db: int = 3) -> str:
    """Give the URL for a user."""
    return f"redis://{name}:{password}@127.0.0.1:{server.port}/{db}"


async def commands(url: str, *lines: tuple[str, ...]) -> list[subprocess.CompletedProcess[str]]:
    """Run some commands at once."""
    return await asyncio.gather(*(asyncio.to_thread(deeds.command, *words, url=url) for words in lines))


def test_one_line():
    """The line of the manual and the rights that error messages name are the same."""
    assert " ".join(rights_of_the_manual()[:6]) == "ACL SETUSER graflow reset on >PASSWORD"
    assert " ".join(rights_of_the_manual()[6:]) == RIGHTS


async def test_the_line_of_the_manual_is_enough(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Workers, channels, locks, watches, a journal, a question and the commands need no right that it does not give."""
    url = at(server, USER)
    monkeypatch.setenv("GRAFLOW_REDIS_URL", url)
    async with deeds.serving(url, "w1") as said:
        await deeds.everything(url)
        (doctor,) = await commands(url, COMMANDS[-1])
    assert doctor.returncode == 0, doctor.stdout
    assert "has 1: w1" in doctor.stdout
    assert PASSWORD not in doctor.stdout + str(said)


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        (USER, WRONG, "does not accept the name and password"),
        ("nobody", WRONG, "does not accept the name and password"),
        ("poor", PASSWORD, "lacks a right"),
    ],
)
async def test_who_is_not_let_in_is_told_at_once(
    server: Server, name: str, password: str, words: str, caplog: pytest.LogCaptureFixture
):
    """Every door names the cause and what to do, does not try for as long as with an outage, and keeps the password."""
    found = await deeds.refusals(at(server, name, password))
    for door, error in found.items():
        assert isinstance(error, CheckpointError if door in ("record", "list_runs") else RedisAccessError), door
        assert words in str(error), door
        assert password not in f"{error}{error!r}{error.__cause__}", door
    assert password not in caplog.text


async def test_a_run_that_may_not_ask_says_so_in_one_line(server: Server, caplog: pytest.LogCaptureFixture):
    """Watching, asking, expiring and taking back are all refused for one reason, which is logged once, in words."""
    with pytest.raises(RedisAccessError):
        await deeds.ask(at(server, USER, WRONG))
    (told,) = [record for record in caplog.records if record.name == "graflow_async.feedback"]
    assert "does not accept the name and password" in told.getMessage()
    assert told.exc_info is None


async def test_no_name_at_all(server: Server):
    """A URL without a name, where Redis wants one, is told to have none."""
    with pytest.raises(RedisAccessError, match="wants a name and a password"):
        await deeds.store(f"redis://127.0.0.1:{server.port}")


async def test_commands_end_at_once(server: Server):
    """The commands end with one line that says what to do, without a traceback and the password."""
    for done in await commands(at(server, USER, WRONG), *COMMANDS):
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert "does not accept the name and password" in said
        assert WRONG not in said
        assert "Traceback" not in said


async def test_a_user_who_may_not_ask_is_warned(server: Server, caplog: pytest.LogCaptureFixture):
    """Without CONFIG and INFO nobody knows how memory is kept: a worker says so, and serves; so does doctor."""
    url, words = at(server, "mute"), "it must be 6.2 or newer, with maxmemory-policy noeviction"
    worker = Worker(url)
    with caplog.at_level("INFO"):
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await deeds.drive(url)
            worker.stop()
    assert words in caplog.text
    findings = await doctor_redis.look_at(url, "default", is_signed=True)
    assert [finding.state for finding in findings if words in finding.detail] == ["warning"]
    assert all(finding.state != "problem" for finding in findings)
