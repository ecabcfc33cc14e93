"""The key-value port that channels stand on: Protocols, the change a watcher sees, and nothing that stores anything.

Rules that every store keeps, whatever it is made of:

- A key is one full string, `namespace:key`; a prefix is any leading part of it. Values are Python objects, and come
  back equal and of the same type as they went in; how they are encoded is the business of the adapter.
- A verb that changes a value (`append`, `prepend`, `add`, `compare_and_set`) does so atomically, also between
  processes, and keeps the key's time to live unless it is given one. A plain `set` replaces value *and* time to live.
- A key whose time is up is missing for every verb from that moment on. A ttl of zero or less is up at once.
- A list that a verb has handed out is a snapshot: a later `append` does not change it.
- Whatever fails in the backend is a `StoreError`; a value of the wrong type is a `TypeError` and changes nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

ChangeKind = Literal["set", "delete", "expire", "lost"]


class Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        """Pickle as a name, so that there is one MISSING in every process."""
        return "MISSING"


MISSING: Final = Missing()
"""Stands for "no such key" where None is a value like any other."""

lock_holder: ContextVar[object | None] = ContextVar("graflow_lock_holder", default=None)
"""Who asks for a lock, where that is not simply the current asyncio task (a worker thread, for example).

Set it around the one acquisition and reset it: what a task sets for longer is inherited by the tasks it starts, and
all of them would then count as one holder.
"""


class Change:
    """Something that happened to a key.

    Attributes:
        key: the key; for `"lost"` the watched prefix.
        value: for `"set"` the new value; for `"lost"` how many changes were dropped, if the store can tell; else None.
        kind: `"set"` (by whichever verb), `"delete"`, `"expire"`, or `"lost"`: the watcher was too slow, and changes
            that came before the next one were dropped.
    """

    __slots__ = ("key", "kind", "value")

    def __init__(self, key: str, value: Any, kind: ChangeKind) -> None:
        self.key = key
        self.value = value
        self.kind: ChangeKind = kind

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        return (self.key, self.kind) == (other.key, other.kind) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]  # equality looks at a value that may be mutable

    def __repr__(self) -> str:
        return f"Change(key={self.key!r}, value={self.value!r}, kind={self.kind!r})"


class Watch(Protocol):
    """An open watch: an async iterator of changes, in the order in which they were made.

    It sees every change made after it was entered (`async with`) or, if it is not entered, after its first step was
    begun. It ends when it or its store is closed. One task at a time may wait on it. A store must not keep a watch
    alive that its user has dropped without closing it.
    """

    def __aiter__(self) -> Self:
        """Give the watch itself."""
        ...

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: the watch or its store was closed.
        """
        ...

    async def __aenter__(self) -> Self:
        """Begin to watch, at the latest now."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Close the watch."""
        ...

    async def aclose(self) -> None:
        """Stop watching; closing twice is fine."""
        ...


def prefix_of(namespace: str, name: str = "default") -> str:
    """Give what a store puts before the keys of a channel: its name, in the namespace of a run.

    The name is escaped, so that the channel "a" with the key "b:c" is not the channel "a:b" with the key "c".
    """
    return f"{namespace}:{name.replace('%', '%25').replace(':', '%3A')}:"


@runtime_checkable
class KeyValueStore(Protocol):
    """What a channel needs from a backend; the rules of the module docstring apply to every verb."""

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default` itself; a stored None is a value."""
        ...

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist."""
        ...

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        ...

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, in no promised order."""
        ...

    async def clear(self, prefix: str = "") -> int:
        """Remove the keys that start with `prefix` and give their number."""
        ...

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        ...

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        ...

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        ...

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """Add `amount` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `amount`, holds something else than an int or float.
        """
        ...

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """Store `value` if the key still holds `expected`, and say whether it did.

        `expected` may be MISSING (only if there is no such key), and so may `value` (remove the key). The same object
        is always equal to itself; otherwise type and value must be equal.
        """
        ...

    def watch(self, prefix: str = "", *, exact: bool = False) -> Watch:
        """Watch the keys that start with `prefix`, or with `exact` the one key of that name."""
        ...

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name; it is independent of the value under the same key.

        The holder is `lock_holder` if set, else the current asyncio task; it may take the lock again while it has it.
        Entering gives a fencing number, greater than those of all earlier holders.

        Raises:
            LockTimeoutError: on entering, if the lock is not to be had within `timeout` seconds (None: wait for ever).
        """
        ...

    async def aclose(self) -> None:
        """Give back what the store holds open and end its watches; closing twice is fine."""
        ...


@runtime_checkable
class Peekable(Protocol):
    """A store that lives in this process, so that reading needs no waiting."""

    def peek_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist, at once."""
        ...
