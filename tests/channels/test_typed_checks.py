"""Which value fits which annotation."""

from __future__ import annotations

import collections
import enum
import typing
from collections import abc
from dataclasses import InitVar, dataclass, field, make_dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
    cast,
)

import pydantic
import pytest
import typing_extensions

from graflow_async.typed import model_check

T = TypeVar("T")
# The spellings before `|`, which are other objects at run time.
OldOptional: Any = typing.Optional
OldUnion: Any = typing.Union
UserId = NewType("UserId", int)
Alias = typing_extensions.TypeAliasType("Alias", list[int])


class Color(enum.Enum):
    RED = 1


class Pair(NamedTuple):
    a: int
    b: int


class Quacks(Protocol):
    def quack(self) -> str: ...


class Inner(TypedDict):
    n: int


class Rows(Generic[T]):
    """Parametrised by what is above the items, not by the items."""

    def __iter__(self):
        return iter(["row"])

    def __len__(self):
        return 1

    def __contains__(self, item):
        return False


def problem(hint: Any, value: Any) -> str | None:
    """Say what is wrong with `value` in a field annotated `hint`."""
    model = make_dataclass("Model", [("f", hint)])
    return model_check(model)(model(value))


FITS = [
    (int, [0, -1, True]),
    (float, [0.5, 1]),
    (complex, [1j, 0.5, 1]),
    (str, ["", "a"]),
    (bytes, [b""]),
    (None, [None]),
    (Any, [None, object()]),
    (object, [None, 1]),
    (list, [[], [1, "a"]]),
    (list[int], [[], [1, 2]]),
    (list[list[int]], [[[1], []]]),
    (dict[str, int], [{}, {"a": 1}]),
    (dict[int, tuple[str, ...]], [{1: (), 2: ("a", "b")}]),
    (set[int], [set(), {1}]),
    (frozenset[str], [frozenset({"a"})]),
    (tuple, [(), (1, "a")]),
    (tuple[()], [()]),
    (tuple[int, str], [(1, "a")]),
    (tuple[int, ...], [(), (1, 2, 3)]),
    (OldOptional[int], [None, 1]),
    (int | None, [None, 1]),
    (int | str, [1, "a"]),
    (OldUnion[list[int], dict[str, int], None], [[1], {"a": 1}, None]),
    (Literal["a", 1] | None, ["a", 1, None]),
    (Literal[Color.RED], [Color.RED]),
    (abc.Sequence[int], [[1], (1,), range(3)]),
    (abc.Mapping[str, int], [{"a": 1}, collections.OrderedDict(a=1)]),
    (abc.Iterable[int], [[1], {1}, iter("anything")]),
    (abc.Callable[[int], str], [str, len]),
    (collections.deque[int], [collections.deque([1])]),
    (collections.Counter[str], [collections.Counter("ab")]),
    (collections.defaultdict[str, list[int]], [collections.defaultdict(list, a=[1])]),
    (type[int], [int, bool]),
    (Annotated[int, "positive"], [1]),
    (Annotated[list[Annotated[int, 1]], 2], [[1]]),
    (Final[int], [1]),
    (UserId, [UserId(1)]),
    (list[UserId], [[1]]),
    (Alias, [[1, 2]]),
    (Color, [Color.RED]),
    (Pair, [Pair(1, 2)]),
    (Quacks, [object()]),
    (T, [1, "a"]),
    (Rows[int], [Rows()]),
    (Inner, [{"n": 1}]),
    (dict[str, Inner], [{"a": {"n": 1}}]),
]
MISFITS = [
    (int, "1", ".f is str, not int"),
    (int, None, ".f is None, not int"),
    (int, 1.0, ".f is float, not int"),
    (float, "1", ".f is str, not float"),
    (str, b"", ".f is bytes, not str"),
    (None, 0, ".f is int, not None"),
    (list[int], (1,), ".f is tuple, not list"),
    (list[int], [1, 2, "3"], ".f[2] is str, not int"),
    (list[list[int]], [[1], [2, None]], ".f[1][1] is None, not int"),
    (dict[str, int], {"a": "b"}, ".f['a'] is str, not int"),
    (dict[str, int], {1: 1}, ".f has the key 1, which is int, not str"),
    (set[int], {"a"}, ".f[0] is str, not int"),
    (tuple[()], (1,), ".f has 1 items, not 0"),
    (tuple[int, str], (1,), ".f has 1 items, not 2"),
    (tuple[int, str], (1, 2), ".f[1] is int, not str"),
    (tuple[int, str], [1, "a"], ".f is list, not tuple"),
    (tuple[int, ...], (1, "a"), ".f[1] is str, not int"),
    (OldOptional[list[int]], ["a"], ".f[0] is str, not int"),
    (int | str, 1.5, ".f is float, not int | str"),
    (int | str, None, ".f is None, not int | str"),
    (OldUnion[int, list[str]], [1], ".f is list, not Union[int, list[str]]"),
    (Literal["a", 1], True, ".f is True, not one of ('a', 1)"),
    (Literal["a", 1], "b", ".f is 'b', not one of ('a', 1)"),
    (abc.Sequence[int], "ab", ".f[0] is str, not int"),
    (abc.Iterable[int], 1, ".f is int, not Iterable"),
    (abc.Callable[[int], str], 1, ".f is int, not Callable"),
    (collections.Counter[int], collections.Counter("a"), ".f[0] is str, not int"),
    (type[int], 1, ".f is int, not type"),
    (Annotated[int, "positive"], "1", ".f is str, not int"),
    (Final[int], "1", ".f is str, not int"),
    (UserId, "1", ".f is str, not int"),
    (Alias, ["1"], ".f[0] is str, not int"),
    (Color, 1, ".f is int, not Color"),
    (Rows[int], [], ".f is list, not Rows"),
    (Inner, {"n": "1"}, ".f.n is str, not int"),
    (dict[str, Inner], {"a": {}}, ".f['a'].n is missing"),
]


