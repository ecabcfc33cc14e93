"""Mermaid: the text is well-formed whatever the ids are, and says what the graph says."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

import pytest

from graflow_async.builder import build_graph
from graflow_async.compose import parallel
from graflow_async.draw import to_mermaid
from graflow_async.graph import Graph
from graflow_async.task import Task
from tests.drawing import graphs

EVERY = pytest.mark.parametrize("name", graphs.ALL)
NODE = re.compile(r'(\w+)\["([^"]*)"\]')
SUBGRAPH = re.compile(r'subgraph (\w+)\["([^"]*)"\]')
EDGE = re.compile(r"(\w+) (-->|-\. loop \.->|-\.-) (\w+)")
# What the language reads as a word of its own where a name should stand.
WORDS = (
    *("graph", "flowchart", "subgraph", "end", "style", "linkstyle", "classdef", "class", "click", "call", "href"),
    *("default", "interpolate", "direction", "v", "_self", "_blank", "_parent", "_top"),
)


class Reading(NamedTuple):
    """What a text says: name -> label and subgraph around it, for nodes and subgraphs, and edges with their arrows."""

    nodes: dict[str, tuple[str, str | None]]
    subgraphs: dict[str, tuple[str, str | None]]
    edges: list[tuple[str, str, str]]


def read(text: str) -> Reading:
    """Read a text line by line; a line that is none of the known statements is an error."""
    head, *lines = text.removesuffix("\n").split("\n")
    assert head == "graph TD;"
    reading = Reading({}, {}, [])
    around: list[str] = []
    for line in lines:
        statement = line.strip()
        assert line == "    " * (len(around) + (statement != "end")) + statement
        parent = around[-1] if around else None
        if match := SUBGRAPH.fullmatch(statement):
            assert match[1] not in reading.subgraphs
            reading.subgraphs[match[1]] = html.unescape(match[2].replace("#", "&#")), parent
            around.append(match[1])
        elif statement == "end":
            around.pop()
        elif match := NODE.fullmatch(statement):
            assert match[1] not in reading.nodes
            reading.nodes[match[1]] = html.unescape(match[2].replace("#", "&#")), parent
        elif match := EDGE.fullmatch(statement):
            assert not around, "an edge in a subgraph would pull its ends into it"
            reading.edges.append((match[1], match[2], match[3]))
        else:
            pytest.fail(f"not understood: {line!r}")
    assert not around
    return reading


def labelled(reading: Reading) -> set[tuple[str, str, str]]:
    """Give the edges by label."""
    label = {name: text for name, (text, _) in (*reading.nodes.items(), *reading.subgraphs.items())}
    return {(label[source], arrow, label[target]) for source, arrow, target in reading.edges}


def test_scenario_33() -> None:
    """One subgraph; edges lead to it, from it and inside it from ta to sub, but not from it to its tasks."""
    text = to_mermaid(graphs.scenario_33())
    assert text == (
        "graph TD;\n"
        '    fetch["fetch"]\n'
        '    subgraph ParallelGroup_1["ParallelGroup_1"]\n'
        '        ta["ta"]\n'
        '        sub["sub"]\n'
        '        tb["tb"]\n'
        "    end\n"
        '    store["store"]\n'
        "    ta --> sub\n"
        "    fetch --> ParallelGroup_1\n"
        "    ParallelGroup_1 --> store\n"
    )


@EVERY
def test_every_task_and_group_is_there(name: str) -> None:
    """Tasks are nodes, groups subgraphs, each under its full id and in the group it belongs to."""
    graph = graphs.ALL[name]()
    reading = read(to_mermaid(graph))
    assert sorted(label for label, _ in reading.subgraphs.values()) == sorted(graph.groups)
    labels = [label for label, _ in reading.nodes.values()]
    notes = [label for label in labels if label in {"no members", "drawn elsewhere"}]
    tasks = [node_id for node_id in graph.nodes if node_id not in graph.groups]
    assert sorted(labels) == sorted([*tasks, *notes])
    for label, parent in (*reading.nodes.values(), *reading.subgraphs.values()):
        if label in notes:
            continue
        groups = {group for group, branches in graph.groups.items() if any(label in branch for branch in branches)}
        assert (reading.subgraphs[parent][0] in groups) if parent else not groups


@EVERY
def test_every_edge_is_there(name: str) -> None:
    """Edges are those of the graph; only those between a group and what lies in it are led to its border."""
    graph = graphs.ALL[name]()
    reading = read(to_mermaid(graph))
    names = {*reading.nodes, *reading.subgraphs}
    assert all(source in names and target in names for source, _, target in reading.edges)
    drawn = {(source, target) for source, arrow, target in labelled(reading) if arrow != "-.-"}
    missing = set(graph.edges) - drawn
    assert all(source in graph.groups or target in graph.groups for source, target in missing)
    assert not missing or name == "into_itself" or name.startswith("mixed")


@EVERY
def test_no_subgraph_is_linked_with_its_own(name: str) -> None:
    """An edge between a subgraph and something in it, or itself, would make a renderer fail."""
    reading = read(to_mermaid(graphs.ALL[name]()))
    parent = {name: outer for name, (_, outer) in (*reading.nodes.items(), *reading.subgraphs.items())}

    def around(inner: str) -> list[str]:
        found: list[str] = []
        while (outer := parent[inner]) is not None:
            found.append(outer)
            inner = outer
        return found

    for source, _, target in reading.edges:
        assert source not in around(target)
        assert target not in around(source)
        assert source != target or source in reading.nodes


@EVERY
def test_no_subgraph_is_empty(name: str) -> None:
    """A subgraph without a node would not be drawn as one."""
    reading = read(to_mermaid(graphs.ALL[name]()))
    filled = {parent for _, parent in (*reading.nodes.values(), *reading.subgraphs.values())}
    assert set(reading.subgraphs) <= filled


def test_loops_are_visible() -> None:
    """Edges that close a loop have an arrow of their own."""
    reading = read(to_mermaid(graphs.loops()))
    loops = {(source, target) for source, arrow, target in reading.edges if "loop" in arrow}
    assert loops == {("review", "draft"), ("publish", "start"), ("draft", "draft")}


def test_a_task_in_two_groups() -> None:
    """It is drawn in one; a dotted line says that it also belongs to the other."""
    reading = read(to_mermaid(graphs.shared()))
    assert reading.nodes["a"] == ("a", "one")
    assert {edge for edge in reading.edges if edge[1] == "-.-"} == {
        ("a", "-.-", "two"),
        ("a", "-.-", "three"),
        ("c", "-.-", "three"),
    }


@pytest.mark.parametrize("word", [*WORDS, "END", "Style", "n0", "n7", "n1e", "1st", "a-b", "a.b", "ü", "a b"])
def test_words_of_the_language_are_no_names(word: str) -> None:
    """An id with a meaning in the language, or of other characters than a name may have, gets a name that is safe."""
    reading = read(to_mermaid(build_graph([Task("before") >> Task(word) >> Task("after")])))
    (name,) = (name for name, (label, _) in reading.nodes.items() if label == word)
    assert name == "n1"
    assert ("before", "-->", "n1") in reading.edges


def test_harmless_ids_are_names() -> None:
    """An ordinary id is its own name, so that the text can be read and edited."""
    ids = ("fetch", "load_2", "Train", "_hidden", "endpoint", "graph_1", "style_x")
    assert set(read(to_mermaid(build_graph(graphs.tasks(*ids)))).nodes) == set(ids)


def test_numbered_names_never_clash() -> None:
    """Names that are made up differ from every id."""
    group = parallel(name="n3")
    reading = read(to_mermaid(build_graph([*graphs.tasks("n1", "n0", "n3e"), group])))
    assert sorted(label for label, _ in reading.nodes.values()) == ["n0", "n1", "n3e", "no members"]


@pytest.mark.parametrize("task_id", graphs.HOSTILE)
def test_labels_have_no_grammar(task_id: str) -> None:
    """Nothing in a label can be taken for markup, markdown, a comment, a directive or the end of the label."""
    (node,) = (line for line in to_mermaid(build_graph([Task(task_id)])).split("\n") if "[" in line)
    match = NODE.fullmatch(node.strip())
    assert match is not None
    without_codes = re.sub(r"#\d+;", "", match[2])
    assert not re.search(r"[^\w ./,\-]|%%|\\|`", without_codes)
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", without_codes), "underscores at the edge of a word mean emphasis"


@EVERY
def test_the_same_graph_gives_the_same_text(name: str) -> None:
    """Drawings can be compared and kept under version control."""
    graph: Graph = graphs.ALL[name]()
    assert to_mermaid(graph) == to_mermaid(graphs.ALL[name]())
