"""`run`: what it takes, what it prints, and what it says when it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def value_of(done: Any) -> str:
    """Give what a successful run printed after the import's own line."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.removeprefix("imported\n").removesuffix("\n")


@pytest.mark.parametrize(
    ("target", "arguments", "expected"),
    [
        ("flows:sums", [], "{'value': 20, 'label': '-'}"),
        ("flows:sums", ["--input", "n=4", "--input", "label=5"], "{'value': 40, 'label': '5'}"),
        ("./flows.py:sums", ["--input", "n=1"], "{'value': 10, 'label': '-'}"),
        (
            "flows:sums",
            ["--start", "first", "--max-concurrency", "1", "--timeout", "30"],
            "{'value': 20, 'label': '-'}",
        ),
        ("flows:first", ["--input", "n=9"], "9"),
        ("flows:first", ["--start", "first", "--input", "n=9"], "9"),
        ("flows:total", ["--input", "xs=[1, 2, 3]"], "6"),
        ("flows:greeting", ["--input", "name=Ada"], "hello Ada"),
        ("flows:factory", ["--input", "i=3"], "[3, 0.0, False, '', [], None]"),
        ("flows:needs", ["--input", "task_id=mine", "--input", "other=x=y"], "mine/x=y"),
        ("outer/inner/flow.py:name", [], "('relative', 'outer.inner.flow')"),
        ("outer.inner.flow:name", [], "('relative', 'outer.inner.flow')"),
        ("shadows/queue.py:shadow", [], "queue_file"),
    ],
)
def test_everything_that_can_run_runs(project: Any, target: str, arguments: list[str], expected: str) -> None:
    """Workflows, tasks, flows and factories run by module or by file, and their value is printed."""
    assert value_of(project("run", target, *arguments)) == expected


def test_texts_are_read_by_the_parameters_annotation(project: Any) -> None:
    """int, float, bool, str, list and dict are made of text; a number for a str stays the text that was typed."""
    pairs = ["i=7", "f=2", "b=yes", "s=12", 'xs=["a"]', 'd={"k": 1}']
    done = project("run", "flows:typed", *(word for pair in pairs for word in ("--input", pair)))
    assert value_of(done) == "[7, 2.0, True, '12', ['a'], {'k': 1}]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3", "int 3"),
        ('"3"', "str '3'"),
        ("abc", "str 'abc'"),
        ("null", "NoneType None"),
        ("NaN", "str 'NaN'"),
        ("", "str ''"),
    ],
)
def test_without_an_annotation_json_decides(project: Any, text: str, shown: str) -> None:
    """What parses as JSON is JSON, the rest is text."""
    assert value_of(project("run", "flows:show", "--input", f"value={text}")) == shown


def test_a_document_of_inputs(project: Any, tmp_path: Any) -> None:
    """Inputs come from a file or from stdin as they are, and `--input` wins over them."""
    document = tmp_path / "inputs.json"
    document.write_text('{"n": 6, "label": "file"}', encoding="utf-8")
    assert value_of(project("run", "flows:sums", "--inputs-json", str(document))) == "{'value': 60, 'label': 'file'}"
    done = project("run", "flows:sums", "--inputs-json", "-", "--input", "n=1", stdin='{"n": 6, "label": "stdin"}')
    assert value_of(done) == "{'value': 10, 'label': 'stdin'}"


