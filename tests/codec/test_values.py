"""Values as pickles: what comes back, and which of two named errors says why something does not."""

from __future__ import annotations

import enum
import math
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from graflow_async.codec import dumps, loads
from graflow_async.errors import CheckpointCorruptError, NotSerializableError

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = {
    "rows": [1, 2.5, -(2**70), None, True],
    "text": "größer",
    "raw": b"\x00\xff",
    "pair": (1, {2}),
    "long": "x" * 300,
}
FLIP_EVERY_BIT = """
import resource, warnings
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # a damaged size may ask for any amount of memory
warnings.simplefilter("ignore")
from graflow_async.codec import dumps, loads
from graflow_async.errors import CheckpointCorruptError, NotSerializableError
data = dumps({"rows": [1, 2.5, -(2**70), None, True], "text": "größer", "raw": b"x", "pair": (1, {2})}, "sample")
damaged = refused = 0
for position in range(len(data) * 8):
    flipped = bytearray(data)
    flipped[position // 8] ^= 1 << position % 8
    try:
        loads(bytes(flipped))
    except CheckpointCorruptError:
        damaged += 1
    except NotSerializableError:
        refused += 1
print(len(data) * 8, damaged, refused)
"""


class Color(enum.Enum):
    RED = 1


class Broken:
    """Pickles, and refuses to be unpickled."""

    def __setstate__(self, state):
        raise RuntimeError("my state is gone")

    def __getstate__(self):
        return {"some": "state"}


class Inherited(Broken):
    """Refuses with the code of its base."""


class TwoArgumentsError(Exception):
    """Forgets its second argument, as most exceptions with a constructor of their own."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def refuse_to_make(_value):
    raise KeyError("nothing to make it from")


class MadeByFunction:
    def __reduce__(self):
        return refuse_to_make, (1,)


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        "text",
        b"",
        SAMPLE,
        [[]],
        math.pi,
        Color.RED,
        range(3),
        {"a": {"b": ({1, 2}, frozenset({3}))}},
        Path("a/b"),
    ],
    ids=repr,
)
def test_plain_values_come_back(value):
    """What goes in comes out, with its type, and as an ordinary pickle of protocol 5."""
    data = dumps(value, "a value", check=True)
    copy = loads(data)
    assert copy == value
    assert type(copy) is type(value)
    assert data == pickle.dumps(value, 5)


def test_shared_parts_stay_shared():
    """One object in two places is one object afterwards, and a list may contain itself."""
    part = [1]
    circle: list[object] = [part, part]
    circle.append(circle)
    copy = loads(dumps(circle, "a value"))
    assert copy[0] is copy[1]
    assert copy[2] is copy


def test_what_plain_pickle_refuses_travels_by_value():
    """Closures and local classes come back, together with plain data beside them."""
    factor = 50

    class Local:
        size = 3

    value = loads(dumps({"f": lambda x: x * factor, "c": Local(), "n": 1}, "a value", check=True))
    assert value["f"](5) == 250
    assert type(value["c"]) is Local
    assert value["n"] == 1


def test_plain_values_do_not_load_cloudpickle():
    """A program that stores only plain data never pays for importing cloudpickle."""
    code = "from graflow_async.codec import dumps, loads; import sys; loads(dumps([1], 'x', check=True)); {}"
    for rest, expected in (("pass", "False"), ("dumps(lambda: 1, 'x')", "True")):
        program = code.format(rest) + "; print('cloudpickle' in sys.modules)"
        child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert child.stdout.strip() == expected


def test_a_refusal_names_value_part_and_cause():
    """The error says whose value it is, where the part is, of which type, what to do; and keeps the first cause."""
    with pytest.raises(NotSerializableError) as caught:
        dumps({"rows": [1, threading.Lock()]}, "result of task 'load'")
    text = str(caught.value)
    assert text.startswith("result of task 'load'['rows'][1] (_thread.lock) cannot be pickled: cannot pickle")
    assert "plain data" in text
    assert isinstance(caught.value.__cause__, TypeError)


def test_cancellation_and_exit_pass_through():
    """Pickling user code that exits or is interrupted is no question of serialisation."""

    class Exits:
        def __reduce__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dumps(Exits(), "a value")


@pytest.mark.parametrize(
    "value",
    [Broken(), [Broken()], TwoArgumentsError("a", "b"), MadeByFunction()],
    ids=["an object", "in a list", "an error", "by a function"],
)
def test_check_finds_what_only_loading_refuses(value):
    """What pickles and cannot be loaded is refused when asked for, by the name of the value, and only then."""
    dumps(value, "result of task 'load'")
    with pytest.raises(NotSerializableError, match=r"result of task 'load' \(.*\) can be pickled, but not be loaded"):
        dumps(value, "result of task 'load'", check=True)


@pytest.mark.parametrize(
    ("value", "name", "reason"),
    [
        (Broken(), "test_values.Broken cannot", "RuntimeError: my state is gone"),
        ([1, Inherited()], "test_values.Inherited cannot", "RuntimeError: my state is gone"),
        (TwoArgumentsError("a", "b"), "TwoArgumentsError.__init__", "TypeError"),
        (MadeByFunction(), "test_values.refuse_to_make cannot", "KeyError"),
    ],
    ids=["setstate", "inherited", "constructor", "function"],
)
def test_loading_names_the_class_that_refuses(value, name, reason):
    """An exception out of a user's class becomes a NotSerializableError with the class, the text and the cause."""
    with pytest.raises(NotSerializableError) as caught:
        loads(pickle.dumps(value))
    assert name in str(caught.value)
    assert reason in str(caught.value)
    assert type(caught.value.__cause__).__name__ in reason


