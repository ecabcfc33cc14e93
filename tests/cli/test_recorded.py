"""`run --checkpoint-dir`, `resume` and `runs`: recorded runs from the command line, also after a kill."""

from __future__ import annotations

import json
import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODULE = """
import asyncio
import os
import signal
from pathlib import Path

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, task, workflow


def log(word):
    with open("log", "a") as file:
        file.write(word + "\\n")


with workflow("job") as job:

    @task
    def first(n: int = 2):
        log("first")
        return n

    @task
    async def second(ctx: TaskExecutionContext, first):
        log("second")
        ctx.checkpoint()
        if Path("hurdle").exists():
            raise ValueError("a hurdle")
        if Path("wait").exists():
            print("waiting", flush=True)
            await asyncio.Event().wait()
        return first * 10

    @task
    def third(second):
        log("third")
        print("third prints")
        return second + 1

    first >> second >> third


with workflow("turns") as turns:

    @task
    def turning(ctx: SyncTaskExecutionContext, number: int = 1):
        if number < 3:
            ctx.next_iteration(number + 1)
        return number


@task(on_crash="fail")
async def once():
    log("once")
    os.kill(os.getpid(), signal.SIGKILL)
"""
CHANGED = MODULE.replace("first * 10", "first * 100").replace(
    "    first >> second >> third",
    """
    @task
    def extra():
        log("extra")

    first >> second >> extra >> third""",
)
ANOTHER_KEY = "another-key-that-has-signed-nothing-of-this"
IN = ("--checkpoint-dir", "runs here")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give the command line in a folder of the test's own."""
    (tmp_path / "jobs.py").write_text(MODULE, encoding="utf-8")
    return Project(tmp_path)


@pytest.fixture
def logged(project: Project) -> Callable[[], list[str]]:
    """Tell which bodies have run since the last time."""

    def take() -> list[str]:
        path = project.folder / "log"
        words = path.read_text(encoding="utf-8").split() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    return take


def lines_of(done: Any, code: int = 0) -> list[str]:
    """Give what a command printed; on stderr there must be nothing, or one line for an error."""
    assert done.returncode == code, done
    assert len(done.stderr.splitlines()) == (code != 0), done.stderr
    return done.stdout.splitlines()


def fail_once(project: Project, run_id: str = "a") -> None:
    """Leave a run that failed in its second task."""
    (project.folder / "hurdle").touch()
    lines_of(project("run", "jobs:job", "--input", "n=4", *IN, "--run-id", run_id), 1)
    (project.folder / "hurdle").unlink()


# -- run and resume -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "fsync", "async", "exit"])
def test_a_recorded_run_completes(project: Project, durability: str) -> None:
    """With every durability the value is the same, and the run is in the list under the id that was asked for."""
    done = project("run", "jobs:job", *IN, "--run-id", "mine", "--durability", durability)
    assert lines_of(done) == ["third prints", "21"]
    (run,) = json.loads(project("runs", "list", *IN, "--json").stdout)
    assert (run["run_id"], run["workflow"], run["status"]) == ("mine", "job", "completed")


def test_a_failed_run_says_how_to_go_on_and_does(project: Project, logged: Callable[[], list[str]]) -> None:
    """The error's line ends with the very command that resumes: what had completed is not run again."""
    (project.folder / "hurdle").touch()
    done = project("run", "jobs:job", "--input", "n=4", *IN)
    lines_of(done, 1)
    assert logged() == ["first", "second"]
    told, _, command = done.stderr.strip().partition("; resume it with: ")
    assert told.startswith("error: ValueError: a hurdle (task 'second', attempt 1")
    again = project(*shlex.split(command)[1:])
    lines_of(again, 1)
    assert again.stderr == done.stderr
    (project.folder / "hurdle").unlink()
    assert lines_of(project(*shlex.split(command)[1:])) == ["third prints", "41"]
    assert logged() == ["second", "second", "third"]


