"""Scenarios 36 to 41 and 44: flows that are chosen, made, composed and run side by side; how they fail and bind."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from graflow_async import BindingError, Task, Workflow, current_context, flow, task
from graflow_async.events import RunStarted, TaskEvent
from tests.aids.simloop import run_sim
from tests.imperative.parts import within
from tests.runtime.parts import SEEDS, Stay, through

FORMATS = {"csv": "csv_to_records", "json": "json_normalization", "xml": "xml_parsing"}
REGIONS = {"US-WEST": [10, 20, 30, 40], "US-EAST": [15, 25, 35], "EU": [5, 10, 15, 20, 25], "ASIA": [30, 40]}
SUMMARIES = {"US-WEST": (4, 100, 25.0), "US-EAST": (3, 75, 25.0), "EU": (5, 75, 15.0), "ASIA": (2, 70, 35.0)}
OPERATIONS = {
    "aggregate": (sum, [1, 2, 3, 4, 5], 15),
    "filter": (lambda data: [x for x in data if x > 5], [3, 6, 2, 8, 1, 9], [6, 8, 9]),
    "transform": (lambda data: [x * 2 for x in data], [10, 20, 30], [20, 40, 60]),
}


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
async def test_36_flow_selection(kind, style):
    """36: the flow for the type of the source runs, no other; an unknown type is loaded as it is."""
    ran = []

    def transform(label):
        @flow(name=label)
        async def transforming(data):
            ran.append(label)
            return {**data, "format": label}

        return transforming

    transforms = {source_type: transform(label) for source_type, label in FORMATS.items()}
    load = style.task(lambda data: {**data, "loaded": True})

    @flow
    async def etl(kind):
        data = {"source": kind}
        if kind in transforms:
            data = await transforms[kind](data)
        return await load(data)

    expected = {"source": kind, "loaded": True} | ({"format": FORMATS[kind]} if kind in FORMATS else {})
    assert await etl(kind) == expected
    assert ran == ([FORMATS[kind]] if kind in FORMATS else [])


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
def test_36_flow_selection_in_plain_flows(kind):
    """36: the same with plain `def` flows, which give values when they are called in one another."""
    ran = []

    def transform(label):
        @flow(name=label)
        def transforming(data):
            ran.append(label)
            return {**data, "format": label}

        return transforming

    transforms = {source_type: transform(label) for source_type, label in FORMATS.items()}

    @flow
    def etl(kind):
        data = {"source": kind}
        return transforms[kind](data) if kind in transforms else data

    assert etl(kind) == {"source": kind} | ({"format": FORMATS[kind]} if kind in FORMATS else {})
    assert ran == ([FORMATS[kind]] if kind in FORMATS else [])


def make_flow(number, kind):
    operation = OPERATIONS[kind][0]

    @flow(name=f"Dynamic {kind.title()} Flow #{number}")
    async def generated(data):
        return operation(data)

    return generated


async def test_37_flow_factory():
    """37: flows made at run time give their values, and the run's story has their names."""
    heard = []

    async def parent(ctx):
        values = []
        for number, (kind, (_, data, _)) in enumerate(OPERATIONS.items(), start=1):
            values.append(await make_flow(number, kind)(data))
        return values

    def listen(event):
        if isinstance(event, TaskEvent):
            heard.append(event.task_id)

    assert await within(parent, listeners=[listen]) == [expected for _, _, expected in OPERATIONS.values()]
    for name in ("Dynamic Aggregate Flow #1", "Dynamic Filter Flow #2", "Dynamic Transform Flow #3"):
        assert any(task_id.startswith(name) for task_id in heard), heard


async def test_37_two_flows_with_one_name():
    """37: S3's "Custom Flow" twice in one run: two children with ids of their own, each running its own function."""
    told = []

    def make(value):
        @flow(name="Custom Flow")
        async def generated(data):
            told.append(current_context().idempotency_key)
            return value + data

        return generated

    async def parent(ctx):
        assert make(1).id == "Custom Flow"
        return await asyncio.gather(make(1)(10), make(2)(10))

    assert await within(parent) == [11, 12]
    assert len(set(told)) == 2