def test_a_class_or_module_that_is_missing_here_is_named(tmp_path, monkeypatch):
    """A value of a module that this process lacks, that lost the class, or that fails, says which."""
    path = tmp_path / "graflow_test_shapes.py"
    path.write_text("class Circle:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import graflow_test_shapes as shapes  # pyright: ignore[reportMissingImports]

    data = dumps(shapes.Circle(), "a value")
    monkeypatch.delattr(shapes, "Circle")
    with pytest.raises(NotSerializableError, match=r"Circle.*graflow_test_shapes"):
        loads(data)
    monkeypatch.delitem(sys.modules, "graflow_test_shapes")
    path.unlink()
    sys.path_importer_cache.clear()
    with pytest.raises(NotSerializableError, match="No module named 'graflow_test_shapes'"):
        loads(data)
    path.write_text(textwrap.dedent("raise LookupError('no licence')\n"))
    sys.path_importer_cache.clear()
    with pytest.raises(NotSerializableError, match=r"graflow_test_shapes.*LookupError: no licence"):
        loads(data)


def test_every_truncation_is_damage():
    """A pickle that was cut short anywhere is a CheckpointCorruptError, with what was stumbled upon as its cause."""
    for value in (SAMPLE, lambda: 1, Broken()):
        data = dumps(value, "a value")
        for length in range(len(data)):
            with pytest.raises(CheckpointCorruptError, match=f"{length} bytes is damaged") as caught:
                loads(data[:length])
            assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"garbage",
        b"\x80\x05",
        b"\x80\xff.",
        b"\x80\x05R.",
        b"\x80\x05h\x07.",
        b"\x80\x05X\xff\xff\xff\x7fab.",
        b"{}",
    ],
)
def test_garbage_is_damage(data):
    """Bytes that are no pickle, or contradict themselves, are a CheckpointCorruptError."""
    with pytest.raises(CheckpointCorruptError, match="damaged"):
        loads(data)


def test_any_flipped_bit_gives_a_value_or_a_named_error():
    """Damage of any single bit never surfaces as anything else than the two named errors."""
    child = subprocess.run(
        [sys.executable, "-c", FLIP_EVERY_BIT], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert child.returncode == 0, child.stderr
    flips, damaged, refused = map(int, child.stdout.split())
    assert flips > 500
    assert damaged > flips // 5
    assert refused > 0
