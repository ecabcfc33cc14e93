"""Retries, rates, caches, group policies and task options: plain values that refuse nonsense where it is written."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from graflow_async import Cache, Rate, RetryPolicy, Task, at_least, critical, task
from graflow_async.errors import BindingError, ConfigError, DefinitionError
from graflow_async.policy import Verdict, group_policy

NO_COUNTS = [-1, True, 1.5, "3", None]
NO_NUMBERS = [-0.1, True, "1", float("nan")]


def test_waits_grow_up_to_a_bound():
    """The n-th wait is initial * factor ** (n - 1), never more than max_interval, however often."""
    policy = RetryPolicy(5, 1.0, 3.0, 20.0)
    assert [policy.delay(n) for n in range(1, 6)] == [1.0, 3.0, 9.0, 20.0, 20.0]
    assert RetryPolicy().delay(10_000) == 60.0
    assert RetryPolicy(initial_interval=0.0).delay(9) == 0.0


def test_waits_may_shrink():
    """A factor below one makes later waits shorter."""
    assert [RetryPolicy(3, 8.0, 0.5).delay(n) for n in (1, 2, 3)] == [8.0, 4.0, 2.0]


def test_jitter_is_drawn_from_the_seed():
    """ARCHITECTURE 2: the same run and instance wait the same; others spread between half and all of the wait."""
    policy = RetryPolicy(3, 4.0, 1.0, jitter=True)
    waits = [policy.delay(1, f"run/{n}/1") for n in range(500)]
    assert waits == [policy.delay(1, f"run/{n}/1") for n in range(500)]
    assert all(2.0 <= wait <= 4.0 for wait in waits)
    assert len(set(waits)) > 450
    assert 2.9 < sum(waits) / len(waits) < 3.1
    assert policy.delay(1, "x") != policy.delay(2, "x")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_retries", NO_COUNTS),
        ("initial_interval", NO_NUMBERS),
        ("backoff_factor", [0, *NO_NUMBERS]),
        ("max_interval", NO_NUMBERS),
        ("retry_on", [int, "ValueError", ValueError(), (ValueError, 3), None]),
    ],
)
def test_a_retry_policy_refuses_nonsense(name, values):
    """A number that makes no sense is a ConfigError that names the field."""
    for value in values:
        with pytest.raises(ConfigError, match=rf"RetryPolicy\.{name}"):
            RetryPolicy(**{name: value})


@pytest.mark.parametrize(("count", "per"), [*((c, 1.0) for c in (0, *NO_COUNTS)), *((1, p) for p in (0, *NO_NUMBERS))])
def test_a_rate_refuses_nonsense(count, per):
    """At least one start, in a time that is positive."""
    with pytest.raises(ConfigError, match=r"Rate\."):
        Rate(count, per)


def test_a_cache_refuses_nonsense():
    """A ttl is positive, a key is callable."""
    for ttl in (0, *NO_NUMBERS):
        with pytest.raises(ConfigError, match="ttl"):
            Cache(ttl)
    with pytest.raises(ConfigError, match="key"):
        Cache(key="name")  # pyright: ignore[reportArgumentType]
    assert Cache(5, len).key is len


def verdict(policy: Any, ended: dict[str, bool], total: int = 3) -> Verdict:
    """Ask a policy about a group of three."""
    passed = [name for name, ok in ended.items() if ok]
    failed = [name for name, ok in ended.items() if not ok]
    return group_policy(policy).verdict(passed, failed, total - len(ended))  # pyright: ignore[reportAttributeAccessIssue]


EXPECTED = {
    "strict": lambda ok: all(ok.values()),
    "best_effort": lambda ok: True,
    "first": lambda ok: any(ok.values()),
    at_least(2): lambda ok: sum(ok.values()) >= 2,
    at_least(0): lambda ok: True,
    at_least(2, cancel_rest=True): lambda ok: sum(ok.values()) >= 2,
    critical(["a", "b"]): lambda ok: ok["a"] and ok["b"],
}


@pytest.mark.parametrize("policy", EXPECTED, ids=lambda p: p if isinstance(p, str) else p.label)
def test_verdicts_at_the_end(policy):
    """SPEC 2.6: for every way in which three members can end, each policy says what its name says."""
    for outcome in product([True, False], repeat=3):
        ended = dict(zip("abc", outcome, strict=True))
        expected = Verdict.PASS if EXPECTED[policy](ended) else Verdict.FAIL
        assert verdict(policy, ended) is expected, ended


@pytest.mark.parametrize("policy", EXPECTED, ids=lambda p: p if isinstance(p, str) else p.label)
def test_early_verdicts_are_never_taken_back(policy):
    """What a policy decides before the end is what it would have decided at the end."""
    for first, second, third in product([True, False], repeat=3):
        ended = {"a": first}
        early = verdict(policy, ended)
        ended["b"] = second
        middle = verdict(policy, ended)
        ended["c"] = third
        final = verdict(policy, ended)
        assert early in {Verdict.WAIT, middle}
        assert middle in {Verdict.WAIT, final}


def test_who_decides_early():
    """A race and a quorum end with enough successes, strict and critical with the failure; the others wait."""
    assert verdict("first", {"a": True}) is Verdict.PASS
    assert verdict("strict", {"a": False}) is Verdict.FAIL
    assert verdict(critical(["a"]), {"a": False}) is Verdict.FAIL
    assert verdict(critical(["a"]), {"b": False}) is Verdict.WAIT
    assert verdict(at_least(1, cancel_rest=True), {"a": True}) is Verdict.PASS
    assert verdict(at_least(1), {"a": True}) is Verdict.WAIT
    assert verdict("best_effort", {"a": False, "b": True}) is Verdict.WAIT


@pytest.mark.parametrize(
    ("policy", "hint"),
    [
        ("at_least_n", r"at_least\(n\)"),
        ("critical", r"critical\(\[ids\]\)"),
        ("stirct", "unknown group policy"),
        (3, "name or an object"),
        (object(), "on_group_finished"),
    ],
)
def test_an_unknown_policy_is_refused_with_a_hint(policy, hint):
    """SPEC 2.6: the message says what to write instead."""
    with pytest.raises(ConfigError, match=hint):
        group_policy(policy)


def test_policies_refuse_nonsense():
    """Numbers are counts, ids are a list."""
    for count in NO_COUNTS:
        with pytest.raises(ConfigError):
            at_least(count)  # pyright: ignore[reportArgumentType]
    for ids in ([], "abc", [1]):
        with pytest.raises(ConfigError, match="critical"):
            critical(ids)  # pyright: ignore[reportArgumentType]


BAD_OPTIONS: list[tuple[str, list[Any]]] = [
    ("max_retries", NO_COUNTS),
    ("retry_policy", [3, "often", RetryPolicy]),
    ("timeout", [0, *NO_NUMBERS]),
    ("max_cycles", [0, *NO_COUNTS]),
    ("limits", ["api", [1]]),
    ("tags", ["one", [None]]),
    ("executor", ["", 3]),
    ("on_crash", ["again", None]),
    ("cache", [True, 60]),
    ("retries", [3]),
]


@pytest.mark.parametrize(("name", "values"), BAD_OPTIONS)
def test_options_that_make_no_sense_are_refused(name, values):
    """SPEC 1.1: a mistake in an option is a ConfigError where the task is written, naming task and option."""
    for value in values:
        with pytest.raises(ConfigError, match=rf"'t'.*{name}"):
            task("t", **{name: value})(len)


def test_options_have_the_defaults_of_the_contract():
    """SPEC 1.1, the table: what a task without options does."""
    definition = Task("t").definition
    assert (definition.inject_context, definition.executor, definition.retry, definition.timeout) == (
        *(False, "auto"),
        *(None, None),
    )
    assert (definition.max_cycles, definition.limits, definition.resolve, definition.on_crash) == (
        1000,
        (),
        True,
        "retry",
    )
    assert (definition.persist, definition.cache, definition.tags, definition.description) == (True, None, (), "")


def test_max_retries_alone_does_not_wait():
    """`max_retries=n` repeats at once; with a policy the policy's waits count; 0 means never."""
    alone = Task("t", max_retries=2).definition.retry
    assert alone is not None
    assert (alone.max_retries, alone.delay(1)) == (2, 0.0)
    policy = RetryPolicy(4, 2.0)
    assert Task("t", retry_policy=policy).definition.retry is policy
    assert Task("t", max_retries=0).definition.retry is None


