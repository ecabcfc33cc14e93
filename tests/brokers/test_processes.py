"""Real processes on one directory: racing for a question, killed at every step, telling each other by inotify."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.feedback import FeedbackRecord, FeedbackState
from graflow_async.testing._brokers import question, take
from tests.brokers import victim
from tests.brokers.victim import AGAIN, ANSWER, LETTER, REQUEST

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 300
PARTIES = ("answer 1", "answer 2", "expired", "cancelled")
EXPIRED, ANSWERED = FeedbackState.EXPIRED, FeedbackState.ANSWERED


def command(directory, what, more):
    return [sys.executable, "-m", "tests.brokers.victim", str(directory), what, more]


def start(stack, directory, what, more):
    """Start a process of victim.py that ends with `stack`."""
    process = subprocess.Popen(
        command(directory, what, more), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return stack.enter_context(process)


def tell(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def read(process):
    return process.stdout.readline().strip()


def check_race(records, requests, outcomes):
    """Each question has one winner, and every party was told what became of it."""
    winners: dict[str, int] = {}
    by_id = {record.request.id: record for record in records}
    for request, outcome in zip(requests, outcomes, strict=True):
        record = by_id[request.id]
        (winner,) = [party for party, (word, *_) in zip(PARTIES, outcome, strict=True) if word == "won"]
        winners[winner] = winners.get(winner, 0) + 1
        assert str(record.state) == ("answered" if winner.startswith("answer") else winner)
        late = [party for party, (word, *_) in zip(PARTIES, outcome, strict=True) if word == "late"]
        assert len(late) == (winner == "expired")
        text = late[0] if late else winner if winner.startswith("answer") else None
        assert (record.response and record.response.text) == text
        for word, state, at in outcome:
            told = [str(record.state), record.settled_at]
            assert [state, at] == told or (word == "lost" and late and [state, at] == ["answered", 1.0])
    print(winners)  # noqa: T201
    assert sum(winners.values()) == ROUNDS


def test_four_processes_race_for_each_question(tmp_path):
    """Two answers, a timeout and a cancellation from four processes: one transition, and every loser knows which."""
    requests = [question(f"{number}") for number in range(ROUNDS)]
    broker = FileBroker(tmp_path)

    async def ask():
        for request in requests:
            await broker.ask(request)

    asyncio.run(ask())
    with ExitStack() as stack:
        processes = [start(stack, tmp_path, "race", party) for party in PARTIES]
        assert [read(process) for process in processes] == ["ready"] * 4
        outcomes = []
        for number, request in enumerate(requests):
            for process in processes[number % 4 :] + processes[: number % 4]:
                tell(process, request.id)
            outcomes.append([json.loads(read(process)) for process in processes])
    check_race(asyncio.run(broker.find()), requests, outcomes)


PENDING = FeedbackRecord(REQUEST)
GONE_BY = FeedbackRecord(REQUEST, EXPIRED, None, 1.0)
LATE = replace(GONE_BY, response=ANSWER)
# What is there before a verb, and after it.
VERBS = {
    "ask": (None, PENDING),
    "settle": (PENDING, FeedbackRecord(REQUEST, ANSWERED, ANSWER, 3.0)),
    "late": (GONE_BY, LATE),
    "again": (GONE_BY, FeedbackRecord(AGAIN)),
    "take": (LATE, FeedbackRecord(REQUEST, ANSWERED, ANSWER, 1001.0)),
    "forget": (FeedbackRecord(REQUEST, ANSWERED, ANSWER, 2.0), None),
}


def killed(directory, verb):
    """Have processes killed at each step of a verb, and give their directories; the last one came to its end."""
    output = subprocess.run(command(directory, "die", verb), cwd=ROOT, capture_output=True, text=True, check=True)
    words = [line.split() for line in output.stdout.splitlines()]
    assert [word for _, word in words] == ["killed"] * (len(words) - 1) + ["done"]
    return [directory / count for count, _ in words]


@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_every_step(verb, tmp_path):
    """Whoever looks finds the question before the step or after it, and doing it again brings it to its end."""
    places = killed(tmp_path, verb)
    before, after = VERBS[verb]
    assert len(places) > 5
    for place in places:
        record = asyncio.run(FileBroker(place).get(REQUEST.id))
        assert record in ([after] if place == places[-1] else [before] if place == places[0] else [before, after])
        found = asyncio.run(FileBroker(place).find(run_id="run", request_id="ok?"))
        assert found == ([] if record is None else [record]) or (verb == "forget" and record is None)
        victim.act(FileBroker(place)._folder, verb)
        assert asyncio.run(FileBroker(place).get(REQUEST.id)) == after
        assert asyncio.run(FileBroker(place).find()) == ([] if after is None else [after])


@pytest.mark.parametrize("verb", ["post", "drop"])
def test_letters_survive_a_kill(verb, tmp_path):
    """A letter is there as a whole or not at all; one that was acknowledged is there."""
    places = killed(tmp_path, verb)
    after = [LETTER] if verb == "post" else []
    for place in places:
        letters = asyncio.run(FileBroker(place).letters("run"))
        assert letters in ([after] if place == places[-1] else [[], [LETTER]])
        victim.act(FileBroker(place)._folder, verb)
        assert asyncio.run(FileBroker(place).letters("run")) == after


@asynccontextmanager
async def person(directory, run_id):
    """Have another process answer what is asked in a run, or in all."""
    process = await asyncio.create_subprocess_exec(
        *command(directory, "answer", run_id), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("run_id", ["run 0", ""])
async def test_processes_tell_each_other(run_id, tmp_path):
    """One process asks and watches, another one watches and answers: both hear of it without looking for it."""
    broker = FileBroker(tmp_path)
    async with asyncio.timeout(60), broker.watch() as changes, person(tmp_path, run_id):
        for number in range(20):
            run = "run 0" if run_id else f"run {number % 5}"
            request = question("last" if number == 19 else f"{number}", run, prompt=f"prompt {number}")
            await broker.ask(request)
            asked, answered = await take(changes, 2)
            assert asked.record == FeedbackRecord(request)
            assert answered.record is not None
            assert (answered.record.request, answered.record.state) == (request, ANSWERED)
            assert answered.record.response is not None
            assert answered.record.response.text == request.prompt
