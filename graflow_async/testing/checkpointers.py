"""What every checkpointer must do, as a class of pytest tests to inherit from.

Write a class whose name begins with `Test`, give it `make_checkpointer`, and let pytest (with pytest-asyncio) collect
it::

    class TestMyCheckpointer(CheckpointerSuite):
        async def make_checkpointer(self):
            return MyCheckpointer(...)

Records that are no longer in memory are looked at through `again`: override it where another object (as after a
restart) can look at the same storage.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ..checkpointer import Checkpointer, Kind, Log, Record
from ..errors import CheckpointError, RunLockedError, UnknownRunError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CROWD = 64
"""Tasks that flush at the same time."""

IDS = ["plain", "Größe", "a/b", "..", ".", "../../up", "with space", "tab\tand\nline", "%2E", "x" * 500, "🙂", "~", "-"]


class CheckpointerSuite:
    """The promises of `graflow_async.checkpointer`, one test each.

    Attributes:
        patience: seconds after which a test gives up.
    """

    pytestmark = pytest.mark.asyncio
    patience = 60.0

    async def make_checkpointer(self) -> Checkpointer:
        """Make a checkpointer without runs; the suite closes it."""
        raise NotImplementedError("the subclass says how its checkpointer is made")

    async def again(self, checkpointer: Checkpointer) -> Checkpointer:
        """Give a checkpointer that sees the runs of another; the suite closes it."""
        return checkpointer

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Checkpointer]:
        """Make a checkpointer, fail if a test hangs, and close it."""
        checkpointer = await self.make_checkpointer()
        try:
            async with asyncio.timeout(self.patience):
                yield checkpointer
        finally:
            await checkpointer.aclose()

    @asynccontextmanager
    async def other(self, checkpointer: Checkpointer) -> AsyncGenerator[Checkpointer]:
        """Look at the same runs, as after a restart."""
        other = await self.again(checkpointer)
        try:
            yield other
        finally:
            if other is not checkpointer:
                await other.aclose()

    # Records

    async def test_fits_the_protocols(self) -> None:
        """A checkpointer and its logs have every verb of the port."""
        async with self.opened() as checkpointer:
            assert isinstance(checkpointer, Checkpointer)
            log = await checkpointer.create("run")
            assert isinstance(log, Log)
            assert (log.run_id, log.next_seq) == ("run", 0)

    async def test_records_come_back_as_they_went_in(self) -> None:
        """Every kind and every payload, in order and numbered from 0; also empty and large ones."""
        payloads = [b"", b"\x00", b"x" * 100, bytes(range(256)) * 1000, b"y" * 300_000]
        kinds = [*Kind, 0, 127, 128, 255]
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for number, kind in enumerate(kinds):
                log.append(kind, payloads[number % len(payloads)])
                assert log.next_seq == number + 1
            await log.flush()
            await log.aclose()
            expected = [Record(number, kind, payloads[number % len(payloads)]) for number, kind in enumerate(kinds)]
            async with self.other(checkpointer) as other:
                assert await other.read("run") == expected
                again, records = await other.open("run")
                assert records == expected
                assert again.next_seq == len(kinds)

    async def test_what_was_flushed_can_be_read_while_the_log_is_open(self) -> None:
        """Readers need no lock, and see at least what was flushed."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for number in range(3):
                log.append(Kind.EVENT, b"%d" % number)
                await log.flush(sync=bool(number % 2))
                async with self.other(checkpointer) as other:
                    assert [record.payload for record in await other.read("run")] == [b"0", b"1", b"2"][: number + 1]

    async def test_pushing_says_whether_it_was_done(self) -> None:
        """True means that another reader has it; False that flushing does the rest."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for number in range(50):
                log.append(Kind.EVENT, b"x" * (number * 4000))
                if not log.push():
                    await log.flush()
                async with self.other(checkpointer) as other:
                    assert len(await other.read("run")) == number + 1

    async def test_numbers_go_on_after_opening(self) -> None:
        """A run that is taken over again and again has one dense row of records."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for turn in range(5):
                for number in range(turn):
                    log.append(Kind.EVENT, b"%d %d" % (turn, number))
                await log.flush()
                size = log.size
                await log.aclose()
                log, records = await checkpointer.open("run")
                assert [record.seq for record in records] == list(range(log.next_seq))
                assert log.size == size
            assert log.next_seq == 10

    async def test_size_counts_what_waits(self) -> None:
        """A log knows how large it is before anything is written."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            before = log.size
            log.append(Kind.EVENT, b"x" * 1000)
            assert log.size >= before + 1000
            after = log.size
            await log.flush()
            assert log.size == after

    async def test_concurrent_flushes_all_keep_their_word(self) -> None:
        """Whoever's flush returned finds its record, however many flush at once."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")

            async def write(number: int) -> None:
                for turn in range(3):
                    mine = log.next_seq
                    log.append(Kind.EVENT, b"%d" % number)
                    await log.flush(sync=turn == 1)
                    if number % 16 == 0:
                        records = await checkpointer.read("run")
                        assert records[mine].payload == b"%d" % number

            await asyncio.gather(*(write(number) for number in range(CROWD)))
            assert [record.seq for record in await checkpointer.read("run")] == list(range(3 * CROWD))

    async def test_a_cancelled_flush_harms_nobody(self) -> None:
        """Who stops waiting takes neither records nor the other waiters with it."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"x" * 200_000)
            flushes = [asyncio.ensure_future(log.flush(sync=True)) for _ in range(4)]
            await asyncio.sleep(0)
            flushes[1].cancel()
            done = await asyncio.gather(*flushes, return_exceptions=True)
            assert [done[0], *done[2:]] == [None, None, None]
            await log.aclose()
            assert len(await checkpointer.read("run")) == 1

    # Runs

    async def test_a_run_id_is_any_text(self) -> None:
        """Ids never meet each other, and never lead out of where runs are kept."""
        async with self.opened() as checkpointer:
            ids = [*IDS, "x" * 499 + "y"]
            for number, run_id in enumerate(ids):
                log = await checkpointer.create(run_id)
                log.append(Kind.HEADER, b"%d" % number)
                await log.aclose()
            for number, run_id in enumerate(ids):
                assert [record.payload for record in await checkpointer.read(run_id)] == [b"%d" % number]
            assert {run.run_id for run in await checkpointer.runs()} == set(ids)
            with pytest.raises(CheckpointError):
                await checkpointer.create("")

    async def test_a_run_is_created_once(self) -> None:
        """An id that is taken is refused, and the run that has it is not touched."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"first")
            await log.flush()
            for _ in range(2):
                with pytest.raises(CheckpointError):
                    await checkpointer.create("run")
                await log.aclose()
            assert len(await checkpointer.read("run")) == 1

    async def test_a_run_has_one_holder(self) -> None:
        """Until its log is closed, nobody else can open or delete a run; afterwards one of many can."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for _ in range(2):
                async with self.other(checkpointer) as other:
                    with pytest.raises(RunLockedError):
                        await other.open("run")
                    with pytest.raises(RunLockedError):
                        await other.delete("run")
                    assert [run.is_open for run in await other.runs()] == [True]
                await log.aclose()
                assert [run.is_open for run in await checkpointer.runs()] == [False]
                tries = await asyncio.gather(*(checkpointer.open("run") for _ in range(8)), return_exceptions=True)
                (log,) = [outcome[0] for outcome in tries if not isinstance(outcome, BaseException)]
                assert sum(isinstance(outcome, RunLockedError) for outcome in tries) == 7

    async def test_an_unknown_run(self) -> None:
        """What does not exist can be neither opened nor read nor deleted, and has no checkpoints."""
        async with self.opened() as checkpointer:
            for run_id in ("nobody", "a/b", "no\x00thing", "x" * 5000):
                for verb in (checkpointer.open, checkpointer.read, checkpointer.delete):
                    with pytest.raises(UnknownRunError):
                        await verb(run_id)
                assert await checkpointer.saved(run_id) == []
            assert await checkpointer.runs() == []

    async def test_listing(self) -> None:
        """A listing shows the first record and the last mark of each run, the one written last first."""
        async with self.opened() as checkpointer:
            for run_id, kinds in (("a", [1, 4, 9, 4, 11, 4]), ("b", [1]), ("c", [])):
                log = await checkpointer.create(run_id)
                for number, kind in enumerate(kinds):
                    log.append(kind, b"%s%d" % (run_id.encode(), number))
                await log.aclose()
            found = {run.run_id: run for run in await checkpointer.runs()}
            assert [(r.header, r.last, r.last_kind, r.records) for _, r in sorted(found.items())] == [
                (b"a0", b"a4", Kind.FINISHED, 6),
                (b"b0", b"", 0, 1),
                (b"", b"", 0, 0),
            ]
            times = [run.updated_at for run in await checkpointer.runs()]
            assert times == sorted(times, reverse=True)
            assert found["a"].size > 6

    async def test_deleting(self) -> None:
        """A deleted run is gone with its checkpoints, and its id is free again."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"old")
            place = await log.save("here")
            await log.aclose()
            await checkpointer.delete("run")
            for source in ("run", place):
                with pytest.raises(UnknownRunError):
                    await checkpointer.read(source)
            assert await checkpointer.saved("run") == []
            log = await checkpointer.create("run")
            assert await checkpointer.read("run") == []
            assert await checkpointer.saved("run") == []

    # Closing

    async def test_closing_flushes_and_may_be_repeated(self) -> None:
        """What was appended is there after closing, and a closed log takes nothing more."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"x" * 100_000)
            await asyncio.gather(log.aclose(), log.aclose())
            await log.aclose()
            with pytest.raises(CheckpointError):
                log.append(Kind.EVENT, b"late")
            with pytest.raises(CheckpointError):
                await log.flush()
            assert len(await checkpointer.read("run")) == 1

    async def test_closing_the_checkpointer_gives_locks_back(self) -> None:
        """A log that nobody closed ends with its checkpointer, with what was appended to it."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"x")
            async with self.other(checkpointer) as other:
                await checkpointer.aclose()
                await checkpointer.aclose()
                again, records = await other.open("run")
                assert [record.payload for record in records] == [b"x"]
                await again.aclose()

    # Checkpoints

    async def test_a_checkpoint_stands_for_itself(self) -> None:
        """It holds what was appended when it was saved, whatever becomes of the log."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"1")
            first = await log.save("point")
            log.append(Kind.EVENT, b"2" * 100_000)
            second = await log.save("point")
            log.append(Kind.EVENT, b"3")
            third = await log.save("../other/point")
            assert await checkpointer.saved("run") == [first, second, third]
            assert len({first, second, third}) == 3
            await log.compact([(Kind.SNAPSHOT, b"all")], 3)
            async with self.other(checkpointer) as other:
                assert [len(await other.read(place)) for place in (first, second, third)] == [1, 2, 3]

    async def test_a_checkpoint_of_earlier_records(self) -> None:
        """With `upto` it holds the records below that number, and one that nobody has is refused."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for number in range(6):
                log.append(Kind.EVENT, b"%d" % number * number)
            places = [await log.save("point", upto=upto) for upto in range(7)]
            for upto, place in enumerate(places):
                assert [record.seq for record in await checkpointer.read(place)] == list(range(upto))
            await log.compact([(Kind.SNAPSHOT, b"")], 4)
            place = await log.save("point", upto=5)
            assert [record.seq for record in await checkpointer.read(place)] == [3, 4]
            for upto in (-1, 0, 3, 7):
                with pytest.raises(ValueError, match="none"):
                    await log.save("point", upto=upto)
            assert await checkpointer.saved("run") == [*places, place]

    # Compaction

    async def test_compaction_keeps_numbers_and_what_came_later(self) -> None:
        """New records take the highest numbers below `upto`, the rest stays, and the log goes on."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for number in range(10):
                log.append(Kind.EVENT, b"%d" % number)
            await log.compact([(Kind.HEADER, b"head"), (Kind.SNAPSHOT, b"sum")], 7)
            log.append(Kind.EVENT, b"10")
            await log.flush()
            expected = [(5, b"head"), (6, b"sum"), *((number, b"%d" % number) for number in range(7, 11))]
            async with self.other(checkpointer) as other:
                assert [(record.seq, record.payload) for record in await other.read("run")] == expected
            size = log.size
            await log.aclose()
            log, records = await checkpointer.open("run")
            assert [(record.seq, record.payload) for record in records] == expected
            assert (log.next_seq, log.size) == (11, size)
            await log.compact([(Kind.SNAPSHOT, b"again")], 11)
            assert [(record.seq, record.payload) for record in await checkpointer.read("run")] == [(10, b"again")]

    async def test_compaction_loses_nothing_that_is_appended_meanwhile(self) -> None:
        """Writers go on while the log is rewritten again and again."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            stop = False

            async def write() -> None:
                while not stop:
                    log.append(Kind.EVENT, b"%d" % log.next_seq)
                    if not log.push():
                        await log.flush(sync=log.next_seq % 7 == 0)
                    await asyncio.sleep(0)

            writers = [asyncio.ensure_future(write()) for _ in range(3)]
            for _ in range(5):
                while log.next_seq % 50 < 40:  # noqa: ASYNC110  # the writers do nothing else than turn the loop
                    await asyncio.sleep(0)
                upto = log.next_seq - 20
                await log.compact([(Kind.SNAPSHOT, b"%d" % (upto - 1))], upto)
            stop = True
            await asyncio.gather(*writers)
            last = log.next_seq
            await log.aclose()
            async with self.other(checkpointer) as other:
                records = await other.read("run")
            assert [int(record.payload) for record in records] == [record.seq for record in records]
            assert [record.seq for record in records] == list(range(records[0].seq, last))
            assert records[0].kind == Kind.SNAPSHOT

    async def test_numbers_go_on_after_everything_was_compacted_away(self) -> None:
        """A log without records still knows which number comes next."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            for _ in range(3):
                log.append(Kind.EVENT, b"x")
            await log.compact([], 3)
            await log.aclose()
            log, records = await checkpointer.open("run")
            assert (log.next_seq, records) == (3, [])

    async def test_compaction_refuses_what_makes_no_sense(self) -> None:
        """Records cannot stand for others that do not exist, and nothing changes then."""
        async with self.opened() as checkpointer:
            log = await checkpointer.create("run")
            log.append(Kind.EVENT, b"x")
            for records, upto in (([(1, b"")], 2), ([(1, b""), (1, b"")], 1), ([], -1)):
                with pytest.raises(ValueError, match="stand"):
                    await log.compact(records, upto)
            await log.flush()
            assert len(await checkpointer.read("run")) == 1
