"""Exceptions as bytes: of their own type where that is possible, and with all they said in any case."""

from __future__ import annotations

import asyncio
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from graflow_async.codec import dumps, dumps_error, loads_error
from graflow_async.errors import (
    CheckpointCorruptError,
    CycleLimitExceededError,
    DuplicateTaskError,
    GraflowRuntimeError,
    NotSerializableError,
    ParallelGroupError,
    RemoteTaskError,
)

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import sys
from graflow_async.codec import loads_error
error = loads_error(bytes.fromhex(sys.stdin.read()))
print(type(error).__name__, error, getattr(error, "type_name", ""), getattr(error, "message", ""), sep="|")
print(*error.__notes__, sep="\\n")
"""


class TwoArgumentsError(Exception):
    """Cannot be loaded the usual way: its constructor wants more than `args` holds."""

    def __init__(self, code, reason):
        super().__init__(f"code {code}: {reason}")
        self.code = code


class DoublingError(Exception):
    """Is loaded the usual way without a complaint, and then says something else."""

    def __init__(self, name):
        super().__init__(f"cannot find {name}")
        self.name = name


class HoldingError(Exception):
    """Cannot travel at all: it holds a lock."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class ForeignStatusError(OSError):
    """Has a constructor of its own on a base that takes its arguments elsewhere."""

    def __init__(self, status):
        super().__init__(status, f"status {status}")


class UnspeakableError(Exception):
    """Has neither a text nor a way to be pickled, and nothing that could be pickled for it."""

    def __init__(self):
        super().__init__(threading.Lock())

    def __str__(self):
        raise ValueError("no words")

    def __reduce__(self):
        raise ValueError("no parts")


class DisguisedError(Exception):
    """Pickles as an exception of another type."""

    def __reduce__(self):
        return ValueError, self.args


class ObjectError(Exception):
    """Shows the address of what it holds."""


class Subject:
    pass


@dataclass(frozen=True)
class FrozenError(Exception):
    """Refuses every attribute, also those that Python sets on exceptions."""

    code: int


def raised(error, cause=None):
    """Give an exception as `except` gives it, with a traceback and a cause."""
    try:
        raise error from cause  # noqa: TRY301  # a traceback is what is wanted
    except BaseException as caught:
        return caught


def carried(error):
    return loads_error(dumps_error(error))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3),
        KeyError("key"),
        OSError(2, "No such file", "name.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        asyncio.CancelledError("stop"),
        SystemExit(3),
        StopAsyncIteration(),
        CycleLimitExceededError("t", 3, 2),
        DuplicateTaskError("t", "a.py:1", "b.py:2"),
        RemoteTaskError("app.Odd", "it broke", "trace"),
    ],
    ids=repr,
)
def test_ordinary_exceptions_keep_type_and_arguments(error):
    """Built-in exceptions and our own come back as they were, attributes included."""
    copy = carried(raised(error))
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert str(copy) == str(error)
    attributes = {name: value for name, value in vars(copy).items() if name != "__notes__"}
    assert attributes == {name: value for name, value in vars(error).items() if name != "__notes__"}


def test_the_traceback_comes_as_a_note():
    """Where it was raised is readable at the other end, after the notes that were there."""
    error = raised(ValueError("bad"))
    error.add_note("row 7")
    copy = carried(error)
    assert copy.__notes__[0] == "row 7"
    assert copy.__notes__[1].startswith("Traceback where it was raised:\nTraceback (most recent call last):")
    assert "in raised" in copy.__notes__[1]
    assert len(copy.__notes__) == 2
    assert error.__notes__ == ["row 7"], "the original is left as it was"


def test_the_traceback_is_told_once():
    """An exception that travels on from the other end, raised again, keeps its first story and gets no second."""
    copy = carried(raised(carried(raised(ValueError("bad")))))
    assert len(copy.__notes__) == 1
    assert "in raised" in copy.__notes__[0]


def test_an_exception_that_was_never_raised_has_no_traceback():
    """Nothing is added to an exception without a story."""
    assert not hasattr(carried(ValueError("bad")), "__notes__")


