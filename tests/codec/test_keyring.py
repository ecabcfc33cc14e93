"""Where signing keys come from, which are refused, what is derived from them. The key file is in test_key_file.py."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
import re

import pytest

from graflow_async.codec import Keyring, generate_key
from graflow_async.errors import ConfigError, SecurityError

OLD = "old-7Qm2xV9sKd4TnB8wLzR3cHjY6pGfA1eU"
NEW = "new-Zr5vN1yXqM8kJt3WbE7hSd2LgP9oCa4F"


def test_given_keys_win_over_the_environment():
    """`secret_keys=` counts before GRAFLOW_SECRET_KEY, and that before the local file, which is not even made."""
    by_env = Keyring.load(env={"GRAFLOW_SECRET_KEY": OLD})
    given = Keyring.load(NEW, env={"GRAFLOW_SECRET_KEY": OLD})
    assert given.active == Keyring.load([NEW], env={}).active
    assert by_env.active == Keyring.load(OLD, env={}).active
    assert by_env.active != given.active
    assert not given.is_local
    assert not by_env.is_local


def test_the_environment_of_the_process_is_the_default(monkeypatch):
    """Without `env`, GRAFLOW_SECRET_KEY of this process is read when it is asked for, not at import."""
    monkeypatch.setenv("GRAFLOW_SECRET_KEY", OLD)
    assert Keyring.load().active == Keyring.load(OLD).active


@pytest.mark.parametrize(
    "given",
    [f"{NEW},{OLD}", f" {NEW} , {OLD}\n", [NEW, OLD], (NEW.encode(), OLD), [f"{NEW},{OLD}"]],
    ids=["text", "spaces", "list", "mixed", "nested"],
)
def test_the_first_key_signs_and_all_verify(given):
    """However several keys are written down, the first is active and both are known, by the same ids."""
    ring = Keyring.load(given, env={})
    assert ring.active == Keyring.load(NEW).active
    assert ring.ids == (Keyring.load(NEW).active, Keyring.load(OLD).active)
    assert ring.derive("journal", Keyring.load(OLD).active) == Keyring.load(OLD).derive("journal")


def test_keys_may_have_ids_of_their_own():
    """A mapping names its keys, the first signs, and an id may be kept although nobody could derive it."""
    ring = Keyring.load({"2026-11": NEW, "2026-05": OLD.encode()})
    assert ring.active == "2026-11"
    assert ring.ids == ("2026-11", "2026-05")
    assert ring.derive("journal", "2026-05") == Keyring.load(OLD).derive("journal")


def test_the_same_key_twice_is_one_key():
    """Repeating a key during a rotation does no harm."""
    assert Keyring.load([NEW, NEW]).ids == Keyring.load(NEW).ids


def test_a_key_id_is_eight_hex_digits_of_a_hash():
    """The id is the same everywhere, is no part of the key and no plain hash of it."""
    kid = Keyring.load(OLD).active
    assert re.fullmatch("[0-9a-f]{8}", kid)
    assert kid == Keyring.load(OLD).active
    assert kid not in OLD
    assert not hashlib.sha256(OLD.encode()).hexdigest().startswith(kid)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "0 bytes"),
        ("   \n", "0 bytes"),
        ("short", "5 bytes"),
        (OLD[:31], "31 bytes"),
        (b"\x00" * 32, "repeats"),
        ("changeme" * 5, "repeats"),
        ("changeme" * 4 + "chan", "repeats"),
        ("0123456789abcdef" * 2, "repeats"),
        ("abcdefg" * 5 + "a", "repeats"),
        ("please-change-me-before-production-use", "sample"),
        ("CHANGE_ME_to-something-xK42-random-9q", "sample"),
        ("your-secret-key-goes-here-and-is-long", "sample"),
        ("this-is-only-an-example-key-from-the-documentation", "sample"),
        ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "sample"),
    ],
)
def test_weak_keys_are_refused_from_every_source(key, reason):
    """Short, repeated and well-known keys are refused by name of their fault, and the key itself is not repeated."""
    sources = [
        lambda: Keyring.load(key, env={}),
        lambda: Keyring.load([NEW, key], env={}),
        lambda: Keyring.load({"a": key}, env={}),
        lambda: Keyring.load(env={"GRAFLOW_SECRET_KEY": key if isinstance(key, str) else key.decode()}),
    ]
    for source in sources:
        with pytest.raises(ConfigError, match=reason) as caught:
            source()
        assert "token_urlsafe" in str(caught.value), "says how to make a good one"
        assert not key or str(key) not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no signing key"),
        ({}, "no signing key"),
        (f"{NEW},", "key 2 of 2 in secret_keys has 0 bytes"),
        (f",{NEW}", "key 1 of 2 in secret_keys has 0 bytes"),
        ([NEW, 5], "text or bytes, not int"),
        (5, "text or bytes, not int"),
        ({"a": f"{NEW},{OLD}"}, "comma"),
        ({"": NEW}, "key id"),
        ({"with space": NEW}, "key id"),
        ({"x" * 65: NEW}, "key id"),
    ],
)
def test_what_is_no_set_of_keys_is_refused(given, reason):
    """A missing, empty or misspelt set of keys never falls back to another source."""
    with pytest.raises(ConfigError, match=reason):
        Keyring.load(given, env={"GRAFLOW_SECRET_KEY": OLD})


def test_an_empty_variable_is_not_the_same_as_none():
    """`GRAFLOW_SECRET_KEY=""`, as a failed substitution leaves it, is an error instead of the local key."""
    with pytest.raises(ConfigError, match="GRAFLOW_SECRET_KEY has 0 bytes"):
        Keyring.load(env={"GRAFLOW_SECRET_KEY": ""})


def test_two_keys_with_one_id_are_refused(monkeypatch):
    """Should two keys ever share a derived id, one of them would verify nothing: that is said, not ignored."""
    monkeypatch.setattr("graflow_async.codec.keys.key_id", lambda _key: "deadbeef")
    with pytest.raises(ConfigError, match="one id"):
        Keyring.load([NEW, OLD])


def test_derived_keys_are_hkdf():
    """A derived key is HKDF-SHA256 (RFC 5869) of the key, so others can compute it as well."""
    master = hmac.new(b"graflow_async signing keys, version 1", OLD.encode(), hashlib.sha256).digest()
    expected = hmac.new(master, b"journal\x01", hashlib.sha256).digest()
    assert Keyring.load(OLD).derive("journal") == expected


def test_derived_keys_differ_by_purpose_and_key():
    """No two purposes and no two keys share a derived key, and asking again gives the same one."""
    ring = Keyring.load([NEW, OLD])
    derived = [ring.derive(purpose, kid) for purpose in ("journal", "result", "") for kid in ring.ids]
    assert len(set(derived)) == 6
    assert {len(key) for key in derived} == {32}
    assert ring.derive("journal") == derived[0]


def test_many_purposes_do_not_fill_the_memory():
    """A program that makes up purposes gets right keys, and only so many are remembered."""
    ring = Keyring.load(OLD)
    first = ring.derive("purpose 0")
    keys = {ring.derive(f"purpose {number}") for number in range(1_000)}
    assert len(keys) == 1_000
    assert ring.derive("purpose 0") == first
    assert len(ring._derived) <= 256


def test_an_unknown_id_names_the_known_ones():
    """Whoever lacks a key learns which ones are there, and what to do."""
    ring = Keyring.load([NEW, OLD])
    with pytest.raises(SecurityError, match="'0badf00d'") as caught:
        ring.derive("journal", "0badf00d")
    assert all(kid in str(caught.value) for kid in ring.ids)
    assert "GRAFLOW_SECRET_KEY" in str(caught.value)


def test_a_keyring_never_shows_or_ships_its_keys():
    """Neither repr nor str nor pickling nor copying gives a key away."""
    ring = Keyring.load({"mine": OLD})
    for text in (repr(ring), str(ring), f"{ring}"):
        assert "mine" in text
        assert OLD not in text
        assert ring.derive("journal").hex() not in text
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            travel(ring)
    assert not hasattr(ring, "__dict__")


def test_generated_keys_are_fit_and_never_the_same():
    """What `generate_key` makes is accepted, one line of text without a comma, and new every time."""
    keys = {generate_key() for _ in range(200)}
    assert len(keys) == 200
    for key in keys:
        assert re.fullmatch(r"[\w-]{43}", key)
        assert Keyring.load(key).active
