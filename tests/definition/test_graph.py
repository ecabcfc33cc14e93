"""SPEC 1.2, 1.3: what becomes of expressions: nodes, edges, groups, ids, and the view that people see."""

from __future__ import annotations

from itertools import count

import pytest

from graflow_async import Task, at_least, critical, parallel
from graflow_async.builder import build_graph
from graflow_async.errors import DuplicateTaskError, GraphCompilationError


def make(names: str) -> list[Task]:
    return [Task(name) for name in names.split()]


def test_nodes_are_in_order_of_appearance():
    """A task that appears again is the same node; edges are in the order drawn, each once."""
    a, b, c = make("a b c")
    graph = build_graph([a >> c, b >> c, a >> c, a >> b])
    assert graph.nodes == ["a", "c", "b"]
    assert graph.edges == [("a", "c"), ("b", "c"), ("a", "b")]
    assert (graph.successors("a"), graph.predecessors("c")) == (["c", "b"], ["a", "b"])
    assert (len(graph), list(graph), repr(graph)) == (3, graph.nodes, "<Graph: 3 nodes, 3 edges>")


def test_a_group_is_drawn_as_one_node():
    """ARCHITECTURE 6: people see a -> g -> d, the machine a -> b, c -> j -> d."""
    a, b, c, d, e = make("a b c d e")
    graph = build_graph([a >> parallel(b >> c, d, name="g") >> e])
    assert graph.edges == [("b", "c"), ("a", "g"), ("g", "e")]
    assert graph.groups == {"g": (("b", "c"), ("d",))}
    compiled = {graph.table[n].id: [graph.table[m].id for m in row] for n, row in enumerate(graph.successors_of) if row}
    assert compiled == {"a": ["b", "d"], "b": ["c"], "c": ["g"], "d": ["g"], "g": ["e"]}
    join = graph.table[graph.number_of("g")].join
    assert join is not None
    assert join.keys == ("c", "d")


def test_inner_groups_are_branches():
    """The key of an inner group is its id; entering the outer one enters the inner one."""
    a, b, c, d = make("a b c d")
    graph = build_graph([a >> parallel(parallel(b, c, name="inner"), d, name="outer")])
    outer = graph.table[graph.number_of("outer")].join
    assert outer is not None
    assert outer.keys == ("inner", "d")
    assert {graph.table[n].id for n in graph.inside(graph.number_of("outer"))} == {"inner", "b", "c", "d"}
    assert [graph.table[n].id for n in graph.successors_of[graph.number_of("a")]] == ["b", "c", "d"]


def test_a_shared_group_is_one_node():
    """The same group object in two expressions is drawn once, with all its edges."""
    a, b, c, d = make("a b c d")
    group = b | c
    graph = build_graph([a >> group, group >> d])
    assert list(graph.groups) == ["ParallelGroup_1"]
    assert graph.edges == [("a", "ParallelGroup_1"), ("ParallelGroup_1", "d")]


def test_unnamed_groups_are_counted():
    """SPEC 1.2: `ParallelGroup_1`, `_2` in order of appearance, around names that are taken."""
    a, b, c, d, e, f = make("a b c d e f")
    graph = build_graph([(a | b) >> (c | d), parallel(e, f, name="ParallelGroup_1")])
    assert list(graph.groups) == ["ParallelGroup_2", "ParallelGroup_3", "ParallelGroup_1"]


def test_automatic_ids_are_counted():
    """SPEC 1.1: instances are `<id>_1`, `<id>_2` in order of appearance, around ids that were given."""
    template = Task("t", lambda n: n)
    given = template(0, task_id="t_2")
    graph = build_graph([template(1) >> template(2) >> given >> template(3)])
    assert graph.nodes == ["t_1", "t_3", "t_2", "t_4"]
    assert [graph.get_node(i).args for i in graph.nodes] == [(1,), (2,), (0,), (3,)]
    assert (graph.last_number("t"), graph.last_number("x")) == (4, 0)


def test_ids_may_be_counted_elsewhere():
    """Under a running task the numbers come from its own count, and taken ids are still left out."""
    numbers = count(7)
    template = Task("t", lambda n: n)
    graph = build_graph([template(1) >> template(2, task_id="t_8") >> template(3)], lambda name: next(numbers))
    assert graph.nodes == ["t_7", "t_8", "t_9"]


@pytest.mark.parametrize("second", ["task", "group"])
def test_one_id_names_one_thing(second):
    """SPEC 1.3: the same id for two different things is a DuplicateTaskError."""
    first = Task("x")
    other = Task("x") if second == "task" else parallel(Task("a"), name="x")
    with pytest.raises(DuplicateTaskError, match="x"):
        build_graph([first, other])


def test_a_duplicate_names_both_places():
    """The message says where both functions are."""

    def one(): ...

    def two(): ...

    with pytest.raises(DuplicateTaskError) as caught:
        build_graph([Task("x", one), Task("x", two)])
    for func in (one, two):
        assert f"{func.__code__.co_filename}:{func.__code__.co_firstlineno}" in str(caught.value)


