"""Who may do what: tokens to callers, callers to permissions, and which hosts and origins a request may name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal

from ..codec.keys import KEY_BYTES, Keyring
from ..errors import ConfigError
from .problems import Problem, unauthorised
from .tokens import Grant, InvalidTokenError, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import HTTPConnection

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
HINT: Final = f'make one with: python -c "import secrets; print(secrets.token_urlsafe({KEY_BYTES}))"'

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))(?P<port>:[0-9]{1,5})?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]+)")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        kind: "operator" may do everything, "local" too (a program of this machine, where no token is set), "question"
            what its grant says.
        grant: of a token for one question.
    """

    kind: Literal["operator", "local", "question"]
    grant: Grant | None = None

    @property
    def name(self) -> str | None:
        """Whom to record as having answered; None if that is not known."""
        return self.grant.audience if self.grant is not None else "operator" if self.kind == "operator" else None

    def require(self, action: str, question_id: str | None = None) -> None:
        """Let the caller do something, with one question or with all.

        Raises:
            Problem: 403; in the same words whether or not there is such a question.
        """
        grant = self.grant
        if grant is None:
            return
        if question_id is None or grant.question_id != question_id or action not in ("show", *grant.actions):
            raise Problem(403, "forbidden", "this token is not for that")


class Access:
    """The rules of one application; see `create_app` for the arguments."""

    def __init__(
        self,
        token: str | None,
        keyring: Keyring | None,
        *,
        trust_loopback: bool | None,
        allowed_hosts: Sequence[str] | None,
        now: Callable[[], float],
    ) -> None:
        """Take the rules.

        Raises:
            ConfigError: the token is weak, or a host is none.
        """
        if token is not None:
            check_token(token)
        self._token = None if token is None else token.encode()
        self._keyring = keyring
        self._now = now
        self.trusts_loopback = token is None and keyring is None if trust_loopback is None else trust_loopback
        if isinstance(allowed_hosts, str):
            raise ConfigError(f"allowed_hosts is a list of names, not the text {allowed_hosts!r}")
        if self.trusts_loopback and allowed_hosts is not None and "*" in allowed_hosts:
            raise ConfigError("without a token any page of the web could speak through a browser: name the hosts")
        chosen = allowed_hosts or (LOOPBACK_NAMES if self.trusts_loopback else ("*",))
        for host in chosen:
            if host != "*" and _HOST.fullmatch(host) is None:
                raise ConfigError(f"a host is a name or an address, with a port or without one, not {host!r}")
        self._hosts = frozenset(host.lower() for host in chosen)
        self._public = frozenset(host.lower() for host in allowed_hosts or ())

    def caller(self, connection: HTTPConnection) -> Caller:
        """Tell who calls.

        Raises:
            Problem: 401.
        """
        given = connection.headers.getlist("authorization")
        if not given:
            if self.trusts_loopback and _is_local(connection):
                return Caller("local")
            raise unauthorised("this needs a token: Authorization: Bearer <token>")
        scheme, _, token = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            raise unauthorised("send one header, Authorization: Bearer <token>")
        token = token.strip()
        if self._token is not None and compare_digest(token.encode("utf-8"), self._token):
            return Caller("operator")
        if self._keyring is None:
            raise unauthorised("the token is wrong", "wrong_token")
        try:
            return Caller("question", verify(token, self._keyring, now=self._now()))
        except InvalidTokenError as error:
            raise unauthorised(str(error), "wrong_token") from None

    def check_host(self, connection: HTTPConnection) -> None:
        """Refuse a request that was meant for another host: a name may be made to point here.

        Raises:
            Problem: 400 for what is no host, 421 for one that is not allowed.
        """
        given = connection.headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise Problem(400, "bad_host", "the Host header is missing, doubled or no host")
        if not {"*", found["name"].lower(), found[0].lower()} & self._hosts:
            raise Problem(421, "wrong_host", "this host name is not served here; add it to allowed_hosts")

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse what a page of another site makes a browser send.

        Raises:
            Problem: 403.
        """
        site = connection.headers.getlist("sec-fetch-site")
        if any(one not in ("same-origin", "none") for one in site):
            raise _cross_site()
        origins = connection.headers.getlist("origin")
        if not origins:
            return
        found = _ORIGIN.fullmatch(origins[0]) if len(origins) == 1 else None
        if found is None:
            raise _cross_site()
        host = found["host"].lower()
        port = _DEFAULT_PORTS[found["scheme"]]
        own = connection.headers["host"].lower()
        # Behind a proxy the Host may be another one; then the public name has to be among those that were given.
        if host.removesuffix(port) != own.removesuffix(port) and host not in self._public:
            raise _cross_site()


def check_token(token: str) -> None:
    """Refuse a token that could be guessed.

    Raises:
        ConfigError: it is too short, repeats itself, is a sample, or cannot stand in a header.
    """
    if re.fullmatch(r"[!-~]+", token) is None and token:
        raise ConfigError(f"a token is made of visible ASCII characters, without spaces; {HINT}")
    try:
        Keyring({"token": token.encode()})
    except ConfigError as error:
        why = str(error).removeprefix("the signing key 'token' ")
        raise ConfigError(f"the token of the web inbox {why}") from None


def is_loopback(host: str) -> bool:
    """Tell whether an address, or the name localhost, stands for this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _is_local(connection: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy on it."""
    client = connection.client
    forwarded = any(name in connection.headers for name in _FORWARDED)
    return client is not None and is_loopback(client.host) and not forwarded


def _cross_site() -> Problem:
    return Problem(403, "cross_site", "this came from a page of another site")
