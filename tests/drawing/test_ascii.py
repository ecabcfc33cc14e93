"""Text: what is drawn says exactly what the graph says, on a page of about 100 columns."""

from __future__ import annotations

import textwrap
import unicodedata

import pytest

from graflow_async.builder import build_graph
from graflow_async.compose import chain, parallel
from graflow_async.draw import to_ascii
from graflow_async.draw.block import joined
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
        +-- none ------+
        | (no members) |
        +--------------+
               |
               v
               b
        """,
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


def test_edges_across_groups_are_told() -> None:
    """What no line can say is said in words: an edge to the inside of a group, membership in a second one."""
    drawing = to_ascii(graphs.crossing())
    for told in ("b <- y", "y <- c", "e -> back to d"):
        assert told in drawing
    drawing = to_ascii(graphs.shared())
    for told in ("also a  ", "also a, c"):
        assert told in drawing


def test_edges_between_a_group_and_its_own_are_told() -> None:
    """A group that leads to itself or to its own member says so."""
    drawing = to_ascii(graphs.into_itself())
    for told in ("-> back to outer", "b -> back to a", "c -> back to c", "a <- c"):
        assert told in drawing


def test_lines_that_turn_into_one_column_stay_apart() -> None:
    """Where one line leaves a column and another takes it, there is a space between their corners."""
    right, left = joined([([0], [5]), ([5], [10])]), joined([([5], [0]), ([10], [5])])
    assert right == ["|    |", "|    +----+", "|         |", "+----+    |", "     v    v"]
    assert left == ["     |    |", "+----+    |", "|         |", "|    +----+", "v    v"]


def test_lines_reach_past_taller_neighbours() -> None:
    """What stands beside a box is joined with the next row by a line as long as the box is high."""
    a, b, c, x = graphs.tasks(*"abcx")
    expect(
        to_ascii(build_graph([parallel(a, b, name="one") >> x, c >> x])),
        """
        +-- one --+   c
        | a   b   |   |
        +---------+   |
             |        |
             +---+----+
                 v
                 x
        """,
    )


@pytest.mark.parametrize("name", PLAIN)
def test_the_drawing_can_be_read_back(name: str) -> None:
    """Its lines and notes say each edge of the graph and no other, and each task stands there once."""
    graph = PLAIN[name]()
    reader = AsciiReader(to_ascii(graph))
    assert sorted(reader.tasks) == sorted(graph.nodes)
    assert reader.edges == set(graph.edges)
    on_cycles = [set(cycle) for cycle in graph.cycles]
    assert all(any({one, other} <= cycle for cycle in on_cycles) for one, other in reader.loops)
    assert bool(reader.loops) == bool(on_cycles)


@EVERY
def test_no_line_ends_with_a_space(name: str) -> None:
    """The text can be kept in a file without an editor's complaint."""
    drawing = to_ascii(graphs.ALL[name]())
    assert drawing
    assert [line for line in drawing.split("\n") if line != line.rstrip()] == []


@EVERY
def test_the_page_is_kept(name: str) -> None:
    """A drawing is about 100 columns wide whatever the graph; only very deep nesting needs more."""
    graph = graphs.ALL[name]()
    drawing = to_ascii(graph)
    depth = 10 if name.startswith("mixed_300") else 0
    assert max(map(width, drawing.split("\n"))) <= 104 + 4 * depth
    assert len(drawing.split("\n")) <= 5 * len(graph.nodes) + 10


@EVERY
def test_every_task_is_named(name: str) -> None:
    """A task's id is in the text, shortened if it is long."""
    graph = graphs.ALL[name]()
    drawing = to_ascii(graph).replace('\\"', '"').replace("\\\\", "\\")
    assert [node_id for node_id in graph.nodes if node_id[:15] not in drawing] == []


def test_hostile_ids_are_quoted() -> None:
    """An id that could be taken for a line or a note stands in quotes."""
    drawing = to_ascii(build_graph(graphs.tasks("v", "a -> b", "|", "x <- y", "+--+", "plain", "dot.ted-id")))
    for shown in ('"v"', '"a -> b"', '"|"', '"x <- y"', '"+--+"', " plain", " dot.ted-id"):
        assert shown in drawing


def test_wide_characters_keep_the_frame_straight() -> None:
    """Boxes stay closed around ids of double-width and combining characters."""
    drawing = to_ascii(build_graph([parallel(*graphs.tasks("日本語", "cafe\u0301", "plain"), name="混合")]))
    assert len({width(line) - line.count("\u0301") for line in drawing.split("\n")}) == 1


def test_three_hundred_members_are_set_in_rows() -> None:
    """A wide group is a box of some forty lines, not one of three hundred columns."""
    drawing = to_ascii(graphs.wide_group())
    assert len(drawing.split("\n")) < 60
    assert drawing.count("member_") == 300


def test_many_names_in_a_note_are_counted() -> None:
    """A task after fifty others that no line can lead to it names some and counts the rest."""
    after = Task("after")
    many = [chain(*graphs.tasks(f"a{n}", f"b{n}")) >> after for n in range(3)]
    firsts = [Task(f"first_{n}") for n in range(50)]
    drawing = to_ascii(build_graph([*many, *(first >> after for first in firsts)]))
    assert "and 38 more" in drawing


@EVERY
def test_the_same_graph_gives_the_same_text(name: str) -> None:
    """Drawings can be compared and kept under version control."""
    make = graphs.ALL[name]
    assert to_ascii(make()) == to_ascii(make())
