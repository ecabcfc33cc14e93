"""Connections to Redis: made from a URL, without retries of their own, with our errors."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis import exceptions as faults
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..errors import ConfigError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

ENV_NAME = "GRAFLOW_REDIS_URL"
DEFAULT_URL = "redis://localhost:6379/0"
CONNECT_WITHIN = 5.0  # seconds
ANSWER_WITHIN = 15.0  # seconds; longer than any blocking read asks Redis to wait
UNREACHABLE = (faults.ConnectionError, faults.TimeoutError, OSError)
HANDING_OVER = (faults.ReadOnlyError, faults.ClusterDownError, faults.MasterDownError, faults.TryAgainError)
# What Redis says while it restarts or hands over: it passes, so trying again makes sense. The client takes these words
# off messages that it has a class for, and inside a script they stand in the middle.
PASSING = re.compile(r"\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b|read only replica")


def url_of(given: str | None) -> str:
    """Give the URL of the Redis to use: the given one, else that of the environment, else the usual one here."""
    return given or os.environ.get(ENV_NAME) or DEFAULT_URL


def connect(url: str | None = None, **options: Any) -> Redis:
    """Make a client that connects when it is first used; it answers in bytes and never repeats a command by itself.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user and password if need be.
        options: more for `redis.asyncio.Redis.from_url`.

    Raises:
        ConfigError: it is no such URL.
    """
    place = url_of(url)
    settings: dict[str, Any] = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": ANSWER_WITHIN,
        "socket_connect_timeout": CONNECT_WITHIN,
        "socket_keepalive": True,
    }
    if place.startswith("unix://"):
        del settings["socket_keepalive"]
    try:
        return Redis.from_url(place, **(settings | options))  # pyright: ignore[reportUnknownMemberType]  # its keywords
    except ValueError as error:
        raise ConfigError(
            f"{shown(place)!r} is no address of a Redis: redis://host:port/db, rediss://... (TLS) or unix:///path"
        ) from error


def shown(url: str) -> str:
    """Give a URL as it may stand in a log: without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:***@{host}").geturl()


def is_local(client: Redis) -> bool:
    """Say whether a client connects to this very machine, so that nobody else can listen or write in between."""
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        return True
    host = str(settings.get("host", "localhost"))
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def passes(error: BaseException) -> bool:
    """Say whether trying again later makes sense."""
    if isinstance(error, (faults.AuthenticationError, faults.NoPermissionError)):
        return False
    if isinstance(error, (*HANDING_OVER, *UNREACHABLE)):
        return True
    return isinstance(error, faults.ResponseError) and PASSING.search(str(error)) is not None


@contextmanager
def our_errors(what: str) -> Generator[None]:
    """Turn errors of Redis into ours; `what` says what was tried.

    Raises:
        StoreUnavailableError: it does not answer, or not now: whether the command was carried out is not known.
        StoreError: it refused.
    """
    try:
        yield
    except (faults.RedisError, OSError) as error:
        if passes(error):
            raise StoreUnavailableError(f"{what}: Redis does not answer ({type(error).__name__}: {error})") from error
        raise StoreError(f"{what}: Redis refused ({type(error).__name__}: {error})") from error
