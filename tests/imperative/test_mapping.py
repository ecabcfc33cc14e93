"""Scenarios 1, 2, 3 and 11 to 14: mapping over what was discovered at run time."""

from __future__ import annotations

import asyncio
import os

import pytest

from graflow_async import Task, flatten, flow, task, unmapped
from tests.imperative.parts import within

NAMES = ["a.txt", "bb.csv", "ccc.json", "d.txt", "ee.csv", "fff.json", "g.txt", "README"]
SERVICES = {"users": ["list", "get", "find"], "orders": ["open", "done"], "products": ["a", "b", "c", "d"]}
CALLS = [[f"{service}/{endpoint}" for endpoint in endpoints] for service, endpoints in SERVICES.items()]


def analyze(name):
    return {"file": name, "kind": name.partition(".")[2], "size": 100 * len(name)}


def process(analysed):
    by_kind = {"txt": "text", "csv": "data", "json": "json"}
    return {**analysed, "processor": by_kind.get(analysed["kind"], "default")}


def expect_files(results):
    assert [r["file"] for r in results] == NAMES
    assert [r["size"] for r in results] == [100 * len(name) for name in NAMES]
    processors = [r["processor"] for r in results]
    assert {p: processors.count(p) for p in processors} == {"text": 3, "data": 2, "json": 2, "default": 1}


async def test_1_two_chained_maps(style):
    """1: an unknown number of files, two stages, results in input order; results of `.map` are values."""
    analyze_file, process_by_type = style.task(analyze), style.task(process)

    @flow
    async def process_files(names):
        analysed = await analyze_file.map(names)
        for each in analysed:
            assert each["file"] in NAMES
        return await process_by_type.map(analysed)

    expect_files(await process_files(NAMES))


@pytest.mark.parametrize("count", [0, 1, 7])
async def test_177_the_files_of_a_directory(count, tmp_path, style):
    """177: `analyze_file.map(os.listdir(d))` gives a result for each file, in input order; no files, no results."""
    for number in range(count):
        (tmp_path / f"file{number}.txt").write_text("x" * number)
    names = os.listdir(tmp_path)  # noqa: PTH208  # the scenario's own call
    analyze_file = style.task(lambda name: (name, (tmp_path / name).stat().st_size))

    @flow
    async def analyse():
        return await analyze_file.map(names)

    assert await analyse() == [(name, int(name[4])) for name in names]


def test_1_two_chained_maps_in_a_plain_flow():
    """1, 3: the same as a plain `def` flow called from plain code."""
    analyze_file, process_by_type = Task("analyze", analyze), Task("process", process)

    @flow
    def process_files(names):
        analysed = analyze_file.map(names)
        for each in analysed:  # pyright: ignore[reportGeneralTypeIssues]  # a list here, a Mapped elsewhere
            assert each["file"] in NAMES
        return process_by_type.map(analysed)

    expect_files(process_files(NAMES))


@pytest.mark.parametrize("count", [0, 1, 10])
async def test_2_dynamic_workflow(count, style):
    """2: as many results as files; without files no task starts and a map over nothing stays nothing."""
    started = []
    process_file = style.task(lambda name: (started.append(name), name.upper())[1])

    @flow
    async def dynamic_workflow(names):
        first = await process_file.map(names)
        return first, await process_file.map(first)

    names = [f"file{n}" for n in range(count)]
    upper = [name.upper() for name in names]
    assert await dynamic_workflow(names) == (upper, upper)
    assert len(started) == 2 * count


@pytest.mark.parametrize("count", [0, 1, 10])
def test_2_dynamic_workflow_in_a_plain_flow(count):
    """2: the same in a plain `def` flow."""
    started = []
    process_file = Task("process", lambda name: (started.append(name), name.upper())[1])

    @flow
    def dynamic_workflow(names):
        first = process_file.map(names)
        return first, process_file.map(first)

    upper = [f"FILE{n}" for n in range(count)]
    assert dynamic_workflow([f"file{n}" for n in range(count)]) == (upper, upper)
    assert len(started) == 2 * count


async def test_2_static_workflow(style):
    """2: three awaited calls run one after the other."""
    log = []

    def process_file(name):
        log.append(f"{name} in")
        log.append(f"{name} out")
        return name.upper()

    step = style.task(process_file)

    @flow
    async def static_workflow():
        return [await step("a"), await step("b"), await step("c")]

    assert await static_workflow() == ["A", "B", "C"]
    assert log == [f"{name} {way}" for name in "abc" for way in ("in", "out")]


async def test_11_nested_mapping(style):
    """11: a loop of maps with a repeated list, and a map in a mapped task, give the same groups in service order."""
    called = []

    def call(service, endpoint):
        called.append((service, endpoint))
        return f"{service}/{endpoint}"

    fetch, call_endpoint = style.task(lambda service: SERVICES.get(service, [])), style.task(call)

    @task(inject_context=True)
    async def survey(ctx, service):
        return await ctx.map(call_endpoint, unmapped(service), await fetch(service))

    @flow
    async def all_services(services):
        looped = []
        for service in services:
            endpoints = await fetch(service)
            looped.append(await call_endpoint.map([service] * len(endpoints), endpoints))
        assert len(called) == 9
        return looped, await survey.map(services)

    services = [*SERVICES, "unknown"]
    assert await all_services(services) == ([*CALLS, []], [*CALLS, []])
    assert len(called) == 18


