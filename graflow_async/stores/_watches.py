"""Watching keys inside one process: bounded queues that are filled where a change is made. No values live here."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Self

from .._unread import Unread
from ..store import Change

if TYPE_CHECKING:
    from collections.abc import Iterable


_LEAST_SWEEP = 64


class LocalWatch:
    """A watch on a store of this event loop, open from the moment it is made."""

    __slots__ = ("__weakref__", "_limit", "_lost", "_unread", "_watches", "exact", "prefix")

    def __init__(self, watches: Watches, prefix: str, limit: int, *, exact: bool) -> None:
        self.prefix = prefix
        self.exact = exact
        self._watches = watches
        self._limit = limit
        self._unread: Unread[Change] = Unread()
        self._lost = 0

    def offer(self, change: Change) -> None:
        """Queue `change`, at the cost of the oldest one if the queue is full."""
        queue = self._unread.items
        if len(queue) >= self._limit:
            queue.popleft()
            self._lost += 1
        queue.append(change)
        self._unread.wake()

    def end(self) -> None:
        """Let the reader have what is queued, and then stop."""
        self._unread.is_over = True
        self._unread.wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._unread.arrival()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Change(self.prefix, lost, "lost")
        return self._unread.items.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        self._watches.remove(self)
        self.end()


class Watches:
    """The open watches of a store, found by key.

    They are held weakly: a reader that leaves its `async for` early and forgets to close costs nothing. The dead ones
    are found when something is published to them or, so that they cannot pile up, when their number has doubled.
    """

    __slots__ = ("_exact", "_prefixed", "_sweep_at", "active")

    def __init__(self) -> None:
        self._exact: dict[str, set[weakref.ref[LocalWatch]]] = {}
        self._prefixed: set[weakref.ref[LocalWatch]] = set()
        self._sweep_at = _LEAST_SWEEP
        self.active = False

    def __len__(self) -> int:
        return len(self._prefixed) + len(self._exact)

    def open(self, prefix: str, limit: int, *, exact: bool) -> LocalWatch:
        """Begin a watch whose reader may be `limit` changes behind."""
        if len(self) >= self._sweep_at:
            self._sweep()
        watch = LocalWatch(self, prefix, limit, exact=exact)
        bucket = self._exact.setdefault(prefix, set()) if exact else self._prefixed
        bucket.add(weakref.ref(watch))
        self.active = True
        return watch

    def remove(self, watch: LocalWatch) -> None:
        """Forget a watch, if it is still known."""
        self._forget(watch.prefix if watch.exact else None, weakref.ref(watch))

    def covers(self, key: str) -> bool:
        """Say whether anyone watches `key`."""
        return any(True for _ in self._watching(key))

    def publish(self, change: Change) -> None:
        """Hand `change` to everyone who watches its key."""
        for watch in self._watching(change.key):
            watch.offer(change)

    def end(self) -> None:
        """End all watches."""
        references = [*self._prefixed, *(reference for bucket in self._exact.values() for reference in bucket)]
        self._prefixed.clear()
        self._exact.clear()
        self.active = False
        for reference in references:
            watch = reference()
            if watch is not None:
                watch.end()

    def _watching(self, key: str) -> Iterable[LocalWatch]:
        for reference in tuple(self._exact.get(key, ())):
            watch = reference()
            if watch is None:
                self._forget(key, reference)
            else:
                yield watch
        for reference in tuple(self._prefixed):
            watch = reference()
            if watch is None:
                self._forget(None, reference)
            elif key.startswith(watch.prefix):
                yield watch

    def _sweep(self) -> None:
        for reference in [reference for reference in self._prefixed if reference() is None]:
            self._forget(None, reference)
        for key, bucket in list(self._exact.items()):
            for reference in [reference for reference in bucket if reference() is None]:
                self._forget(key, reference)
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(self))

    def _forget(self, exact_key: str | None, reference: weakref.ref[LocalWatch]) -> None:
        if exact_key is None:
            self._prefixed.discard(reference)
        else:
            bucket = self._exact.get(exact_key)
            if bucket is not None:
                bucket.discard(reference)
                if not bucket:
                    del self._exact[exact_key]
        self.active = bool(self._exact or self._prefixed)
