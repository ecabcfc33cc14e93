"""The format of append-only files: what is read back, what is cut off, and what is refused."""

from __future__ import annotations

import hmac
import random
import struct
import zlib

import pytest

from graflow_async.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointTamperedError,
    CheckpointVersionError,
    CheckpointWriteError,
    ConfigError,
)
from graflow_async.frames import MAX_PAYLOAD, Encoder, Frame, Preamble, preamble, read_preamble, scan

KEY = bytes(range(32))
SEED = 20_260_301


class Sample:
    """A file of `count` records of mixed sizes, and where each of them ends."""

    def __init__(self, count=30, name="run-1", seed=SEED):
        draw = random.Random(seed)
        self.start = preamble("k1", name, "journal")
        encoder = Encoder(KEY, self.start)
        self.records = [(draw.randrange(256), draw.randbytes(draw.choice((0, 1, 7, 40, 90)))) for _ in range(count)]
        self.pieces = [encoder.encode(kind, payload) for kind, payload in self.records]
        self.data = self.start + b"".join(self.pieces)
        self.tag = encoder.tag
        self.ends = [len(self.start)]
        for piece in self.pieces:
            self.ends.append(self.ends[-1] + len(piece))

    def read(self, data=None):
        return scan(self.data if data is None else data, KEY, self.start)


def test_records_come_back_as_they_were_written():
    """Numbers, kinds, payloads and offsets of every record, and all that a writer needs to go on."""
    sample = Sample()
    found = sample.read()
    assert found.frames == [
        Frame(number, kind, payload, sample.ends[number + 1]) for number, (kind, payload) in enumerate(sample.records)
    ]
    assert (found.end, found.torn, found.tag, found.seq) == (len(sample.data), 0, sample.tag, 30)
    assert sample.read(memoryview(sample.data)) == found
    assert all(type(frame.payload) is bytes for frame in found.frames)


def test_a_writer_goes_on_where_a_scan_ended():
    """A file that was closed and opened again is one chain."""
    sample = Sample(3)
    found = sample.read()
    encoder = Encoder(KEY, sample.start, seq=found.seq, tag=found.tag)
    longer = sample.read(sample.data + encoder.encode(9, b"more"))
    assert longer.frames[:3] == found.frames
    assert longer.frames[3][:3] == (3, 9, b"more")
    assert longer.tag == encoder.tag


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 200_000])
def test_payloads_of_any_size_are_signed_alike(size):
    """Small and large payloads take different ways through the code, and are equal and equally guarded."""
    payload = random.Random(SEED).randbytes(size)
    start = preamble("k", "n", "journal")
    data = start + Encoder(KEY, start).encode(0, payload)
    assert scan(data, KEY, start).frames[0].payload == payload
    with pytest.raises(CheckpointTamperedError):
        scan(data, bytes(32), start)


def test_the_preamble_says_what_the_file_is():
    """What was written at the front is read from the front, whatever follows."""
    start = preamble("schlüssel", 'lauf "7"', "store")
    assert read_preamble(start + b"rest") == Preamble("schlüssel", 'lauf "7"', "store", len(start))
    assert read_preamble(memoryview(start)).end == len(start)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GFALOG1\n",
        b"GFALOG1\n\x00",
        b"PK\x03\x04 and more of it",
        b"GFALOG1\n\x00\x00",
        b"GFALOG1\n\x04\x00null",
        b"GFALOG1\n\x02\x00\xff\xfe",
        b"GFALOG1\n\x60\xea" + b"[" * 60_000,
        b'GFALOG1\n\x1f\x00{"format":1,"kid":"k","name":1}',
        b'GFALOG1\n\x0f\x00{"format":true}',
    ],
    ids=lambda data: repr(data[:14]),
)
def test_foreign_files_are_refused(data):
    """Whatever is no file of this package is a CheckpointError that says so, and nothing else."""
    with pytest.raises(CheckpointError, match="not a file of graflow_async"):
        read_preamble(data)


def test_every_cut_of_a_preamble_is_refused():
    """A file that ends within its first bytes is told apart from one without records."""
    start = preamble("k1", "run-1", "journal")
    for size in range(len(start)):
        with pytest.raises(CheckpointError):
            read_preamble(start[:size])
    assert scan(start, KEY, start).frames == []


