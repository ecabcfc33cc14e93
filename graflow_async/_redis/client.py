"""Connections to Redis: made from a URL, without retries of their own, with our errors."""

from __future__ import annotations

import ipaddress
import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import redis
from redis import exceptions as faults
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.retry import Retry as BlockingRetry

from .._lazy import lazily
from ..errors import ConfigError
from .refusals import ClusterModeError, is_elsewhere, ours, passes
from .urls import refuse_stray_password, sentinels_of, shown

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "ANSWER_WITHIN",
    "check_given",
    "connect",
    "connect_blocking",
    "is_elsewhere",
    "is_local",
    "look_elsewhere",
    "our_errors",
    "passes",
    "shown",
    "url_of",
]

ENV_NAME = "GRAFLOW_REDIS_URL"
DEFAULT_URL = "redis://localhost:6379/0"
CONNECT_WITHIN = 5.0  # seconds
ANSWER_WITHIN = 15.0  # seconds; longer than any blocking read asks Redis to wait
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")
_REMEMBERED = 256  # addresses
_sentinel = lazily("graflow_async._redis.sentinel")
_tls = lazily("graflow_async._redis.tls")
# Addresses of servers that are no part of a cluster, which does not change while they are used: connections are made
# often, and each would ask.
_alone: set[object] = set()


def url_of(given: str | None) -> str:
    """Give the URL of the Redis to use: the given one, else that of the environment, else the usual one here."""
    return given or os.environ.get(ENV_NAME) or DEFAULT_URL


def connect(url: str | None = None, **options: Any) -> Redis:
    """Make a client that connects when it is first used; it answers in bytes and never repeats a command by itself.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user and password if need be; or `redis+sentinel://` with
            the addresses of Sentinels, and the name that they have for the primary.
        options: more for `redis.asyncio.Redis.from_url`.

    Raises:
        ConfigError: it is no such URL, or names options or files that are not there.
    """
    place = url_of(url)
    settings: dict[str, Any] = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": ANSWER_WITHIN,
        "socket_connect_timeout": CONNECT_WITHIN,
        "redis_connect_func": _greet,
        **_self_description(),
        **_usual(place),
        **options,
    }
    with _own_words(place):
        refuse_stray_password(place)
        sentinels = sentinels_of(place)
        if sentinels is not None:
            client: Redis = _sentinel.primary(sentinels, **settings)
        else:
            client = Redis.from_url(place, **settings)  # pyright: ignore[reportUnknownMemberType]  # its keywords
        pools: list[Any] = [client.connection_pool]
        if sentinels is not None:
            pools += [each.connection_pool for each in pools[0].sentinel_manager.sentinels]
        for pool in pools:
            _check_options(pool)
    return client


def connect_blocking(url: str, limit: float) -> redis.Redis:
    """Make a client for a thread without a loop, each of whose commands takes at most `limit` seconds.

    Raises:
        ConfigError: it is no such URL.
    """
    settings: dict[str, Any] = {
        "retry": BlockingRetry(NoBackoff(), 0),
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        **_usual(url),
    }
    with _own_words(url):
        sentinels = sentinels_of(url)
        if sentinels is not None:
            return _sentinel.blocking_primary(sentinels, **settings)  # type: ignore[no-any-return]
        return redis.Redis.from_url(url, **settings)  # pyright: ignore[reportUnknownMemberType]  # its keywords


@cache
def _self_description() -> dict[str, Any]:
    """Give what redis-py tells servers of itself; else it looks its version up among files at each connection."""
    made_by = getattr(redis, "DriverInfo", None)
    return {} if made_by is None else {"driver_info": made_by(lib_version=redis.__version__)}


def _usual(place: str) -> dict[str, Any]:
    """Give what connections of a kind have unless the URL says otherwise."""
    if place.startswith("unix://"):
        return {}
    usual: dict[str, Any] = {"socket_keepalive": True}
    if place.startswith("rediss") and "none" not in parse_qs(place.partition("?")[2]).get("ssl_cert_reqs", ()):
        usual["ssl_check_hostname"] = True  # older clients do not by themselves
    return usual