def test_json_is_alone_on_stdout(project: Any) -> None:
    """With --json stdout is one JSON object; prints of modules, tasks and child processes go to stderr."""
    done = project("run", "flows:odd", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["status"] == "completed"
    assert report["workflow"] == "odd"
    assert report["value"] == {"1": [2], "nan": "nan", "when": "2020-01-02", "(1, 2)": "b'x'"}
    assert len(report["run_id"]) == 32
    assert report["seconds"] >= 0
    assert done.stderr == "imported\na task prints\n"
    child = project("run", "flows:elsewhere", "--json")
    assert json.loads(child.stdout)["value"] == 5
    assert "a child prints" in child.stderr


def test_json_tells_a_failure(project: Any) -> None:
    """With --json a failed run is still one JSON object, beside the line on stderr."""
    done = project("run", "flows:broken", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["status"], report["error"]["type"]) == ("failed", "ValueError")
    assert report["error"]["message"].startswith("first line\n")
    assert "value" not in report
    assert "error: ValueError: first line second line" in done.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere:sums", ["no module 'nowhere'"]),
        ("flows.deeper:sums", ["no module 'flows.deeper'"]),
        (".flows:sums", ["not the name of a module"]),
        ("nowhere.py:sums", ["no file 'nowhere.py'"]),
        ("flows:sum", ["no 'sum'", "did you mean sums"]),
        ("flows:ring.name.upper.x", ["ring.name.upper.x"]),
        ("flows", ["flows:OBJECT", "sums"]),
        ("empty:x", ["no workflow and no task"]),
        (":sums", ["module:object"]),
        ("flows:", ["module:object"]),
        ("flows:number", ["of type int"]),
        ("flows:asyncio", ["of type module"]),
        ("flows:Workflow", ["of type type"]),
        ("flows:factory_of_nothing", ["gave NoneType"]),
        ("flows:plain_function", ["needs arguments", "@task"]),
        ("flows:plain_coroutine", ["async function", "@flow"]),
        ("flows:greeting", ["--input name=..."]),
        ("flows:ring", ["say where to start"]),
    ],
)
def test_what_is_not_there_is_usage(fails: Callable[..., str], target: str, words: list[str]) -> None:
    """A target that cannot be found or run is code 2 and one line that says what to write."""
    line = fails(2, "run", target)
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flows:sums", "--input", "n"], ["name=value", "'n'"]),
        (["flows:sums", "--input", "=3"], ["name=value"]),
        (["flows:sums", "--input", "n=1", "--input", "n=2"], ["'n'", "twice"]),
        (["flows:sums", "--input", "n=abc"], ["'n' is int", "'abc'"]),
        (["flows:typed", "--input", "f=x"], ["'f' is float"]),
        (["flows:typed", "--input", "b=maybe"], ["'b' is bool"]),
        (["flows:typed", "--input", "xs=a,b"], ["'xs' is list", "JSON"]),
        (["flows:typed", "--input", "d=[1]"], ["'d' is dict", "JSON"]),
        (["flows:typed", "--input", "wrong=1"], ["no parameter 'wrong'", "xs"]),
        (["flows:sums", "--inputs-json", "missing.json"], ["cannot read missing.json"]),
        (["flows:sums", "--inputs-json", "flows.py"], ["flows.py is no JSON"]),
        (["flows:sums", "--inputs-json", "-"], ["stdin holds no JSON object"]),
        (["flows:sums", "--start", "sekond"], ["'sekond'", "'second'"]),
        (["flows:sums", "--timeout", "-1"], ["timeout"]),
        (["flows:sums", "--max-concurrency", "0"], ["max_concurrency"]),
    ],
)
def test_what_makes_no_sense_is_usage(fails: Callable[..., str], arguments: list[str], words: list[str]) -> None:
    """Bad inputs, starts and options are code 2 and are told before anything runs."""
    line = fails(2, "run", *arguments, stdin="[1]")
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("flows:broken", ["ValueError: first line second line \\x1b[31m", "task 'broken', attempt 1"]),
        ("flows:group", ["group", "broken: ValueError"]),
        ("flows:quitter", ["SystemExit(3)", "quitter"]),
        ("flows:failing_factory", ["failing_factory() failed", "KeyError: 'nothing'"]),
        ("failing:x", ["importing failing failed", "a_module_that_is_not_there"]),
        ("unparsable:x", ["importing unparsable failed", "SyntaxError", "line 1"]),
        ("leaving:x", ["importing leaving failed", "SystemExit"]),
    ],
)
def test_what_fails_is_code_1_and_one_line(project: Any, target: str, words: list[str]) -> None:
    """A failing task or module is told in one line without control characters and without a traceback."""
    done = project("run", target)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize("arguments", [["--debug", "run", "flows:broken"], ["run", "flows:broken", "--debug"]])
def test_debug_shows_the_traceback(project: Any, arguments: list[str]) -> None:
    """`--debug` shows where it happened, wherever the option stands."""
    done = project(*arguments)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "flows.py" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ValueError")


def test_what_user_code_left_on_the_loop_is_swept(project: Any) -> None:
    """A task that user code started and forgot is cancelled at the end and may clean up."""
    assert value_of(project("run", "flows:forgetful")) == "swept\ndone"