@pytest.mark.parametrize(("hint", "values"), FITS, ids=lambda value: str(value).partition(" at 0x")[0][:40])
def test_fits(hint, values):
    """A value that a type checker would accept for the annotation is accepted."""
    assert [problem(hint, value) for value in values] == [None] * len(values)


@pytest.mark.parametrize(("hint", "value", "words"), MISFITS, ids=str)
def test_does_not_fit(hint, value, words):
    """A misfit is found where it is, and the words say where and what."""
    assert problem(hint, value) == words


def test_looking_does_not_use_up_an_iterator():
    """What can be walked only once is left alone."""
    numbers = iter([1, 2])
    assert problem(abc.Iterator[str], numbers) is None
    assert list(numbers) == [1, 2]


class Base(TypedDict):
    a: int
    b: NotRequired[str]


class Partial(Base, total=False):
    c: int
    d: Required[Annotated[int, "note"]]
    e: Annotated[NotRequired[int], "note"]


class Extended(typing_extensions.TypedDict):
    a: int
    b: typing_extensions.NotRequired[typing_extensions.ReadOnly[int]]


@pytest.mark.parametrize(
    ("model", "value", "words"),
    [
        (Base, {"a": 1}, None),
        (Base, {"a": 1, "b": "x"}, None),
        (Base, {"b": "x"}, ".a is missing"),
        (Base, {"a": 1, "b": 2}, ".b is int, not str"),
        (Base, {"a": 1, 2: 3}, ".2 is no field of Base"),
        (Partial, {"a": 1, "d": 1}, None),
        (Partial, {"a": 1, "c": 1, "d": 1, "e": 1}, None),
        (Partial, {"a": 1, "c": 1}, ".d is missing"),
        (Partial, {"d": 1}, ".a is missing"),
        (Partial, {"a": 1, "d": "x"}, ".d is str, not int"),
        (Extended, {"a": 1}, None),
        (Extended, {"a": 1, "b": "x"}, ".b is str, not int"),
        (Extended, {}, ".a is missing"),
    ],
)
def test_required_and_optional_fields(model, value, words):
    """Totality, qualifiers and inheritance count, although the annotations are strings in this file."""
    assert model_check(model)(value) == words


class Tree(TypedDict):
    name: str
    children: list[Tree]


@dataclass
class Node:
    value: int
    next: Node | None = None


def test_models_that_contain_themselves():
    """A recursive model is followed as deep as the value goes."""
    check = model_check(Tree)
    assert check({"name": "a", "children": [{"name": "b", "children": []}]}) is None
    assert check({"name": "a", "children": [{"name": "b", "children": [{"name": 1, "children": []}]}]}) == (
        ".children[0].children[0].name is int, not str"
    )
    assert model_check(Node)(Node(1, Node(2))) is None
    assert model_check(Node)(Node(1, cast("Any", Node)("2"))) == ".next.value is str, not int"


