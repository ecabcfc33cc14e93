"""Scenarios 30, 31, 33, 34 and 35: the data decides which task runs next."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest

from graflow_async import Task, Workflow, flow, task, workflow
from tests.imperative.parts import within
from tests.runtime.parts import through

DATASETS = [(0.95, 0.92), (0.75, 0.78), (0.62, 0.55), (0.45, 0.40), (0.88, 0.91)]
QUALITIES = ["high", "medium", "low", "invalid", "medium"]
PROCESSORS = {"high": "fast_track", "medium": "standard", "low": "remediation", "invalid": "rejected"}
EDGES = [((0.9, 0.9), "high"), ((0.7, 0.7), "medium"), ((0.5, 0.5), "low"), ((0.9, 0.49), "invalid")]


def assess(data):
    worst = min(data)
    return next((name for name, least in (("high", 0.9), ("medium", 0.7), ("low", 0.5)) if worst >= least), "invalid")


class Processing:
    """The four ways a dataset may go, as tasks that count their executions."""

    def __init__(self, style):
        self.executed = Counter()
        self.lock = threading.Lock()
        self.assess = style.task(assess)
        self.ways = {quality: style.task(self.way(name)) for quality, name in PROCESSORS.items()}

    def way(self, name):
        def process(data):
            with self.lock:
                self.executed[name] += 1
            scores = (data[0] + 0.2, data[1] + 0.2) if name == "remediation" else data
            return {"processor": name, "processed": name != "rejected", "scores": scores}

        process.__name__ = name
        return process


async def route_one(processing, data):
    match await processing.assess(data):
        case "high":
            return await processing.ways["high"](data)
        case "medium":
            return await processing.ways["medium"](data)
        case "low":
            return await processing.ways["low"](data)
        case _:
            return await processing.ways["invalid"](data)


@pytest.mark.parametrize("how", ["loop", "map", "gather"])
async def test_30_quality_routing(how, style):
    """30: one processing for each dataset, chosen by its quality; one by one and all at once give the same."""
    processing = Processing(style)

    @task
    async def route(data):
        return await route_one(processing, data)

    @flow
    async def routing(datasets):
        if how == "loop":
            return [await route_one(processing, data) for data in datasets]
        if how == "gather":
            return await asyncio.gather(*(route(data) for data in datasets))
        return await route.map(datasets)

    routed = await routing(DATASETS)
    assert [r["processor"] for r in routed] == [PROCESSORS[quality] for quality in QUALITIES]
    assert processing.executed == {"fast_track": 1, "standard": 2, "remediation": 1, "rejected": 1}
    assert routed[2]["scores"] == pytest.approx((0.82, 0.75), abs=1e-9)
    assert [r["processed"] for r in routed] == [True, True, True, False, True]


@pytest.mark.parametrize(("data", "quality"), [*zip(DATASETS, QUALITIES, strict=True), *EDGES])
def test_30_quality_routing_in_a_plain_flow(data, quality):
    """30: `if` and `elif` on values, in a plain `def` flow; the other branches are never run."""
    executed = []
    high, medium, low, invalid = (
        Task(name, lambda data, name=name: executed.append(name) or name) for name in PROCESSORS.values()
    )
    assess_quality = Task("assess", assess)

    @flow
    def routing(data):
        found = assess_quality(data)
        if found == "high":  # pyright: ignore[reportUnnecessaryComparison]
            return high(data)
        if found == "medium":
            return medium(data)
        if found == "low":
            return low(data)
        return invalid(data)

    assert routing(data) == PROCESSORS[quality]
    assert executed == [PROCESSORS[quality]]


TRANSACTIONS = [
    ({"amount": 100, "balance": 1000}, "normal"),
    ({"amount": 2000, "balance": 500}, "declined (Insufficient funds)"),
    ({"amount": 6000, "balance": 20000}, "manual_approved"),
    ({"amount": -50, "balance": 1000}, "declined (Invalid amount)"),
    ({"amount": 900, "balance": 9000}, "normal"),
]
MORE = [
    ({"amount": 6000, "balance": 9000}, "declined (Manual review declined)"),
    ({"amount": 0, "balance": 9000}, "declined (Invalid amount)"),
    ({"amount": 10, "balance": -1}, "declined (Invalid account)"),
    ({"amount": 10000, "balance": 20000}, "declined (Manual review declined)"),
]


def steps_of(executed):
    """Give validate, review, decline, normal, approve as plain functions that note their executions."""

    def validate(transaction):
        executed.append("validate")
        if transaction["amount"] <= 0:
            return "Invalid amount"
        if transaction["balance"] < 0:
            return "Invalid account"
        return "Insufficient funds" if transaction["amount"] > transaction["balance"] else None

    def review(transaction):
        executed.append("review")
        return transaction["amount"] * 2 < transaction["balance"]

    def decline(reason):
        executed.append("decline")
        return f"declined ({reason})"

    def normal(transaction):
        executed.append("normal")
        return "normal"

    def approve(transaction):
        executed.append("approve")
        return "manual_approved"

    return validate, review, decline, normal, approve


EXPECTED = {"validate": 5, "review": 1, "decline": 2, "normal": 2, "approve": 1}


async def test_31_transactions(style):
    """31: up to three decisions one after the other, each on the value of a task."""
    executed = []
    validate, review, decline, normal, approve = (style.task(step) for step in steps_of(executed))

    @flow
    async def process(transaction):
        problem = await validate(transaction)
        if problem is not None:
            return await decline(problem)
        if transaction["amount"] <= 5000:
            return await normal(transaction)
        return await (approve(transaction) if await review(transaction) else decline("Manual review declined"))

    assert await asyncio.gather(*(process(t) for t, _ in TRANSACTIONS)) == [outcome for _, outcome in TRANSACTIONS]
    assert Counter(executed) == EXPECTED
    assert [await process(t) for t, _ in MORE] == [outcome for _, outcome in MORE]


def test_31_transactions_in_a_plain_flow():
    """31: the same in plain `def` flows, one calling the other."""
    executed = []
    validate, review, decline, normal, approve = (Task(step.__name__, step) for step in steps_of(executed))

    @flow
    def process(transaction):
        problem = validate(transaction)
        if problem is not None:
            return decline(problem)
        if transaction["amount"] <= 5000:
            return normal(transaction)
        return approve(transaction) if review(transaction) else decline("Manual review declined")

    @flow
    def process_all(transactions):
        return [process(t) for t, _ in transactions]

    assert process_all(TRANSACTIONS) == [outcome for _, outcome in TRANSACTIONS]
    assert Counter(executed) == EXPECTED
    assert process_all(MORE) == [outcome for _, outcome in MORE]


FLAGS = {"dashboard": {"premium", "enterprise"}, "beta_features": {"free", "premium", "enterprise"}}
FLAGS |= {"support": {"premium", "enterprise"}, "privacy": {"premium"}, "export": {"enterprise"}}
USERS = [("free", "US"), ("premium", "EU"), ("enterprise", "US"), ("premium", "UK")]
ENABLED = [[], ["dashboard", "support", "privacy"], ["dashboard", "support", "export"]]


async def test_33_feature_flags():
    """33: a user's features run at once, results in the order of the flags; a flag without a task is ignored."""
    executed, meet = [], {plan: asyncio.Barrier(3) for plan in ("premium", "enterprise")}

    def feature(name):
        async def body(plan):
            executed.append(name)
            await meet[plan].wait()  # nobody goes on before all three of this user are there
            return name

        return Task(name, body)

    features = {name: feature(name) for name in FLAGS if name != "beta_features"}

    @flow(inject_context=True)
    async def enable(ctx, plan):
        on = [name for name, plans in FLAGS.items() if plan in plans and name in features]
        return [await handle for handle in [ctx.submit(features[name], plan) for name in on]]

    async with asyncio.timeout(60):
        found = [await enable(plan) for plan, _ in USERS]
    assert found == [*ENABLED, ENABLED[1]]
    assert len(executed) == 9


