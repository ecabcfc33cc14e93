"""Scenarios 20 to 33 (group B): composition and graph."""

# The error may come from any line of a block: what counts is that it comes before the run.
# ruff: noqa: PT012
# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import pytest

from graflow_async import (
    Chain,
    DuplicateTaskError,
    Group,
    TaskWrapper,
    Workflow,
    chain,
    parallel,
    task,
    workflow,
)


def nodes(names, log=None):
    """Make a task for each name; running one notes its name and gives it."""

    def made(name):
        def body():
            if log is not None:
                log.append(name)
            return name

        return TaskWrapper(name, body)

    return [made(name) for name in names]


def styled(style, names, log):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


def test_020_a_chain_is_a_value_with_ends_length_and_index():
    """20: edges between neighbours; the chain itself is no node."""
    with workflow("w") as wf:
        a, b, c = nodes("abc")
        made = a >> b >> c
    assert wf.graph.edges == [("a", "b"), ("b", "c")]
    assert wf.graph.nodes == ["a", "b", "c"]
    assert (made.leftmost, made.rightmost, len(made), made[1], list(made)) == (a, c, 3, b, [a, b, c])


def test_021_the_other_arrow_draws_the_same_edges():
    """21: `c << b << a`."""
    with workflow("w") as wf:
        a, b, c = nodes("abc")
        c << b << a
    assert sorted(wf.graph.edges) == [("a", "b"), ("b", "c")]


def test_022_chains_of_chains_are_flat():
    """22: `(a >> b) >> (c >> d)`."""
    a, b, c, d = nodes("abcd")
    made = (a >> b) >> (c >> d)
    assert isinstance(made, Chain)
    assert list(made) == [a, b, c, d]
    assert Workflow("w", made).graph.edges == [("a", "b"), ("b", "c"), ("c", "d")]


def test_023_a_chain_in_a_group_is_a_branch():
    """23: `(a >> b) | c`: the group has two branches, b follows a only."""
    with workflow("w") as wf:
        a, b, c = nodes("abc")
        (a >> b) | c
    graph = wf.graph
    assert graph.groups == {"ParallelGroup_1": (("a", "b"), ("c",))}
    assert graph.successors("a") == ["b"]
    assert graph.predecessors("b") == ["a"]


def test_024_a_branch_of_two_runs_in_order_between_fetch_and_store(style):
    """24: five executions, fetch first, store last, sub after ta, each once."""
    log = []
    with workflow("w") as wf:
        fetch, ta, sub, tb, store = styled(style, ["fetch", "ta", "sub", "tb", "store"], log)
        fetch >> ((ta >> sub) | tb) >> store
        assert style.run(wf, "fetch") == "store"
    assert len(log) == 5
    assert (log[0], log[-1]) == ("fetch", "store")
    assert set(log) == {"fetch", "ta", "sub", "tb", "store"}
    assert log.index("ta") < log.index("sub")


def test_025_an_edge_after_a_group_belongs_to_the_group():
    """25: `(a | b) >> s`: group to s; the members have no drawn successors."""
    with workflow("w") as wf:
        a, b, s = nodes("abs")
        (a | b) >> s
    graph = wf.graph
    assert graph.edges == [("ParallelGroup_1", "s")]
    assert (graph.successors("a"), graph.successors("b")) == ([], [])


def test_026_two_groups_that_stand_nowhere_else_nest_as_written(style):
    """26 as SPEC 10: `a | b | c` is flat, `(a | b) | (c | d)` runs the four leaves once each."""
    log = []
    with workflow("w") as wf:
        a, b, c, d = styled(style, "abcd", log)
        (a | b) | (c | d)
    value = style.run(wf)
    assert sorted(log) == ["a", "b", "c", "d"]
    inner = next(name for name in value if name.startswith("ParallelGroup"))
    assert value == {"a": "a", "b": "b", inner: {"c": "c", "d": "d"}}


def test_026_a_flat_group_has_one_node():
    """SPEC 10: `a | b | c | d` is one group of four."""
    with workflow("w") as wf:
        a, b, c, d = nodes("abcd")
        a | b | c | d
    assert wf.graph.groups == {"ParallelGroup_1": (("a",), ("b",), ("c",), ("d",))}


def test_027_a_group_used_twice_keeps_its_own_successor(style):
    """27: all four leaves run once, t runs, u runs once and last."""
    log = []
    with workflow("w") as wf:
        a, b, c, d, t, u = styled(style, "abcdtu", log)
        g1, g2 = a | b, c | d
        g1 >> t
        (g1 | g2) >> u
    style.run(wf)
    assert sorted(log) == ["a", "b", "c", "d", "t", "u"]
    assert log.index("t") > max(log.index("a"), log.index("b"))
    assert log.index("u") > max(log.index(x) for x in "abcd")
    assert ("ParallelGroup_1", "t") in wf.graph.edges


def test_028_a_nested_group_runs_every_leaf_once(style):
    """28: `a | (b | c)`."""
    log = []
    with workflow("w") as wf:
        a, b, c = styled(style, "abc", log)
        a | (b | c)
    value = style.run(wf)
    assert sorted(log) == ["a", "b", "c"]
    assert next(iter(value)) == "a"
    assert list(value.values())[1] == {"b": "b", "c": "c"}


