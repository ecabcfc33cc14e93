"""The addresses of a Redis as texts: what may be seen of them, and which ones name Sentinels.

Nothing here imports the client, so that whoever only prints an address does not wait for it.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SENTINEL_SCHEMES = ("redis+sentinel://", "rediss+sentinel://")
SCHEMES = ("redis://", "rediss://", "unix://", *SENTINEL_SCHEMES)
SENTINEL_PORT = 26379
_SECRET = re.compile(r"([?&][^=&#]*password=)[^&#]*", re.IGNORECASE)


def shown(url: str) -> str:
    """Give a URL as it may stand in a log: without its passwords."""
    front, at, host = url.rpartition("@")
    scheme, colons, user = front.partition("://")
    if at and colons and ":" in user:
        url = f"{scheme}://{user.partition(':')[0]}:***@{host}"
    return _SECRET.sub(r"\1***", url)


def refuse_stray_password(url: str) -> None:
    """Refuse a URL whose password has characters that end it: what stands before them would be taken for a host.

    Raises:
        ValueError: it seems so.
    """
    if url.startswith("unix://"):
        return
    rest, _, query = url.partition("://")[2].partition("?")
    _, _, path = rest.partition("/")
    if "#" in url or "@" in path or any("@" in part and "=" not in part for part in query.split("&")):
        raise ValueError("there is an @ after the end of the host")


class SentinelPlace(NamedTuple):
    """What a URL of Sentinels says.

    Attributes:
        hosts: where the Sentinels are.
        master: under which name they know the primary.
        plain: the URL that the primary would have, if its host were called `primary`.
        username, password: for the Sentinels themselves.
    """

    hosts: tuple[tuple[str, int], ...]
    master: str
    plain: str
    username: str | None
    password: str | None


def sentinels_of(url: str) -> SentinelPlace | None:
    """Take a URL of Sentinels apart; None if it is one of another kind.

    Raises:
        ValueError: it should be one, but is not complete.
    """
    if not url.startswith(SENTINEL_SCHEMES):
        return None
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    master, _, db = path.partition("/")
    if not master or not hosts or (db and not db.isdecimal()):
        raise ValueError("it lacks a host, or the name of the primary after it")
    about = dict(parse_qsl(query))
    username, password = about.pop("sentinel_username", None), about.pop("sentinel_password", None)
    plain = f"{scheme.partition('+')[0]}://{user}{at}primary:6379/{db}"
    if about:
        plain += "?" + urlencode(about)
    return SentinelPlace(tuple(map(_address, hosts.split(","))), unquote(master), plain, username, password)


def _address(text: str) -> tuple[str, int]:
    """Take `host:port` apart.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel has no host")
    return parts.hostname, parts.port or SENTINEL_PORT
