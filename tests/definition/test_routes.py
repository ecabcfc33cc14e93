"""How edges are sorted: loop edges out, the rest a DAG in which every node knows how many deliveries to expect."""

from __future__ import annotations

import random
import sys
from graphlib import TopologicalSorter

import pytest

from graflow_async import Task, chain, parallel
from graflow_async.builder import build_graph
from graflow_async.compose import Expression
from graflow_async.graph import Graph
from graflow_async.route import Route, strongly_connected


def random_graph(rng: random.Random, *, groups: float, loops: int) -> Graph:
    """Draw a graph with edges in every direction."""
    count = 0

    def vertex(depth: int = 0) -> Expression:
        nonlocal count
        count += 1
        if rng.random() >= groups or depth > 2:
            return Task(f"t{count}")
        name = f"g{count}"
        members = [chain(*(vertex(depth + 1) for _ in range(rng.randint(1, 2)))) for _ in range(rng.randint(1, 3))]
        return parallel(*members, name=name)

    items = [vertex() for _ in range(rng.randint(1, 9))]
    drawn: list[Expression] = list(items)
    for index, item in enumerate(items[1:], 1):
        drawn += [other >> item for other in rng.sample(items[:index], rng.randint(1, min(3, index)))]
    for _ in range(loops):
        drawn.append(rng.choice(items) >> rng.choice(items))
    return build_graph(drawn)


def check_route(graph: Graph, route: Route, where: str) -> None:
    """Check what a walk relies on."""
    reached = {number for number, expected in enumerate(route.expected) if expected >= 0}
    TopologicalSorter({n: set(route.successors[n]) for n in reached}).prepare()
    counted = dict.fromkeys(reached, 0)
    for number in reached:
        for after in route.successors[number]:
            assert after in reached, where
            counted[after] += 1
    for number in reached:
        assert route.expected[number] == counted[number], where
        assert number in route.entries or route.expected[number] >= 1, where
    for number, targets in (route.loops or {}).items():
        for place in targets:
            entries = graph.plot.nodes_at(place)
            assert set(entries) <= set(graph.successors_of[number]), where
    for number in reached:
        places = (route.loops or {}).get(number, ())
        removed = set(graph.successors_of[number]) - set(route.successors[number])
        assert removed == {entry for place in places for entry in graph.plot.nodes_at(place)}, where


@pytest.mark.parametrize("groups", [0.0, 0.4])
@pytest.mark.parametrize("chunk", range(3))
def test_removing_loop_edges_leaves_a_dag(groups, chunk):
    """From any drawn node outside of groups: acyclic, counts exact, every reached node has something to wait for."""
    sys.stdout.write(f"seeds {chunk * 200} to {chunk * 200 + 199}\n")
    looped = 0
    for seed in range(chunk * 200, chunk * 200 + 200):
        rng = random.Random(seed)
        graph = random_graph(rng, groups=groups, loops=rng.randint(0, 4))
        starts = [node.number for node in graph.table if not node.groups]
        for number in starts:
            route = graph.start_anywhere(number)
            check_route(graph, route, f"seed {seed}, from {graph.table[number].id}")
            looped += route.loops is not None
        check_route(graph, graph.route(tuple(graph.place(n) for n in starts)), f"seed {seed}, from everywhere")
    assert looped > 100


def test_removing_loop_edges_leaves_a_dag_from_inside_a_group():
    """The same from a member of a group that lies on a loop: the start does not wait for itself."""
    a, b, c = (Task(name) for name in "abc")
    graph = build_graph([a >> parallel(b, c, name="g") >> a])
    check_route(graph, graph.start_anywhere(graph.number_of("b")), "from b")


@pytest.mark.parametrize("seed", range(30))
def test_a_graph_without_cycles_has_no_loop_edges(seed):
    """Nothing is taken out of a DAG: the tables are the graph's own."""
    graph = random_graph(random.Random(seed), groups=0.3, loops=0)
    route = graph.route(graph.roots() if len(graph) > 1 else (graph.place(0),))
    assert graph.cycles == []
    assert route.loops is None
    assert route.successors == graph.successors_of
    assert route.loops_expected == {}