@pytest.mark.parametrize("target", [[], ["jobs:job"], ["./jobs.py:job"]])
def test_a_killed_run_goes_on(project: Project, logged: Callable[[], list[str]], target: list[str]) -> None:
    """After SIGKILL the run is listed as interrupted; resuming starts what was in flight, with or without a target."""
    (project.folder / "wait").touch()
    with project.popen("run", "jobs:job", "--input", "n=4", *IN, "--run-id", "a") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        assert json.loads(project("runs", *IN, "--json").stdout)[0]["status"] == "running"
        locked = project("resume", "a", *IN)
        lines_of(locked, 1)
        child.kill()
        child.communicate()
    assert "a" in locked.stderr
    (project.folder / "wait").unlink()
    assert json.loads(project("runs", *IN, "--json").stdout)[0]["status"] == "interrupted"
    assert lines_of(project("resume", "a", *target, *IN)) == ["third prints", "41"]
    assert logged() == ["first", "second", "second", "third"]


def test_an_interrupted_run_goes_on(project: Project, logged: Callable[[], list[str]]) -> None:
    """Ctrl-C ends a recorded run cleanly, with the command that goes on with it."""
    (project.folder / "wait").touch()
    with project.popen("run", "jobs:job", *IN, "--run-id", "a") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        _, complaints = child.communicate(timeout=60)
    assert child.returncode == 130
    assert complaints == "error: interrupted; resume it with: graflow-async resume a --checkpoint-dir 'runs here'\n"
    (project.folder / "wait").unlink()
    assert lines_of(project("resume", "a", *IN)) == ["third prints", "21"]
    assert logged() == ["first", "second", "second", "third"]


def test_resume_gives_the_value_of_what_has_completed(project: Project, logged: Callable[[], list[str]]) -> None:
    """Nothing runs again, and the value is the recorded one."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    assert lines_of(project("resume", "a", *IN)) == ["21"]
    assert logged() == []


def test_resume_from_a_checkpoint_is_a_run_of_its_own(project: Project, logged: Callable[[], list[str]]) -> None:
    """The report names the new run; what comes after the checkpoint runs, and the old run is left as it is."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    (path,) = json.loads(project("runs", "show", "a", *IN, "--json").stdout)["checkpoints"]
    report = json.loads(project("resume", path, *IN, "--json").stdout)
    assert (report["status"], report["run_id"], report["value"]) == ("completed", "a-2", 21)
    assert logged() == ["third"]
    runs = {run["run_id"]: run for run in json.loads(project("runs", *IN, "--json").stdout)}
    assert {name: run["forked_from"] for name, run in runs.items()} == {"a": [], "a-2": ["a"]}


def test_json_is_alone_on_stdout(project: Project) -> None:
    """With --json stdout is one object, for a success and for a failure; what tasks print goes to stderr."""
    fail_once(project)
    done = project("resume", "a", "jobs:job", *IN, "--json", "--max-concurrency", "1", "--timeout", "60")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "third prints\n")
    assert report.pop("seconds") >= 0
    assert report == {"status": "completed", "run_id": "a", "workflow": "job", "value": 41}
    fail_once(project, "b")
    (project.folder / "hurdle").touch()
    done = project("resume", "b", *IN, "--json", "--durability", "fsync")
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"], report["run_id"]) == (1, "failed", "b")
    assert report["error"] == {"type": "ValueError", "message": "a hurdle"}


def test_a_changed_workflow_needs_consent(project: Project, logged: Callable[[], list[str]]) -> None:
    """Without --allow-changes one line lists what changed; with it, what is still valid is kept."""
    fail_once(project)
    logged()
    (project.folder / "jobs.py").write_text(CHANGED, encoding="utf-8")
    done = project("resume", "a", "jobs:job", *IN)
    lines_of(done, 1)
    assert "'extra' is new" in done.stderr
    assert "--allow-changes" in done.stderr
    assert logged() == []
    planned = lines_of(project("runs", "plan", "a", "jobs:job", *IN))
    assert "changed  'extra' is new" in planned
    assert [line for line in planned if line.startswith(("kept", "to run"))] == [
        "kept     first",
        "to run   second",
        "to run   extra",
        "to run   third",
    ]
    assert lines_of(project("resume", "a", "jobs:job", *IN, "--allow-changes")) == ["third prints", "401"]
    assert logged() == ["second", "extra", "third"]


