"""What Tab offers: commands, recorded runs, open questions and what can be run, in a real bash as well."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from graflow_async.cli import main
from graflow_async.cli.completion import VARIABLE
from tests.cli.questions import Desk
from tests.cli.recorded import IN

if TYPE_CHECKING:
    from tests.cli.conftest import Project

MODULE = """
raise SystemExit("Tab must not run this")
from graflow_async import Workflow, flow, task, workflow

with workflow("etl") as etl:

    @task
    def load(): ...


@task(retries=2)
async def lone(): ...


@flow
def whole(): ...


def helper(): ...


made = Workflow("made", lone)
number = 7
"""


@pytest.fixture
def tab(jobs: Project, monkeypatch: pytest.MonkeyPatch):
    """Press Tab behind some words, as bash has split them: give what is offered."""
    (jobs.folder / "etl.py").write_text(MODULE, encoding="utf-8")
    (jobs.folder / "jobs.py").write_text("x = (", encoding="utf-8")
    monkeypatch.chdir(jobs.folder)

    def press(*words: str) -> list[str]:
        monkeypatch.setenv(VARIABLE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["graflow-async", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([]) == 0
        return out.getvalue().split()

    return press


def test_commands_and_options(tab) -> None:
    """Commands, subcommands, options and the values of an option are offered."""
    assert tab("ru") == ["run", "runs"]
    assert tab("runs", "p") == ["plan"]
    assert "--checkpoint-dir" in tab("run", "--ch")
    assert tab("graph", "etl", ":", "etl", "--format", "") == ["mermaid", "dot", "ascii", "svg"]


def test_what_can_be_run(tab) -> None:
    """Workflows, tasks and flows are read off the source; nothing is imported, what does not parse is left out."""
    assert tab("run", "") == ["etl:etl", "etl:lone", "etl:whole", "etl:made"]
    assert tab("run", "etl", ":") == ["etl", "lone", "whole", "made"]
    assert tab("run", "etl.py", ":", "wh") == ["whole"]
    assert tab("resume", "a", "etl", ":", "m") == ["made"]
    assert tab("run", "nothing", ":", "") == []


def test_recorded_runs(tab, jobs: Project) -> None:
    """The ids of the runs in the directory of the command line are offered, wherever a run is asked for."""
    for name in ("run-1", "run 2", "other"):
        (jobs.folder / "runs here" / name.replace(" ", "%20")).mkdir(parents=True)
        (jobs.folder / "runs here" / name.replace(" ", "%20") / "journal").touch()
    (jobs.folder / "runs here" / ".feedback").mkdir()
    for command in (["resume"], ["runs", "show"], ["runs", "explain"], ["feedback", "send"]):
        assert tab(*command, "--checkpoint-dir", '"runs here"', "o") == ["other"]
    assert tab("resume", "--checkpoint-dir", "=", '"runs here"', "run-") == ["run-1"]
    assert tab("resume", "--checkpoint-dir", "nowhere", "") == []
    assert tab("resume", "--checkpoint-dir", "redis", ":", "//localhost", ":", "1", "") == []


def test_open_questions(tab, jobs: Project) -> None:
    """The names of open questions are offered where one is to be answered."""
    Desk(jobs).put("ship it", "approval")
    Desk(jobs).put("colour", "text")
    assert tab("feedback", "answer", IN[0], f'"{IN[1]}"', "c") == ["colour"]
    assert tab("feedback", "answer", "--dir", "nowhere", "") == []


def test_bash_itself(tab, jobs: Project) -> None:
    """The script that `--show-completion` gives works in bash, under the name of the program however it was called."""
    program = jobs.folder / "bin" / "graflow-async"
    program.parent.mkdir()
    call = "import sys; from graflow_async.cli import main; sys.exit(main())"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{call}' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    script = jobs("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    assert "-F _graflow_async_completion graflow-async" in script
    keys = "COMP_WORDS=(graflow-async run etl : l); COMP_CWORD=4; _graflow_async_completion graflow-async"
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{keys}; echo $COMPREPLY"],
        cwd=jobs.folder,
        env={**jobs.environment, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("lone\n", "")
