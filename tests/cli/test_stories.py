"""`runs timeline` and `runs explain`: what a recorded run did when, and why; nonsense is refused in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.recorded import IN, lines_of

if TYPE_CHECKING:
    from tests.cli.conftest import Project


def test_the_timeline_of_a_run(jobs: Project) -> None:
    """A line for each span under the names of the columns, a star for the critical path, and the same as JSON."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    lines = lines_of(jobs("runs", "timeline", "a", *IN))
    assert lines[0].split() == ["instance", "task", "turn", "attempt", "ready", "waited", "ran", "status"]
    rows = [line.split() for line in lines[1:-1]]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("*", "first", "completed"),
        ("*", "second", "completed"),
        ("*", "third", "completed"),
    ]
    assert lines[-1].startswith("seconds; *")
    found = json.loads(jobs("runs", "timeline", "a", "jobs:job", *IN, "--json").stdout)
    assert (found["run_id"], found["workflow"], found["known_since"]) == ("a", "job", None)
    assert [(span["task_id"], span["cause"], span["critical"]) for span in found["spans"]] == [
        ("first", None, True),
        ("second", 1, True),
        ("third", 2, True),
    ]
    times = [(span["queued_at"], span["started_at"], span["finished_at"]) for span in found["spans"]]
    assert [sorted(row) for row in times] == [list(row) for row in times]


def test_a_task_is_explained(jobs: Project) -> None:
    """By its id or by the number of an instance, in words and as JSON; the code of the run need not be there."""
    jobs("run", "jobs:turns", *IN, "--run-id", "t")
    (line,) = lines_of(jobs("runs", "explain", "t", "turning", *IN))
    assert line.startswith("turning (turn 3) ran ")
    assert "when the turn before had ended." in line
    assert lines_of(jobs("runs", "explain", "t", "1", *IN)) == [line]
    found = json.loads(jobs("runs", "explain", "t", "turning", *IN, "--json").stdout)
    assert (found["task_id"], found["instance"], found["status"], found["text"]) == ("turning", 1, "completed", line)
    assert [span["turn"] for span in found["spans"]] == [1, 2, 3]
    assert [part["kind"] for part in found["parts"]] == ["ready", "ran"]


def test_a_failed_run_is_told_without_its_code(jobs: Project) -> None:
    """What never began says what it waited for, also where the module is gone."""
    (jobs.folder / "hurdle").touch()
    jobs("run", "jobs:job", *IN, "--run-id", "f")
    (jobs.folder / "jobs.py").rename(jobs.folder / "moved.py")
    (line,) = lines_of(jobs("runs", "explain", "f", "third", *IN))
    assert line == "third never began: what leads to it has ended and did not release it: 'second' (failed)."


def test_nonsense_is_refused(jobs: Project) -> None:
    """An unknown run, an unknown task: one line, code 2."""
    jobs("run", "jobs:job", *IN, "--run-id", "a")
    for arguments, word in (
        (["timeline", "nothing", *IN], "'nothing'"),
        (["explain", "a", "secnd", *IN], "near: 'second'"),
    ):
        done = jobs("runs", *arguments)
        assert done.returncode == 2
        assert word in done.stderr
        assert "Traceback" not in done.stderr