@pytest.mark.parametrize(
    ("answer", "value", "runs_again"),
    [("once=5", "5", False), ('once={"n": 1}', "{'n': 1}", False), ("retry", "", True)],
)
def test_what_must_not_run_twice_is_asked_for(
    project: Project, logged: Callable[[], list[str]], answer: str, value: str, *, runs_again: bool
) -> None:
    """A task with on_crash="fail" that had begun: nothing runs until the user says what happened to it."""
    assert project("run", "jobs:once", *IN, "--run-id", "o").returncode == -signal.SIGKILL
    refused = project("resume", "o", *IN)
    lines_of(refused, 1)
    assert "'once'" in refused.stderr
    assert "--interrupted retry" in refused.stderr
    assert logged() == ["once"]
    done = project("resume", "o", *IN, "--interrupted", answer)
    if runs_again:
        assert done.returncode == -signal.SIGKILL  # it does what it does
    else:
        assert lines_of(done) == [value]
    assert logged() == ["once"] * runs_again


# -- runs -----------------------------------------------------------------------------------------------------


def test_the_list_is_a_table(project: Project) -> None:
    """One line for each run under the names of the columns, the one that was written last first."""
    assert lines_of(project("runs", "list", *IN)) == ["no runs are recorded in runs here"]
    assert json.loads(project("runs", *IN, "--json").stdout) == []
    assert not (project.folder / "runs here").exists()
    fail_once(project)
    project("run", "jobs:turns", *IN, "--run-id", "another")
    for arguments in (["runs", *IN], ["runs", "list", *IN]):
        lines = lines_of(project(*arguments))
        assert lines[0].split() == ["run", "workflow", "status", "updated", "records", "size"]
        assert [line.split()[:3] for line in lines[1:]] == [["another", "turns", "completed"], ["a", "job", "failed"]]
        assert len({len(line) for line in lines}) == 1


def test_show_tells_every_step(project: Project) -> None:
    """The head says what the run is and how it stands; a step has its task, its turn and when it returned."""
    project("run", "jobs:turns", *IN, "--run-id", "t")
    lines = lines_of(project("runs", "show", "t", *IN))
    head = dict(line.split(maxsplit=1) for line in lines[: lines.index("3 steps:")])
    assert (head["run"], head["workflow"], head["status"]) == ("t", "turns", "completed")
    found = [re.fullmatch(r" +(\d) +turning +turn (\d) +[-\d]+ [\d:]+\S+ +\+\d+\.\d{3} s", line) for line in lines[-3:]]
    assert [match.groups() for match in found if match] == [("1", "1"), ("2", "2"), ("3", "3")]
    shown = json.loads(project("runs", "show", "t", "jobs:turns", *IN, "--json").stdout)
    assert shown["problem"] is None
    assert [(s["step"], s["task_id"], s["turn"]) for s in shown["steps"]] == [(n, "turning", n) for n in (1, 2, 3)]
    times = [step["at"] for step in shown["steps"]]
    assert times == sorted(times)
    assert shown["created_at"] <= times[0]
    assert times[-1] <= shown["ended_at"]


def test_show_reads_a_checkpoint(project: Project) -> None:
    """A checkpoint is shown like a run: its steps are those up to where it was taken."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    shown = json.loads(project("runs", "show", "a", *IN, "--json").stdout)
    assert [step["task_id"] for step in shown["steps"]] == ["first", "second", "third"]
    saved = json.loads(project("runs", "show", shown["checkpoints"][0], *IN, "--json").stdout)
    assert (saved["run_id"], saved["status"]) == ("a", "checkpoint")
    assert [step["task_id"] for step in saved["steps"]] == ["first", "second"]


def test_show_without_the_code_still_shows_the_head(project: Project, tmp_path: Path) -> None:
    """Where the recorded code cannot be found, the head is there, one line says why there are no steps, and code 1."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    (tmp_path / "jobs.py").rename(tmp_path / "moved.py")
    done = project("runs", "show", "a", *IN)
    assert "status       completed" in lines_of(done, 1)
    assert "jobs.first" in done.stderr
    done = project("runs", "show", "a", *IN, "--json")
    assert (done.returncode, json.loads(done.stdout)["steps"]) == (1, None)
    assert "jobs.first" in json.loads(done.stdout)["problem"]
    for command in (["resume", "a"], ["runs", "plan", "a"]):
        done = project(*command, *IN)
        lines_of(done, 2)
        assert "MODULE:OBJECT" in done.stderr
    assert lines_of(project("resume", "a", "moved:job", *IN)) == ["21"]


