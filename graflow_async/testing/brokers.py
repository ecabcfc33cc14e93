"""What every broker must do, as a class of pytest tests to inherit from.

Write a class whose name begins with `Test`, give it `make_brokers`, and let pytest (with pytest-asyncio) collect it::

    class TestMyBroker(BrokerSuite):
        async def make_brokers(self):
            return MyBroker(place), MyBroker(place)

The second broker stands for another process: what one has done the other sees.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from ..broker import Broker
from ..errors import StoreError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState, FeedbackType
from ..feedback_errors import AlreadyAnsweredError, StaleQuestionError, UnknownRequestError
from ._brokers import CROWD, WatchTests, answer, answered, letter, question

PENDING, ANSWERED = FeedbackState.PENDING, FeedbackState.ANSWERED
EXPIRED, CANCELLED = FeedbackState.EXPIRED, FeedbackState.CANCELLED

TEXTS = [
    *["", ".", "..", "/", "a/b", "../../up", "..\\..\\up", "%2e%2e%2f", "/etc/passwd", "C:\\x", "~", "-rf", "*", "?"],
    *[
        "a\0b",
        "line\nbreak",
        "\r",
        "\t",
        "\x1b[31m",
        "with space",
        " ",
        "'",
        '"',
        "$(id)",
        "{}",
        "[x]",
        "a:b",
        "x" * 5000,
    ],
    *["Größe", "🙂", "名前", "\u202egnp", "\ud800", "é", "e\u0301", "İ", "\ufeff", "NUL", "con", "ids", "runs", "tmp"],
]
"""Run ids and names that are awkward somewhere, all of which are allowed."""

NO_ADDRESSES = [*TEXTS, "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 32 + "\n", " " + "a" * 31, "٣" * 32, "0" * 32]


class BrokerSuite(WatchTests):
    """The promises of `graflow_async.broker.Broker`, one test each. Override `make_brokers`.

    Attributes:
        races: rounds in which several parties settle one question.
    """

    races = 300

    async def test_fits_the_protocol(self) -> None:
        """A broker has every verb of the port."""
        async with self.opened() as brokers:
            assert all(isinstance(broker, Broker) for broker in brokers)

    # Asking

    async def test_a_question_comes_back_as_it_was_asked(self) -> None:
        """Every field, whoever looks; it is pending."""
        request = question(
            feedback_type=FeedbackType.CUSTOM,
            workflow="Größe",
            options=("a", "ü"),
            schema={"type": "object", "properties": {"n": {"type": "integer"}}},
            metadata={"rows": [1, 2.5, None, True], "deep": {"🙂": []}},
            assignee="ada",
            channel_key="k",
            deadline=2000.25,
        )
        async with self.opened() as (broker, other):
            record = await broker.ask(request)
            assert record == FeedbackRecord(request)
            for party in (broker, other):
                assert await party.get(request.id) == record
                assert await party.find() == [record]

    async def test_asking_twice_asks_once(self) -> None:
        """A question that is there stays as it is, whatever is asked under its address later."""
        async with self.opened() as (broker, other):
            request = question()
            await broker.ask(request)
            assert await other.ask(replace(request, prompt="Something else.")) == FeedbackRecord(request)
            record = await answered(broker, request)
            assert await other.ask(request) == record
            assert await broker.find() == [record]

    async def test_again_opens_an_expired_question(self) -> None:
        """It is pending with what is asked now, and the next answer counts."""
        async with self.opened() as (broker, other):
            later = request = question(deadline=1010.0)
            await broker.ask(request)
            for turn in range(3):
                expired = await broker.settle(request.id, EXPIRED, at=1010.0 + turn)
                assert (expired.state, expired.settled_at) == (EXPIRED, 1010.0 + turn)
                later = replace(request, prompt=f"Still there? {turn}", deadline=2000.0 + turn)
                assert await other.ask(later) == expired
                assert await other.ask(later, again=True) == FeedbackRecord(later)
                assert await broker.get(request.id) == FeedbackRecord(later)
            record = await answered(broker, request)
            assert (record.state, record.request) == (ANSWERED, later)

    async def test_again_changes_nothing_else(self) -> None:
        """What is pending, answered or cancelled stays as it is; what is new is asked."""
        async with self.opened() as (broker, other):
            for state in (PENDING, ANSWERED, CANCELLED):
                request = question(state)
                record = await broker.ask(request, again=True)
                assert record == FeedbackRecord(request)
                if state is not PENDING:
                    response = answer(request) if state is ANSWERED else None
                    record = await broker.settle(request.id, state, response, at=1.0)
                changed = replace(request, prompt="Changed.")
                assert await other.ask(changed, again=True) == record
                assert await broker.get(request.id) == record

    async def test_a_late_answer_is_kept_once(self) -> None:
        """The first answer to an expired question waits for the run; a second one is refused; `again` takes it over."""
        async with self.opened() as (broker, other):
            request = question()
            await broker.ask(request)
            expired = await broker.settle(request.id, EXPIRED, at=1000.0)
            late = await answered(other, request, "late", 1005.0)
            assert late == replace(expired, response=answer(request, "late", 1005.0))
            assert await broker.get(request.id) == late
            assert await answered(broker, request, "late", 1005.0) == late
            with pytest.raises(AlreadyAnsweredError) as refusal:
                await answered(broker, request, "later", 1006.0)
            assert (refusal.value.state, refusal.value.at) == ("answered", 1005.0)
            assert await broker.settle(request.id, EXPIRED, at=1007.0) == late
            with pytest.raises(AlreadyAnsweredError):
                await broker.settle(request.id, CANCELLED, at=1007.0)
            assert await other.ask(request) == late
            taken = await broker.ask(request, again=True)
            assert taken == replace(late, state=ANSWERED, settled_at=1005.0)
            assert await other.get(request.id) == taken

    # Settling

    async def test_the_first_wins(self) -> None:
        """Whoever comes second is told what became of the question, and when; nothing changes."""
        async with self.opened() as (broker, other):
            for first in (ANSWERED, EXPIRED, CANCELLED):
                request = question(first)
                await broker.ask(request)
                response = answer(request, "first") if first is ANSWERED else None
                record = await broker.settle(request.id, first, response, at=1001.0, reason="because")
                assert record == FeedbackRecord(request, first, response, 1001.0, "because")
                for second in {ANSWERED, EXPIRED, CANCELLED} - {first}:
                    if (first, second) == (EXPIRED, ANSWERED):
                        continue  # a late answer
                    again = answer(request, "second") if second is ANSWERED else None
                    with pytest.raises(AlreadyAnsweredError) as refusal:
                        await other.settle(request.id, second, again, at=1002.0)
                    assert (refusal.value.state, refusal.value.at) == (first, 1001.0)
                    assert refusal.value.request_id == first
                assert await other.get(request.id) == record

    async def test_settling_again_the_same_way_gives_the_record(self) -> None:
        """An equal answer, or an equal state without one, is no second one; another answer is."""
        async with self.opened() as (broker, other):
            for state in (ANSWERED, EXPIRED, CANCELLED):
                request = question(state)
                await broker.ask(request)
                response = answer(request) if state is ANSWERED else None
                record = await broker.settle(request.id, state, response, at=1001.0)
                assert await other.settle(request.id, state, response, at=1002.0, reason="other") == record
            request = question()
            await broker.ask(request)
            await answered(broker, request, "one")
            with pytest.raises(AlreadyAnsweredError):
                await answered(other, request, "two")

    async def test_a_stale_answer_is_refused(self) -> None:
        """Who answers what has changed since is told so, and the question stays open."""
        async with self.opened() as (broker, other):
            request = question()
            await broker.ask(request)
            with pytest.raises(StaleQuestionError):
                await other.settle(request.id, ANSWERED, answer(request), at=1.0, revision="0" * 16)
            await broker.settle(request.id, EXPIRED, at=1.0)
            changed = replace(request, prompt="Changed.")
            await broker.ask(changed, again=True)
            with pytest.raises(StaleQuestionError):
                await other.settle(request.id, ANSWERED, answer(request), at=1.0, revision=request.revision)
            assert await other.get(request.id) == FeedbackRecord(changed)
            right = await other.settle(request.id, ANSWERED, answer(request), at=1.0, revision=changed.revision)
            assert right.state is ANSWERED

    async def test_nonsense_is_refused(self) -> None:
        """Nothing becomes pending, answered without an answer, or expired with one."""
        async with self.opened() as (broker, _):
            request = question()
            await broker.ask(request)
            for state, response in ((PENDING, None), (ANSWERED, None), (EXPIRED, answer(request))):
                with pytest.raises(ValueError, match="cannot become"):
                    await broker.settle(request.id, state, response, at=1.0)
            assert await broker.get(request.id) == FeedbackRecord(request)

    async def test_one_of_many_wins_each_race(self) -> None:
        """Four answers, a timeout and a cancellation: one transition, and every loser is told which."""
        draw = random.Random(300)  # noqa: S311  # who is first in line; the loop and the threads do the rest
        async with self.opened() as brokers:
            for _ in range(self.races):
                await self.race(draw, brokers)

    async def race(self, draw: random.Random, brokers: tuple[Broker, Broker]) -> None:
        """Let six parties settle one question."""
        request = question()
        await brokers[0].ask(request)
        tries = [(ANSWERED, answer(request, f"{n}", 1000.0 + n), 1000.0 + n) for n in range(4)]
        tries += [(EXPIRED, None, 1004.0), (CANCELLED, None, 1005.0)]
        draw.shuffle(tries)
        outcomes = await asyncio.gather(
            *(draw.choice(brokers).settle(request.id, state, response, at=at) for state, response, at in tries),
            return_exceptions=True,
        )
        records = [outcome for outcome in outcomes if isinstance(outcome, FeedbackRecord)]
        (settled,) = [record for record in records if not (record.state is EXPIRED and record.response)] or records[:1]
        final = await brokers[1].get(request.id)
        assert final is not None
        assert (final.state, final.settled_at) == (settled.state, settled.settled_at)
        # One answer may come late to a question that has expired, and is kept.
        assert len(records) == 1 + (final.state is EXPIRED and final.response is not None)
        kept = None if final.response is None else final.response.responded_at
        for outcome in outcomes:
            if not isinstance(outcome, FeedbackRecord):
                assert isinstance(outcome, AlreadyAnsweredError)
                told = (str(final.state), final.settled_at)
                assert (outcome.state, outcome.at) in {told, ("answered", kept)}

    async def test_reopening_and_a_late_answer_race(self) -> None:
        """Whoever is first: the answer is never lost, and never counts twice."""
        async with self.opened() as (broker, other):
            for _ in range(self.races // 6):
                request = question()
                await broker.ask(request)
                await broker.settle(request.id, EXPIRED, at=1.0)
                outcomes = await asyncio.gather(
                    *(broker.ask(request, again=True), answered(other, request), other.ask(request, again=True))
                )
                assert all(record.state in {PENDING, ANSWERED, EXPIRED} for record in outcomes)
                final = await broker.ask(request, again=True)
                assert (final.state, final.response) == (ANSWERED, answer(request))

    # Finding

    async def test_finding(self) -> None:
        """By run, name and state, in every combination, the oldest first."""
        async with self.opened() as (broker, other):
            records: list[FeedbackRecord] = []
            for number in range(12):
                request = question(f"q{number % 3}", f"run {number % 2}", created_at=100.0 - number)
                record = await broker.ask(request)
                records.insert(0, await answered(broker, request) if number % 4 == 0 else record)
            for run_id in (None, "run 0", "run 1", "nobody"):
                for name in (None, "q0", "q1", "nothing"):
                    for state in (None, *FeedbackState):
                        expected = [
                            record
                            for record in records
                            if run_id in {None, record.request.run_id}
                            and name in {None, record.request.request_id}
                            and state in {None, record.state}
                        ]
                        assert await other.find(run_id=run_id, request_id=name, state=state) == expected

    async def test_what_is_no_address_is_unknown(self) -> None:
        """Whatever somebody sends as an address finds nothing, settles nothing and cannot be asked."""
        async with self.opened() as (broker, _):
            await broker.ask(question())
            for text in NO_ADDRESSES:
                assert await broker.get(text) is None
                with pytest.raises(UnknownRequestError):
                    await broker.settle(text, CANCELLED, at=1.0)
                if text != "0" * 32:
                    with pytest.raises(StoreError):
                        await broker.ask(question(id=text))
            assert len(await broker.find()) == 1

    async def test_any_text_is_a_run_and_a_name(self) -> None:
        """Run ids and names never meet each other, whatever is in them."""
        async with self.opened() as (broker, other):
            records = [await broker.ask(question(text, text)) for text in TEXTS]
            for text, record in zip(TEXTS, records, strict=True):
                assert await other.find(run_id=text) == [record]
                assert await other.find(request_id=text) == [record]
                await broker.post(letter(text, text, id=text))
                assert [one.name for one in await other.letters(text)] == [text]
            assert len(await other.find()) == len(TEXTS)
            for text in TEXTS:
                await broker.drop(text, TEXTS)
                assert await other.letters(text) == []
                await other.forget(text)
            assert await broker.find() == []

    async def test_large_texts(self) -> None:
        """A megabyte of prompt, answer and payload comes back as it went in."""
        text = "äx🙂\n" * 180_000
        async with self.opened() as (broker, other):
            request = question(prompt=text)
            await broker.ask(request)
            record = await answered(broker, request, text)
            note = letter(payload=text)
            await broker.post(note)
            assert await other.get(request.id) == record
            assert await other.letters("run") == [note]

    async def test_many_at_once(self) -> None:
        """Questions that are asked and answered at the same time all are."""
        async with self.opened() as (broker, other):
            requests = [question(f"{number}", f"run {number % 7}") for number in range(CROWD)]

            async def work(request: FeedbackRequest) -> None:
                await asyncio.gather(broker.ask(request), other.ask(request))
                await answered(other, request)

            await asyncio.gather(*(work(request) for request in requests))
            assert len(await broker.find(state=ANSWERED)) == CROWD

    # Letters

    async def test_letters_are_kept_in_the_order_of_sending(self) -> None:
        """By time, then by id; each once, however often it is posted; of its run only."""
        async with self.opened() as (broker, other):
            notes = [letter(f"{number}", at=1000.0 + number // 2, id=f"{number:02}") for number in range(10)]
            for note in reversed(notes):
                await broker.post(note)
                await other.post(note)
                await other.post(replace(note, payload="changed"))
            await broker.post(letter(run_id="other"))
            assert await broker.letters("run") == notes
            assert await other.letters("run") == notes
            assert await other.letters("nobody") == []

    async def test_dropped_letters_are_gone(self) -> None:
        """Those that are named go, the others stay; dropping twice, or what never was, is fine."""
        async with self.opened() as (broker, other):
            notes = [letter(f"{number}", at=float(number)) for number in range(4)]
            for note in notes:
                await broker.post(note)
            for party in (broker, other):
                await party.drop("run", [notes[0].id, notes[2].id, "nothing"])
                await party.drop("nobody", [notes[1].id])
                assert await party.letters("run") == [notes[1], notes[3]]

    # Forgetting

    async def test_a_forgotten_run_is_gone(self) -> None:
        """Its questions, answers and letters; other runs stay, and the same may be asked anew."""
        async with self.opened() as (broker, other):
            mine, stays = question(), question(run_id="other")
            await broker.ask(mine)
            await broker.ask(stays)
            await answered(broker, mine)
            await broker.post(letter())
            await broker.post(letter(run_id="other"))
            for party in (broker, other):
                await party.forget("run")
                assert await party.get(mine.id) is None
                assert await party.find(run_id="run") == []
                assert await party.find(request_id=mine.request_id) == [FeedbackRecord(stays)]
                assert await party.letters("run") == []
            with pytest.raises(UnknownRequestError):
                await answered(other, mine)
            assert len(await other.letters("other")) == 1
            assert await other.ask(mine, again=True) == FeedbackRecord(mine)
            assert await broker.get(mine.id) == FeedbackRecord(mine)

    # Closing

    async def test_what_was_kept_outlives_its_broker(self) -> None:
        """Closing gives back what the object holds and nothing else; closing twice is fine."""
        async with self.opened() as (broker, other):
            request = question()
            await broker.ask(request)
            await broker.aclose()
            await broker.aclose()
            assert await other.get(request.id) == FeedbackRecord(request)
            assert (await answered(broker, request)).state is ANSWERED
