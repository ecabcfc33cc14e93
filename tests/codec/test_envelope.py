"""The signed envelope: what comes out is what went in, for the same purpose and with a known key, or nothing at all."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import pytest

from graflow_async.codec import Keyring, envelope, seal, unseal
from graflow_async.errors import NotSerializableError, SecurityError, UnsignedPayloadError

OLD = "old-7Qm2xV9sKd4TnB8wLzR3cHjY6pGfA1eU"
NEW = "new-Zr5vN1yXqM8kJt3WbE7hSd2LgP9oCa4F"


@pytest.fixture
def ring():
    """Give a ring of one key."""
    return Keyring.load(OLD)


def resigned(data, ring, purpose="result"):
    """Sign an envelope anew after a change to it, as only the holder of the key can."""
    return data[:-32] + hmac.new(ring.derive(purpose), data[:-32], hashlib.sha256).digest()


@pytest.mark.parametrize("payload", [b"", b"x", b"GFE\x01", bytes(range(256)) * 300], ids=len)
def test_what_goes_in_comes_out(ring, payload):
    """Any bytes survive, and the envelope adds no more than its head and its tag."""
    sealed = seal(payload, "result", ring)
    assert unseal(sealed, "result", ring) == payload
    assert len(sealed) == len(payload) + 6 + 8 + 32


def test_the_format_is_as_written_down(ring):
    """The layout is that of the module's docstring, so that envelopes of today can be read in years."""
    sealed = seal(b"payload", "result", ring)
    front = b"GFE" + bytes((1, 0, 8)) + ring.active.encode() + b"payload"
    assert sealed == front + hmac.new(ring.derive("result"), front, hashlib.sha256).digest()


def test_every_flipped_bit_is_refused(ring):
    """No single bit of an envelope can change without a refusal."""
    sealed = seal(b"some payload", "result", ring)
    for position in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(SecurityError):
            unseal(bytes(flipped), "result", ring)


def test_every_truncation_and_extension_is_refused(ring):
    """An envelope that lost bytes at either end, or has one more, is refused."""
    sealed = seal(b"some payload", "result", ring)
    for length in range(len(sealed)):
        with pytest.raises(SecurityError):
            unseal(sealed[:length], "result", ring)
        with pytest.raises(SecurityError):
            unseal(sealed[len(sealed) - length :], "result", ring)
    for longer in (sealed + b"\x00", b"\x00" + sealed, sealed + sealed):
        with pytest.raises(SecurityError):
            unseal(longer, "result", ring)


@pytest.mark.parametrize("purpose", ["", "Result", "result ", "result\x01", "journal"])
def test_another_purpose_is_refused(ring, purpose):
    """What was signed as one thing cannot be handed in as another."""
    sealed = seal(b"payload", "result", ring)
    with pytest.raises(SecurityError, match="something else") as caught:
        unseal(sealed, purpose, ring)
    assert repr(purpose) in str(caught.value)


def test_parts_of_two_envelopes_do_not_mix(ring):
    """The head, payload and tag of different envelopes make no new one."""
    one, two = seal(b"payload one", "result", ring), seal(b"payload two", "result", ring)
    for mixed in (one[:-32] + two[-32:], one[:14] + two[14:-32] + one[-32:]):
        with pytest.raises(SecurityError, match="signature does not fit"):
            unseal(mixed, "result", ring)


def test_a_wrong_key_under_a_known_id_is_refused(ring):
    """Claiming the id of a key is no proof of having it."""
    kid = ring.active
    forged = seal(b"payload", "result", Keyring.load({kid: NEW}))
    with pytest.raises(SecurityError, match="signature does not fit"):
        unseal(forged, "result", ring)


def test_keys_rotate():
    """Signed with the old key, read while both are known, refused by name when the old one is gone."""
    old, both, new = Keyring.load(OLD), Keyring.load([NEW, OLD]), Keyring.load(NEW)
    before = seal(b"before", "result", old)
    after = seal(b"after", "result", both)
    assert unseal(before, "result", both) == b"before"
    assert unseal(after, "result", both) == b"after"
    assert unseal(after, "result", new) == b"after"
    with pytest.raises(SecurityError, match=f"{old.active!r}.*known: {new.active}.*GRAFLOW_SECRET_KEY"):
        unseal(before, "result", new)
    with pytest.raises(SecurityError, match=new.active):
        unseal(after, "result", old)


@pytest.mark.parametrize("data", [b"", b"G", b"GF", b"gfe\x01", b'{"a": 1}', pickle.dumps([1], 5)])
def test_what_is_not_signed_is_told_apart(ring, data):
    """Bytes that are no envelope are an UnsignedPayloadError which says how to sign them."""
    with pytest.raises(UnsignedPayloadError, match="GRAFLOW_SECRET_KEY"):
        unseal(data, "result", ring)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_even_if_signed(ring, version):
    """An envelope of a version that this program does not read is refused, and says so."""
    sealed = bytearray(seal(b"payload", "result", ring))
    sealed[3] = version
    for data in (bytes(sealed), resigned(bytes(sealed), ring)):
        with pytest.raises(SecurityError, match=f"version {version}.*upgrade"):
            unseal(data, "result", ring)


def test_unknown_flags_are_refused_only_after_the_signature(ring):
    """What a later version may switch on is never ignored, and never believed before it is verified."""
    sealed = bytearray(seal(b"payload", "result", ring))
    sealed[4] = 4
    with pytest.raises(SecurityError, match="signature does not fit"):
        unseal(bytes(sealed), "result", ring)
    with pytest.raises(SecurityError, match=r"flags 0x04.*upgrade"):
        unseal(resigned(bytes(sealed), ring), "result", ring)


@pytest.mark.parametrize("size", [0, 65, 255])
def test_a_key_id_of_impossible_length_is_refused(ring, size):
    """The length of the key id is checked before anything is made of it."""
    sealed = bytearray(seal(b"p" * 600, "result", ring))
    sealed[5] = size
    with pytest.raises(SecurityError, match="damaged"):
        unseal(bytes(sealed), "result", ring)


def test_a_hostile_key_id_is_shown_harmlessly(ring):
    """Control characters in a forged key id do not reach a terminal or a log."""
    forged = b"GFE\x01\x00\x06\x1b[2J\n\xff" + b"x" * 40
    with pytest.raises(SecurityError, match="no signing key") as caught:
        unseal(forged, "result", ring)
    assert str(caught.value).isprintable()


def test_the_longest_key_id_fits():
    """An id of 64 characters is written and read."""
    ring = Keyring.load({"k" * 64: OLD})
    assert unseal(seal(b"payload", "result", ring), "result", ring) == b"payload"


def test_sizes_are_bounded(ring, monkeypatch):
    """Too large a payload is refused on both sides, before it is copied or hashed."""
    sealed = seal(b"x" * 101, "result", ring)
    monkeypatch.setattr(envelope, "LARGEST", 100)
    with pytest.raises(NotSerializableError, match=r"101 bytes.*100.*reference"):
        seal(b"x" * 101, "result", ring)
    with pytest.raises(SecurityError, match="damaged"):
        unseal(sealed, "result", ring)
    assert unseal(seal(b"x" * 100, "result", ring), "result", ring) == b"x" * 100


def test_refusals_say_that_nothing_was_loaded(ring):
    """Each refusal tells the reader that no harm was done."""
    sealed = seal(b"payload", "result", ring)
    for data in (b"junk", sealed[:20], sealed[:-1] + b"?", b"GFE\x09" + sealed[4:]):
        with pytest.raises(SecurityError, match="nothing in it was loaded"):
            unseal(data, "result", ring)