def drawn(graph: Graph, route: Route) -> dict[str, list[str]]:
    """Show the loop edges by id, a group's place by the group's id."""
    size = len(graph)
    return {graph.table[n].id: [graph.table[p % size].id for p in places] for n, places in (route.loops or {}).items()}


def test_the_edge_that_leads_back_is_the_loop():
    """Which edge of a cycle closes it depends on where the walk begins."""
    a, b, c = (Task(name) for name in "abc")
    graph = build_graph([a >> b >> c >> a])
    for start, last in (("a", "c"), ("b", "a"), ("c", "b")):
        assert drawn(graph, graph.start([start])) == {last: [start]}


def test_a_task_may_lead_to_itself():
    """A self loop is a loop edge like any other."""
    a, b = Task("a"), Task("b")
    graph = build_graph([a >> a, a >> b])
    route = graph.start(["a"])
    assert drawn(graph, route) == {"a": ["a"]}
    assert route.expected == [0, 1]


def test_a_group_is_one_place_in_a_loop():
    """A loop back to a group leads to all its branches, and counts as one edge."""
    a, b, c, d = (Task(name) for name in "abcd")
    inner = parallel(b, c, name="g")
    graph = build_graph([a >> inner >> d >> inner])
    route = graph.start(["a"])
    assert drawn(graph, route) == {"d": ["g"]}
    assert list(route.loops_expected.values()) == [1]
    assert route.expected[graph.number_of("b")] == route.expected[graph.number_of("c")] == 1
    assert route.expected[graph.number_of("g")] == 2


def test_what_is_not_reached_is_not_expected():
    """SPEC 2.2: predecessors that are not reachable from the start are not waited for."""
    a, b, c, d = (Task(name) for name in "abcd")
    graph = build_graph([a >> c, b >> c, c >> d])
    route = graph.start(["a"])
    assert dict(zip("abcd", (route.expected[graph.number_of(n)] for n in "abcd"), strict=True)) == {
        "a": 0,
        "b": -1,
        "c": 1,
        "d": 1,
    }


def test_a_start_behind_another_start_waits_for_it():
    """Named starts that depend on each other run in order."""
    a, b, c = (Task(name) for name in "abc")
    graph = build_graph([a >> b >> c])
    assert graph.start(["c", "a"]).expected == [0, 1, 1]


def test_a_member_as_start_runs_its_branch_alone():
    """A member of a group that is named as start does not start the rest of the group."""
    a, b, c, d = (Task(name) for name in "abcd")
    graph = build_graph([a >> parallel(b >> c, d, name="g")])
    route = graph.start(["b"])
    assert {graph.table[n].id for n, e in enumerate(route.expected) if e >= 0} == {"b", "c"}


def test_routes_are_worked_out_once():
    """Nothing O(graph) happens per task: the same question gives the same object."""
    a, b = Task("a"), Task("b")
    graph = build_graph([a >> b])
    assert graph.start(["a"]) is graph.start([a])
    assert graph.route((0,)) is not graph.route((1,))


@pytest.mark.parametrize("seed", range(40))
def test_strongly_connected_agrees_with_reachability(seed):
    """Two nodes are on a common cycle exactly if each can be reached from the other."""
    rng = random.Random(seed)
    size = rng.randint(1, 12)
    graph = [tuple({rng.randrange(size) for _ in range(rng.randint(0, 2))}) for _ in range(size)]
    reach = [set(row) for row in graph]
    for _ in range(size):
        for number in range(size):
            reach[number] |= {far for near in reach[number] for far in reach[near]}
    on_cycle = [n for n in range(size) if n in reach[n]]
    expected = sorted({tuple(m for m in on_cycle if m in reach[n] and n in reach[m]) for n in on_cycle})
    assert strongly_connected(graph) == [list(group) for group in expected]


def test_long_cycles_need_no_recursion():
    """A cycle of 20,000 nodes is found and walked without recursion."""
    size = 20_000
    assert strongly_connected([((n + 1) % size,) for n in range(size)]) == [list(range(size))]
    tasks = [Task(f"t{n}") for n in range(size)]
    graph = build_graph([chain(*tasks), tasks[-1] >> tasks[0]])
    assert drawn(graph, graph.start(["t0"])) == {f"t{size - 1}": ["t0"]}