@pytest.mark.parametrize(
    "data", [b"GFALOG2\n", b'GFALOG1\n\x35\x00{"format":2,"kid":"k","name":"n","purpose":"journal"}']
)
def test_newer_files_are_named_as_such(data):
    """Who has too old a version is told that, not that the file is damaged."""
    with pytest.raises(CheckpointVersionError):
        read_preamble(data)


def test_a_record_with_an_unknown_mark_is_of_a_newer_version():
    """A record that is whole and signed, but marked in a way nobody knows here, is not guessed at."""
    start = preamble("k", "n", "journal")
    first = hmac.digest(KEY, start, "sha256")[:16]
    body = struct.pack("<QBBH", 0, 1, 1, 0) + b"payload"
    frame = struct.pack("<II", 7, zlib.crc32(body)) + body + hmac.digest(KEY, first + body, "sha256")[:16]
    with pytest.raises(CheckpointVersionError):
        scan(start + frame, KEY, start)


def test_the_format_is_as_documented():
    """The bytes themselves, once, by hand: a change of the format cannot go unseen."""
    start = preamble("k1", "run-1", "journal")
    text = b'{"format":1,"kid":"k1","name":"run-1","purpose":"journal"}'
    assert start == b"GFALOG1\n" + bytes([len(text), 0]) + text
    tag, expected = hmac.digest(KEY, start, "sha256")[:16], b""
    encoder = Encoder(KEY, start)
    for seq, payload in enumerate((b"a", b"bc")):
        body = seq.to_bytes(8, "little") + bytes([5, 0, 0, 0]) + payload
        tag = hmac.digest(KEY, tag + body, "sha256")[:16]
        expected = len(payload).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body + tag
        assert encoder.encode(5, payload) == expected


def test_every_cut_is_a_clean_or_a_torn_prefix():
    """A crash may end the file at any byte: all records before it are there, and the rest is known to be torn."""
    sample = Sample()
    whole = sample.read().frames
    for size in range(len(sample.start), len(sample.data)):
        found = sample.read(sample.data[:size])
        count = len(found.frames)
        assert found.frames == whole[:count]
        assert found.end == sample.ends[count] <= size < sample.ends[count + 1]
        assert (found.torn, found.seq) == (size - found.end, count)


def test_every_flipped_byte_in_the_middle_is_refused():
    """Damage before the last record is an error; damage in the last one costs that one at most."""
    sample = Sample(8)
    for position in range(len(sample.start), len(sample.data)):
        data = bytearray(sample.data)
        data[position] ^= 0x41
        if position < sample.ends[-2]:
            with pytest.raises((CheckpointCorruptError, CheckpointTamperedError)):
                sample.read(bytes(data))
        else:
            try:
                found = sample.read(bytes(data))
            except CheckpointTamperedError:
                assert position >= len(data) - 16
            else:
                assert (len(found.frames), found.end) == (7, sample.ends[-2])


def test_a_changed_preamble_is_found_out_by_the_first_record():
    """The records are signed together with the file's own words, so these cannot be exchanged."""
    sample = Sample()
    other = preamble("k1", "run-2", "journal")
    with pytest.raises(CheckpointTamperedError):
        scan(other + sample.data[len(sample.start) :], KEY, other)
    with pytest.raises(CheckpointCorruptError):
        scan(sample.data, KEY, other)


def mutated(draw, sample, other):
    """Damage a file in one of the ways in which files get damaged, or are forged."""
    data = bytearray(sample.data)
    at = draw.randrange(len(data))
    upto = min(len(data), at + draw.choice((1, 4, 60, 400)))
    match draw.randrange(9):
        case 0:
            data[at] ^= 1 << draw.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = draw.randbytes(draw.randrange(1, 60))
        case 3:
            del data[at:upto]
        case 4:
            data[at:upto] = bytes(upto - at)
        case 5:
            data[at:upto] = draw.randbytes(upto - at)
        case 6:
            data[at:] = other.data[draw.randrange(len(other.data)) :]
        case 7:
            begin = draw.randrange(len(data))
            data[at:at] = data[begin : begin + draw.randrange(1, 300)]
        case _:
            data += draw.choice((draw.randbytes(50), bytes(300), other.pieces[draw.randrange(30)], sample.pieces[29]))
    return bytes(data)