@pytest.mark.parametrize("goto", [False, True])
@pytest.mark.parametrize(("data", "quality"), list(zip(DATASETS, QUALITIES, strict=True)))
async def test_34_a_branch_in_a_graph(data, quality, goto, style):
    """34: a router hands on to the chosen task; with a jump the router's own successor is left out."""
    log = []
    processing = Processing(style)

    def route(ctx, data):
        ctx.next_task(processing.ways[assess(data)](data=data), goto=goto)

    router = style.task(route, inject_context=True)
    await Workflow("w", router >> Task("after", lambda: log.append("after"))).run(inputs={"data": data})
    assert processing.executed == {PROCESSORS[quality]: 1}
    assert log == ([] if goto else ["after"])


async def test_34_a_jump_to_an_existing_node():
    """34: `goto=True` skips the router's successors and goes on with the target's own."""
    log = []

    def note(name):
        return Task(name, lambda: log.append(name))

    fast, slow, fast_end, slow_end, skipped = map(note, ["fast", "slow", "fast_end", "slow_end", "skipped"])

    @task(inject_context=True)
    async def router(ctx, is_slow):
        ctx.next_task(slow if is_slow else fast, goto=True)

    with workflow("w") as wf:
        router >> skipped  # pyright: ignore[reportUnusedExpression]
        fast >> fast_end  # pyright: ignore[reportUnusedExpression]
        slow >> slow_end  # pyright: ignore[reportUnusedExpression]
    await wf.run(router, inputs={"is_slow": True})
    await wf.run(router, inputs={"is_slow": False})
    assert log == ["slow", "slow_end", "fast", "fast_end"]


async def test_35_a_branch_that_raises(style):
    """35: `try` and `except` around a task work as around a call; the run completes with the fallback."""
    error = ValueError("branch")

    def fail():
        raise error

    branch, fallback = style.task(fail), style.task(lambda: "fallback")

    async def parent(ctx):
        try:
            return await branch()
        except ValueError as caught:
            return await fallback(), caught

    run = Workflow("w", Task("parent", parent, inject_context=True)).start()
    assert await through(run) == ("fallback", error)
    assert (run.status, dict(run.failures)) == ("completed", {})


def test_35_in_a_plain_flow():
    """35: the same in a plain `def` flow."""
    error = ValueError("branch")

    @task
    def branch():
        raise error

    @flow
    def forgiving():
        try:
            return branch()
        except ValueError as caught:
            return "fallback", caught

    assert forgiving() == ("fallback", error)


async def test_35_the_child_is_recorded_as_failed():
    """35: listeners hear that the branch failed and that the parent completed."""
    heard = []

    def listen(event):
        heard.append((type(event).__name__, getattr(event, "task_id", None)))

    @task
    async def branch():
        raise ValueError

    async def parent(ctx):
        with pytest.raises(ValueError):
            await branch()

    await within(parent, listeners=[listen])
    assert ("TaskFailed", "branch") in heard
    assert ("TaskCompleted", "parent") in heard
