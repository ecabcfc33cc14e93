"""What may stand in the address of a Redis, and what is said of one that cannot be used."""

from __future__ import annotations

import traceback

import pytest

from graflow_async import ConfigError
from graflow_async._redis.client import connect, shown
from graflow_async._redis.urls import sentinels_of
from graflow_async.brokers.redis import RedisBroker
from graflow_async.checkpoints.redis import RedisCheckpointer
from graflow_async.stores.redis import RedisStore


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://localhost/0", "redis://localhost/0"),
        ("redis://ada:hush@localhost/0", "redis://ada:***@localhost/0"),
        ("redis://:hush@localhost", "redis://:***@localhost"),
        ("redis://ada:hu/sh@localhost", "redis://ada:***@localhost"),
        ("redis://ada:hu#sh@localhost", "redis://ada:***@localhost"),
        ("redis://ada:hu@sh@localhost", "redis://ada:***@localhost"),
        ("redis://localhost?username=ada&password=hush&db=1", "redis://localhost?username=ada&password=***&db=1"),
        (
            "redis+sentinel://a:hush@h:1,i:2/shop?sentinel_password=hush",
            "redis+sentinel://a:***@h:1,i:2/shop?sentinel_password=***",
        ),
        ("rediss://h?ssl_keyfile=k&ssl_password=hush", "rediss://h?ssl_keyfile=k&ssl_password=***"),
    ],
)
def test_no_password_is_shown(url: str, told: str):
    """Wherever a password stands, and whatever is in it, it does not get into a message."""
    assert shown(url) == told


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:hush@localhost",
        "redis://ada:12#hush@localhost/0",
        "redis://ada:12/hush@localhost/0",
        "redis://ada:12?hush@localhost/0",
        "redis://localhost:port/0",
        "redis://localhost/0?colour=red",
        "redis://localhost/0?socket_timeout=soon",
        "rediss://localhost/0?ssl_cert_reqs=perhaps",
        "rediss://localhost/0?ssl_ca_certs=/nowhere/ca.pem",
        "redis+sentinel://localhost:26379",
        "redis+sentinel://localhost:26379/shop/first",
        "redis+sentinel://localhost:port/shop",
        "redis+sentinel:///shop",
    ],
)
def test_addresses_that_cannot_be_used(url: str):
    """All of them are refused where they are given, by one kind of error, which keeps the password to itself."""
    for door in (connect, RedisStore, RedisBroker, RedisCheckpointer):
        with pytest.raises(ConfigError) as caught:
            door(url)
        said = "".join(traceback.format_exception(caught.value, chain=True))
        assert "hush" not in str(caught.value)
        assert "hush" not in said.replace(url, "")


def test_addresses_of_sentinels():
    """Hosts, name, database, user and the Sentinels' own password are where they belong."""
    place = sentinels_of(
        "redis+sentinel://ada:p%40w@one:1,[::1]:2,three/sh%20op/4?sentinel_password=hush&socket_timeout=2"
    )
    assert place is not None
    assert place.hosts == (("one", 1), ("::1", 2), ("three", 26379))
    assert (place.master, place.password, place.username) == ("sh op", "hush", None)
    assert place.plain == "redis://ada:p%40w@primary:6379/4?socket_timeout=2"
    assert sentinels_of("redis://localhost") is None
    about = connect("rediss+sentinel://ada:p%40w@one:1/shop/4").connection_pool.connection_kwargs
    assert (about["username"], about["password"], about["db"]) == ("ada", "p@w", 4)


def test_a_client_of_another_kind():
    """A client that cannot be worked with is refused where it is given."""
    for door in (RedisStore, RedisBroker, RedisCheckpointer):
        with pytest.raises(ConfigError, match="no cluster is supported"):
            door(client=object())  # type: ignore[arg-type]
