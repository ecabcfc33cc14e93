"""Text: what is drawn says exactly what the graph says, on a page of about 100 columns."""

from __future__ import annotations

import textwrap
import unicodedata

import pytest

from graflow_async.builder import build_graph
from graflow_async.compose import chain, parallel
from graflow_async.draw import to_ascii
from graflow_async.task import Task
from tests.drawing import graphs
from tests.drawing.ascii_reader import AsciiReader

EVERY = pytest.mark.parametrize("name", graphs.ALL)
PLAIN = {
    **{f"sparse_{seed}": lambda seed=seed: graphs.sparse(seed, 3 + 3 * seed, 0.15) for seed in range(12)},
    "loops": graphs.loops,
    "fan": graphs.fan,
    "fan_of_seven": lambda: graphs.fan(7),
    "long_chain": graphs.long_chain,
    "sparse_300": lambda: graphs.sparse(99, 300, 0.05),
}


def expect(drawing: str, wanted: str) -> None:
    assert drawing == textwrap.dedent(wanted).strip("\n"), f"\n{drawing}"


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def test_scenario_33() -> None:
    """A group is a box between what comes before and after; inside it each branch runs down."""
    expect(
        to_ascii(graphs.scenario_33()),
        """
                 fetch
                   |
                   v
        +-- ParallelGroup_1 --+
        |  ta   tb            |
        |  |                  |
        |  v                  |
        | sub                 |
        +---------------------+
                   |
                   v
                 store
        """,
    )


def test_a_diamond() -> None:
    """Edges between tasks fork and join."""
    a, b, c, d = graphs.tasks(*"abcd")
    expect(
        to_ascii(build_graph([a >> b >> d, a >> c >> d])),
        """
          a
          |
        +-+-+
        v   v
        b   c
        |   |
        +-+-+
          v
          d
        """,
    )


def test_nested_groups() -> None:
    """A group in a group is a box in a box."""
    expect(
        to_ascii(graphs.nested()),
        """
                     a
                     |
                     v
        +-- outer -----------------+
        | b   +-- inner ---------+ |
        | |   | d   +-- core --+ | |
        | v   |     | e   f    | | |
        | c   |     +----------+ | |
        |     +------------------+ |
        +--------------------------+
                     |
                     v
                     g
        """,
    )


def test_an_empty_group() -> None:
    """It is there and says that nothing is in it."""
    expect(
        to_ascii(graphs.empty_group()),
        """
               a
               |
               v
        +-- none -------+
        | (no members)  |
        +---------------+
               |
               v
               b
        """.replace("-------+", "------+").replace("members)  |", "members) |").replace("---------------+", "--------------+"),
    )


def test_loops_are_named() -> None:
    """The task at which a loop begins says where it leads back to."""
    expect(
        to_ascii(graphs.loops()),
        """
         start
           |
           v
         draft -> back to draft
           |
           v
        review -> back to draft
           |
           v
        publish -> back to start
        """,
    )
