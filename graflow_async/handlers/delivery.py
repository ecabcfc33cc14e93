"""Posting to one HTTP address: again after failures that pass, bounded in time, and without telling secrets."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .._lazy import lazily
from ..errors import ConfigError, GraflowError
from ..policy import require_count, require_number

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

httpx = lazily("httpx")

NEEDS = "handlers that post over HTTP need the extra: pip install 'graflow-async[feedback]'"
LONGEST_PAUSE = 30.0  # seconds between two attempts, unless the other side asks for more
LONGEST_WISH = 120.0  # seconds; a server that asks for more is not tried again
MOST_READ = 1024  # bytes of an answer, which nobody needs
LONGEST_READ = 1.0  # seconds for that

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_PLAIN_CODE = re.compile(rb"[a-z][a-z_]{2,59}")  # how Slack says what is wrong

_is_posting: ContextVar[bool] = ContextVar("graflow_async_is_posting", default=False)


class DeliveryError(GraflowError):
    """The other side could not be told; the message names its host alone, as the address may be a secret."""


class Delivery:
    """Posts to one address. Connections are shared while posts of a loop are under way, and closed after the last.

    Attributes:
        host: the other side's name, with the port if it is an unusual one.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        retries: int,
        backoff: float,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Check where and how to post.

        Args:
            url: http or https address.
            headers: more headers.
            timeout: seconds that one attempt may take.
            retries: how often to try again.
            backoff: seconds before the second attempt; each further pause is twice as long.
            sleep: waits for that many seconds.

        Raises:
            ConfigError: an argument makes no sense, or the extra is missing.
        """
        self._url = _checked_url(url)
        self._headers = _checked_headers(headers or {})
        require_number("timeout", timeout, exclusive=True)
        require_number("backoff", backoff)
        require_count("retries", retries)
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._sleep = sleep
        self._tls: Any = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.host: str = self._url.netloc.rpartition(b"@")[2].decode("ascii")
        logging.getLogger("httpx").addFilter(_hides_addresses)  # once only, however many there are

    async def post(self, content: bytes, headers: Callable[[], Mapping[str, str]]) -> None:
        """Post a body, again after connection errors, timeouts, status 429 and 5xx.

        Args:
            content: the body.
            headers: gives what to send with each attempt, besides the headers of this address.

        Raises:
            DeliveryError: it did not arrive.
        """
        async with self._client() as client:
            attempt = 1
            while True:
                trouble, wish, may_pass = await self._attempt(client, content, headers())
                if not trouble:
                    return
                tried = f" ({attempt} attempts)" if attempt > 1 else ""
                if not may_pass or attempt > self._retries:
                    raise DeliveryError(f"{self.host} {trouble}{tried}")
                if wish is not None and wish > LONGEST_WISH:
                    raise DeliveryError(f"{self.host} {trouble} and asks to wait for {wish:g} s{tried}")
                await self._sleep(pause_after(attempt, self._backoff) if wish is None else wish)
                attempt += 1

    async def _attempt(self, client: Any, content: bytes, headers: Mapping[str, str]) -> tuple[str, float | None, bool]:
        """Post once: give what went wrong, how long the other side asks to wait, and whether to try again."""
        token = _is_posting.set(True)
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream("POST", self._url, content=content, headers={**self._headers, **headers}) as response,
            ):
                status: int = response.status_code
                wish = asked_pause(response.headers.get("retry-after"), time())
                said = await _beginning(response)
        except TimeoutError:
            return f"did not answer within {self._timeout:g} s", None, True
        except httpx.ConnectError as error:
            return f"cannot be reached: {error}", None, True
        except httpx.TransportError as error:
            return f"broke off: {type(error).__name__}", None, True  # its message may quote a header
        finally:
            _is_posting.reset(token)
        if 200 <= status < 300:
            return "", None, False
        code = f": {said.decode()}" if _PLAIN_CODE.fullmatch(said) else ""
        return f"answered {status}{code}", wish, status == 429 or status >= 500

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[Any]:
        """Give the client of the running loop; whoever leaves last closes it."""
        loop = asyncio.get_running_loop()
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)  # it reads a large file
        with self._lock:  # several loops, each in its thread, may have this handler
            shared = self._clients.get(loop)
        if shared is None:
            client = httpx.AsyncClient(timeout=None, follow_redirects=False, verify=self._tls)
            shared = _Shared(client)
            with self._lock:
                self._clients[loop] = shared
        shared.users += 1
        try:
            yield shared.client
        finally:
            shared.users -= 1
            if not shared.users:
                with self._lock:
                    self._clients.pop(loop, None)
                await shared.client.aclose()


class _Shared:
    """A client and how many use it."""

    __slots__ = ("client", "users")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.users = 0


def pause_after(attempt: int, backoff: float, draw: Callable[[], float] = random.random) -> float:
    """Give the seconds to wait after the `attempt`th failure: doubling, bounded, and up to a half shorter by chance.

    Without chance, runs that fail together would come back together.
    """
    longest = min(backoff * 2 ** min(attempt - 1, 60), LONGEST_PAUSE)
    return longest * (1 - draw() / 2)


def asked_pause(header: str | None, now: float) -> float | None:
    """Read Retry-After, a number of seconds or a date; None for what is neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


async def _beginning(response: Any) -> bytes:
    """Read a short answer, so that its connection can be used again; the status is known, so no trouble counts."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MOST_READ:
        return b""
    read = b""
    try:
        async with asyncio.timeout(LONGEST_READ):
            # Not left early: the library's generators would be closed by the collector only.
            async for chunk in response.aiter_raw():
                read = (read + chunk)[:MOST_READ]
    except (TimeoutError, httpx.TransportError):
        pass
    return read


def _checked_url(url: Any) -> Any:
    """Read an address; errors do not show it, since whoever knows a webhook's address can use it.

    Raises:
        ConfigError: it is none, or no http one; or the extra is missing.
    """
    try:
        parse = httpx.URL
    except ModuleNotFoundError as error:
        raise ConfigError(NEEDS) from error
    try:
        parsed = parse(url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigError("webhook_url cannot be read as an address") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or not 0 < (parsed.port or 80) < 65536:
        raise ConfigError("webhook_url has to be an http:// or https:// address with a host")
    return parsed


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Copy headers; errors do not show their values.

    Raises:
        ConfigError: a name or a value cannot be sent.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise ConfigError(f"{name!r} is no name of a header")
        if not isinstance(value, str) or _HEADER_VALUE.fullmatch(value) is None:  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise ConfigError(f"the value of header {name!r} cannot be sent: it has to be one line of plain text")
    return {name.lower(): value for name, value in headers.items()}


def _hides_addresses(_: logging.LogRecord) -> bool:
    """Keep the client from logging our requests: it would log the addresses."""
    return not _is_posting.get()