def test_plan_says_what_would_run(project: Project, logged: Callable[[], list[str]]) -> None:
    """Nothing runs; kept and to run are told, as lines and as JSON."""
    fail_once(project)
    logged()
    assert lines_of(project("runs", "plan", "a", *IN)) == ["kept     first", "to run   second", "to run   third"]
    found = json.loads(project("runs", "plan", "a", "jobs:job", *IN, "--json").stdout)
    assert found == {"kept": ["first"], "stale": {}, "to_run": ["second", "third"], "changes": []}
    assert logged() == []


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume"], ["RUN", "resume --help"]),
        (["resume", "nothing", *IN], ["'nothing'", "neither a run"]),
        (["resume", "a", "jobs:nothing", *IN], ["jobs has no 'nothing'"]),
        (["resume", "a", *IN, "--interrupted", "again"], ["--interrupted", "'again'"]),
        (["resume", "a", *IN, "--durability", "never"], ["never", "fsync"]),
        (["resume", "a", *IN, "--max-concurrency", "0"], ["max_concurrency"]),
        (["run", "jobs:job", "--durability", "fsync"], ["--checkpoint-dir"]),
        (["run", "jobs:job", "--run-id", ""], ["run_id"]),
        (["runs", "list", "--checkpoint-dir", "jobs.py"], ["jobs.py is no directory"]),
        (["runs", "show", "nothing", *IN], ["'nothing'"]),
        (["runs", "show", *IN], ["RUN", "runs show --help"]),
        (["runs", "plan", "nothing", *IN], ["'nothing'"]),
        (["runs", "bogus"], ["bogus"]),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(project: Project, arguments: list[str], words: list[str]) -> None:
    """What is not there or makes no sense is usage: one line that names it, and nothing on stdout."""
    done = project(*arguments)
    assert lines_of(done, 2) == []
    assert [word for word in words if word not in done.stderr] == []


def test_a_run_id_is_used_once(project: Project, logged: Callable[[], list[str]]) -> None:
    """A second run of the same id is refused before anything runs, and the first one stays as it is."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    done = project("run", "jobs:job", *IN, "--run-id", "a")
    assert lines_of(done, 1) == []
    assert "there is a run 'a' already" in done.stderr
    assert logged() == []


@pytest.mark.parametrize("command", [["resume"], ["runs", "show"], ["runs", "plan"]])
def test_damage_and_foreign_keys_are_one_line(project: Project, command: list[str]) -> None:
    """A journal of another key, or one that is none, is a failure told in one line; nothing is loaded."""
    project("run", "jobs:job", *IN, "--run-id", "a")
    done = project(*command, "a", *IN, GRAFLOW_SECRET_KEY=ANOTHER_KEY)
    assert lines_of(done, 1) == []
    assert "signed" in done.stderr
    (project.folder / "runs here" / "a" / "journal").write_text("junk\n")
    done = project(*command, "a", *IN)
    assert lines_of(done, 1) == []
    assert "junk" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["run"], ["--checkpoint-dir", "--run-id", "--durability"]),
        (
            ["resume"],
            ["RUN", "--checkpoint-dir", "--allow-changes", "--interrupted", "--durability", "--json", "--debug"],
        ),
        (["runs"], ["list", "show", "plan", "--checkpoint-dir"]),
        (["runs", "show"], ["RUN", "--checkpoint-dir", "--json"]),
    ],
)
def test_help_names_every_option(project: Project, command: list[str], words: list[str]) -> None:
    """Each command explains its options."""
    done = project(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in words if word not in done.stdout] == []
