"""Graphviz: the text is well-formed whatever the ids are, and says what the graph says."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

from graflow_async.draw import to_dot
from tests.drawing import graphs

EVERY = pytest.mark.parametrize("name", graphs.ALL)
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|->|[{}\[\];=,]|[\w.]+)')


class Reading(NamedTuple):
    """What a text says: nodes (id -> label), clusters (name -> label), the cluster around each, edges with options."""

    name: str
    nodes: dict[str, str]
    clusters: dict[str, str]
    around: dict[str, str | None]
    edges: list[tuple[str, str, dict[str, str]]]


def plain(token: str) -> str:
    """Take the quotes off."""
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token


class Reader:
    """A reader of the part of the language that is written."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = TOKEN.match(text, place)
            assert match is not None, f"not understood: {text[place : place + 40]!r}"
            self.tokens.append(match[1])
            place = match.end()
        assert self._take() == "digraph"
        self.reading = Reading(plain(self._take()), {}, {}, {}, [])
        self._block(None)
        assert not self.tokens, "something follows the end"

    def _take(self) -> str:
        return self.tokens.pop(0)

    def _options(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.tokens[0] == "[":
            while self._take() != "]":
                if self.tokens[0] == "]":
                    continue
                key, equals, value = self._take(), self._take(), self._take()
                assert equals == "="
                found[key] = plain(value)
        return found

    def _block(self, cluster: str | None) -> None:
        assert self._take() == "{"
        while (token := self._take()) != "}":
            if token == "subgraph":  # noqa: S105  # a token of the language
                name = self._take()
                assert name not in self.reading.around
                self.reading.around[name] = cluster
                self._block(name)
                continue
            self._statement(token, cluster)
            assert self._take() == ";"

    def _statement(self, token: str, cluster: str | None) -> None:
        if self.tokens[0] == "=":
            self._take()
            value = plain(self._take())
            if cluster is not None and token == "label":  # noqa: S105  # a token of the language
                self.reading.clusters[cluster] = value.replace("&amp;", "&")
        elif self.tokens[0] == "->":
            self._take()
            self.reading.edges.append((plain(token), plain(self._take()), self._options()))
        else:
            options = self._options()
            if token.startswith('"'):
                assert plain(token) not in self.reading.nodes
                self.reading.nodes[plain(token)] = options["label"].replace("&amp;", "&")
                self.reading.around[f"node {plain(token)}"] = cluster


def read(name: str) -> Reading:
    return Reader(to_dot(graphs.ALL[name](), name)).reading


def within(reading: Reading, node: str, cluster: str) -> bool:
    """Say whether a node lies in a cluster, at any depth."""
    outer = reading.around[f"node {node}"]
    while outer is not None and outer != cluster:
        outer = reading.around[outer]
    return outer == cluster


def test_scenario_33() -> None:
    """Edges of the group join one of its tasks and are clipped at the cluster."""
    reading = read("scenario_33")
    (cluster,) = reading.clusters
    assert {node for node in reading.nodes if within(reading, node, cluster)} == {"ta", "sub", "tb"}
    ends = {(source, target): options for source, target, options in reading.edges}
    assert ends["ta", "sub"] == {}
    assert [(s in {"ta", "tb"}, t, o) for (s, t), o in ends.items() if t == "store"] in (
        [(False, "store", {"ltail": cluster})],
        [(True, "store", {"ltail": cluster})],
    )
    assert [o for (s, _), o in ends.items() if s == "fetch"] == [{"lhead": cluster}]


@EVERY
def test_every_task_and_group_is_there(name: str) -> None:
    """Tasks are nodes and groups clusters, under their full ids."""
    graph = graphs.ALL[name]()
    reading = read(name)
    assert reading.name == name
    assert sorted(reading.clusters.values()) == sorted(graph.groups)
    notes = {node for node, label in reading.nodes.items() if node != label}
    assert notes <= set(graph.groups)
    assert set(reading.nodes) - notes == set(graph.nodes) - set(graph.groups)
    for node in reading.nodes:
        outer = reading.around[f"node {node}"]
        groups = {group for group, branches in graph.groups.items() if any(node in branch for branch in branches)}
        if node not in notes:
            assert (reading.clusters[outer] in groups) if outer else not groups


@EVERY
def test_edges_at_groups_are_clipped_where_they_can_be(name: str) -> None:
    """The end of an edge at a group lies in that cluster, the other end outside; no edge makes up a node."""
    reading = read(name)
    for source, target, options in reading.edges:
        assert source in reading.nodes
        assert target in reading.nodes
        if cluster := options.get("ltail"):
            assert within(reading, source, cluster)
            assert not within(reading, target, cluster)
        if cluster := options.get("lhead"):
            assert within(reading, target, cluster)
            assert not within(reading, source, cluster)


@EVERY
def test_every_edge_is_there(name: str) -> None:
    """Edges are those of the graph; only those between a group and what lies in it are led to its border."""
    graph = graphs.ALL[name]()
    reading = read(name)
    drawn = {
        (reading.clusters.get(options.get("ltail", ""), source), reading.clusters.get(options.get("lhead", ""), target))
        for source, target, options in reading.edges
    }
    missing = set(graph.edges) - drawn
    assert all(source in graph.groups or target in graph.groups for source, target in missing)
    assert not missing or name == "into_itself" or name.startswith("mixed")


def test_loops_are_dashed_and_pull_nothing_up() -> None:
    """Edges that close a loop look different and do not decide what stands above what."""
    loops = {(source, target) for source, target, options in read("loops").edges if options.get("style") == "dashed"}
    assert loops == {("review", "draft"), ("publish", "start"), ("draft", "draft")}
    assert all(
        options["constraint"] == "false" for _, _, options in read("loops").edges if options.get("style") == "dashed"
    )


def test_head_of_the_text() -> None:
    """Clipping at clusters is switched on, and the name of the graph may be any text."""
    text = to_dot(graphs.scenario_33(), 'a "b" \\ {c}')
    assert Reader(text).reading.name == 'a "b" \\ {c}'
    assert "compound=true;" in text


@EVERY
def test_graphviz_accepts_it(name: str) -> None:
    """Where Graphviz is installed it draws the text without a warning; everywhere the text is the same each time."""
    text = to_dot(graphs.ALL[name](), name)
    assert text == to_dot(graphs.ALL[name](), name)
    if program := shutil.which("dot"):
        done = subprocess.run([program, "-Tcanon"], input=text, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
