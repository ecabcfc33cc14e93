"""The comparison itself: each kind of difference is found in a log that has it, and none in one that has not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graflow_async import GraflowWorkflowCanceledError
from tests.reference.build import Entry, PlannedError, Trial
from tests.reference.comparison import differences, report
from tests.reference.expected import Expected
from tests.reference.interpreter import interpret
from tests.reference.program import FOREVER, Program, Ref, Script, Seq, Turn

DIAMOND = Program(
    (Seq((Ref("a"), Ref("b"), Ref("d"))), Seq((Ref("a"), Ref("c"), Ref("d")))),
    {name: Script((Turn(f"v:{name}"),)) for name in "abcd"},
    max_concurrency=2,
)


def entries(text: str) -> list[Entry]:
    """Read '+a -a': starts and ends of first attempts."""
    return [Entry(word[1:], 1, 1, "start" if word[0] == "+" else "end") for word in text.split()]


def trial(text: str = "+a -a +b +c -c -b +d -d") -> Trial:
    results = {name: f"v:{name}" for name in "abcd"}
    return Trial(log=entries(text), status="completed", value="v:d", results=results, peak=2)


def expected() -> Expected:
    return interpret(DIAMOND)


def test_a_right_run_has_no_differences() -> None:
    """A log that keeps every rule is accepted."""
    assert differences(DIAMOND, expected(), trial()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("+a -a +b +c -c -b +d -d +d -d", "d turn 1 attempt 1 ran 2 times instead of 1..1"),
        ("+a -a +b -b +d -d", "c turn 1 attempt 1 ran 0 times instead of 1..1"),
        ("+a -a +b +c -c +d -d -b", "start 1 of d came after 0 ends of b instead of 1"),
        ("+a -a +c +b -c -b +d -d", "['b', 'c'] became ready together and started as ['c', 'b']"),
    ],
)
def test_a_wrong_log_is_told(text: str, sentence: str) -> None:
    """A join that runs twice, never or too early, and a start out of order, are each reported."""
    assert sentence in differences(DIAMOND, expected(), trial(text))


def test_wrong_outcomes_are_told() -> None:
    """Value, status, results, limits and leftovers are compared too."""
    wrong = trial()
    wrong.value, wrong.status, wrong.peak, wrong.active = "v:b", "failed", 3, 1
    wrong.results["b"] = "?"
    wrong.late = entries("+a")
    found = differences(DIAMOND, expected(), wrong)
    assert len(found) == 6
    text = report("title", DIAMOND, expected(), wrong, found)
    assert "draw (a >> b >> d)" in text
    assert "+d.1.1" in text


def test_an_error_counts_only_as_the_object_that_was_raised() -> None:
    """An equal error, a wrapped one or a cancellation does not pass for the task's own."""
    program = replace(DIAMOND, scripts=DIAMOND.scripts | {"a": Script((Turn("", failing=FOREVER),))})
    failing = interpret(program)
    error = PlannedError("a")
    right = Trial(log=entries("+a -a"), status="failed", error=error, raised={id(error): "a"})
    assert differences(program, failing, right) == []
    for other in (PlannedError("a"), GraflowWorkflowCanceledError("no", task_id="a"), None):
        wrong = replace(right, error=other)
        assert len(differences(program, failing, wrong)) == 1