@pytest.mark.parametrize("seed", [SEED])
def test_mutated_files_are_a_prefix_or_refused(seed):
    """Of 3,000 damaged files each gives a prefix of what was written, to the byte, or a named error."""
    draw = random.Random(seed)
    sample, other = Sample(), Sample(seed=SEED + 1)
    whole = sample.read().frames
    outcomes = {"clean": 0, "torn": 0, "refused": 0}
    for _ in range(3_000):
        data = mutated(draw, sample, other)
        try:
            found = scan(data, KEY, data[: read_preamble(data).end])
        except CheckpointError:
            outcomes["refused"] += 1
            continue
        assert found.frames == whole[: len(found.frames)]
        if found.frames:
            assert data[: found.end] == sample.data[: found.end]
        outcomes["torn" if found.torn else "clean"] += 1
    assert min(outcomes.values()) > 10, outcomes
    assert outcomes["refused"] > 1_500, outcomes


def test_splices_of_two_files_with_one_key_are_refused():
    """No record of one file is taken for a record of another, at any boundary, though the key is the same."""
    sample = Sample()
    for other in (Sample(name="run-2"), Sample(seed=SEED + 1)):
        for count in range(1, 30):
            with pytest.raises(CheckpointTamperedError):
                sample.read(sample.data[: sample.ends[count]] + other.data[other.ends[count] :])


def test_moved_repeated_and_missing_records_are_refused():
    """Whole records in another order, twice, or left out are no crash, and are told apart from one."""
    sample = Sample()
    for number in range(28):
        head, (one, two), rest = sample.pieces[:number], sample.pieces[number : number + 2], sample.pieces[number + 2 :]
        for pieces in ([*head, two, one, *rest], [*head, one, one, two, *rest], [*head, two, *rest]):
            with pytest.raises(CheckpointTamperedError):
                sample.read(sample.start + b"".join(pieces))


@pytest.mark.parametrize("damage", ["zeros", "noise", "cut", "insert", "length"])
def test_holes_are_found_behind_every_record(damage):
    """A damaged record with whole ones behind it is damage, wherever these begin, and never a torn end."""
    draw = random.Random(SEED)
    sample = Sample()
    for number in range(29):
        begin, end = sample.ends[number : number + 2]
        piece = {
            "zeros": bytes(end - begin),
            "noise": draw.randbytes(end - begin),
            "cut": sample.data[begin : end - 22],
            "insert": b"?" + sample.data[begin:end],
            "length": b"\xff\xff\xff\x3f" + sample.data[begin + 4 : end],
        }[damage]
        with pytest.raises(CheckpointCorruptError, match=f"record {number} at byte {begin} is damaged"):
            sample.read(sample.data[:begin] + piece + sample.data[end:])


def test_an_end_of_zeros_is_torn():
    """Pages that a power cut left empty are no records."""
    sample = Sample()
    for count in (0, 12):
        found = sample.read(sample.data[: sample.ends[count]] + bytes(10_000))
        assert (len(found.frames), found.torn) == (count, 10_000)


def test_every_cut_that_is_filled_with_zeros_is_torn():
    """A power cut may leave the size and lose the page, also in the middle of a signature."""
    sample = Sample(4)
    for size in range(sample.ends[2], sample.ends[3]):
        found = sample.read(sample.data[:size] + bytes(100))
        assert found[1:] == (sample.ends[2], size + 100 - sample.ends[2], found.tag, 2)
        assert found.tag == sample.data[sample.ends[2] - 16 : sample.ends[2]]


def test_lengths_that_are_lies_cost_nothing():
    """A file full of made-up lengths is refused after a bounded amount of work."""
    start = preamble("k", "n", "journal")
    lie = struct.pack("<IIQBBH", 400_000, 0, 5, 0, 0, 0)
    with pytest.raises(CheckpointCorruptError):
        scan(start + lie * 50_000, KEY, start)
    huge = struct.pack("<IIQBBH", 0xFFFFFFFF, 0, 0, 0, 0, 0)
    assert scan(start + huge, KEY, start).torn == len(huge)


def test_what_does_not_fit_is_refused_when_written():
    """Nothing is written that could not be read: keys, records and heads have limits."""
    start = preamble("k", "n", "journal")
    for attempt in (lambda: Encoder(b"", start), lambda: Encoder(bytes(15), start), lambda: scan(start, b"", start)):
        with pytest.raises(ConfigError):
            attempt()
    with pytest.raises(ConfigError):
        preamble("k", "n" * 70_000, "journal")
    encoder = Encoder(KEY, start)
    before = (encoder.seq, encoder.tag)
    with pytest.raises(CheckpointWriteError):
        encoder.encode(0, bytes(MAX_PAYLOAD + 1))
    assert (encoder.seq, encoder.tag) == before