@contextmanager
def _own_words(place: str) -> Generator[None]:
    """Say in our words what is wrong with a URL; those of the client may contain parts of a password.

    Raises:
        ConfigError: something is.
    """
    try:
        yield
    except ConfigError:
        raise
    except (ValueError, TypeError, faults.RedisError) as error:
        why = f" ({error})" if isinstance(error, TypeError) and "@" not in place.partition("?")[2] else ""
        raise ConfigError(
            f"{shown(place)!r} is no address of a Redis{why}: redis://host:port/db, rediss://... (TLS), unix:///path "
            "or redis+sentinel://host:port,host:port/NAME/db; special characters of a password are percent-encoded"
        ) from None


def _check_options(pool: Any) -> None:
    """See to it that connections can be made: else each attempt would fail in its own way, and be repeated.

    Raises:
        ConfigError: a file is missing.
        TypeError: there is no option of that name.
        RedisError: an option has a value that makes no sense.
    """
    if issubclass(pool.connection_class, SSLConnection):
        pool.connection_class = _tls.sharing(pool.connection_class)
    pool.connection_class(**pool.connection_kwargs)
    for name in _FILES:
        path = pool.connection_kwargs.get(name)
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"{name}={path} of the address of Redis cannot be read; the path is that on this machine")


async def _greet(connection: Any) -> None:
    """Do what the client does on a new connection, and see whether there is what we can work with.

    Raises:
        ClusterModeError: the server is part of a cluster.
    """
    try:
        await connection.on_connect()
    except faults.ConnectionError as error:
        if type(error) is faults.ConnectionError and getattr(connection, "ssl_context", None) is not None:
            raise faults.ConnectionError(
                f"{error}; it came after TLS was agreed on: if it stays, the server may want a certificate "
                "(rediss://...?ssl_certfile=PATH&ssl_keyfile=PATH)"
            ) from error
        raise
    place = getattr(connection, "path", None) or (connection.host, connection.port)
    if place in _alone:
        return
    await connection.send_command("INFO", "cluster")
    try:
        about = await connection.read_response()
    except (faults.NoPermissionError, faults.BusyLoadingError):
        return
    if "cluster_enabled:1" in str(about):
        raise ClusterModeError("the server runs in cluster mode")
    if len(_alone) >= _REMEMBERED:
        _alone.clear()
    _alone.add(place)


def check_given(client: Any) -> None:
    """Refuse a client, made by somebody else, of a kind that does not work here.

    Raises:
        ConfigError: it is of such a kind.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        raise ConfigError(f"client= is a redis.asyncio.Redis, not a {type(client).__name__}; no cluster is supported")
    if pool.connection_kwargs.get("decode_responses"):
        raise ConfigError("client= has to answer in bytes: make it without decode_responses=True")


def is_local(client: Redis) -> bool:
    """Say whether a client connects to this very machine, so that nobody else can listen or write in between.

    Sentinels may name any machine as the next primary, so a client of theirs never does.
    """
    pool: Any = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        return False
    settings = pool.connection_kwargs
    if "path" in settings:
        return True
    host = str(settings.get("host", "localhost"))
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def look_elsewhere(client: Redis, error: BaseException) -> None:
    """Part from a server that answers and is not the one to talk to: asked again, a name may stand for another one."""
    if is_elsewhere(error):
        await client.connection_pool.disconnect(inuse_connections=False)


@contextmanager
def our_errors(what: str) -> Generator[None]:
    """Turn errors of Redis into ours; `what` says what was tried.

    Raises:
        StoreUnavailableError: it does not answer, or not now: whether the command was carried out is not known.
        RedisAccessError: it does not let us in.
        ConfigError: it is part of a cluster.
        StoreError: it refused.
    """
    try:
        yield
    except (faults.RedisError, OSError) as error:
        raise ours(error, what) from error
