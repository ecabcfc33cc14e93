"""`feedback answer` at a real terminal: the question is shown, asked until the answer fits, and may be left open."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async.feedback import FeedbackState
from tests.cli.questions import HOSTILE, IN, USER, Desk
from tests.cli.test_terminal import on_terminal

if TYPE_CHECKING:
    from tests.cli.conftest import Project

# Ctrl-C comes some moment after the invitation, at a terminal where nobody types.
PRESSING = """
import os, random, signal, sys
from graflow_async.cli import asking
from graflow_async.feedback import FeedbackRequest, FeedbackType
def tell(text):
    if text == "text: ":
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 200e-6))
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
asking._tell = tell
keyboard, slave = os.openpty()
sys.stdin = os.fdopen(slave)
random.seed(1)
request = FeedbackRequest("1", "it", "r", "t", FeedbackType.TEXT, "What?", 0.0)
for _ in range(300):
    try:
        asking.ask(request)
    except KeyboardInterrupt:
        print("left")
"""


@pytest.fixture
def desk(jobs: Project) -> Desk:
    """Give the questions of a folder."""
    return Desk(jobs)


def answered_at_terminal(desk: Desk, *dialogue: tuple[str, str], options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Answer the question `it`: wait for each word on the screen and type what belongs to it."""
    with on_terminal(desk.project, "feedback", "answer", "it", *IN, *options) as terminal:
        for word, keys in dialogue:
            terminal.read_until(word)
            terminal.screen = terminal.screen.partition(word)[2]
            terminal.type(keys.encode())
        screen = terminal.read_all()
    return terminal.child.returncode, screen.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("kind", "more", "dialogue", "value"),
    [
        (
            "approval",
            {},
            [("Deploy?", ""), ("approve? [y/n]: ", "maybe\n"), ("answer y or n", ""), ("[y/n]: ", " YES \n")],
            True,
        ),
        ("approval", {}, [("[y/n]: ", "n\n")], False),
        ("text", {}, [("text: ", "\n"), ("--text ''", ""), ("text: ", "é x \n")], "é x"),
        (
            "selection",
            {"options": ("b", "1", "2")},
            [("2) 1", ""), ("option: ", "0\n"), ("from 1 to 3", ""), ("option: ", "c\n"), ("option: ", "2\n")],
            "1",
        ),
        (
            "multi_selection",
            {"options": ("a", "b", "c")},
            [("none): ", "1 1\n"), ("twice", ""), ("none): ", "4\n"), ("from 1 to 3", ""), ("none): ", "c, 1\n")],
            ["c", "a"],
        ),
        ("multi_selection", {"options": ("a", "b")}, [("none): ", "\n")], []),
        (
            "custom",
            {"schema": {"type": "object", "required": ["n"]}},
            [
                ('"required"', ""),
                ("JSON: ", "{\n"),
                ("no JSON", ""),
                ("JSON: ", "{}\n"),
                ("'n'", ""),
                (": ", '{"n": 1}\n'),
            ],
            {"n": 1},
        ),
    ],
)
def test_it_asks_until_the_answer_fits(
    desk: Desk, kind: str, more: dict[str, Any], dialogue: list[tuple[str, str]], value: Any
) -> None:
    """Each type is asked in its own way; what does not fit is said and asked again; the answer is the user's."""
    request = desk.put("it", kind, **more)
    code, screen = answered_at_terminal(desk, *dialogue)
    assert (code, screen.splitlines()[-1]) == (0, "answered 'it' of run run-1")
    record = desk.get(request)
    assert record.state is FeedbackState.ANSWERED
    assert record.response is not None
    assert (record.response.value, record.response.responded_by) == (value, USER)


@pytest.mark.parametrize(
    ("keys", "code", "line"),
    [("\x03", 130, "error: interrupted"), ("\x04", 1, "error: there was no answer; the question stays open")],
)
def test_leaving_keeps_it_open(desk: Desk, keys: str, code: int, line: str) -> None:
    """Ctrl-C and the end of input leave the question as it was, and say so on a line of their own."""
    request = desk.put("it")
    given, screen = answered_at_terminal(desk, ("[y/n]: ", keys))
    shown = screen.replace("^C", "")  # the terminal shows the key, before or after the line break
    assert (given, shown.splitlines()[-1]) == (code, line)
    assert desk.get(request).state is FeedbackState.PENDING


def test_the_screen_gets_no_escapes(desk: Desk) -> None:
    """A prompt, an option or metadata cannot steer the terminal, nor look like what comes from the program."""
    desk.put("it", "selection", HOSTILE, options=(HOSTILE, "b"), metadata={HOSTILE: HOSTILE})
    with on_terminal(desk.project, "feedback", "answer", "it", *IN) as terminal:
        terminal.read_until("option: ")
        terminal.type(b"2\n")
        screen = terminal.read_all().replace("\r\n", "\n")
    assert terminal.child.returncode == 0
    assert not [line for line in screen.splitlines() if not line.isprintable()]
    assert "\n  \\x1b[2J\\x1b]0;title\\x07" in screen
    assert "\nstate " not in screen


def test_somebody_else_may_be_faster(desk: Desk) -> None:
    """An answer that somebody gave while the question stood on the screen counts, and this one is refused."""
    request = desk.put("it")
    with on_terminal(desk.project, "feedback", "answer", "it", *IN) as terminal:
        terminal.read_until("[y/n]: ")
        desk("answer", "it", "--reject", "--by", "ann")
        terminal.type(b"y\n")
        screen = terminal.read_all()
    assert terminal.child.returncode == 1
    assert "was answered at" in screen
    response = desk.get(request).response
    assert response is not None
    assert (response.approved, response.responded_by) == (False, "ann")


def test_what_is_settled_is_not_asked(desk: Desk) -> None:
    """Nobody is asked for an answer that would come too late; one that has expired may still be answered."""
    request = desk.put("it")
    desk.do(lambda broker: broker.settle(request.id, FeedbackState.EXPIRED, at=150.0))
    code, screen = answered_at_terminal(desk, ("[y/n]: ", "y\n"), options=("--json", "--reason", "late"))
    told = json.loads(screen.splitlines()[-1])
    assert (code, told["outcome"], told["record"]["response"]["reason"]) == (0, "kept", "late")
    code, screen = answered_at_terminal(desk)
    assert code == 1
    assert screen.startswith("error: question 'it' was expired at ")


def test_ctrl_c_is_noticed_whenever_it_comes() -> None:
    """Ctrl-C that comes between the invitation and the read of the answer is not kept until somebody types."""
    pressing = subprocess.run([sys.executable, "-c", PRESSING], capture_output=True, text=True, timeout=60, check=True)
    assert pressing.stdout == "left\n" * 300
