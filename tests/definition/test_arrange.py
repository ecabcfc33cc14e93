"""SPEC 1.4: however values are split between given and found ones, the call binds what `inspect` would bind."""

from __future__ import annotations

import inspect
import random
import sys
from typing import Any

import pytest

from graflow_async.errors import BindingError
from graflow_async.plan import Plan, plan_of

SEEDS = 400
PLACES = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def random_function(rng: random.Random) -> Any:
    """Make a function with a random signature that returns its own arguments."""
    names = [f"p{n}" for n in range(rng.randint(0, 5))]
    cut = rng.randint(0, len(names))
    positional, keyword_only = names[:cut], names[cut:]
    first_default = rng.randint(0, len(positional))
    parts = [n if i < first_default else f"{n}='default {n}'" for i, n in enumerate(positional)]
    if positional and rng.random() < 0.3:
        parts.insert(rng.randint(1, len(positional)), "/")
    if rng.random() < 0.3:
        parts.append("*args")
    elif keyword_only:
        parts.append("*")
    parts += [n if rng.random() < 0.5 else f"{n}='default {n}'" for n in keyword_only]
    if rng.random() < 0.3:
        parts.append("**kwargs")
    prefix = "async " if rng.random() < 0.2 else ""
    space: dict[str, Any] = {}
    exec(f"{prefix}def func({', '.join(parts)}): return dict(locals())", space)  # noqa: S102  # made of the names above
    return space["func"]


def split(rng: random.Random, func: Any, plan: Plan) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Decide at random which parameters are given by position, by name, found, or left to their default."""
    kinds = {p.name: p.kind for p in inspect.signature(func).parameters.values()}
    count = rng.randint(0, len(plan.positional))
    args = tuple(f"given {name}" for name in plan.positional[:count])
    if plan.var_positional and count == len(plan.positional) and rng.random() < 0.5:
        args += ("extra 1", "extra 2")
    kwargs: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for parameter in plan.open_parameters(len(args)):
        by_name = kinds[parameter.name] is not inspect.Parameter.POSITIONAL_ONLY
        choice = rng.random()
        if choice < 0.35 and by_name:
            kwargs[parameter.name] = f"named {parameter.name}"
        elif parameter.is_required or choice < 0.7:
            found[parameter.name] = f"found {parameter.name}"
    if plan.var_keyword and rng.random() < 0.5:
        kwargs["more"] = "extra"
    return args, kwargs, found


def has_hole(func: Any, args: tuple[Any, ...], found: dict[str, Any]) -> bool:
    """Say whether a positional-only parameter has a value behind one left to its default: no call can do that."""
    only = [p.name for p in inspect.signature(func).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    rest = [name in found for name in only[len(args) :]]
    return any(later and not earlier for i, later in enumerate(rest) for earlier in rest[:i])


@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.parametrize("inject_context", [False, True])
def test_any_split_binds_what_the_signature_binds(chunk, inject_context):
    """Random signatures, random splits: each parameter gets the value that was given or found for it."""
    checked = 0
    sys.stdout.write(f"seeds {chunk * SEEDS} to {(chunk + 1) * SEEDS - 1}\n")
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        rng = random.Random(seed)
        func = random_function(rng)
        try:
            plan = plan_of(func, inject_context=inject_context, label="f")
        except BindingError:
            assert inject_context
            continue
        args, kwargs, found = split(rng, func, plan)
        offset = ("CTX",) if inject_context else ()
        if has_hole(func, offset + args, found):
            continue
        plan.check(args, kwargs)
        ordered, named = plan.arrange(args, kwargs, found, "CTX")
        bound = inspect.signature(func).bind(*ordered, **named).arguments
        expected = dict(zip(plan.positional, args, strict=False)) | kwargs | found
        expected.pop("more", None)
        actual = {name: bound[name] for name in plan.names if name in bound}
        where = f"seed {seed}: {inspect.signature(func)} with {args}, {kwargs}, {found}"
        assert actual == {name: expected[name] for name in plan.names if name in expected}, where
        assert bound.get("kwargs", {}) == ({"more": "extra"} if "more" in kwargs else {}), where
        places = sum(p.kind in PLACES for p in inspect.signature(func).parameters.values())
        assert bound.get("args", ()) == (*offset, *args)[places:], where
        if inject_context:
            assert ordered[0] == "CTX", where
        checked += 1
    assert checked > SEEDS // 2


@pytest.mark.parametrize("seed", range(3))
def test_what_is_open_is_what_has_no_value(seed):
    """`open_parameters` lists, in order, those that neither positions nor names have filled."""
    rng = random.Random(seed)
    for _ in range(100):
        func = random_function(rng)
        plan = plan_of(func, inject_context=False, label="f")
        args, kwargs, _ = split(rng, func, plan)
        bound = inspect.signature(func).bind_partial(*args, **kwargs).arguments
        expected = [p.name for p in plan.parameters if p.name not in bound]
        assert [p.name for p in plan.open_parameters(len(args), kwargs)] == expected


def test_a_default_in_between_is_left_alone():
    """A found value behind a parameter that keeps its default goes by name."""

    def func(a, b="default", c=None, *, d=4):
        return a, b, c, d

    plan = plan_of(func, inject_context=False, label="f")
    args, kwargs = plan.arrange((), {"c": "named"}, {"a": 1, "d": 9}, None)
    assert func(*args, **kwargs) == (1, "default", "named", 9)


def test_arranging_changes_nothing_that_was_given():
    """The caller's dict is not touched: a retry arranges it again."""
    plan = plan_of(lambda a, b, c: (a, b, c), inject_context=False, label="f")
    kwargs, found = {"b": 2}, {"a": 1, "c": 3}
    assert plan.arrange((), kwargs, found, None) == ((1, 2, 3), {})
    assert (kwargs, found) == ({"b": 2}, {"a": 1, "c": 3})


def test_positional_only_parameters_can_be_found():
    """A value found for a positional-only parameter goes by position."""

    def func(a, b, /, c):
        return a, b, c

    plan = plan_of(func, inject_context=False, label="f")
    args, kwargs = plan.arrange((), {"c": 3}, {"a": 1, "b": 2}, None)
    assert func(*args, **kwargs) == (1, 2, 3)
