"""SPEC 1.2: what `>>`, `<<`, `|`, `chain` and `parallel` build; nothing that was built changes."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest

from graflow_async import Task, chain, parallel
from graflow_async.builder import build_graph
from graflow_async.compose import Chain, Expression, Group
from graflow_async.errors import ConfigError, DefinitionError

DEEP = 20_000


def names(expression: Chain | Group) -> list[str]:
    return [repr(part) for part in expression]


@pytest.fixture
def abcd() -> list[Task]:
    return [Task(name) for name in "abcd"]


def test_operators_leave_their_operands_alone(abcd):
    """Every operator gives a new expression; extending one does not change it."""
    a, b, c, d = abcd
    line, side = a >> b, a | b
    shown = repr(line), repr(side), len(line), len(side)
    extended = [line >> c, d >> line, line << c, side | c, side >> d, line | d]
    assert (repr(line), repr(side), len(line), len(side)) == shown
    assert all(new is not line and new is not side for new in extended)
    assert len({id(new) for new in extended}) == len(extended)


def test_chains_flatten_in_every_direction(abcd):
    """`a >> b >> c`, `a >> (b >> c)`, `c << b << a` and `chain` give the same parts in order."""
    a, b, c, _ = abcd
    for made in (a >> b >> c, a >> (b >> c), c << (b << a), chain(a, b, c), chain(chain(a), chain(b, c))):
        assert list(made) == [a, b, c]
        assert (made.leftmost, made.rightmost, len(made), made[1]) == (a, c, 3, b)


def test_groups_extend_from_the_left_only(abcd):
    """`a | b | c` is one group of three; a group on the right, or in `parallel`, is a member."""
    a, b, c, d = abcd
    assert list(a | b | c) == [a, b, c]
    right = c | d
    assert list((a | b) | right) == [a, b, right]
    assert [len(m) if isinstance(m, Group) else 1 for m in a | (b | c)] == [1, 2]
    assert len(parallel(parallel(a, b), c)) == 2


@pytest.mark.parametrize(
    "options", [{"name": "g"}, {"policy": "first"}, {"max_concurrency": 2}, {"policy": "best_effort", "name": "x"}]
)
def test_configured_groups_stay_whole(abcd, options):
    """A group with a name or options that is extended becomes a member, so that its options keep their meaning."""
    a, b, c, d = abcd
    group = parallel(a, b, **options)
    assert group.is_configured
    wider = group | c | d
    assert list(wider) == [group, c, d]
    assert not wider.is_configured


def test_a_group_that_stands_elsewhere_stays_whole(abcd):
    """A group that is used on its own and extended is one node in both places."""
    a, b, c, d = abcd
    shared = a | b
    graph = build_graph([shared >> d, shared | c])
    inner, outer = graph.groups.values()
    assert inner == (("a",), ("b",))
    assert outer == (("ParallelGroup_1",), ("c",))


def test_options_make_a_new_group(abcd):
    """`set_group_name` and `with_execution` give a copy; options that are not named are kept."""
    a, b, *_ = abcd
    group = parallel(a, b, max_concurrency=3)
    named = group.set_group_name("g")
    changed = named.with_execution(policy="first", executor="process")
    assert (group.name, named.name, changed.name) == (None, "g", "g")
    assert (named.policy, changed.policy.__class__.__name__) == (group.policy, "First")
    assert (changed.max_concurrency, changed.executor, named.executor) == (3, "process", None)
    assert list(changed) == [a, b]


def test_a_chain_in_a_group_is_a_branch(abcd):
    """Members are kept as written; a chain stays one member."""
    a, b, c, d = abcd
    group = (a >> b) | c | (d >> a)
    assert names(group) == ["a >> b", "c", "d >> a"]
    assert repr(group) == "((a >> b) | c | (d >> a))"
    assert repr(a >> group >> d) == "a >> ((a >> b) | c | (d >> a)) >> d"


@pytest.mark.parametrize("wrong", [len, 3, "a", None, [Task("x")], Task])
@pytest.mark.parametrize("build", ["chain", "parallel", ">>", "<<", "|"])
def test_only_expressions_can_be_combined(wrong, build):
    """SPEC 1.2: anything that is not a task expression is a TypeError that says so."""
    a = Task("a")
    makers = {
        "chain": lambda: chain(a, wrong),
        "parallel": lambda: parallel(a, wrong),
        ">>": lambda: a >> wrong,
        "<<": lambda: a << wrong,
        "|": lambda: a | wrong,
    }
    with pytest.raises(TypeError, match="tasks, chains and groups"):
        makers[build]()


def test_a_function_is_refused_with_a_hint():
    """The commonest slip, a function without @task, is answered by what to do."""

    def forgotten(): ...

    with pytest.raises(TypeError, match="decorate it with @task"):
        chain(Task("a"), forgotten)  # pyright: ignore[reportArgumentType]


def test_empty_expressions():
    """SPEC 1.2: `parallel()` is a group of none, `chain()` a ValueError."""
    assert len(parallel()) == 0
    with pytest.raises(ValueError, match="at least one task"):
        chain()


@pytest.mark.parametrize("bound", [0, -1, True, 1.5, "2"])
def test_a_bound_is_a_positive_whole_number(bound):
    """SPEC 1.2: a bound below 1, or no whole number, is refused where it is written."""
    with pytest.raises(ConfigError, match="max_concurrency"):
        parallel(Task("a"), max_concurrency=bound)
    with pytest.raises(ConfigError, match="max_concurrency"):
        parallel(Task("a")).with_execution(max_concurrency=bound)


@pytest.mark.parametrize("name", ["", 3])
def test_a_group_name_is_a_text(name):
    """An empty name, or what is no text, is refused."""
    with pytest.raises(DefinitionError, match="text"):
        parallel(Task("a")).set_group_name(name)


@pytest.mark.parametrize("direction", [">>", "<<", "nested"])
def test_long_chains_need_no_recursion(direction):
    """20,000 parts built one by one: listing, compiling and pickling stay flat."""
    parts = [Task(f"t{n}") for n in range(DEEP)]
    expression: Expression = parts[0]
    for part in parts[1:]:
        if direction == ">>":
            expression = expression >> part
        elif direction == "<<":
            expression = expression << part
        else:
            expression = chain(expression, part)
    assert isinstance(expression, Chain)
    listed = list(expression.parts)
    assert listed == (parts[::-1] if direction == "<<" else parts)
    graph = build_graph([expression])
    assert (len(graph), len(graph.edges)) == (DEEP, DEEP - 1)
    assert len(graph.route(graph.roots()).entries) == 1


def test_wide_groups_need_no_recursion():
    """20,000 members joined by `|` are one group, compiled without recursion."""
    expression: Expression = Task("t0")
    for n in range(1, DEEP):
        expression |= Task(f"t{n}")
    assert isinstance(expression, Group)
    assert len(expression) == DEEP
    assert len(build_graph([expression]).groups["ParallelGroup_1"]) == DEEP


def double(x):
    return 2 * x


def test_expressions_survive_cloudpickle():
    """An expression travels to a worker: names, options, bound arguments and functions arrive."""
    a = Task("a", lambda x: x + 1, max_retries=2)
    group = parallel(a(5, task_id="five"), a, name="g", policy="best_effort", max_concurrency=2)
    copy = pickle.loads(cloudpickle.dumps(group >> Task("b", double)))
    assert repr(copy) == "(five(5) | a) >> b"
    inner = copy[0]
    assert (inner.name, inner.policy.label, inner.max_concurrency) == ("g", "best_effort", 2)
    assert inner.members[0].func(1) == 2
    assert inner.members[0].args == (5,)
    assert inner.members[0].definition.retry.max_retries == 2
    assert copy[1].func(4) == 8


def test_long_chains_survive_cloudpickle():
    """A chain of thousands of links is pickled flat, not link by link."""
    expression: Expression = Task("t0")
    for n in range(1, 3000):
        expression = expression >> Task(f"t{n}")
    copy = pickle.loads(cloudpickle.dumps(expression))
    assert [part.id for part in copy] == [f"t{n}" for n in range(3000)]
