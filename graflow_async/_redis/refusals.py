"""What errors of Redis mean: whether they pass, whether another server is to be looked for, and what helps."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from redis import exceptions as faults

from ..errors import ConfigError, GraflowError, StoreError, StoreUnavailableError
from ..redis_errors import RedisAccessError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREACHABLE = (faults.ConnectionError, faults.TimeoutError, OSError)
HANDING_OVER = (faults.ReadOnlyError, faults.ClusterDownError, faults.MasterDownError, faults.TryAgainError)
# What Redis says while it restarts or hands over: it passes, so trying again makes sense. The client takes these words
# off messages that it has a class for, and inside a script they stand in the middle.
PASSING = re.compile(
    r"\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|UNBLOCKED|NOREPLICAS)\b|read only replica"
)
# Redis 6 lets scripts say it in words of its own.
_NO_RIGHT = re.compile(r"\bNOPERM\b|no permissions to|user executing the script can't")
_IN_CLUSTER = re.compile(r"\b(MOVED|ASK|CROSSSLOT)\b|not allowed in cluster mode")
_OF_CLUSTERS = (faults.AskError, faults.ClusterCrossSlotError)
_WAYS_BREAK = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
# What a server that ends, or is in trouble itself, says of TLS, and what we say when it ends while we do.
_TLS_BREAKS = ("TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED", "APPLICATION_DATA_AFTER_CLOSE_NOTIFY")
# What a server says that has got none, or one that it does not like.
_ABOUT_OURS = re.compile(r"_ALERT_(.*CERTIFICATE|UNKNOWN_CA)")
RIGHTS = (
    "~graflow:* resetchannels &graflow:* &graflow:{*}:kv:c +@read +@write +@pubsub +@connection +eval +evalsha "
    "+script|load +select +time +wait -@dangerous +info"
)
"""What a user of Redis needs, as `ACL SETUSER` takes it."""
NO_CLUSTER = (
    "Redis Cluster is not supported: this server runs in cluster mode (cluster-enabled yes), where one script may not "
    "touch all that belongs together. Use a Redis without it; if it has to survive its machine, one with replicas, "
    "behind a name that follows the primary or with Sentinels (redis+sentinel://host:port,host:port/NAME)"
)


class ClusterModeError(faults.RedisError):
    """The server is part of a Redis Cluster."""


class NoWayInError(faults.RedisError):
    """Waiting would not help; it says itself what would."""


def passes(error: BaseException) -> bool:
    """Say whether trying again later makes sense."""
    if isinstance(error, (faults.AuthenticationError, faults.AuthorizationError, faults.NoPermissionError)):
        return False
    if isinstance(error, (*HANDING_OVER, *UNREACHABLE)):
        return _tls_fault(error) is None
    return isinstance(error, faults.ResponseError) and PASSING.search(str(error)) is not None


def is_elsewhere(error: BaseException) -> bool:
    """Say whether a server answers and is not the one to talk to: the way to it should be looked for again."""
    return isinstance(error, (faults.ResponseError, faults.BusyLoadingError)) and passes(error)


def ours(error: BaseException, what: str) -> GraflowError:
    """Give our error for one of Redis; `what` says what was tried."""
    if is_of_cluster(error):
        return ConfigError(f"{what}: {NO_CLUSTER}")
    advice = advice_on(error)
    if advice is not None:
        return RedisAccessError(f"{what}: {advice}")
    if passes(error):
        why = f"{type(error).__name__}: {error}" if str(error) else "nothing came in time"
        return StoreUnavailableError(f"{what}: Redis does not answer ({why})")
    return StoreError(f"{what}: Redis refused ({type(error).__name__}: {error})")


def more_telling(error: Exception, before: Exception | None) -> Exception:
    """Give the error to raise when patience ends: that the time was up says less than what went wrong before."""
    is_mute = any(isinstance(each, (TimeoutError, faults.TimeoutError)) for each in (error, error.__cause__))
    return before if is_mute and before is not None else error


def is_of_cluster(error: BaseException) -> bool:
    """Say whether it is one that only the server of a Redis Cluster gives."""
    if isinstance(error, (ClusterModeError, *_OF_CLUSTERS)):
        return True
    return isinstance(error, faults.ResponseError) and _IN_CLUSTER.search(str(error)) is not None


def advice_on(error: BaseException) -> str | None:
    """Say what to do about a Redis that does not let us in; None for all other errors."""
    if isinstance(error, NoWayInError):
        return str(error)
    if isinstance(error, (faults.NoPermissionError, faults.AuthorizationError)) or (
        isinstance(error, faults.ResponseError) and _NO_RIGHT.search(str(error)) is not None
    ):
        return f"the user of the URL lacks a right in Redis ({error}); all that it needs: ACL SETUSER NAME {RIGHTS}"
    if isinstance(error, faults.AuthenticationError):
        return _advice_on_names(str(error))
    fault = _tls_fault(error)
    if isinstance(fault, ssl.SSLCertVerificationError):
        return (
            f"the certificate of Redis is not accepted ({fault.verify_message}); name the file of its CA with "
            "rediss://...?ssl_ca_certs=PATH, and connect to a host name that stands in the certificate"
        )
    if fault is not None and _ABOUT_OURS.search(str(fault.reason)) is not None:
        return (
            f"the server does not accept our certificate ({fault.reason}); the URL names one of a "
            "CA that it knows: rediss://...?ssl_certfile=PATH&ssl_keyfile=PATH"
        )
    if fault is not None:
        return (
            f"TLS with Redis fails ({fault.reason or fault}); rediss:// needs a port that speaks TLS, and where the "
            "server asks for a certificate the URL names it: rediss://...?ssl_certfile=PATH&ssl_keyfile=PATH"
        )
    return None


def _advice_on_names(text: str) -> str:
    where = "redis://NAME:PASSWORD@host:port/db"
    if "without any password" in text:
        return f"the URL has a password, and the default user of this Redis has none; take it out of the URL: {where}"
    if "required" in text.lower() or "already authenticated" in text:
        return f"Redis wants a name and a password; put them into the URL: {where}"
    return (
        f"Redis does not accept the name and password of the URL; check them there ({where}, special characters "
        "percent-encoded), and the user with ACL GETUSER NAME: it may be unknown, off, or have another password"
    )


def _tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Find what is wrong with TLS itself, not with the way: the client puts errors of its own around it."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLError) and not isinstance(each, _WAYS_BREAK) and each.reason not in _TLS_BREAKS:
            return each
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
