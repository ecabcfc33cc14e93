"""The program as a whole: help, version, a wrong command line, and an installation without the extra."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from graflow_async.cli import main
from graflow_async.cli.app import call, make_app
from graflow_async.cli.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(project: Any, option: str) -> None:
    """Help lists the commands on stdout and is a success."""
    done = project(option)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("run", "resume", "runs", "graph", "doctor", "--debug", "--version"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", ["--input", "--inputs-json", "--start", "--max-concurrency", "--timeout", "--json", "--debug"]),
        ("graph", ["--format", "--output", "mermaid", "dot", "ascii", "svg", "--debug"]),
        ("doctor", ["--json", "--debug"]),
    ],
)
def test_help_of_a_command_names_every_option(project: Any, command: str, options: list[str]) -> None:
    """Each command explains its options."""
    done = project(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [option for option in options if option not in done.stdout] == []


def test_help_is_wrapped_by_the_terminal_alone() -> None:
    """After the first paragraph typer keeps line breaks of a docstring, which would be torn lines on another width."""
    waiting: list[Any] = [typer.main.get_command(make_app())]
    torn: list[str] = []
    for command in waiting:
        waiting += getattr(command, "commands", {}).values()
        torn += [text for text in inspect.cleandoc(command.help or "").split("\n\n")[1:] if "\n" in text]
    assert len(waiting) > 20
    assert torn == []


def test_a_missing_extra_is_named_without_ado() -> None:
    """Where the library misses an extra its own sentence is enough; a module of the user's is an error by its type."""
    wish = "the web inbox needs fastapi: pip install 'graflow-async[ui]'"
    assert describe(ModuleNotFoundError(wish)) == wish
    assert describe(ModuleNotFoundError("No module named 'pip'")) == "ModuleNotFoundError: No module named 'pip'"


def test_ctrl_c_when_a_command_has_ended_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C that comes when nothing is under way any more ends like any other."""
    known = sys.gettrace()

    def press(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code is not call.__code__:
            return None
        if event == "return":
            raise KeyboardInterrupt
        return press

    sys.settrace(press)
    try:
        code = main(["--version"])
    finally:
        sys.settrace(known)
    assert (code, capsys.readouterr().err) == (130, "error: interrupted\n")


def test_without_a_command_help_is_shown_as_usage(project: Any) -> None:
    """The bare program tells what it can do and says by its exit code that it did nothing."""
    done = project()
    assert done.returncode == 2
    assert "doctor" in done.stdout


def test_version(project: Any) -> None:
    """The version is the package's."""
    namespace: dict[str, str] = {}
    exec((ROOT / "graflow_async" / "_version.py").read_text(encoding="utf-8"), namespace)  # noqa: S102  # ours
    done = project("--version")
    assert (done.returncode, done.stdout) == (0, f"graflow-async {namespace['__version__']}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["zork"], ["zork", "python -m graflow_async --help"]),
        (["run"], ["python -m graflow_async run --help"]),
        (["run", "flows:sums", "--bogus"], ["--bogus", "run --help"]),
        (["run", "flows:sums", "extra"], ["extra"]),
        (["run", "flows:sums", "--timeout", "soon"], ["--timeout", "run --help"]),
        (["run", "flows:sums", "--max-concurrency", "1.5"], ["--max-concurrency", "run --help"]),
        (["graph", "flows:sums", "--format", "png"], ["--format", "png", "mermaid", "svg"]),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    fails: Callable[..., str], arguments: list[str], words: list[str]
) -> None:
    """What the parser refuses is told in one line that leads to the right help."""
    line = fails(2, *arguments)
    assert [word for word in words if word not in line] == []


def test_without_the_extra_one_line_says_what_to_install() -> None:
    """An interpreter that has no typer gets the name of the extra, not a traceback."""
    # -S leaves out site-packages, which is a real installation of the bare library.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "graflow_async", "--help"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert 'pip install "graflow-async[cli]"' in done.stderr
    assert "typer" in done.stderr


def test_the_library_does_not_need_the_command_line() -> None:
    """`import graflow_async` loads neither typer nor rich nor the commands; the command line loads typer."""
    report = "import sys; print([m for m in ('typer', 'rich', 'graflow_async.cli') if m in sys.modules])"
    answers = [
        subprocess.run(
            [sys.executable, "-c", f"import {module}; {report}"],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        for module in ("graflow_async", "graflow_async.cli")
    ]
    assert answers[0] == "[]"
    assert "typer" in answers[1]


def test_the_entry_point_gives_the_exit_code(project: Any) -> None:
    """`graflow_async.cli:main`, as the installed script calls it, returns what becomes the exit code."""
    script = "import sys; from graflow_async.cli import main; sys.exit(main())"
    for arguments, code in ((["run", "flows:first"], 0), (["run", "flows:broken"], 1), (["run", "flows:no"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=project.folder,
            env=project.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert (
        "graflow-async"
        in subprocess.run(
            [sys.executable, "-c", script, "--help"],
            env=project.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def test_a_reader_that_leaves_is_no_crash(project: Any) -> None:
    """A closed pipe, as `| head -1` makes it, ends the command without a traceback."""
    with project.popen("run", "--help") as child:
        child.stdout.close()
        complaints = child.stderr.read()
        child.wait(timeout=60)
    assert complaints == ""
    assert child.returncode == 1