@dataclass
class Fields:
    a: int
    hidden: int = field(default=0, init=False)
    shared: ClassVar[int] = 1
    seed: InitVar[int] = 2


@dataclass(frozen=True, slots=True)
class Slotted(Generic[T]):
    value: T


def test_fields_of_a_dataclass():
    """Fields count, class variables and init-only ones do not; a deleted attribute is missing; subclasses fit."""
    check = model_check(Fields)
    value: Any = Fields(1)
    assert check(value) is None
    value.hidden = "x"
    assert check(value) == ".hidden is str, not int"
    del value.a
    assert check(value) == ".a is missing"
    assert check(type("Sub", (Fields,), {})(1)) is None
    assert model_check(Slotted[int])(Slotted("trusted")) is None


def test_unknown_names_in_annotations():
    """A model whose annotations cannot be resolved is refused, with the name that is missing."""
    broken = make_dataclass("Broken", [("f", "NoSuchName")])
    with pytest.raises(ValueError, match=r"Broken cannot be resolved.*NoSuchName"):
        model_check(broken)


class Level(enum.Enum):
    LOW = "low"


class Part(pydantic.BaseModel):
    count: int


class Rich(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_enum_values=True, extra="allow")

    level: Level = Level.LOW
    renamed: int = pydantic.Field(1, validation_alias="other", serialization_alias="third")
    hidden: int = pydantic.Field(2, exclude=True)
    document: pydantic.Json[list[int]] = pydantic.Field(default="[1]", validate_default=True)
    secret: pydantic.SecretStr = pydantic.SecretStr("s")
    part: Part | None = None


class Needed(pydantic.BaseModel):
    hidden: int = pydantic.Field(exclude=True)


class Unwritable(pydantic.BaseModel):
    n: int

    @pydantic.field_serializer("n")
    def refuse(self, n: int) -> str:
        raise ValueError("not for eyes outside")


class Outer(pydantic.BaseModel):
    needed: Needed
    part: Part | None = None


@pydantic.dataclasses.dataclass
class Checked:
    n: int


@pytest.mark.parametrize(
    "value",
    [
        cast("Any", Rich)(),
        cast("Any", Rich)(level="low", other=5, document="[]", more=1, part=Part(count=1)),
        Needed(hidden=1),
        Outer(needed=Needed(hidden=1)),
        Part(count=True),
        Unwritable(n=1),
    ],
    ids=repr,
)
def test_pydantic_instances_fit_as_they_are(value):
    """Whatever pydantic built is accepted: aliases, excluded fields, enum values, parsed JSON, secrets, extras."""
    assert model_check(type(value))(value) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Part.model_construct(count="many"), ".count: Input should be a valid integer"),
        (Part.model_construct(count="5"), ".count: Input should be a valid integer"),
        (Part.model_construct(), ".count: Field required"),
        (Unwritable.model_construct(n="x"), ".n: Input should be a valid integer"),
        (Needed.model_construct(hidden="x"), ".hidden: Input should be a valid integer"),
        (Outer(needed=Needed(hidden=1)).model_copy(update={"part": Part.model_construct(count="5")}), ".needed.hidden"),
        (3, " must be of that class, not int"),
    ],
    ids=str,
)
def test_pydantic_instances_that_were_not_validated(value, words):
    """An instance made around validation is refused with pydantic's own words, also if its value could be converted."""
    model = type(value) if isinstance(value, pydantic.BaseModel) else Part
    assert (model_check(model)(value) or "fits").startswith(words)


def test_pydantic_inside_and_beside_others():
    """Models of different kinds nest, and a dataclass of pydantic is a dataclass."""
    assert problem(list[Part], [Part(count=1)]) is None
    assert (problem(list[Part], [Part.model_construct(count="x")]) or "fits").startswith(".f[0].count: ")
    assert problem(dict[str, Part], {"a": {"count": 1}}) == ".f['a'] must be of that class, not dict"
    assert model_check(Checked)(Checked(1)) is None


class Nested(pydantic.BaseModel):
    parts: list[Part]


def test_pydantic_names_the_place():
    """A misfit inside a model is named with the whole way to it."""
    value = Nested(parts=[Part(count=1)])
    cast("list[Any]", value.parts).append("no part")
    assert (model_check(Nested)(value) or "fits").startswith(".parts[1]: ")
