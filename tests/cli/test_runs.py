"""`runs`: recorded runs are listed and shown, a resumption is planned, and nonsense is refused in one line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.recorded import ANOTHER_KEY, IN, fail_once, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Project


def test_the_list_is_a_table(jobs: Project) -> None:
    """One line for each run under the names of the columns, the one that was written last first."""
    assert lines_of(jobs("runs", "list", *IN)) == ["no runs are recorded in runs here"]
    assert json.loads(jobs("runs", *IN, "--json").stdout) == []
    assert not (jobs.folder / "runs here").exists()
    fail_once(jobs)
    jobs("run", "jobs:turns", *IN, "--run-id", "another")
    for arguments in (["runs", *IN], ["runs", "list", *IN]):
        lines = lines_of(jobs(*arguments))
        assert lines[0].split() == ["run", "workflow", "status", "updated", "records", "size"]
        assert [line.split()[:3] for line in lines[1:]] == [["another", "turns", "completed"], ["a", "job", "failed"]]
        assert len({len(line) for line in lines}) == 1


def test_show_tells_every_step(jobs: Project) -> None:
    """The head says what the run is and how it stands; a step has its task, its turn and when it returned."""
    jobs("run", "jobs:turns", *IN, "--run-id", "t")
    lines = lines_of(jobs("runs", "show", "t", *IN))
    head = dict(line.split(maxsplit=1) for line in lines[: lines.index("3 steps:")])
    assert (head["run"], head["workflow"], head["status"]) == ("t", "turns", "completed")
    found = [re.fullmatch(r" +(\d) +turning +turn (\d) +[-\d]+ [\d:]+\S+ +\+\d+\.\d{3} s", line) for line in lines[-3:]]
    assert [match.groups() for match in found if match] == [("1", "1"), ("2", "2"), ("3", "3")]
    shown = json.loads(jobs("runs", "show", "t", "jobs:turns", *IN, "--json").stdout)
    assert shown["problem"] is None
    assert [(s["step"], s["task_id"], s["turn"]) for s in shown["steps"]] == [(n, "turning", n) for n in (1, 2, 3)]
    times = [step["at"] for step in shown["steps"]]
    assert times == sorted(times)
    assert shown["created_at"] <= times[0]
    assert times[-1] <= shown["ended_at"]


def test_show_reads_a_checkpoint(jobs: Project) -> None:
    """A checkpoint is shown like a run: its steps are those up to where it was taken."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    shown = json.loads(jobs("runs", "show", "a", *IN, "--json").stdout)
    assert [step["task_id"] for step in shown["steps"]] == ["first", "second", "third"]
    saved = json.loads(jobs("runs", "show", shown["checkpoints"][0], *IN, "--json").stdout)
    assert (saved["run_id"], saved["status"]) == ("a", "checkpoint")
    assert [step["task_id"] for step in saved["steps"]] == ["first", "second"]


def test_show_without_the_code_still_shows_the_head(jobs: Project, tmp_path: Path) -> None:
    """Where the recorded code cannot be found, the head is there, one line says why there are no steps, and code 1."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    (tmp_path / "jobs.py").rename(tmp_path / "moved.py")
    done = jobs("runs", "show", "a", *IN)
    assert "status       completed" in lines_of(done, 1)
    assert "jobs.first" in done.stderr
    done = jobs("runs", "show", "a", *IN, "--json")
    assert (done.returncode, json.loads(done.stdout)["steps"]) == (1, None)
    assert "jobs.first" in json.loads(done.stdout)["problem"]
    for command in (["resume", "a"], ["runs", "plan", "a"]):
        done = jobs(*command, *IN)
        lines_of(done, 2)
        assert "MODULE:OBJECT" in done.stderr
    assert lines_of(jobs("resume", "a", "moved:job", *IN)) == ["21"]


def test_plan_says_what_would_run(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """Nothing runs; kept and to run are told, as lines and as JSON."""
    fail_once(jobs)
    logged()
    assert lines_of(jobs("runs", "plan", "a", *IN)) == ["kept     first", "to run   second", "to run   third"]
    found = json.loads(jobs("runs", "plan", "a", "jobs:job", *IN, "--json").stdout)
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
def test_a_wrong_command_line_is_one_line_and_code_2(jobs: Project, arguments: list[str], words: list[str]) -> None:
    """What is not there or makes no sense is usage: one line that names it, and nothing on stdout."""
    done = jobs(*arguments)
    assert lines_of(done, 2) == []
    assert [word for word in words if word not in done.stderr] == []


def test_a_run_id_is_used_once(jobs: Project, logged: Callable[[], list[str]]) -> None:
    """A second run of the same id is refused before anything runs, and the first one stays as it is."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    logged()
    done = jobs("run", "jobs:job", *IN, "--run-id", "a")
    assert lines_of(done, 1) == []
    assert "there is a run 'a' already" in done.stderr
    assert logged() == []


@pytest.mark.parametrize("command", [["resume"], ["runs", "show"], ["runs", "plan"]])
def test_damage_and_foreign_keys_are_one_line(jobs: Project, command: list[str]) -> None:
    """A journal of another key, or one that is none, is a failure told in one line; nothing is loaded."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    done = jobs(*command, "a", *IN, GRAFLOW_SECRET_KEY=ANOTHER_KEY)
    assert lines_of(done, 1) == []
    assert "signed" in done.stderr
    (jobs.folder / "runs here" / "a" / "journal").write_text("junk\n")
    done = jobs(*command, "a", *IN)
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
def test_help_names_every_option(jobs: Project, command: list[str], words: list[str]) -> None:
    """Each command explains its options."""
    done = jobs(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in words if word not in done.stdout] == []
