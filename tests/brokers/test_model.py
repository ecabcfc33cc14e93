"""The file broker against the memory broker: the same verbs, the same answers, the same changes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.errors import GraflowError
from graflow_async.feedback import FeedbackState
from graflow_async.testing._brokers import answer, letter, question, take

STEPS = 400
VERBS = [*["ask"] * 8, *["settle"] * 10, *["post"] * 4, *["find", "get", "drop", "letters"] * 2, "forget"]
TOLD = ["ask", "settle", "post"]
RUNS = ("a", "b", "../c")


class Twins:
    """Does the same to both brokers, and compares."""

    def __init__(self, draw, brokers):
        self.draw = draw
        self.brokers = brokers
        ids = [draw.randbytes(16).hex() for _ in range(12)]
        self.questions = [
            question(f"q{number % 4}", RUNS[number % 3], id=own, created_at=float(draw.randrange(5)))
            for number, own in enumerate(ids)
        ]
        self.letters = [letter(f"l{n}", RUNS[n % 3], float(n % 4), id=draw.randbytes(4).hex()) for n in range(9)]

    def call(self, verbs=VERBS):
        """Choose a verb and what it is given."""
        draw = self.draw
        one, note, run = draw.choice(self.questions), draw.choice(self.letters), draw.choice(RUNS)
        state = draw.choice([*FeedbackState, FeedbackState.ANSWERED, FeedbackState.EXPIRED])
        verb = draw.choice(verbs)
        if verb == "ask":
            return verb, (replace(one, prompt=f"p{draw.randrange(3)}"),), {"again": draw.random() < 0.5}
        if verb == "settle":
            given = answer(one, f"t{draw.randrange(2)}", 1000.0 + draw.randrange(2))
            response = given if state is FeedbackState.ANSWERED else None
            revision = draw.choice([None, None, replace(one, prompt="p1").revision])
            return verb, (one.id, state, response), {"at": 2000.0, "revision": revision}
        if verb == "find":
            some = {"run_id": run, "request_id": one.request_id, "state": state}
            return verb, (), {name: draw.choice([None, value]) for name, value in some.items()}
        return verb, {"get": (one.id,), "post": (note,), "drop": (run, [note.id])}.get(verb, (run,)), {}

    async def step(self, verbs=VERBS):
        verb, given, named = self.call(verbs)
        outcomes = []
        for broker in self.brokers:
            try:
                outcomes.append(await getattr(broker, verb)(*given, **named))
            except (GraflowError, ValueError) as error:
                outcomes.append((type(error), str(error), error.__dict__))
        assert outcomes[0] == outcomes[1]

    async def compare(self):
        memory, file = self.brokers
        for state in (None, *FeedbackState):
            assert await memory.find(state=state) == await file.find(state=state)
        for run in RUNS:
            assert await memory.find(run_id=run) == await file.find(run_id=run)
            assert await memory.letters(run) == await file.letters(run)
        for one in self.questions:
            assert await memory.get(one.id) == await file.get(one.id)


@pytest.mark.parametrize("seed", [*range(6), None])
async def test_both_do_the_same(seed, tmp_path):
    """Any row of verbs gives equal results, equal errors and equal contents, also to an object that comes later."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}")  # noqa: T201
    twins = Twins(random.Random(seed), (MemoryBroker(), FileBroker(tmp_path, sync=False)))
    for number in range(STEPS):
        await twins.step()
        if number % 100 == 99:
            await twins.compare()
    twins.brokers = (twins.brokers[0], FileBroker(tmp_path))
    await twins.compare()


@pytest.mark.parametrize("seed", range(4))
async def test_both_tell_the_same(seed, tmp_path):
    """A watcher gets equal changes of each question in equal order, as long as nothing is removed."""
    twins = Twins(random.Random(seed), (MemoryBroker(), FileBroker(tmp_path, sync=False)))
    memory, file = twins.brokers
    async with memory.watch() as told, file.watch() as heard:
        for _ in range(STEPS):
            await twins.step(TOLD)
        last = question("the last one")
        for broker in twins.brokers:
            await broker.ask(last)
        expected = await until(told, last)
        seen = await take(heard, len(expected))
    assert len(expected) > 20
    for one in twins.questions:
        assert changes_of(seen, one) == changes_of(expected, one)
    assert {c.letter.id for c in seen if c.letter} == {c.letter.id for c in expected if c.letter}


def changes_of(changes, one):
    return [change.record for change in changes if change.record and change.record.request.id == one.id]


async def until(changes, last):
    """Read up to the question that was asked last."""
    found = []
    while not any(change.record and change.record.request.id == last.id for change in found):
        found += await take(changes, 1)
    return found