def test_11_nested_mapping_in_plain_flows():
    """11: the same with plain flows and a plain task that maps."""
    fetch = Task("fetch", lambda service: SERVICES.get(service, []))
    call_endpoint = Task("call", lambda service, endpoint: f"{service}/{endpoint}")

    @task(inject_context=True)
    def survey(ctx, service):
        return ctx.map(call_endpoint, unmapped(service), ctx.call(fetch, service))

    @flow
    def all_services(services):
        looped = []
        for service in services:
            endpoints = fetch(service)
            repeated = [service] * len(endpoints)  # pyright: ignore[reportArgumentType]  # a value in a plain flow
            looped.append(call_endpoint.map(repeated, endpoints))
        return looped, survey.map(services)

    assert all_services([*SERVICES, "unknown"]) == ([*CALLS, []], [*CALLS, []])


async def test_12_unmapping(style):
    """12: lists of different lengths are flattened by one level, ordered by source, then by record."""
    counts = {1: 3, 2: 5, 3: 2, 4: 4, 5: 0}
    extract = style.task(lambda source: [{"source": source, "id": n} for n in range(1, counts[source] + 1)])
    validate = style.task(lambda record: {**record, "value": 10 * record["id"]})

    async def parent(ctx):
        return await ctx.map(validate, flatten(await ctx.map(extract, list(counts))))

    records = await within(parent)
    assert [(r["source"], r["id"], r["value"]) for r in records] == [
        (source, n, 10 * n) for source, count in counts.items() for n in range(1, count + 1)
    ]
    assert len(records) == 14
    assert flatten([[[1]], [[2], 3]]) == [[1], [2], 3]


@pytest.mark.parametrize(
    ("nested", "words"),
    [
        (["ab"], ("element", "str", "[x]")),
        ([["a"], "b"], ("element", "str")),
        ([b"ab"], ("element", "bytes")),
        ([bytearray(b"ab")], ("element", "bytearray")),
        ([{"a": 1}], ("element", "dict", "x.items()")),
        ("ab", ("flatten() is a list", "str")),
        ({"a": [1]}, ("flatten() is a list", "dict", "x.values()")),
    ],
)
def test_12_texts_and_mappings_are_no_lists(nested, words):
    """12, 7: `flatten` takes no text apart into letters and no mapping into keys, as a map refuses to."""
    with pytest.raises(TypeError) as caught:
        flatten(nested)
    assert all(word in str(caught.value) for word in words)


def test_12_what_flatten_takes():
    """12: any iterable of iterables; texts in the lists stay whole; what is no iterable is a TypeError of Python's."""
    assert flatten([["ab", b"c"], [{"d": 1}], []]) == ["ab", b"c", {"d": 1}]
    assert flatten(iter([(1,), {2}, range(3, 5), (n for n in [5])])) == [1, 2, 3, 4, 5]
    assert flatten({"a": [1], "b": [2]}.values()) == [1, 2]
    assert flatten([]) == []
    with pytest.raises(TypeError, match="not iterable"):
        flatten([1])  # pyright: ignore[reportArgumentType]  # what the test is about


@pytest.mark.parametrize(("count", "batches"), [(0, 0), (1, 1), (50, 10), (51, 6), (75, 8), (100, 10), (101, 6)])
async def test_13_batching(count, batches, style):
    """13: the amount of data decides on the size of a batch."""
    process_batch = style.task(lambda batch, number: (number, sum(batch)))
    items = list(range(1, count + 1))
    size = 20 if count > 100 else 10 if count > 50 else 5

    async def parent(ctx):
        cut = [items[start : start + size] for start in range(0, count, size)]
        return await ctx.map(process_batch, cut, range(len(cut)))

    numbered = await within(parent)
    assert [number for number, _ in numbered] == list(range(batches))
    sums = [total for _, total in numbered]
    assert sum(sums) == sum(items)
    if count == 75:
        assert sums == [55, 155, 255, 355, 455, 555, 655, 365]


async def test_14_stages_of_one_item_need_no_barrier():
    """14: an item that is through stage 1 goes on to stage 2 while another is still in stage 1; two maps wait."""
    log, others_done = [], asyncio.Event()

    @task
    async def first(n, wait):
        if n == 0 and wait:
            await others_done.wait()
        log.append(f"first {n}")
        return n

    @task
    async def second(n):
        log.append(f"second {n}")
        if sum(entry.startswith("second") for entry in log) == 9:
            others_done.set()
        return n

    @task
    async def both(n):
        return await second(await first(n, wait=True))

    async def parent(ctx):
        assert await ctx.map(both, range(10)) == list(range(10))
        assert log.index("second 9") < log.index("first 0")
        log.clear()
        assert await ctx.map(second, await ctx.map(first, range(10), wait=False)) == list(range(10))
        assert log == [f"{stage} {n}" for stage in ("first", "second") for n in range(10)]

    async with asyncio.timeout(60):
        await within(parent)
