"""`feedback`: questions are listed, shown, answered and withdrawn; events are sent; nonsense is refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from graflow_async.feedback import FeedbackState
from tests.cli.questions import HOSTILE, IN, USER, Desk

if TYPE_CHECKING:
    from tests.cli.conftest import Project


@pytest.fixture
def desk(jobs: Project) -> Desk:
    """Give the questions of a folder."""
    return Desk(jobs)


def test_the_list_is_a_table(desk: Desk) -> None:
    """Open questions stand in a table, the oldest first; all of them, those of a run or for a person where asked."""
    folder = desk.project.folder
    assert desk() == ["no questions are open in runs here"]
    assert desk.json("list") == []
    assert not (folder / "runs here").exists()
    second = desk.put("second", created_at=200.0, assignee="ann", run_id="run-2", deadline=300.0)
    desk.put("first", prompt="a\nb" + "c" * 100)
    done = desk.put("done", created_at=300.0)
    desk.do(lambda broker: broker.settle(done.id, FeedbackState.CANCELLED, at=400.0))
    for arguments in ((), ("list",)):
        lines = desk(*arguments)
        assert lines[0].split() == ["question", "run", "type", "state", "asked", "until", "for", "prompt"]
        assert [line.split()[:4] for line in lines[1:]] == [
            ["first", "run-1", "approval", "open"],
            ["second", "run-2", "approval", "open"],
        ]
        assert lines[1].endswith(f"a b{'c' * 100}")  # only a terminal gets less
        assert lines[2].split()[-2:] == ["ann", "Deploy?"]
        assert lines[0].index("prompt") == lines[1].index("a b") == lines[2].index("Deploy?")
    assert [r["request"]["request_id"] for r in desk.json("list", "--all")] == ["first", "second", "done"]
    assert [r["state"] for r in desk.json("list", "--all")] == ["pending", "pending", "cancelled"]
    for arguments in (("--run", "run-2"), ("--assignee", "ann")):
        (found,) = desk.json("list", *arguments)
        assert found["request"] == second.to_json()
        assert found["revision"] == second.revision


def test_show_tells_everything(desk: Desk) -> None:
    """A question is found by its name and by its id, and shown with all that a person needs, and what became of it."""
    request = desk.put(
        *("colour", "multi_selection", "Which\n\nones?"),
        options=("red", "green"),
        metadata={"build": {"n": 7}},
        assignee="ann",
        channel_key="picked",
        workflow="paint",
        deadline=300.0,
    )
    lines = desk("show", "colour")
    assert lines == desk("show", request.id, "--run", "run-1")
    head = dict(line.split(maxsplit=1) for line in lines[: lines.index("prompt:")])
    assert {k: head[k] for k in ("question", "id", "run", "workflow", "task", "type", "state", "for", "revision")} == {
        "question": "colour",
        "id": request.id,
        "run": "run-1",
        "workflow": "paint",
        "task": "ship",
        "type": "multi_selection",
        "state": "open",
        "for": "ann",
        "revision": request.revision,
    }
    assert lines[lines.index("prompt:") :] == [
        *("prompt:", "  Which", "  ", "  ones?", "options:", "  1) red", "  2) green", "metadata:", '  build: {"n": 7}')
    ]
    desk("answer", "colour", "--select", "green", "--select", "red", "--by", "bob", "--reason", "why not")
    lines = desk("show", "colour")
    assert lines[lines.index("answer:") + 1] == '  ["green", "red"]'
    assert {"by           bob", "why          why not"} <= set(lines)
    assert desk.json("show", "colour")["response"]["selected_multiple"] == ["green", "red"]


def test_no_text_reaches_the_terminal_as_it_is(desk: Desk) -> None:
    """Escapes, other control characters and lines that look like ours are spelled or set apart, in every text."""
    request = desk.put(
        *(f"name{HOSTILE}", "selection", HOSTILE),
        options=(HOSTILE, "b"),
        metadata={HOSTILE: HOSTILE, "deep": [HOSTILE]},
        assignee=HOSTILE,
        run_id=f"run{HOSTILE}",
        task_id=HOSTILE,
        workflow=HOSTILE,
        channel_key=HOSTILE,
    )
    printed = [*desk("list"), *desk("show", request.id)]
    printed += desk("answer", request.id, "--select", HOSTILE, "--reason", HOSTILE, "--by", HOSTILE)
    printed += [*desk("show", request.id), *desk("answer", request.id, "--select", "b", code=1)]
    printed += [*desk("show", HOSTILE, code=2), *desk("send", HOSTILE, HOSTILE)]
    assert not [line for line in printed if not line.isprintable()]
    assert "  \\x1b[2J\\x1b]0;title\\x07 \\x9b31m\\u202e" in printed
    assert not [line for line in printed if line == "state        answered"]


@pytest.mark.parametrize(
    ("kind", "more", "arguments", "field", "value"),
    [
        ("approval", {}, ["--approve"], "approved", True),
        ("approval", {}, ["--reject"], "approved", False),
        ("text", {}, ["--text", "two\nlines"], "text", "two\nlines"),
        ("text", {}, ["--text", ""], "text", ""),
        ("selection", {"options": ("a", "b")}, ["--select", "b"], "selected", "b"),
        ("multi_selection", {"options": ("a", "b")}, ["--select", "b"], "selected_multiple", ("b",)),
        ("multi_selection", {"options": ("a", "b")}, ["--value", "[]"], "selected_multiple", ()),
        ("custom", {"schema": {"type": "integer"}}, ["--value", "7"], "custom", 7),
        ("custom", {}, ["--value", "null"], "custom", None),
    ],
)
def test_every_kind_is_answered(
    desk: Desk, kind: str, more: dict[str, Any], arguments: list[str], field: str, value: Any
) -> None:
    """An answer of each type arrives as it is, from the user of the process, and is told in one line."""
    request = desk.put("it", kind, **more)
    assert desk("answer", "it", *arguments) == ["answered 'it' of run run-1"]
    record = desk.get(request)
    assert record.state is FeedbackState.ANSWERED
    assert record.response is not None
    assert (getattr(record.response, field), record.response.value) == (value, list(value) if field[8:] else value)
    assert (record.response.responded_by, record.response.reason) == (USER, None)


def test_json_tells_what_has_become_of_an_answer(desk: Desk) -> None:
    """An answer that counts, one that is late and one that is early are told apart."""
    desk.put("now")
    late = desk.put("late", created_at=200.0)
    desk.do(lambda broker: broker.settle(late.id, FeedbackState.EXPIRED, at=150.0))
    told = desk.json("answer", "now", "--approve")
    assert (told["outcome"], told["resume"], told["record"]["response"]["approved"]) == ("answered", None, True)
    told = desk.json("answer", "late", "--reject", "--reason", "no", "--by", "ann")
    assert (told["outcome"], told["record"]["state"]) == ("kept", "expired")
    assert told["resume"] == "graflow-async resume run-1 --checkpoint-dir 'runs here'"
    assert desk.json("answer", "early", "--run", "run-1", "--text", "x") == {
        "outcome": "early",
        "resume": None,
        "record": None,
    }
    assert desk("list", "--all")[2].split()[3:6] == ["expired,", "answered", "late"]


def test_an_early_answer_is_kept(desk: Desk) -> None:
    """With the run named, an answer may come before its question, and waits for it as a letter."""
    (desk.project.folder / "runs here").mkdir()
    assert desk("answer", "soon", "--run", "run-9", "--select", "a") == ["kept until run run-9 asks 'soon'"]
    ((kind, name, payload),) = desk.letters("run-9")
    assert (kind, name, payload["selected"], payload["responded_by"]) == ("answer", "soon", "a", USER)


def test_cancelling_withdraws(desk: Desk) -> None:
    """A question is withdrawn with a reason; later answers and cancellations are refused."""
    request = desk.put("it")
    assert desk("cancel", "it", "--reason", "not any more") == ["cancelled 'it' of run run-1"]
    record = desk.get(request)
    assert (record.state, record.reason) == (FeedbackState.CANCELLED, "not any more")
    (line,) = desk("answer", "it", "--approve", code=1)
    assert line.startswith("error: question 'it' was cancelled at ")
    assert desk.json("cancel", desk.put("other").request_id)["state"] == "cancelled"


def test_events_are_sent(desk: Desk) -> None:
    """An event waits for its run as a letter, with the JSON that it carries or with nothing."""
    (desk.project.folder / "runs here").mkdir()
    assert desk("send", "run-1", "go", '{"n": [1, null]}') == ["sent 'go' to run run-1"]
    assert desk.json("send", "run-1", "stop") == {"run_id": "run-1", "name": "stop", "payload": None, "resume": None}
    assert desk.letters("run-1") == [("event", "go", {"n": [1, None]}), ("event", "stop", None)]


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nothing"], ["no question 'nothing'"]),
        (["show", "both"], ["'run-1'", "'run-2'", "--run"]),
        (["cancel", "nothing", "--run", "run-1"], ["no question 'nothing' in run run-1"]),
        (["answer", "nothing", "--approve"], ["no question 'nothing'"]),
        (["answer", "it"], ["no terminal", "--approve"]),
        (["answer", "it", "--approve", "--reject"], ["--approve and --reject"]),
        (["answer", "it", "--text", "a", "--value", "1"], ["--text and --value"]),
        (["answer", "it", "--text", "yes"], ["does not fit", "--approve or --reject"]),
        (["answer", "it", "--value", "null"], ["does not fit"]),
        (["answer", "it", "--value", "yes"], ["--value is no JSON"]),
        (["answer", "it", "--value", "NaN"], ["--value is no JSON", "NaN"]),
        (["answer", "it", "--value", "[" * 100_000], ["--value is no JSON"]),
        (["answer", "pick", "--select", "c"], ["'c' is none of its options: a, b"]),
        (["answer", "pick", "--select", "a", "--select", "b"], ["does not fit"]),
        (["answer", "number", "--value", '"x"'], ["does not fit", "integer"]),
        (["answer", "it", "--approve", "--reason", "\udcff"], ["UTF-8"]),
        (["send", "run-1", "go", "{"], ["the event is no JSON"]),
        (["send", "run-1"], ["NAME", "send --help"]),
        (["answer", "it", "--maybe"], ["--maybe"]),
    ],
)
def test_a_usage_error_is_one_line(desk: Desk, arguments: list[str], words: list[str]) -> None:
    """What cannot be done is said in one line with code 2, and every question stays open."""
    asked = [
        desk.put("it"),
        desk.put("both", run_id="run-1"),
        desk.put("both", run_id="run-2"),
        desk.put("pick", "selection", options=("a", "b")),
        desk.put("number", "custom", schema={"type": "integer"}),
    ]
    (line,) = desk(*arguments, code=2)
    assert not [word for word in words if word not in line], line
    assert {desk.get(request).state for request in asked} == {FeedbackState.PENDING}
    assert desk.letters("run-1") == []


def test_the_first_answer_counts(desk: Desk) -> None:
    """A second answer fails with code 1 and says when the first one came."""
    request = desk.put("it")
    desk("answer", "it", "--approve")
    (line,) = desk("answer", request.id, "--reject", code=1)
    assert line.startswith("error: question 'it' was answered at ")
    response = desk.get(request).response
    assert response is not None
    assert response.approved is True


def test_a_question_that_has_changed_is_not_answered(desk: Desk) -> None:
    """An answer that names the revision it was shown counts for that one only."""
    request = desk.put("it")
    (line,) = desk("answer", "it", "--approve", "--revision", "0" * 16, code=1)
    assert "'it'" in line
    assert desk.get(request).state is FeedbackState.PENDING
    desk("answer", "it", "--approve", "--revision", request.revision)
    assert desk.get(request).state is FeedbackState.ANSWERED


def test_other_places_are_refused(desk: Desk) -> None:
    """Nothing is left where no run looks for it, and nothing is made by looking."""
    folder = desk.project.folder
    for arguments in (("send", "r", "go"), ("watch",), ("answer", "it", "--run", "r", "--approve")):
        assert desk(*arguments, code=2) == ["error: there is no directory runs here"]
    assert desk("show", "it", code=2) == ["error: there is no question 'it'"]
    assert not (folder / "runs here").exists()
    (folder / "runs here").write_text("")
    for arguments in ((), ("show", "it"), ("send", "r", "go")):
        assert desk(*arguments, code=2) == ["error: runs here is no directory"]


def test_options_before_the_command_are_refused(jobs: Project) -> None:
    """An option of the list that stands before another command is not silently dropped."""
    done = jobs("feedback", *IN, "show", "it")
    assert (done.returncode, done.stdout) == (2, "")
    assert "feedback show" in done.stderr