def test_a_long_traceback_is_cut_in_the_middle():
    """The text of a traceback is bounded, and keeps its beginning and its end."""
    (note,) = carried(raised(ValueError("first", "x" * 100_000, "last"))).__notes__
    assert len(note) < 21_000
    assert note.startswith("Traceback where it was raised:\nTraceback")
    assert "[...]" in note
    assert note.endswith("'last')")


def test_causes_come_along():
    """The chain of causes is kept, with its types; the traceback of all is told at its head."""
    copy = carried(raised(ValueError("outer"), raised(TwoArgumentsError(5, "x"), raised(HoldingError("inner")))))
    assert type(copy) is ValueError
    assert type(copy.__cause__) is TwoArgumentsError
    assert type(copy.__cause__.__cause__) is RemoteTaskError
    assert copy.__cause__.__cause__.message == "inner"
    assert copy.__cause__.__cause__.__cause__ is None
    assert "inner" in copy.__notes__[0]
    assert "direct cause" in copy.__notes__[0]


def test_chains_are_bounded_and_may_close():
    """Neither a chain of causes in a circle nor an endless one makes an endless message."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    copy = carried(first)
    assert str(copy.__cause__) == "second"
    assert copy.__cause__ is not None
    assert copy.__cause__.__cause__ is None
    error = ValueError(0)
    for number in range(1, 100):
        error = raised(ValueError(number), error)
    length, link = 0, carried(error)
    while link is not None:
        length, link = length + 1, link.__cause__
    assert length == 32


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (TwoArgumentsError(5, "gone"), {"code": 5}),
        (DoublingError("x"), {"name": "x"}),
        (FrozenError(5), {"code": 5}),
        (DisguisedError("x", 2), {}),
    ],
    ids=repr,
)
def test_constructors_of_their_own_do_not_matter(error, attributes):
    """An exception whose constructor wants something else than `args` still comes as itself, text and attributes."""
    error.__dict__["__notes__"] = ["a note"]
    copy = carried(raised(error, KeyError("why")))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert {name: getattr(copy, name) for name in attributes} == attributes
    assert copy.__notes__[0] == "a note"
    assert type(copy.__cause__) is KeyError


def test_an_address_in_the_text_is_no_difference():
    """A text made of an object's default repr differs for each copy; the type is kept all the same."""
    copy = carried(ObjectError(Subject()))
    assert type(copy) is ObjectError
    assert type(copy.args[0]) is Subject


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HoldingError("it broke"), r"lock \(_thread.lock\) cannot be pickled"),
        (ForeignStatusError(404), "another one|cannot be loaded"),
    ],
    ids=repr,
)
def test_what_cannot_travel_arrives_as_text(error, reason):
    """The stand-in carries type name, message, traceback, notes and the reason, and is an error of this package."""
    text = str(error)
    error.add_note("a note")
    copy = carried(raised(error))
    assert type(copy) is RemoteTaskError
    assert isinstance(copy, GraflowRuntimeError)
    assert copy.type_name == f"{__name__}.{type(error).__name__}"
    assert copy.message == text
    assert str(copy) == f"{copy.type_name}: {text}"
    assert copy.traceback.startswith("Traceback")
    assert copy.__notes__[0] == "a note"
    assert re.match(f"It arrives as text: .*({reason})", copy.__notes__[1])
    assert pickle.loads(pickle.dumps(copy)).__dict__ == copy.__dict__


def test_an_exception_without_words_travels_as_well():
    """Neither a failing text nor failing pickling keeps an exception from being told."""
    copy = carried(raised(UnspeakableError()))
    assert type(copy) is RemoteTaskError
    assert copy.message == "UnspeakableError"


def test_a_local_exception_class_travels():
    """A class defined in a function goes by value."""

    class LocalError(Exception):
        pass

    copy = carried(raised(LocalError("here", 1)))
    assert type(copy) is LocalError
    assert copy.args == ("here", 1)


