"""Scenarios 4 to 8 and 28: what a map takes, what it refuses before anything starts, and how it is spelled."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from graflow_async import BindingError, Task, flow, task, unmapped
from tests.imperative.parts import Source, within

PAIRS = {"a": 1, "b": 2}


async def several():
    for n in range(3):
        yield n


def generated():
    yield from range(3)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: [[1, 2], [3]], [[1, 2], [3]]),
        (lambda: [1, 1, 1], [1, 1, 1]),
        (lambda: (1, 2), [1, 2]),
        (lambda: range(3), [0, 1, 2]),
        (lambda: {7, 8}, [7, 8]),
        (lambda: frozenset({5}), [5]),
        (generated, [0, 1, 2]),
        (several, [0, 1, 2]),
        (lambda: iter([1]), [1]),
        (PAIRS.items, [("a", 1), ("b", 2)]),
        (PAIRS.keys, ["a", "b"]),
        (PAIRS.values, [1, 2]),
        (lambda: ["text", b"bytes"], ["text", b"bytes"]),
        (lambda: [PAIRS], [PAIRS]),
        (list, []),
    ],
)
async def test_4_every_element_comes_once(make, expected, style):
    """4: any iterable, also an asynchronous one; nested lists are taken one level deep, equal elements count each."""
    took = []

    def take(x, extra=(1, 2)):
        took.append(x)
        return x, extra

    async def parent(ctx):
        return await ctx.map(style.task(take), make())

    results = await within(parent)
    assert sorted(map(repr, took)) == sorted(map(repr, expected))
    assert sorted(results, key=repr) == sorted(((x, (1, 2)) for x in expected), key=repr)
    if not isinstance(make(), (set, frozenset)):
        assert [x for x, _ in results] == expected


async def test_4_iterables_are_zipped(style):
    """4: element by element, in every spelling."""
    add = style.task(lambda a, b: a + b)

    async def parent(ctx):
        return [
            await ctx.map(add, [1, 2, 3], [10, 20, 30]),
            await add.map(generated(), (10, 20, 30)),
            await ctx.map(add, several(), several()),
            await ctx.map(add, several(), [10, 20, 30]),
        ]

    assert await within(parent) == [[11, 22, 33], [10, 21, 32], [0, 2, 4], [10, 21, 32]]


def refused(words, *iterables, **fixed):
    return pytest.param(iterables, fixed, words, id=f"{iterables}{fixed or ''}"[:40])


@pytest.mark.parametrize(
    ("iterables", "fixed", "words"),
    [
        refused("lengths", [1, 2, 3], [1, 2]),
        refused("lengths", [], [1]),
        refused("nothing to map"),
        refused("nothing to map", 1, 2),
        refused("nothing to map", unmapped([1]), 2),
        refused("nothing to map", x=[1], y=2),
        refused("unmapped", "abc", [1, 2, 3]),
        refused("unmapped", b"abc", [1, 2, 3]),
        refused("unmapped", {"a": 1}, [1]),
        refused("unmapped", [1], bytearray(b"a")),
        refused("unmapped", "abc"),
        refused("z", [1], [2], z=3),
        refused("positional argument", [1], [2], [3]),
        refused("y", [1], [2], y=3),
    ],
)
async def test_5_6_7_what_a_map_refuses_it_refuses_before_anything_starts(iterables, fixed, words, style):
    """5, 6, 7: unequal lengths, nothing to map, text or a mapping by position, arguments that fit nothing."""
    started = []
    two = style.task(lambda x, y: started.append((x, y)))

    async def by_context(ctx):
        return await ctx.map(two, *iterables, **fixed)

    async def by_task(ctx):
        return await two.map(*iterables, **fixed)

    def blocking(ctx):
        return ctx.map(two, *iterables, **fixed)

    for parent in (by_context, by_task, blocking):
        with pytest.raises(BindingError, match=words) as caught:
            await within(parent)
        assert isinstance(caught.value, TypeError)
    assert started == []


@pytest.mark.parametrize("lengths", [(3, 2), (2, 3), (0, 1)])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_5_generators_of_unequal_length(lengths, asynchronous):
    """5: the mismatch is raised when the shorter ends; by then nothing of the map runs and the inputs are closed."""
    inside = []

    @task
    async def two(x, y):
        inside.append(x)
        inside.remove(x)

    sources = [Source(length) for length in lengths]

    async def parent(ctx):
        given = [source.slowly() if asynchronous else iter(source) for source in sources]
        with pytest.raises(BindingError, match="equal"):
            await ctx.map(two, *given)
        assert inside == []
        for source in given:
            if isinstance(source, Generator):
                source.close()

    await within(parent)
    assert all(source.is_closed or not source.pulled for source in sources)


async def test_7_marked_mappings_and_their_parts():
    """7: `unmapped` passes a mapping or a text as it is; the items of a dict are mapped as pairs."""
    two = Task("two", lambda x, y=None: (x, y))

    async def parent(ctx):
        assert await ctx.map(two, [1], unmapped(PAIRS)) == [(1, PAIRS)]
        assert await ctx.map(two, [1, 2], unmapped("abc")) == [(1, "abc"), (2, "abc")]
        assert await ctx.map(two, PAIRS.items()) == [(("a", 1), None), (("b", 2), None)]

    await within(parent)


async def test_8_constants():
    """8: a scalar by position and a keyword are the same for every call; a list by keyword is the identical list."""
    two = Task("two", lambda x, y: (x, y))
    shared = [9, 9]

    async def parent(ctx):
        assert await ctx.map(two, [1, 2, 3], 7) == [(1, 7), (2, 7), (3, 7)]
        assert await ctx.map(two, [1, 2, 3], y=7) == [(1, 7), (2, 7), (3, 7)]
        assert all(y is shared for _, y in await ctx.map(two, [1, 2], y=shared))
        assert all(y is shared for _, y in await ctx.map(two, [1, 2], unmapped(shared)))
        assert await ctx.map(two(5), [1, 2]) == [(5, 1), (5, 2)]
        assert await ctx.map(two(y=5), [1, 2]) == [(1, 5), (2, 5)]
        assert await ctx.map(two, [1, 2, 3], [4, 5, 6]) == [(1, 4), (2, 5), (3, 6)]

    await within(parent)


@pytest.mark.parametrize("bound", [0, -1])
async def test_10_a_bound_below_one_is_refused(bound):
    """10: a ValueError, and nothing starts."""
    started = []
    note = Task("note", started.append)

    async def parent(ctx):
        await ctx.map(note, [1], max_concurrency=bound)

    with pytest.raises(ValueError, match="max_concurrency"):
        await within(parent)
    with pytest.raises(ValueError, match="max_concurrency"):
        note.map([1]).with_execution(max_concurrency=bound)
    assert started == []


async def test_28_mapping_outside_a_run_is_a_run_of_its_own(style):
    """28: awaited outside any task, a map, a bound task and a flow run by themselves; `.func` is the plain function."""
    double = style.task(lambda x: x * 2)
    assert await double.map([1, 2]) == [2, 4]
    assert await double(4) == 8
    assert await double.run(x=5) == 10
    value = double.func(3)
    assert (await value if style.name == "async" else value) == 6


def test_28_plain_functions_in_plain_code():
    """28: `.func` works anywhere; a plain flow runs when it is called."""

    @task
    def double(x):
        return x * 2

    @flow
    def doubled(xs):
        return double.map(xs)

    assert double.func(3) == 6
    assert doubled([1, 2]) == [2, 4]
