"""What annotations make of inputs, from texts, from JSON and from files; what does not fit is named."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType

import pytest
from pydantic import BaseModel

from graflow_async import Workflow, task
from graflow_async.cli.converting import Misfit, fit
from graflow_async.cli.failures import UsageError
from graflow_async.cli.inputs import prepare, read_pairs
from graflow_async.cli.output import as_json

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(enum.Enum):
    RED = "red"
    DEEP = 3


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    where: Path | None = None


class User(BaseModel):
    name: str
    age: int


Name = NewType("Name", str)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "7", 7),
        (float, "7", 7.0),
        (bool, "off", False),
        (str, "7", "7"),
        (str, '"7"', "7"),
        (Path, "a/b", Path("a/b")),
        (bytes, "a", b"a"),
        (Decimal, "1.10", Decimal("1.10")),
        (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
        (uuid.UUID, "0" * 32, uuid.UUID(int=0)),
        (Colour, "red", Colour.RED),
        (Colour, "DEEP", Colour.DEEP),
        (Colour, "3", Colour.DEEP),
        (Level, "1", Level.LOW),
        (Literal["a", 1], "1", 1),
        (Literal["1"], "1", "1"),
        (Path | None, "null", None),
        (Path | None, "x", Path("x")),
        (str | int, "5", 5),
        (int | str, "x", "x"),
        (list[int], "[1]", [1]),
        (Sequence[Path], '["a"]', [Path("a")]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (set[int], "[1, 1]", {1}),
        (dict[str, Colour], '{"k": "red"}', {"k": Colour.RED}),
        (dict[int, float], '{"1": 2}', {1: 2.0}),
        (Mapping[str, Any], '{"k": [1]}', {"k": [1]}),
        (Annotated[Name, "of a person"], "Ada", "Ada"),
        (Point, '{"x": 1, "where": "/tmp"}', Point(1, where=Path("/tmp"))),  # noqa: S108  # only a name
        (list[User], '[{"name": "A", "age": 3}]', [User(name="A", age=3)]),
        (object(), "x", "x"),
    ],
)
def test_texts_become_what_is_asked_for(annotation: Any, text: str, expected: Any) -> None:
    """Scalars, paths, dates, enums, choices, collections, dataclasses and models are made of what is typed."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    found = fit(annotation, value, text)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("annotation", "value", "place", "words"),
    [
        (int, "7", "", "is int, not '7'"),
        (int, True, "", "is int, not True"),
        (str, 5, "", "is str, not 5"),
        (bool, "yes", "", "is bool, not 'yes'"),
        (Colour, "green", "", "is one of 'red', 3, not 'green'"),
        (Literal["x"], "y", "", "is one of 'x', not 'y'"),
        (int | Path, [], "", "is int or Path, not []"),
        (list[int], [1, "a"], "[1]", "is int, not 'a'"),
        (tuple[int, int], [1], "", "is 2 values, not [1]"),
        (set[Any], [[1]], "", "is set, not [[1]]"),
        (dict[str, int], {"k": "a"}, "['k']", "is int, not 'a'"),
        (Point, {"y": 1}, "", "which needs 'x' (its fields: x, y, where)"),
        (Point, {"x": 1, "z": 1}, "", "which has no 'z'"),
        (Point, {"x": "a"}, ".x", "is int, not 'a'"),
        (Point, 3, "", "is Point, a JSON object, not 3"),
        (list[User], [{"name": 1, "age": 2}], "[0].name", "does not fit User: Input should be a valid string"),
        (dt.date, "soon", "", "is date, not 'soon'"),
        (str, ["x" * 100], "", "..."),
    ],
)
def test_what_does_not_fit_is_named(annotation: Any, value: Any, place: str, words: str) -> None:
    """A misfit has the place within the input and what was expected there; values of JSON are not bent."""
    with pytest.raises(Misfit) as caught:
        fit(annotation, value)
    assert caught.value.place == place
    assert words in caught.value.text


@task
def painted(colour: Colour, at: Point, note: str = ""):
    return None


def test_a_document_is_converted_too() -> None:
    """Values out of a file become what annotations ask for, and texts of the command line win over them."""
    paints = Workflow("paints", painted)
    document = {"colour": "red", "at": {"x": 1}, "note": 5}
    with pytest.raises(UsageError, match="input 'note' is str, not 5"):
        prepare(paints, document, {})
    _, inputs = prepare(paints, document, {"note": "5", "at": '{"x": 2}'})
    assert inputs == {"colour": Colour.RED, "at": Point(2), "note": "5"}


def test_values_come_from_files(tmp_path: Path) -> None:
    """`@file` is what is in the file, `@@` an `@`; a file that is not there is told with the way around it."""
    path = tmp_path / "note.txt"
    path.write_text("two\nlines\n", encoding="utf-8")
    assert read_pairs([f"a=@{path}", "b=@@ada", "c=x@y"]) == {"a": "two\nlines\n", "b": "@ada", "c": "x@y"}
    with pytest.raises(UsageError, match=r"input 'a': cannot read 'ada': No such file.*written @@"):
        read_pairs(["a=@ada"])
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="no UTF-8"):
        read_pairs([f"a=@{path}"])


def test_a_slip_is_pointed_at(project: Any) -> None:
    """A name that is nearly that of a parameter is told on stderr; the run goes on, as tasks may read the channel."""
    done = project("run", "flows:sums", "--inputs", "-", stdin='{"lable": "x"}')
    assert done.returncode == 0
    assert done.stderr == "note: no task has a parameter 'lable'; did you mean 'label'?\n"


def test_json_of_what_inputs_may_be() -> None:
    """What conversion makes can be printed as JSON again."""
    made = [Colour.RED, Level.LOW, Path("a"), Decimal("1.10"), uuid.UUID(int=0), Point(1), User(name="A", age=3)]
    expected = [
        "red",
        1,
        "a",
        "1.10",
        str(uuid.UUID(int=0)),
        {"x": 1, "y": 0.0, "where": None},
        {"name": "A", "age": 3},
    ]
    assert json.loads(as_json(made)) == expected


def test_a_graph_as_json(project: Any, fails: Callable[..., str]) -> None:
    """Nodes, groups and edges are told for programs, alone on stdout."""
    found = json.loads(project("graph", "flows:group", "--json").stdout)
    assert set(found) == {"workflow", "nodes", "edges", "cycles"}
    kinds = {node["id"]: node["kind"] for node in found["nodes"]}
    assert (kinds["broken"], kinds["first"], "group" in kinds.values()) == ("task", "task", True)
    assert json.loads(project("graph", "flows:ring", "--json").stdout)["edges"] == [
        {"source": "first", "target": "second"},
        {"source": "second", "target": "first"},
    ]
    assert "--json" in fails(2, "graph", "flows:ring", "--json", "--format", "dot")
