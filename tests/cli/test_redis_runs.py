"""Runs that are recorded in a Redis, told by its URL in place of a directory."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from graflow_async.cli.failures import resume_command
from tests.cli.recorded import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Project


def test_a_run_in_redis_goes_on(jobs: Project, redis_url: str, logged: Callable[[], list[str]]) -> None:
    """A run that failed is listed, shown, and resumed by the very command that its error names."""
    place = ["--checkpoint-dir", redis_url]
    assert lines_of(jobs("runs", *place)) == [f"no runs are recorded in {redis_url}"]
    (jobs.folder / "hurdle").touch()
    done = jobs("run", "jobs:job", "--input", "n=4", "--run-id", "mine", *place)
    lines_of(done, 1)
    (listed,) = json.loads(jobs("runs", "list", *place, "--json").stdout)
    assert (listed["run_id"], listed["status"]) == ("mine", "failed")
    shown = json.loads(jobs("runs", "show", "mine", *place, "--json").stdout)
    assert [step["task_id"] for step in shown["steps"]] == ["first"]
    (jobs.folder / "hurdle").unlink()
    command = done.stderr.strip().partition("; resume it with: ")[2]
    assert lines_of(jobs(*shlex.split(command)[3:])) == ["third prints", "41"]
    assert logged() == ["first", "second", "second", "third"]
    assert not list(jobs.folder.glob("*:*"))


def test_a_password_is_not_told() -> None:
    """The command that goes on with a run shows where it is, without the password of the Redis."""
    told = resume_command("a", "rediss://me:secret@host:1/0")
    assert told == "graflow-async resume a --checkpoint-dir 'rediss://me:***@host:1/0'"
    assert resume_command("a", "redis://me@host") == "graflow-async resume a --checkpoint-dir redis://me@host"