@pytest.mark.near  # the border of the tests keeps what crosses it
async def test_37_generated_flows_are_forgotten():
    """37: of a thousand flows made and run, none is kept afterwards: no registry grows."""
    made = weakref.WeakSet()

    async def parent(ctx):
        total = 0
        for number in range(1000):

            async def body(data, number=number):
                return data + number

            made.add(body)
            total += await flow(name=f"flow {number}")(body)(1)
        return total

    assert await within(parent) == 1000 + sum(range(1000))
    del parent
    gc.collect()
    assert len(made) <= 1  # the last one is still named by the frame's variable


STAGES = ["validation", "enrichment", "anonymization", "encryption"]


def stage_flows(log, style):
    def make(name):
        add = style.task(lambda data: {**data, f"{name}_by": name, f"{name}_at": len(log)})

        @flow(name=name)
        async def stage(data):
            log.append(name)
            return await add(data)

        return stage

    return {name: make(name) for name in STAGES}


@pytest.mark.parametrize("order", [STAGES, STAGES[::-1], STAGES[2:], []], ids=len)
async def test_38_composition(order, style):
    """38: the stages run in the configured order, each on the value of the one before; none changes nothing."""
    log = []
    stages = stage_flows(log, style)

    @flow
    async def pipeline(names, data):
        for name in names:
            data = await stages[name](data)
        return data

    given = {"id": 1, "name": "x", "email": "y"}
    result = await pipeline(order, given)
    assert log == order
    assert len(result) == 3 + 2 * len(order)
    assert [key for key in result if key.endswith("_by")] == [f"{name}_by" for name in order]
    if not order:
        assert result == given


async def test_38_an_unknown_stage(style):
    """38: a lenient pipeline skips and reports it, a strict one fails before its first stage."""
    log = []
    stages = stage_flows(log, style)

    @flow
    async def lenient(names, data):
        skipped = [name for name in names if name not in stages]
        for name in names:
            if name in stages:
                data = await stages[name](data)
        return len(data), skipped

    @flow
    async def strict(names, data):
        chosen = [stages[name] for name in names]
        for stage in chosen:
            data = await stage(data)
        return data

    assert await lenient(["validation", "magic", "encryption"], {}) == (4, ["magic"])
    assert log == ["validation", "encryption"]
    log.clear()
    with pytest.raises(KeyError, match="magic"):
        await strict(["validation", "magic"], {})
    assert log == []


@pytest.mark.parametrize("how", ["gather", "map", "submit"])
async def test_39_parallel_subflows(how, style):
    """39: one flow for each region, all at once, results in the order of the regions; an empty region is no trouble."""
    regions = {**REGIONS, "MOON": []}
    together = asyncio.Barrier(len(regions))
    summarise = style.task(lambda xs: (len(xs), sum(xs), sum(xs) / len(xs) if xs else 0))

    @flow
    async def regional(name, amounts):
        await together.wait()  # nobody goes on before all are there
        return name, await summarise(amounts)

    @flow(inject_context=True)
    async def everywhere(ctx):
        if how == "map":
            return await ctx.map(regional, regions.keys(), regions.values())
        if how == "submit":
            return [await handle for handle in [ctx.submit(regional, *region) for region in regions.items()]]
        return await asyncio.gather(*(regional(*region) for region in regions.items()))

    async with asyncio.timeout(60):
        found = await everywhere()
    assert list(dict(found)) == list(regions)
    assert dict(found) == {**SUMMARIES, "MOON": (0, 0, 0)}


