"""`run --checkpoint-dir` and `resume`: recorded runs go on from the command line, also after a kill."""

from __future__ import annotations

import json
import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import NOTICE
from tests.cli.recorded import CHANGED, IN, fail_once, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Project


@pytest.mark.parametrize("durability", ["process", "fsync", "async", "exit"])
def test_a_recorded_run_completes(jobs: Project, durability: str) -> None:
    """With every durability the value is the same, and the run is in the list under the id that was asked for."""
    done = jobs("run", "jobs:job", *IN, "--run-id", "mine", "--durability", durability)
    assert lines_of(done) == ["third prints", "21"]
    (run,) = json.loads(jobs("runs", "list", *IN, "--json").stdout)
    assert (run["run_id"], run["workflow"], run["status"]) == ("mine", "job", "completed")


def test_a_failed_run_says_how_to_go_on_and_does(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """The error's line ends with the very command that resumes: what had completed is not run again."""
    (jobs.folder / "hurdle").touch()
    done = jobs("run", "jobs:job", "--input", "n=4", *IN)
    lines_of(done, 1)
    assert logged() == ["first", "second"]
    told, _, command = done.stderr.strip().partition("; resume it with: ")
    assert told.startswith("error: ValueError: a hurdle (task 'second', attempt 1")
    again = jobs(*shlex.split(command)[3:])
    lines_of(again, 1)
    assert again.stderr == done.stderr
    (jobs.folder / "hurdle").unlink()
    assert lines_of(jobs(*shlex.split(command)[3:])) == ["third prints", "41"]
    assert logged() == ["second", "second", "third"]


@pytest.mark.parametrize("target", [[], ["jobs:job"], ["./jobs.py:job"]])
def test_a_killed_run_goes_on(jobs: Project, logged: Callable[[], list[str]], target: list[str]) -> None:
    """After SIGKILL the run is listed as interrupted; resuming starts what was in flight, with or without a target."""
    (jobs.folder / "wait").touch()
    with jobs.popen("run", "jobs:job", "--input", "n=4", *IN, "--run-id", "a") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        assert json.loads(jobs("runs", *IN, "--json").stdout)[0]["status"] == "running"
        locked = jobs("resume", "a", *IN)
        lines_of(locked, 1)
        child.kill()
        child.communicate()
    assert "a" in locked.stderr
    (jobs.folder / "wait").unlink()
    assert json.loads(jobs("runs", *IN, "--json").stdout)[0]["status"] == "interrupted"
    assert lines_of(jobs("resume", "a", *target, *IN)) == ["third prints", "41"]
    assert logged() == ["first", "second", "second", "third"]


def test_an_interrupted_run_goes_on(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """Ctrl-C ends a recorded run cleanly, with the command that goes on with it."""
    (jobs.folder / "wait").touch()
    with jobs.popen("run", "jobs:job", *IN, "--run-id", "a") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        _, complaints = child.communicate(timeout=60)
    assert child.returncode == 130
    command = "python -m graflow_async resume a --checkpoint-dir 'runs here'"
    assert complaints.removeprefix(NOTICE) == f"error: interrupted; resume it with: {command}\n"
    (jobs.folder / "wait").unlink()
    assert lines_of(jobs("resume", "a", *IN)) == ["third prints", "21"]
    assert logged() == ["first", "second", "second", "third"]


def test_resume_gives_the_value_of_what_has_completed(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """Nothing runs again, and the value is the recorded one."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    assert lines_of(jobs("resume", "a", *IN)) == ["21"]
    assert logged() == []


def test_resume_from_a_checkpoint_is_a_run_of_its_own(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """The report names the new run; what comes after the checkpoint runs, and the old run is left as it is."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    (path,) = json.loads(jobs("runs", "show", "a", *IN, "--json").stdout)["checkpoints"]
    report = json.loads(jobs("resume", path, *IN, "--json").stdout)
    assert (report["status"], report["run_id"], report["value"]) == ("completed", "a-2", 21)
    assert logged() == ["third"]
    runs = {run["run_id"]: run for run in json.loads(jobs("runs", *IN, "--json").stdout)}
    assert {name: run["forked_from"] for name, run in runs.items()} == {"a": [], "a-2": ["a"]}


def test_json_is_alone_on_stdout(jobs: Project) -> None:
    """With --json stdout is one object, for a success and for a failure; what tasks print goes to stderr."""
    fail_once(jobs)
    done = jobs("resume", "a", "jobs:job", *IN, "--json", "--timeout", "60")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "third prints\n")
    assert report.pop("seconds") >= 0
    expected = {"status": "completed", "run_id": "a", "workflow": "job", "value": 41}
    assert report == expected
    again = json.loads(jobs("resume", "a", *IN, "--json").stdout)
    assert {key: again[key] for key in expected} == expected
    fail_once(jobs, "b")
    (jobs.folder / "hurdle").touch()
    done = jobs("resume", "b", *IN, "--json", "--durability", "fsync")
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"], report["run_id"], report["workflow"]) == (1, "failed", "b", "job")
    assert report["error"] == {"type": "ValueError", "message": "a hurdle"}


def test_limits_are_changed_where_the_run_had_them(jobs: Project) -> None:
    """A bound that the run was begun with may be another one now; one that it never had is a usage error."""
    fail_once(jobs)
    refused = jobs("resume", "a", *IN, "--max-concurrency", "1")
    lines_of(refused, 2)
    assert "max_concurrency" in refused.stderr
    (jobs.folder / "hurdle").touch()
    lines_of(jobs("run", "jobs:job", *IN, "--run-id", "b", "--max-concurrency", "2"), 1)
    (jobs.folder / "hurdle").unlink()
    assert lines_of(jobs("resume", "b", *IN, "--max-concurrency", "1")) == ["third prints", "21"]


def test_a_changed_workflow_needs_consent(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """Without --allow-changes one line lists what changed; with it, what is still valid is kept."""
    fail_once(jobs)
    logged()
    (jobs.folder / "jobs.py").write_text(CHANGED, encoding="utf-8")
    done = jobs("resume", "a", "jobs:job", *IN)
    lines_of(done, 1)
    assert "'extra' is new" in done.stderr
    assert "--allow-changes" in done.stderr
    assert logged() == []
    planned = lines_of(jobs("runs", "plan", "a", "jobs:job", *IN))
    assert "changed  'extra' is new" in planned
    assert sorted(line for line in planned if line.startswith(("kept", "to run"))) == [
        "kept     first",
        "to run   extra",
        "to run   second",
        "to run   third",
    ]
    assert lines_of(jobs("resume", "a", "jobs:job", *IN, "--allow-changes")) == ["third prints", "401"]
    assert logged() == ["second", "extra", "third"]


@pytest.mark.parametrize(
    ("answer", "value", "runs_again"),
    [("once=5", "5", False), ('once={"n": 1}', "{'n': 1}", False), ("retry", "", True)],
)
def test_what_must_not_run_twice_is_asked_for(
    jobs: Project, logged: Callable[[], list[str]], answer: str, value: str, *, runs_again: bool
) -> None:
    """A task with on_crash="fail" that had begun: nothing runs until the user says what happened to it."""
    assert jobs("run", "jobs:once", *IN, "--run-id", "o").returncode == -signal.SIGKILL
    refused = jobs("resume", "o", *IN)
    lines_of(refused, 1)
    assert "'once'" in refused.stderr
    assert "--interrupted retry" in refused.stderr
    assert logged() == ["once"]
    done = jobs("resume", "o", *IN, "--interrupted", answer)
    if runs_again:
        assert done.returncode == -signal.SIGKILL  # it does what it does
    else:
        assert lines_of(done) == [value]
    assert logged() == ["once"] * runs_again
