"""The way to the part that cannot be pickled: for every shape of value, named as a reader would write it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import pickle
import threading
from typing import NamedTuple

import pytest

from graflow_async.codec import culprit, dumps, explain
from graflow_async.errors import NotSerializableError

LOCK = threading.Lock()
WHAT = "result of task 'load'"


class Plain:
    def __init__(self, **values):
        self.__dict__.update(values)


class Slotted:
    __slots__ = ("connection", "name")

    def __init__(self):
        self.name = "n"
        self.connection = LOCK


class SlottedWithDict(Slotted):
    def __init__(self):
        super().__init__()
        self.connection = 1
        self.extra = LOCK


class Dropping:
    """Leaves its lock out of its pickle, and something else in."""

    def __init__(self):
        self.lock = threading.Lock()
        self.handle = (i for i in ())

    def __getstate__(self):
        return {"handle": self.handle}


class Reducing:
    def __reduce__(self):
        return Plain, (1, [LOCK])


class OddState:
    def __getstate__(self):
        return [1, LOCK]


class Raising:
    def __reduce__(self):
        raise ValueError("not today")


class Elsewhere:
    """Says that it can be found by a name, which does not exist."""

    def __reduce__(self):
        return "no_such_name"


class UglyKey:
    def __repr__(self):
        raise ValueError("no repr")


class RefusedError(Exception):
    pass


class Point(NamedTuple):
    x: int
    y: object


class Rows(list):
    pass


@dataclasses.dataclass
class Record:
    name: str
    connection: object


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenRecord:
    name: str
    connection: object


def way(value):
    """Give the way to the part at fault, without the name of the value, and what is said of it."""
    with pytest.raises(NotSerializableError) as caught:
        dumps(value, WHAT)
    path, _, _ = str(caught.value).partition(" cannot be pickled: ")
    assert path.startswith(WHAT)
    return path.removeprefix(WHAT)


def closure():
    client = LOCK
    return lambda: client


def local_class():
    class Local:
        client = LOCK

    return Local


def decorated():
    @functools.wraps(len)
    def wrapper():
        return 1

    vars(wrapper)["client"] = LOCK
    return wrapper


SHAPES = {
    "itself": (LOCK, ""),
    "dict": ({"a": 1, "rows": LOCK}, "['rows']"),
    "deep": ({"rows": [0, 1, 2, Plain(connection=LOCK)]}, "['rows'][3].connection"),
    "key": ({"a": 1, (1, LOCK): 2}, " -> key "),
    "number key": ({7: {None: LOCK}}, "[7][None]"),
    "list": ([1, [2, LOCK]], "[1][1]"),
    "long list": ([*range(50_000), LOCK, *range(50_000)], "[50000]"),
    "tuple": ((1, (LOCK,)), "[1][0]"),
    "set": ({1, LOCK}, " -> element <unlocked _thread.lock"),
    "frozenset": (frozenset({LOCK}), " -> element <unlocked _thread.lock"),
    "named tuple": ([Point(1, {"a": LOCK})], "[0].y['a']"),
    "deque": (collections.deque([1, LOCK]), "[1]"),
    "ordered": (collections.OrderedDict(a=LOCK), "['a']"),
    "list subclass": (Rows([1, LOCK]), "[1]"),
    "object": (Plain(a=1, client=LOCK), ".client"),
    "slots": (Slotted(), ".connection"),
    "slots and dict": (SlottedWithDict(), ".extra"),
    "dataclass": (Record("r", [LOCK]), ".connection[0]"),
    "frozen dataclass": (FrozenRecord("r", [LOCK]), ".connection[0]"),
    "exception": (RefusedError("x", LOCK), ".args[1]"),
    "bound method": (Plain(a=LOCK).__init__, ".__self__.a"),
    "partial": (functools.partial(print, 1, LOCK), ".args[1]"),
    "partial keyword": (functools.partial(dict, end=LOCK), ".keywords['end']"),
    "closure": ({"f": closure()}, "['f'] -> closure variable 'client'"),
    "global": (lambda: LOCK, " -> global 'LOCK'"),
    "nested global": (lambda: [(lambda: LOCK) for _ in ()], " -> global 'LOCK'"),
    "default": (lambda client=LOCK: client, ".__defaults__[0]"),
    "keyword default": (lambda *, client=LOCK: client, ".__kwdefaults__['client']"),
    "function attribute": (decorated(), ".client"),
    "local class": (local_class(), ".client"),
    "instance of local class": (local_class()(), ".__class__.client"),
    "reduce": ([Reducing()], "[0].__reduce__()[1][1][0]"),
    "odd state": (OddState(), ".__getstate__()[1]"),
}


@pytest.mark.parametrize(("value", "expected"), SHAPES.values(), ids=SHAPES)
def test_the_way_to_the_part_is_named(value, expected):
    """The error leads from the value to the very object that cannot be pickled, and gives its type."""
    found = way(value)
    assert found.endswith("(_thread.lock)")
    if expected.endswith((" -> key ", "_thread.lock")):
        assert found.startswith(expected)
    else:
        assert found == f"{expected} (_thread.lock)"


def test_what_an_object_leaves_out_is_not_blamed():
    """A class that drops its lock from its pickle is not told about the lock, but about what it keeps."""
    assert way(Dropping()) == ".handle (generator)"


def test_an_object_that_refuses_is_named_itself():
    """Where an object's own code refuses, the object is at fault, by its full type name."""
    assert way({"a": [Raising()]}) == f"['a'][0] ({__name__}.Raising)"
    assert way({"a": [Elsewhere()]}) == f"['a'][0] ({__name__}.Elsewhere)"


