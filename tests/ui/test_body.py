"""Strict JSON: what every reader understands in the same way is taken, all else refused."""

from __future__ import annotations

import json
import random
import sys
import time

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from graflow_async.ui.body import DEEPEST, LARGEST, parse
from graflow_async.ui.problems import Problem

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
REFUSED = [
    b"", b" ", b"{", b"[1,]", b"{'a':1}", b"nul", b"01", b"+1", b"1.", b".5", b"1e", b'"\x00"', b'"\n"', b'"\\x41"',
    b"NaN", b"Infinity", b"-Infinity", b"[NaN]", b'{"a":NaN}', b"1e999", b"-1e999", b'{"value":1e400}',
    b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'[{"":0,"":0}]', b'{"\\u0061":1,"a":2}',
    b'"\\ud800"', b'{"\\udfff":1}', b'["\\ud83d"]', b"\xff", b'"\xed\xa0\x80"', b'"\xc0\xaf"', b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-32-le"), b"{}{}", b"{} x", b"1" * 301, b"-" + b"9" * 400,
    b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 60_000, b'{"a":' * 12_000,
    b'"' + b'\\"' * 30_000, b'["' * 30_000, b"1/*x*/", b"//x\n1",
]  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: ascii(raw[:24]))
def test_doubtful_json_is_refused(raw: bytes) -> None:
    """Broken, ambiguous, endless or too deep JSON is refused with 400, whatever is wrong with it."""
    with pytest.raises(Problem) as caught:
        parse(raw)
    assert caught.value.status == 400


@seed(20240917)
@given(JSON)
def test_all_other_json_is_read_as_it_is(content: object) -> None:
    """What is refused is the exception: any JSON value comes through unchanged."""
    assert parse(json.dumps(content).encode()) == content
    assert parse(json.dumps(content, ensure_ascii=False, indent=2).encode()) == content


def test_the_deepest_nesting_is_taken() -> None:
    """The limit itself is allowed, and brackets in texts are no nesting."""
    assert parse(b"[" * DEEPEST + b"]" * DEEPEST) is not None
    assert parse(json.dumps(["[" * 5000, '"[{\\' * 500]).encode()) is not None


def test_no_body_costs_more_than_its_size() -> None:
    """Bodies made to be slow take about as long as harmless ones of the same size: nothing is quadratic."""
    number = random.randrange(2**32)
    sys.stdout.write(f"seed {number}\n")
    rng = random.Random(number)
    pieces = [b'"', b'\\"', b"[", b"{", b"]", b"\\", b"1", b":", b","]
    nasty = [piece * (LARGEST // len(piece)) for piece in pieces]
    nasty += [b'"' + piece * (LARGEST // len(piece) - 1) for piece in pieces]
    nasty += [bytes(rng.choice(b'"\\[]{}:,1') for _ in range(LARGEST)) for _ in range(10)]
    started = time.process_time()
    for raw in nasty:
        with pytest.raises(Problem):
            parse(raw)
    # A quadratic scan of one of them alone takes minutes.
    assert time.process_time() - started < 20
