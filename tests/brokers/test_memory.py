"""What the memory broker does beyond the suite: real threads, what a question costs, the one broker of the process."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from contextlib import closing
from itertools import chain, pairwise

import pytest

from graflow_async.brokers.memory import MemoryBroker, shared
from graflow_async.feedback import FeedbackState
from graflow_async.feedback_errors import AlreadyAnsweredError
from graflow_async.testing._brokers import answer, answered, question, take

ROUNDS = 300
MOST_BYTES = 1536


def test_threads_race_for_one_answer():
    """Four threads with loops of their own answer the same questions: each question has one winner."""
    broker = MemoryBroker()
    requests = [question(f"{number}") for number in range(ROUNDS)]
    start = threading.Barrier(4)
    won: list[list[str]] = [[] for _ in range(4)]

    async def ask():
        for request in requests:
            await broker.ask(request)

    async def race(mine):
        for request in requests:
            try:
                await answered(broker, request, f"{mine}")
            except AlreadyAnsweredError:
                continue
            else:
                won[mine].append(request.id)

    def work(mine):
        start.wait()
        asyncio.run(race(mine))

    asyncio.run(ask())
    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain.from_iterable(won)) == sorted(request.id for request in requests)
    for mine, ids in enumerate(won):
        for record in [asyncio.run(broker.get(ids[0]))] if ids else []:
            assert record is not None
            assert record.response is not None
            assert record.response.text == f"{mine}"


async def test_watchers_of_many_threads_see_everything_in_order():
    """Questions that four threads answer at once reach a watcher as asked, then answered."""
    broker = MemoryBroker()
    requests = [question(f"{number}") for number in range(ROUNDS)]

    async def work(part):
        for request in part:
            await broker.ask(request)
            await answered(broker, request)

    async with broker.watch("run") as changes:
        parts = [requests[first::4] for first in range(4)]
        await asyncio.gather(*(asyncio.to_thread(lambda part=part: asyncio.run(work(part))) for part in parts))
        seen = await take(changes, 2 * ROUNDS)
    for request in requests:
        states = [change.record.state for change in seen if change.record and change.record.request.id == request.id]
        assert states == [FeedbackState.PENDING, FeedbackState.ANSWERED]


async def test_an_open_question_is_small():
    """Ten thousand open questions of one run cost at most 1.5 KB each, the questions themselves included."""
    broker = MemoryBroker()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            await broker.ask(question(f"question {number}", prompt=f"May {number} go?", metadata={}))
        each = (tracemalloc.get_traced_memory()[0] - before) / 10_000
    finally:
        tracemalloc.stop()
    assert each <= MOST_BYTES, f"{each:.0f} bytes for each question"


class Counted(dict):
    """Counts how often something is looked up, or gone through."""

    looks = 0

    def __getitem__(self, key):
        self.looks += 1
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.looks += 1
        return super().get(key, default)

    def values(self):
        self.looks += len(self)
        return super().values()


async def test_finding_one_of_many_looks_at_few():
    """Getting, settling and finding by name look at that question only, however many are open."""
    broker = MemoryBroker()
    records = broker._records = Counted()
    requests = [question(f"{number}") for number in range(2000)]
    for request in requests:
        await broker.ask(request)
    records.looks = 0
    wanted = await broker.get(requests[7].id)
    assert wanted is not None
    assert await broker.find(run_id="run", request_id="7") == [wanted]
    assert await broker.find(request_id="7") == [wanted]
    await answered(broker, requests[7])
    assert records.looks <= 4


async def test_questions_of_one_name():
    """Several questions of one name in one run are all found, and all are forgotten."""
    broker = MemoryBroker()
    requests = [question("same", created_at=float(number)) for number in range(4)]
    for request in requests:
        await broker.ask(request)
    found = await broker.find(run_id="run", request_id="same")
    assert [record.request for record in found] == requests
    assert all(a.request.created_at < b.request.created_at for a, b in pairwise(found))
    await broker.forget("run")
    assert [await broker.get(request.id) for request in requests] == [None] * 4


async def test_a_run_without_anything_is_not_kept():
    """Dropping the last letter of a run that asked nothing leaves nothing of it; neither does forgetting."""
    broker = MemoryBroker()
    for number in range(10):
        await broker.drop(f"run {number}", ["x"])
        await broker.ask(question(run_id=f"run {number}"))
        await broker.forget(f"run {number}")
        async with broker.watch(f"run {number}"):
            pass
    assert not broker._runs
    assert not broker._records
    assert not broker._watchers


@pytest.mark.parametrize("is_called", [False, True])
def test_a_loop_that_was_closed_does_not_collect_changes(is_called):
    """Whoever watched on a loop that is gone is forgotten with the next change, also if the loop was to be woken."""
    broker = MemoryBroker()
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(broker.watch().__aenter__())
        if is_called:
            asyncio.run(answered_twice(broker))
            assert broker._watchers
    asyncio.run(answered_twice(broker))
    assert not broker._watchers


async def answered_twice(broker):
    request = question("later")
    await broker.ask(request)
    await answered(broker, request)


async def test_the_shared_broker_is_one_and_stays_open():
    """Closing it ends nobody's watch."""
    assert shared() is shared()
    request = question(run_id="of this test")
    async with shared().watch("of this test") as changes:
        await shared().aclose()
        await shared().ask(request)
        assert len(await take(changes, 1)) == 1
    await shared().forget("of this test")


async def test_two_readers_of_one_watch_are_refused():
    """A second task that waits on a view is told to open its own."""
    broker = MemoryBroker()
    async with broker.watch() as changes:
        waiting = asyncio.ensure_future(take(changes, 1))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(changes)
        request = question()
        await broker.ask(request)
        await waiting
        await broker.settle(request.id, FeedbackState.ANSWERED, answer(request), at=1.0)
