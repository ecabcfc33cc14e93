"""Real runs that ask: they go on with an answer from another process, or pause with code 3 and are resumed."""

from __future__ import annotations

import json
import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import NOTICE
from tests.cli.questions import HOSTILE, IN, MODULE, USER, Desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.aids.warm import Program
    from tests.cli.conftest import Project

RUN = ("run", "asking:asking", *IN, "--run-id", "r")


@pytest.fixture
def desk(jobs: Project) -> Desk:
    """Give the questions of a folder with a workflow that asks."""
    (jobs.folder / "asking.py").write_text(MODULE, encoding="utf-8")
    (jobs.folder / "runs here").mkdir()
    return Desk(jobs)


def state_in(line: str) -> tuple[str, str, str | None]:
    """Read a line of `watch --json`: the run, the state of the question, and the answer."""
    told = json.loads(line)
    response = told["record"]["response"]
    return told["run_id"], told["record"]["state"], response and response["selected"]


@contextmanager
def going(project: Project, *arguments: str) -> Iterator[Program]:
    """Run a command for as long as a test looks at it, whatever comes of the test."""
    with project.popen(*arguments) as child:
        try:
            yield child
        finally:
            child.kill()


def stopped(child: Program, name: signal.Signals) -> tuple[int, str, str]:
    """Send a signal and give the exit code and what was printed since."""
    child.send_signal(name)
    out, complaints = child.communicate(timeout=60)
    return child.wait(), out, complaints.removeprefix(NOTICE)


def test_a_run_goes_on_with_an_answer_from_elsewhere(desk: Desk) -> None:
    """A watcher hears of the question, another process answers it, and the run completes; Ctrl-C ends the watch."""
    project = desk.project
    with going(project, "feedback", "watch", "--json", *IN) as watcher, going(project, *RUN) as run:
        assert watcher.stdout is not None
        assert state_in(watcher.stdout.readline()) == ("r", "pending", None)
        done = project("feedback", "answer", "colour", "--select", "green", *IN)
        assert (done.returncode, done.stdout, done.stderr) == (0, "answered 'colour' of run r\n", "")
        assert state_in(watcher.stdout.readline()) == ("r", "answered", "green")
        assert run.communicate(timeout=60)[0] == "green\n"
        assert run.returncode == 0
        assert stopped(watcher, signal.SIGINT) == (0, "", "")


def test_watch_tells_people(desk: Desk) -> None:
    """Lines for people: what was open before, what changes, events; for one person only where asked; nothing raw."""
    desk.put("early", assignee="ann", prompt=HOSTILE)
    desk.put("old", run_id="run-2", created_at=200.0)
    with (
        going(desk.project, "feedback", "watch", *IN) as everybody,
        going(desk.project, "feedback", "watch", "--assignee", "ann", "--run", "run-1", *IN) as ann,
    ):
        assert everybody.stdout is not None
        assert ann.stdout is not None
        assert everybody.stdout.readline().split()[2:5] == ["open", "run-1", "early"]
        assert everybody.stdout.readline().split()[2:5] == ["open", "run-2", "old"]
        line = ann.stdout.readline()
        assert line.split()[2:5] == ["open", "run-1", "early"]
        assert line.rstrip("\n").isprintable()
        assert "\\x1b[2J" in line
        desk("send", "run-1", "go", "[1]")
        assert everybody.stdout.readline().split()[2:] == ["event", "run-1", "go", "[1]"]
        desk("cancel", "old", "--reason", "enough")
        assert everybody.stdout.readline().split()[2:] == ["cancelled", "run-2", "old", "enough"]
        desk("answer", "early", "--approve")
        for child in (everybody, ann):
            assert child.stdout is not None
            assert child.stdout.readline().split()[2:] == ["answered", "run-1", "early", "true"]
        assert stopped(ann, signal.SIGINT) == (0, "", "")
        assert stopped(everybody, signal.SIGTERM) == (143, "", "error: terminated\n")


def test_a_paused_run_says_how_it_goes_on(desk: Desk) -> None:
    """With nobody there a recorded run ends with code 3 and one line; a late answer counts, once it is resumed."""
    project = desk.project
    done = project(*RUN, "--input", "timeout=0.1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "paused: run r: nobody answered 'colour' in time; open questions: 'colour'; "
        "resume it with: python -m graflow_async resume r --checkpoint-dir 'runs here'\n"
    )
    again = project("resume", "r", *IN, "--json")
    report = json.loads(again.stdout)
    assert (again.returncode, report["status"], report["request_ids"]) == (3, "paused", ["colour"])
    assert again.stderr.startswith(
        "paused: run r: nobody answered 'colour' in time; open questions: 'colour'; resume it with: "
    )
    (line,) = desk("answer", "colour", "--select", "red")
    told, _, command = line.partition("; resume with: ")
    assert told == "answered 'colour' of run r"
    assert desk("send", "r", "go") == [f"sent 'go' to run r; the run does not go on by itself: {command}"]
    done = project(*shlex.split(command)[1:])
    assert (done.returncode, done.stdout, done.stderr) == (0, "red\n", "")
    assert desk("send", "r", "go") == ["sent 'go' to run r"]
    assert desk.json("show", "colour")["response"]["responded_by"] == USER


def test_an_answer_before_the_question(desk: Desk) -> None:
    """An answer that was given before the run began is taken when the run asks."""
    desk("answer", "colour", "--run", "r", "--select", "green")
    done = desk.project(*RUN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "green\n", "")


def test_without_a_journal_a_question_fails_the_run(desk: Desk) -> None:
    """A run that is not recorded cannot pause: it fails with code 1 and one line."""
    done = desk.project("run", "asking:asking", "--input", "timeout=0.1")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "'colour'" in line
