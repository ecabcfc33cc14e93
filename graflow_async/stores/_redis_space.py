"""The scripts of a Redis store as methods: what stands under keys, page by page, and changes that know a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._redis_calls import Calls
from ._redis_values import (
    NO_LIST,
    NOTHING,
    Names,
    Values,
    Version,
    between,
    channel,
    decoded,
    encoded,
    microseconds,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

_PAGE = 500  # keys that one script looks at
_CLEAR_PAGE = 100  # keys that one script removes
_READ_PAGE = 100  # keys that one script reads
_EXPIRE_PAGE = 100  # keys that one script drops


class Space:
    """All namespaces of a store.

    Attributes:
        names: what their keys are called.
        values: how their values are written.
        keep: milliseconds that a namespace stays when nothing is done with it; 0 for ever.
    """

    __slots__ = ("_calls", "keep", "names", "values")

    def __init__(self, calls: Calls, names: Names, values: Values, keep: int) -> None:
        self._calls = calls
        self.names = names
        self.values = values
        self.keep = keep

    async def exists(self, key: str) -> bool:
        """Say whether a key has a value.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        return (await self._read("exists", self.names.home(key), [key]))[0] is not None

    async def version(self, key: str) -> Version:
        """Give what a key holds now.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: the value was not signed with a known key, or for another place.
        """
        home = self.names.home(key)
        while True:
            answer = (await self._read("value", home, [key]))[0]
            if answer is None:
                return NOTHING
            found = await self._whole(key, home, answer)
            if found is not None:
                return found

    async def versions(self, home: str, keys: Sequence[str]) -> dict[str, Version]:
        """Give what those of some keys of one namespace hold that exist.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: a value was not signed with a known key, or for another place.
        """
        found: dict[str, Version] = {}
        for start in range(0, len(keys), _READ_PAGE):
            page = keys[start : start + _READ_PAGE]
            for key, answer in zip(page, await self._read("value", home, page), strict=True):
                if answer is not None:
                    version = await self._whole(key, home, answer) or await self.version(key)
                    if version is not NOTHING:
                        found[key] = version
        return found

    async def version_at(self, key: str, home: str, numbers: Sequence[int]) -> Version | None:
        """Give what a key held when its entry had these numbers (size, id, first place, one behind the last).

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: the value was not signed with a known key, or for another place.
        """
        _, list_id, first, behind = numbers
        answer = await self._page(key, home, (list_id, first, behind), first)
        return None if answer is None else await self._whole(key, home, answer)

    def load(self, key: str, answer: Sequence[Any]) -> Version:
        """Give the version that an answer tells of: revision, size, first place, base and items.

        Raises:
            SecurityError: a value was not signed with a known key, or for another place.
        """
        revision, size, first, base, items = answer
        return Version(revision, self.values.load(key, size, first, base, items), is_list=size != NO_LIST)

    async def _whole(self, key: str, home: str, answer: Sequence[Any]) -> Version | None:
        """Give the version that an answer begins to tell of; None if the key changed before the end of a long list."""
        revision, size, first, base, found, list_id, behind = answer
        items: list[bytes] = found
        while len(items) < behind - first:
            more = await self._page(key, home, (list_id, first, behind), first + len(items))
            if more is None:
                return None
            items.extend(more[4])
        return self.load(key, (revision, size, first, base, items))

    async def _page(self, key: str, home: str, numbers: tuple[int, int, int], place: int) -> list[Any] | None:
        args = ["version", encoded(key), *numbers, place]
        return (await self._calls.run(f"reading {key!r}", "kv_read", parts(home), args))[0]

    async def _read(self, wanted: str, home: str, keys: Sequence[str]) -> list[Any]:
        args = [wanted, *(encoded(key) for key in keys)]
        return await self._calls.run(f"reading {keys[0]!r}", "kv_read", parts(home), args)

    async def write(
        self,
        verb: str,
        key: str,
        data: bytes = b"",
        size: int = NO_LIST,
        ttl: float | None = None,
        expected: Version | None = None,
    ) -> list[Any]:
        """Change a key, if it still has the expected version, and give what the script of writing answers.

        Raises:
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        home = self.names.home(key)
        args = [verb, encoded(key), data, size, microseconds(ttl), "" if expected is None else expected.revision]
        names, start = parts(home, self._calls.name), (channel(home), self.keep)
        return await self._calls.run_once(f"{verb} of {key!r}", "kv_write", names, start, args)

    async def keys(self, prefix: str) -> list[str]:
        """Give the keys with a prefix.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        found: list[str] = []
        what = f"listing the keys {prefix!r}*"
        async for home in self.homes(prefix):
            lower, upper = between(prefix)
            while True:
                last, names = await self._calls.run(what, "kv_keys", parts(home), [lower, upper, _PAGE])
                found.extend(decoded(name) for name in names)
                if last is None:
                    break
                lower = b"(" + last
        return found

    async def clear(self, prefix: str) -> int:
        """Remove the keys with a prefix, and give their number.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        count = 0
        what = f"clearing the keys {prefix!r}*"
        async for home in self.homes(prefix):
            names, start = parts(home, self._calls.name), (channel(home), self.keep)
            lower, upper = between(prefix)
            while True:
                last, removed = await self._calls.run_once(what, "kv_clear", names, start, [lower, upper, _CLEAR_PAGE])
                count += removed
                if last is None:
                    break
                lower = b"(" + last
        return count

    async def expire(self, home: str) -> tuple[int, float | None]:
        """Drop keys whose time is up and let the namespace stay; give its revision and the seconds to the next one.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        args = [channel(home), self.keep, _EXPIRE_PAGE]
        revision, due = await self._calls.run(f"expiring keys of {home}", "kv_expire", parts(home), args)
        return revision, None if due < 0 else due / 1_000_000

    async def homes(self, prefix: str) -> AsyncGenerator[str]:
        """Yield what the names of every namespace begin with in which a key may have this prefix.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        if self.names.is_whole(prefix):
            yield self.names.home(prefix)
            return
        pattern = self.names.pattern + "i"
        client: Any = self._calls.client
        cursor, seen = 0, set[str]()

        def scan(_: bool) -> Coroutine[Any, Any, Any]:  # noqa: FBT001  # as `patiently` calls it
            return client.scan(cursor, match=pattern, count=1000)

        while True:
            cursor, names = await self._calls.patiently("looking for namespaces", scan)
            for name in names:
                home = name.decode()[:-1]
                if home not in seen and self.names.may_hold(home, prefix):
                    seen.add(home)
                    yield home
            if not cursor:
                return