def test_a_group_keeps_its_members():
    """A group whose members cannot all travel keeps its type, ids and values, and a stand-in for those."""
    members = {"a": HoldingError("a broke"), "b": DoublingError("b"), "c": ValueError("c")}
    group = ParallelGroupError("2 of 4 failed", list(members.values()), "g", members, {"d": 1})
    copy = carried(raised(group))
    assert type(copy) is ParallelGroupError
    assert str(copy) == str(group)
    assert copy.group_id == "g"
    assert copy.successful == {"d": 1}
    assert [type(error) for error in copy.exceptions] == [RemoteTaskError, DoublingError, ValueError]
    assert str(copy.failed["b"]) == "cannot find b"
    assert all(mine is theirs for mine, theirs in zip(copy.failed.values(), copy.exceptions, strict=True))
    with pytest.raises(ExceptionGroup) as caught:
        raise copy
    assert caught.group_contains(DoublingError)


def test_plain_and_nested_groups_travel():
    """Exception groups in exception groups come back with their shape."""
    inner = ExceptionGroup("inner", [DoublingError("x"), HoldingError("y")])
    copy = carried(raised(BaseExceptionGroup("outer", [KeyboardInterrupt(), inner])))
    assert type(copy) is BaseExceptionGroup
    assert type(copy.exceptions[0]) is KeyboardInterrupt
    assert type(copy.exceptions[1]) is ExceptionGroup
    assert str(copy.exceptions[1].exceptions[0]) == "cannot find x"
    assert type(copy.exceptions[1].exceptions[1]) is RemoteTaskError


def test_an_exception_that_holds_itself_travels():
    """A circle through attributes ends in a stand-in instead of in a crash."""
    error = ValueError("bad")
    error.args = ("bad", error)
    copy = carried(error)
    assert isinstance(copy, ValueError | RemoteTaskError)
    assert "bad" in str(copy)


def test_what_cannot_be_loaded_there_arrives_as_text(tmp_path, monkeypatch):
    """A process that lacks the module of the exception still learns its name, text, notes and traceback."""
    (tmp_path / "graflow_test_billing.py").write_text("class DeclinedError(Exception):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import graflow_test_billing as billing  # pyright: ignore[reportMissingImports]

    error = billing.DeclinedError("card 7")
    error.add_note("a note")
    data = dumps_error(raised(error))
    assert type(loads_error(data)) is billing.DeclinedError
    child = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, input=data.hex(), capture_output=True, text=True, check=True
    )
    first, *notes = child.stdout.splitlines()
    name = "graflow_test_billing.DeclinedError"
    assert first == f"RemoteTaskError|{name}: card 7|{name}|card 7"
    assert notes[0] == "a note"
    assert "No module named 'graflow_test_billing'" in notes[1]
    assert "Traceback where it was raised:" in notes
    assert any("in raised" in line for line in notes)


def test_damaged_bytes_are_a_named_error():
    """An exception that was cut short is damage, whatever it was."""
    data = dumps_error(raised(ValueError("bad")))
    for length in range(0, len(data), 7):
        with pytest.raises(CheckpointCorruptError):
            loads_error(data[:length])


@pytest.mark.parametrize(
    "value",
    [None, 5, "ab", {}, (), [], [1], ["abcde"], [("n", "t", None, "", b"")], [("n", "t", [], "", "b")]],
    ids=repr,
)
def test_something_else_is_a_named_error(value):
    """A pickle of something else than an exception is refused by name."""
    with pytest.raises(CheckpointCorruptError):
        loads_error(dumps(value, "something else"))


def test_a_payload_that_is_no_exception_arrives_as_text():
    """Should the inner pickle hold another object, nobody raises it by mistake."""
    link = ("app.OddError", "it broke", [], "", pickle.dumps([1]))
    copy = loads_error(dumps([link], "an error"))
    assert type(copy) is RemoteTaskError
    assert copy.type_name == "app.OddError"
    assert "list" in copy.__notes__[0]


def test_refusals_of_this_module_travel_too():
    """The error about something that cannot be pickled can itself be pickled, with its story."""
    with pytest.raises(NotSerializableError) as caught:
        dumps(threading.Lock(), "result of task 'load'")
    copy = carried(caught.value)
    assert type(copy) is NotSerializableError
    assert str(copy) == str(caught.value)
    assert type(copy.__cause__) is TypeError