def test_get_node_gives_the_task():
    """SPEC 1.3: the task itself, found by id; `in` takes ids and tasks."""
    a, b = make("a b")
    graph = build_graph([a >> b])
    assert graph.get_node("a") is a
    assert "a" in graph
    assert b in graph
    assert "z" not in graph
    assert Task("a") not in graph
    assert graph.has_node("b")
    assert not graph.has_node("z")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("fetch_dat", "did you mean 'fetch_data'"),
        ("publsh", "did you mean 'publish'"),
        ("zzz", "did you mean 'fetch_data', 'clean', 'publish'"),
    ],
)
def test_an_unknown_id_is_answered_with_near_ones(wrong, hint):
    """A typo is answered with what was probably meant, else with what there is."""
    fetch, clean, publish = make("fetch_data clean publish")
    graph = build_graph([fetch >> clean >> publish])
    for ask in (graph.get_node, graph.successors, graph.predecessors, graph.number_of):
        with pytest.raises(GraphCompilationError, match=hint):
            ask(wrong)


def test_a_group_is_no_task():
    """Asking for the task behind a group's id names the members."""
    a, b = make("a b")
    with pytest.raises(GraphCompilationError, match=r"is a group, not a task.*'a'.*'b'"):
        build_graph([parallel(a, b, name="g")]).get_node("g")


def test_an_empty_graph_says_so():
    """A workflow without tasks cannot start, and knows no ids."""
    graph = build_graph([])
    with pytest.raises(GraphCompilationError, match="no tasks"):
        graph.roots()
    with pytest.raises(GraphCompilationError, match="no tasks"):
        graph.get_node("a")


def test_cycles_are_shown():
    """SPEC 1.3: `cycles` are the sets of nodes on a common cycle, groups included."""
    a, b, c, d, e = make("a b c d e")
    assert build_graph([a >> b >> a, b >> c, d >> e >> d]).cycles == [["a", "b"], ["d", "e"]]
    assert build_graph([a >> parallel(b, c, name="g") >> a]).cycles == [["a", "g", "b", "c"]]
    assert build_graph([a >> b, a >> c]).cycles == []
    assert build_graph([a >> a]).cycles == [["a"]]


def test_roots_are_what_nothing_leads_to():
    """SPEC 2.1: every root starts; a lone node only where there are no edges at all."""
    a, b, c, lone = make("a b c lone")
    graph = build_graph([a >> c, b >> c, lone])
    assert [graph.table[n].id for n in graph.roots()] == ["a", "b"]
    assert list(build_graph([a, lone]).roots()) == [0, 1]


def test_a_pure_cycle_cannot_start_by_itself():
    """SPEC 2.1: no root is an error that shows the cycle and what to pass."""
    a, b = make("a b")
    with pytest.raises(GraphCompilationError, match=r"a -> b.*wf\.run\('a'\)"):
        build_graph([a >> b >> a]).roots()


@pytest.mark.parametrize("start", ["nowhere", Task("stranger")])
def test_an_unknown_start_is_refused(start):
    """SPEC 2.1: a start that is no part of the workflow is an error that lists its nodes."""
    a, b = make("a b")
    with pytest.raises(GraphCompilationError, match="'a'"):
        build_graph([a >> b]).start([start])


@pytest.mark.parametrize("policy", [at_least(3), critical(["z"])])
def test_a_policy_has_to_fit_its_members(policy):
    """SPEC 2.6: more successes than members, or a member that is none, is noticed before the run."""
    a, b = make("a b")
    with pytest.raises(GraphCompilationError, match="group 'g'"):
        build_graph([parallel(a, b, policy=policy, name="g")])


def test_groups_bound_and_place_their_members():
    """Options of groups reach every task inside, through inner groups; tasks of their own kind keep it."""

    def work(): ...

    async def wait(): ...

    plain, own, coro = Task("plain", work), Task("own", work, executor="thread"), Task("coro", wait)
    inner = parallel(plain, own, name="inner", max_concurrency=1)
    outer = parallel(inner, coro, name="outer", max_concurrency=2).with_execution(executor="process")
    graph = build_graph([outer >> Task("after", wait)])
    nodes = {node.id: node for node in graph.table}
    bounds = {i: {graph.table[b].id for b in node.bounds} for i, node in nodes.items()}
    assert (bounds["plain"], bounds["coro"], bounds["after"]) == ({"inner", "outer"}, {"outer"}, set())
    assert (nodes["plain"].kind, nodes["own"].kind, nodes["after"].kind) == ("process", "thread", "async")
    assert nodes["after"].is_plain
    assert not nodes["coro"].is_plain


def test_reachability_is_that_of_the_edges():
    """`below` and `ancestors` are each other's mirror image."""
    a, b, c, d = make("a b c d")
    graph = build_graph([a >> b >> d, a >> c, parallel(c, d, name="g")])
    for node in range(len(graph)):
        for other in range(len(graph)):
            if node != other:
                assert (other in graph.below(node)) == (node in graph.ancestors(other))


def test_building_twice_gives_the_same_graph():
    """Compiling changes nothing but automatic ids, which then stay."""
    template = Task("t", lambda n: n)
    expression = template(1) >> (template(2) | template(3))
    first, second = build_graph([expression]), build_graph([expression])
    assert (first.nodes, first.edges, first.groups) == (second.nodes, second.edges, second.groups)
    assert first.successors_of == second.successors_of
