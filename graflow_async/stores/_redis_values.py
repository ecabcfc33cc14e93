"""Names and values of a Redis store as bytes. Nothing here talks to Redis."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

from .. import codec
from .._redis.names import run_prefix
from .._redis.payloads import Payloads
from ..errors import ConfigError, GraflowError
from ..store import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_LIST: Final = -1
"""Stands for the length of what is no list."""

# Longer than this is for good: the microseconds of a date beyond it would no longer be exact.
_LONGEST = 100 * 366 * 86_400.0  # seconds
_PREFIX = re.compile(r"[A-Za-z0-9_.:\-]+")
_NAMESPACE = re.compile(r"[^:/]*")
_PARTS = ("m", "v", "l", "i", "d", "r")


class Names:
    """What the keys of a store are called in Redis: all of a namespace with one hash tag, so on one node."""

    __slots__ = ("_prefix", "pattern")

    def __init__(self, prefix: str) -> None:
        """Let every name begin with `prefix`.

        Raises:
            ConfigError: it has other characters than letters, digits and any of `_ . : -`.
        """
        if _PREFIX.fullmatch(prefix) is None:
            raise ConfigError(f"prefix= is letters, digits and any of _ . : - and not {prefix!r}")
        self._prefix = prefix
        self.pattern = f"{prefix}:{{*}}:kv:"

    def home(self, key: str) -> str:
        """Give what the names of the namespace of `key` begin with: of its part before the first `:` or `/`."""
        found = _NAMESPACE.match(key)
        return run_prefix(found[0] if found is not None else "", self._prefix) + "kv:"

    def is_whole(self, prefix: str) -> bool:
        """Say whether all keys with this prefix are in one namespace."""
        return ":" in prefix or "/" in prefix

    def may_hold(self, home: str, prefix: str) -> bool:
        """Say whether keys of a namespace may have a prefix that ends inside its name."""
        tag = home[len(self._prefix) + 2 :]
        return not prefix or tag.startswith((prefix, "~"))  # behind "~" is a hash of the name

    def lock(self, key: str) -> list[str]:
        """Give the names of the parts of a lock, which has a tag of its own."""
        place = run_prefix("lock~" + key, self._prefix) + "lock:"
        return [place + part for part in ("h", "q", "a")]

    def inbox(self, client: str = "") -> str:
        """Give the channel on which a client hears that it has a lock."""
        return f"{self._prefix}:inbox:{client}"


def parts(home: str, client: str = "") -> list[str]:
    """Give the names of all parts of a namespace, and, for a client that changes it, that of its operations."""
    found = [home + part for part in _PARTS]
    return [*found, f"{home}o:{client}"] if client else found


def channel(home: str) -> str:
    """Give the channel on which changes of a namespace are told."""
    return home + "c"


def encoded(key: str) -> bytes:
    """Give a key as bytes; a prefix stays a prefix."""
    return key.encode("utf-8", "surrogatepass")


def decoded(name: bytes) -> str:
    """Give the key of bytes."""
    return name.decode("utf-8", "surrogatepass")


def between(prefix: str) -> tuple[bytes, bytes]:
    """Give the ends of the range in which keys with this prefix are; no key has the byte 255."""
    name = encoded(prefix)
    return (b"[" + name, b"[" + name + b"\xff") if name else (b"-", b"+")


def microseconds(ttl: float | None) -> str:
    """Give a time to live as scripts take it: empty for ever.

    Raises:
        ValueError: it is not a number.
    """
    if ttl is None or ttl > _LONGEST:
        return ""
    if math.isnan(ttl):
        raise ValueError("a ttl is a number of seconds, not nan")
    return str(math.ceil(max(ttl, -1.0) * 1_000_000))


class Values:
    """Values as signed bytes: each is bound to its key, so what was written there is refused elsewhere."""

    __slots__ = ("_payloads",)

    def __init__(self, keyring: codec.Keyring | None) -> None:
        """Sign with `keyring`, if there is one."""
        self._payloads = Payloads(keyring, "store")

    def dump(self, key: str, value: Any) -> tuple[bytes, int]:
        """Give a value as bytes, and the length of the list that it is.

        Raises:
            NotSerializableError: it cannot be pickled.
        """
        size = len(cast("list[Any]", value)) if type(value) is list else NO_LIST
        place = "list" if size != NO_LIST else "value"
        return self._bound(key, place).dumps(value, f"the value of {key!r}"), size

    def dump_item(self, key: str, value: Any) -> bytes:
        """Give an item of a list as bytes.

        Raises:
            NotSerializableError: it cannot be pickled.
        """
        return self._bound(key, "item").dumps(value, f"the item for {key!r}")

    def load(self, key: str, size: int, first: int, base: bytes | None, items: Sequence[bytes]) -> Any:
        """Give the value of what scripts answer: a value, or a list with the items in front of and behind it.

        Raises:
            SecurityError: a signature does not fit.
            NotSerializableError: something in it cannot be loaded here.
        """
        if size == NO_LIST:
            return self._bound(key, "value").loads(base or b"")
        middle: list[Any] = [] if base is None else self._bound(key, "list").loads(base)
        if not items:
            return middle
        loads = self._bound(key, "item").loads
        return [*(loads(item) for item in items[:-first]), *middle, *(loads(item) for item in items[-first:])]

    def _bound(self, key: str, place: str) -> Payloads:
        return self._payloads.bound_to(f"{place}:{key!a}")


class Version:
    """What a key held at one moment.

    Attributes:
        revision: tells it from whatever the key held before or after; 0 if there was no such key.
        value: MISSING if there was none.
        is_list: whether it is exactly a list.
    """

    __slots__ = ("is_list", "revision", "value")

    def __init__(self, revision: int, value: Any, *, is_list: bool) -> None:
        self.revision = revision
        self.value = value
        self.is_list = is_list


NOTHING: Final = Version(0, MISSING, is_list=False)


def is_same(current: Any, expected: Any) -> bool:
    """Say whether two values are equal and of one type; where that cannot be asked, whether they are pickled alike."""
    if current is expected:
        return True
    if current is MISSING or expected is MISSING or type(current) is not type(expected):
        return False
    try:
        if current == expected:
            return True
    except (TypeError, ValueError):
        pass  # arrays compare element by element and have no truth value
    # Copies of an object whose class does not say what equal means differ, and so do those of nan.
    try:
        return codec.dumps(current, "the value") == codec.dumps(expected, "the expected value")
    except GraflowError:
        return False


def by_home(names: Names, keys: Iterable[str]) -> dict[str, list[str]]:
    """Sort keys by namespace, each of them once."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        found.setdefault(names.home(key), []).append(key)
    return found
