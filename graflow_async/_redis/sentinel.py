"""Clients that ask Sentinels where the primary is, whenever they connect; loaded when a URL names Sentinels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redis import connection as blocking_urls
from redis import exceptions as faults
from redis import sentinel as blocking
from redis.asyncio import connection as async_urls
from redis.asyncio import sentinel as waiting
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .refusals import NoWayInError, advice_on
from .urls import SentinelPlace

if TYPE_CHECKING:
    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

SENTINEL_WITHIN = 2.0  # seconds for a Sentinel to answer; then the next one is asked


def primary(place: SentinelPlace, **options: Any) -> Redis:
    """Make a client of the primary that the Sentinels name; `options` are those of its connections.

    Raises:
        ValueError: an option of the URL makes no sense.
    """
    about: dict[str, Any] = {**options, **_about(cast("Any", async_urls).parse_url(place.plain))}
    sentinels: Any = _Sentinels(place.hosts, sentinel_kwargs=_for_sentinels(place, about, AsyncRetry(NoBackoff(), 0)))
    return sentinels.master_for(place.master, **about)  # type: ignore[no-any-return]


def blocking_primary(place: SentinelPlace, **options: Any) -> BlockingRedis:
    """Make a client as `primary` does, for a thread without a loop.

    Raises:
        ValueError: an option of the URL makes no sense.
    """
    about: dict[str, Any] = {**options, **_about(cast("Any", blocking_urls).parse_url(place.plain))}
    sentinels: Any = _BlockingSentinels(
        place.hosts, sentinel_kwargs=_for_sentinels(place, about, Retry(NoBackoff(), 0))
    )
    return sentinels.master_for(place.master, **about)  # type: ignore[no-any-return]


def _about(parsed: dict[str, Any]) -> dict[str, Any]:
    """Give what a URL says of connections, for a pool that finds the host by itself."""
    for name in ("host", "port"):
        parsed.pop(name, None)
    if parsed.pop("connection_class", None) is not None:
        parsed["ssl"] = True
    return parsed


def _for_sentinels(place: SentinelPlace, about: dict[str, Any], retry: Any) -> dict[str, Any]:
    """Give the options of connections to the Sentinels: TLS as with the primary, names and passwords of their own."""
    tls = {name: value for name, value in about.items() if name.startswith("ssl")}
    return {
        **tls,
        "username": place.username,
        "password": place.password,
        "socket_timeout": SENTINEL_WITHIN,
        "socket_connect_timeout": SENTINEL_WITHIN,
        "retry": retry,
        "redis_connect_func": about.get("redis_connect_func"),
    }


class _Sentinels(waiting.Sentinel):
    """Sentinels whose connections are closed when they have answered."""

    sentinels: list[Any]

    async def discover_master(self, service_name: str) -> Any:
        """Give host and port of the primary."""
        try:
            return await cast("Any", super()).discover_master(service_name)
        except (waiting.MasterNotFoundError, faults.NoPermissionError):
            answers = {_place(each): await _tried(each, service_name) for each in self.sentinels}
            _refuse_hopeless(service_name, list(answers.values()))
            raise waiting.MasterNotFoundError(_told(service_name, answers)) from None
        finally:
            for sentinel in self.sentinels:
                await sentinel.connection_pool.disconnect(inuse_connections=False)


class _BlockingSentinels(blocking.Sentinel):
    """The same, for a thread without a loop."""

    sentinels: list[Any]

    def discover_master(self, service_name: str) -> Any:
        """Give host and port of the primary."""
        try:
            return cast("Any", super()).discover_master(service_name)
        finally:
            for sentinel in self.sentinels:
                sentinel.connection_pool.disconnect()


async def _tried(sentinel: Any, name: str) -> bool | Exception:
    """Say whether a Sentinel knows a primary of that name, or why it does not say."""
    try:
        return name in await sentinel.sentinel_masters()
    except (faults.RedisError, OSError) as error:
        return error


def _place(sentinel: Any) -> str:
    """Give host and port of a Sentinel."""
    settings = sentinel.connection_pool.connection_kwargs
    return f"{settings['host']}:{settings['port']}"


def _told(name: str, answers: dict[str, bool | Exception]) -> str:
    """Say what each Sentinel has answered; the client would show everything that it knows of its connections."""
    words = {True: "sees it down", False: "does not know it"}
    said = (f"{place} {words[answer] if isinstance(answer, bool) else answer}" for place, answer in answers.items())
    return f"no Sentinel names a primary for {name!r}: {'; '.join(said)}"


def _refuse_hopeless(name: str, answers: list[bool | Exception]) -> None:
    """Raise if waiting for Sentinels that gave these answers would not help.

    Raises:
        NoWayInError: they do not let us in, TLS with them fails, or none that answers knows the name.
    """
    for answer in answers:
        if isinstance(answer, (faults.AuthenticationError, faults.NoPermissionError)):
            raise NoWayInError(
                f"a Sentinel does not accept us ({answer}); the name and password that stand before the @ are for "
                "Redis, those for Sentinels are ?sentinel_username=NAME&sentinel_password=PASSWORD"
            )
    if True in answers:
        return
    for answer in answers:
        advice = advice_on(answer) if isinstance(answer, Exception) else None
        if advice is not None:
            raise NoWayInError(f"with a Sentinel, {advice}")
    if False in answers:
        raise NoWayInError(
            f"no Sentinel that answers knows a primary called {name!r}; its name stands after the hosts: "
            "redis+sentinel://host:port,host:port/NAME/db"
        )