@pytest.mark.parametrize("bad", ["", "x" * 201, "a\nb", "tab\t", None, 3])
def test_an_id_is_a_printable_text(bad):
    """SPEC 1.1: an id that cannot be shown or stored is refused."""
    with pytest.raises(DefinitionError, match="task id"):
        Task(bad)
    with pytest.raises(DefinitionError):
        task(lambda: None)


@pytest.mark.parametrize(
    ("func", "executor", "kind"),
    [
        (len, "auto", "thread"),
        (len, "inline", "inline"),
        (len, "process", "process"),
        (len, "redis", "redis"),
        (None, "auto", "async"),
    ],
)
def test_how_a_function_runs(func, executor, kind):
    """SPEC 1.1: sync functions in threads unless told otherwise; a task without a function needs nothing."""
    assert Task("t", func, executor=executor).definition.kind == kind


def test_arguments_are_checked_where_they_are_bound():
    """SPEC 1.1: calling a task binds by its signature, and never runs the function."""
    ran: list[int] = []
    bound = Task("t", lambda a, b=2: ran.append(a))
    assert bound() is bound
    assert (bound(1).args, bound(1, b=3).kwargs) == ((1,), {"b": 3})
    for args, kwargs in (((1, 2, 3), {}), ((), {"z": 1}), ((1,), {"a": 2})):
        with pytest.raises(BindingError, match="'t'"):
            bound(*args, **kwargs)
    assert ran == []


@pytest.mark.parametrize("func", [3, "text", object()])
def test_a_task_needs_a_callable(func):
    """Something that cannot be called is refused with its id."""
    with pytest.raises(DefinitionError, match="'t' needs a callable"):
        Task("t", func)
