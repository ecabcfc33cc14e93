"""What a key-value store must do that several processes share, as a class of pytest tests to inherit from.

It has the tests of `KeyValueStoreSuite` as well. Give it `make_store` and `make_another`, which makes a second store of
the same values, as another process would have it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ..channel import Channel
from ..errors import LockTimeoutError
from ..store import MISSING, Change, KeyValueStore
from ._stores import CROWD
from .stores import KeyValueStoreSuite

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class SharedStoreSuite(KeyValueStoreSuite):
    """The promises of a store between processes, one test each, on top of those inside one."""

    async def make_another(self) -> KeyValueStore:
        """Make a second store of the values that the first has; the suite closes it."""
        raise NotImplementedError("the subclass says how the same values are opened again")

    @asynccontextmanager
    async def both(self) -> AsyncGenerator[tuple[KeyValueStore, KeyValueStore]]:
        """Make two stores of the same values, and close them."""
        async with self.opened() as first:
            second = await self.make_another()
            try:
                yield first, second
            finally:
                await second.aclose()

    async def test_what_one_writes_the_other_reads(self) -> None:
        """Every verb works on what another store of the same values has written."""
        async with self.both() as (first, second):
            await first.set("s:a", (1, {2}))
            assert await second.get("s:a") == (1, {2})
            await first.append("s:l", 1)
            assert await second.append("s:l", 2) == 2
            assert await first.prepend("s:l", 0) == 3
            assert await second.get("s:l") == [0, 1, 2]
            assert sorted(await second.keys("s:")) == ["s:a", "s:l"]
            assert await second.pop("s:a") == (1, {2})
            assert not await first.exists("s:a")
            assert await second.clear("s:") == 1
            assert await first.keys() == []

    async def test_changes_of_two_stores_all_count(self) -> None:
        """No increment, item or update is lost between two stores, and each length and sum is given once."""
        async with self.both() as stores:
            sums = await asyncio.gather(*(stores[number % 2].add("s:n") for number in range(CROWD)))
            assert sorted(sums) == list(range(1, CROWD + 1))
            lengths = await asyncio.gather(*(stores[number % 2].append("s:l", number) for number in range(CROWD)))
            assert sorted(lengths) == list(range(1, CROWD + 1))
            assert sorted(await stores[0].get("s:l")) == list(range(CROWD))
            channels = [Channel(store, "s") for store in stores]
            await asyncio.gather(
                *(channels[number % 2].update("u", lambda value: value + 1, 0) for number in range(CROWD))
            )
            assert await channels[1].get("u") == CROWD

    async def test_one_of_two_stores_wins(self) -> None:
        """Of all who want to make, replace or remove one value, in whichever store, one does."""
        async with self.both() as stores:
            for expected, value in ((MISSING, "made"), ("made", "replaced"), ("replaced", MISSING)):
                won = await asyncio.gather(
                    *(store.compare_and_set("s:k", expected, value) for store in stores for _ in range(CROWD // 10))
                )
                assert won.count(True) == 1
            await stores[0].set("s:k", 1)
            taken = await asyncio.gather(*(store.pop("s:k") for store in stores for _ in range(CROWD // 10)))
            assert taken.count(1) == 1
            await stores[0].set("s:k", 1)
            gone = await asyncio.gather(*(store.delete("s:k") for store in stores for _ in range(CROWD // 10)))
            assert gone.count(True) == 1

    async def test_a_watch_sees_what_another_store_changes(self) -> None:
        """Changes of both stores come in the order in which they were made, with their values."""
        async with self.both() as (first, second), first.watch("s:") as changes:
            for number in range(10):
                await (first, second)[number % 2].append("s:l", number)
            await second.set("s:k", {1: None})
            await second.clear("s:")
            seen = [await anext(changes) for _ in range(13)]
            assert seen[:11] == [
                *(Change("s:l", list(range(number + 1)), "set") for number in range(10)),
                Change("s:k", {1: None}, "set"),
            ]
            assert {(change.key, change.kind) for change in seen[11:]} == {("s:k", "delete"), ("s:l", "delete")}

    async def test_a_watch_sees_expire_what_another_store_set(self) -> None:
        """A key whose time is up is reported once to every watcher, whoever set it and however it was found out."""
        async with self.both() as (first, second), first.watch("s:") as mine, second.watch("s:k", exact=True) as other:
            await second.set("s:k", 1, ttl=self.ttl)
            await self.outlive()
            assert not await first.exists("s:k")
            await first.set("s:k", 2)
            expected = [Change("s:k", 1, "set"), Change("s:k", None, "expire"), Change("s:k", 2, "set")]
            for changes in (mine, other):
                assert [await anext(changes) for _ in range(3)] == expected

    async def test_a_lock_excludes_the_other_store(self) -> None:
        """One task of either store is inside at a time, and fencing numbers grow over both."""
        async with self.both() as stores:
            fences: list[int] = []

            async def count(store: KeyValueStore) -> None:
                async with store.lock("s:k", self.patience) as fence:
                    fences.append(fence)
                    seen = await store.get("s:n", 0)
                    await asyncio.sleep(0)
                    await store.set("s:n", seen + 1)

            await asyncio.gather(*(count(stores[number % 2]) for number in range(CROWD)))
            assert await stores[0].get("s:n") == CROWD
            assert fences == sorted(set(fences))

    async def test_a_lock_that_the_other_store_holds_times_out(self) -> None:
        """Waiting ends in time, costs nobody the lock, and who waits longer has it after the release."""
        async with self.both() as (first, second):
            async with first.lock("s:k"):
                for seconds in (0, 0.01):
                    with pytest.raises(LockTimeoutError):
                        async with second.lock("s:k", seconds):
                            pass
                held = second.lock("s:k")
                waiting = asyncio.ensure_future(held.__aenter__())
                await asyncio.sleep(0)
            await waiting
            with pytest.raises(LockTimeoutError):
                async with first.lock("s:k", 0):
                    pass
            await held.__aexit__(None, None, None)
            async with first.lock("s:k", 0):
                pass