def test_029_chain_takes_one_or_more():
    """29: none is a ValueError; `chain(a, b, c)` is `a >> b >> c`."""
    a, b, c = nodes("abc")
    with pytest.raises(ValueError, match="chain"):
        chain()
    assert list(chain(a)) == [a]
    assert list(chain(a, b, c)) == list(a >> b >> c)


def test_030_groups_take_none_and_one(style):
    """30 as SPEC 1.2: an empty group completes with `{}`, a group of one runs its member."""
    log = []
    with workflow("w") as wf:
        a, x, z = styled(style, "axz", log)
        a >> parallel() >> x >> parallel(z)
    assert style.run(wf) == {"z": "z"}
    assert log == ["a", "x", "z"]
    assert style.run(Workflow("empty", parallel())) == {}


def test_030_anything_else_than_a_task_is_refused():
    """SPEC 1.2: operands that are no task expressions are a TypeError."""
    (a,) = nodes("a")
    for wrong in (lambda: a >> 1, lambda: a | print, lambda: chain(a, None), lambda: parallel("x"), lambda: a << "b"):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        1 >> a


def test_031_a_named_group_is_a_new_group_and_its_name_is_unique():
    """31 as SPEC 1.2: naming gives a new group; the same name twice is refused."""
    a, b, c, d = nodes("abcd")
    plain = a | b
    named = plain.set_group_name("g")
    assert isinstance(named, Group)
    assert (named.name, plain.name) == ("g", None)
    with workflow("w") as wf, pytest.raises(DuplicateTaskError, match="'g'"):
        (a | b).set_group_name("g") >> (c | d).set_group_name("g")
        _ = wf.graph


def test_031_options_keep_the_name_and_the_other_way_round(style):
    """SPEC 1.2: set_group_name and with_execution each keep what the other set; the last one stands in the block."""
    log = []
    with workflow("w") as wf:
        a, b = styled(style, "ab", log)
        (a | b).set_group_name("g").with_execution(policy="best_effort", max_concurrency=1)
    assert wf.graph.groups == {"g": (("a",), ("b",))}
    assert style.run(wf) == {"a": "a", "b": "b"}
    assert log == ["a", "b"]


def test_032_cycles_are_found():
    """32: `A >> B >> C >> A` is one cycle of three."""
    a, b, c = nodes("ABC")
    graph = Workflow("w", a >> b >> c >> a).graph
    assert [set(cycle) for cycle in graph.cycles] == [{"A", "B", "C"}]


def test_033_mermaid_shows_the_group_as_a_subgraph():
    """33: one subgraph, edges to and from it, and inside the branch; none to its members from outside."""
    fetch, ta, sub, tb, store = nodes(["fetch", "ta", "sub", "tb", "store"])
    wf = Workflow("w", fetch >> ((ta >> sub) | tb).set_group_name("g") >> store)
    text = wf.to_mermaid()
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0].startswith(("graph TD", "flowchart TD"))
    assert text.count("subgraph") == 1
    arrows = [line for line in lines if "-->" in line]
    assert len(arrows) == 3
    for name in ("fetch", "ta", "sub", "tb", "store"):
        assert name in text


def test_nothing_is_mutated_by_composing():
    """SPEC 1.2: one task may stand in many expressions and workflows without meeting itself."""
    a, b, c = nodes("abc")
    first, second = a >> b, a >> c
    assert Workflow("one", first).graph.edges == [("a", "b")]
    assert Workflow("two", second).graph.edges == [("a", "c")]
    assert list(first) == [a, b]


def test_the_example_of_the_contract(style):
    """SPEC 1.2: `a >> ((b >> c) | (d | e)) >> f` nests as written and ends with f's value."""
    log = []
    with workflow("w") as wf:
        a, b, c, d, e, f = styled(style, "abcdef", log)
        a >> ((b >> c) | (d | e)) >> f
    assert style.run(wf) == "f"
    assert (log[0], log[-1], len(log)) == ("a", "f", 6)
    assert log.index("b") < log.index("c")


def test_operands_join_in_any_nesting_of_blocks(style):
    """SPEC 1.3: blocks nest, and what is made in the inner one does not leak into the outer."""
    log = []
    with workflow("outer") as outer:
        (a,) = styled(style, "a", log)
        with workflow("inner") as inner:
            b, c = styled(style, "bc", log)
            b >> c
        (d,) = styled(style, "d", log)
        a >> d
    assert (outer.graph.nodes, inner.graph.nodes) == (["a", "d"], ["b", "c"])
    assert style.run(outer) == "d"
    assert style.run(inner) == "c"
    assert log == ["a", "d", "b", "c"]


def test_a_template_is_no_node(style):
    """SPEC 1.3: a definition used only through its instances does not run itself."""
    ran = []
    with workflow("w") as wf:

        @style.task
        def template(x=0):
            ran.append(x)

        template(task_id="one", x=1) >> template(task_id="two", x=2)
    assert wf.graph.nodes == ["one", "two"]
    style.run(wf)
    assert ran == [1, 2]


def test_views_of_the_graph():
    """SPEC 1.3: nodes, edges, get_node, successors and predecessors tell what was drawn."""
    with workflow("w") as wf:

        @task
        def a():
            pass

        @task
        def b():
            pass

        a >> b
    graph = wf.graph
    assert graph.get_node("a") is a
    assert (graph.successors("a"), graph.predecessors("b")) == (["b"], ["a"])
    assert graph.cycles == []