def test_a_closure_that_is_not_complete_is_searched():
    """A variable that has no value yet is passed over; the next one is named."""

    def early():
        return later, client

    client = LOCK
    assert way(early) == " -> closure variable 'client' (_thread.lock)"
    later = 1
    assert early() == (later, client)


def test_parts_in_a_circle_are_searched_once():
    """Objects that refer to each other end the search neither in a loop nor at the wrong object."""
    first = Plain()
    vars(first).update(second=Plain(first=first), client=LOCK)
    assert way([first]) == "[0].client (_thread.lock)"


def test_the_first_of_several_is_named():
    """Of several parts at fault the first one is named."""
    assert way([1, {"a": LOCK}, LOCK]) == "[1]['a'] (_thread.lock)"


def test_keys_are_shown_within_bounds():
    """A very long key is cut, and a key without a working repr is shown by its type."""
    assert len(way({"k" * 10_000: LOCK})) < 100
    assert way({UglyKey(): LOCK}) == f"[<{__name__}.UglyKey>] (_thread.lock)"


def test_a_search_that_goes_too_deep_says_so():
    """Nesting beyond the bound gives a place on the way, marked as such, and no crash."""
    value = LOCK
    for _ in range(60):
        value = [value]
    with pytest.raises(NotSerializableError, match=r"^something in result of task 'load'(\[0\]){40} \(list\) cannot"):
        dumps(value, WHAT)


def test_nesting_beyond_recursion_is_refused():
    """A value nested deeper than the interpreter can follow is a named error as well."""
    value = []
    for _ in range(100_000):
        value = [value]
    try:
        with pytest.raises(NotSerializableError, match="something in result of task 'load'"):
            dumps(value, WHAT)
    finally:
        while value:
            value = value[0]


@pytest.mark.parametrize("bound", ["_MAX_TRIALS", "_MAX_BYTES", "_MAX_PARTS"])
def test_a_search_that_costs_too_much_ends(monkeypatch, bound):
    """When a bound is reached the search names the place where it stands, and says that it is not the end."""
    monkeypatch.setattr(culprit, bound, 3)
    rows = [["x" * 50] * 10, ["y" * 50] * 10, ["z" * 50, "a", "b", "c", "d", LOCK]]
    with pytest.raises(NotSerializableError, match=r"^something in result of task 'load'"):
        dumps({"a": rows}, WHAT)


def test_another_pickler_can_be_asked():
    """`explain` searches with the pickler that refused, for which other parts may be fine."""

    def without_locks(value):
        if RefusedError in map(type, value):
            raise RefusedError("no")
        return b""

    text = explain([LOCK, RefusedError("x")], WHAT, RefusedError("no"), without_locks)
    assert text == f"{WHAT}[1] ({__name__}.RefusedError) cannot be pickled: no"


def test_the_shapes_above_are_refused_by_plain_pickle():
    """The table proves something: none of its values could be pickled."""
    for value, _ in SHAPES.values():
        with pytest.raises(Exception, match=r".*"):
            pickle.dumps(value)