async def test_40_a_failing_subflow():
    """40: the parent's await raises the original exception, its notes name the flow; caught, the parent completes."""
    error = ValueError("inside")

    @task
    async def step():
        raise error

    @flow(name="Failing Flow")
    async def failing():
        await step()

    async def parent(ctx):
        with pytest.raises(ValueError, match="inside") as caught:
            await failing()
        assert caught.value is error
        return "\n".join(error.__notes__)

    run = Workflow("w", Task("parent", parent, inject_context=True)).start()
    notes = await through(run)
    assert "Failing Flow" in notes
    assert "'step'" in notes
    assert run.status == "completed"


async def test_40_an_uncaught_failure_cancels_the_sibling():
    """40: parent and run fail with the original exception; a submitted sibling flow is cancelled and cleaned up."""
    stay, error = Stay(), ValueError("inside")

    @flow
    async def failing():
        await stay.began.wait()
        raise error

    @flow
    async def sibling():
        await stay()

    async def parent(ctx):
        ctx.submit(sibling)
        await failing()

    run = Workflow("w", Task("parent", parent, inject_context=True)).start()
    with pytest.raises(ValueError, match="inside") as caught:
        await through(run)
    assert caught.value is error
    assert stay.cleaned
    assert run.status == "failed"


def test_40_in_plain_flows():
    """40: a plain flow that fails inside a plain flow: caught there, or raised to plain code as the same object."""
    error = ValueError("inside")

    @flow
    def failing():
        raise error

    @flow
    def outer(is_caught):
        if not is_caught:
            return failing()
        with pytest.raises(ValueError, match="inside") as caught:
            failing()
        assert caught.value is error
        return "caught"

    assert outer(is_caught=True) == "caught"
    with pytest.raises(ValueError, match="inside") as caught:
        outer(is_caught=False)
    assert caught.value is error


async def test_41_a_mapped_flow(style):
    """41: one of four fails: three values and one exception, in place."""
    check = style.task(lambda n: 10 // n)

    @flow
    async def sub(n):
        return await check(n)

    async def parent(ctx):
        return await ctx.map(sub, [1, 2, 0, 5], return_exceptions=True)

    results = await within(parent)
    assert [r if isinstance(r, int) else type(r) for r in results] == [10, 5, ZeroDivisionError, 2]


async def test_44_parameters():
    """44: missing, unknown or surplus ones are a BindingError that names the flow, whose body is not entered."""
    entered = []

    @flow(name="Two Parameters")
    async def two(a, b: int = 0):
        entered.append((a, b))
        return a, b

    async def missing(ctx):
        await two()

    async def missing_by_run(ctx):
        await ctx.run_workflow(two, inputs={"b": 1})

    async def unknown(ctx):
        await two(1, c=2)

    async def surplus(ctx):
        await two(1, 2, 3)

    for parent in (missing, missing_by_run, unknown, surplus):
        with pytest.raises(BindingError, match="Two Parameters"):
            await within(parent)
    assert entered == []
    assert await two(1, "7") == (1, "7")


async def test_44_one_run_for_all_of_it():
    """42, 44: child runs belong to the run that made them: one run id, one story."""
    runs, ids = [], set()

    @flow(inject_context=True)
    async def sub(ctx):
        ids.add(ctx.run_id)

    async def parent(ctx):
        ids.add(ctx.run_id)
        await sub()
        await ctx.run_workflow(sub)

    def listen(event):
        if isinstance(event, RunStarted):
            runs.append(event.run_id)

    await within(parent, listeners=[listen])
    assert len(ids) == 1
    assert ids == set(runs)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_57_gathered_subflows_take_as_long_as_one(seed):
    """57: sixteen flows that sleep 0.3 s each are through after 0.3 s, in the order in which they were gathered."""

    async def main():
        loop = asyncio.get_running_loop()

        @flow
        async def sub(n):
            await asyncio.sleep(0.3)
            return n

        async def parent(_):
            return await asyncio.gather(*(sub(n) for n in range(16)))

        assert await within(parent) == list(range(16))
        assert loop.time() == pytest.approx(0.3)

    run_sim(main, seed)
