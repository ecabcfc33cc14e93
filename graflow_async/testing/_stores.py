"""The part of the store suite that is about waiting: watches and locks, and what every part needs to run."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from ..errors import LockTimeoutError
from ..store import Change, KeyValueStore, Watch, lock_holder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

T = TypeVar("T")

CROWD = 100
"""Tasks that compete in the tests of atomic verbs and of locks."""


class StoreTests:
    """How a test gets a store and lets time pass.

    Attributes:
        ttl: seconds that the tests let a key live; long enough for a few calls of the store.
        patience: seconds after which a test gives up.
    """

    pytestmark = pytest.mark.asyncio
    ttl = 0.2
    patience = 60.0

    async def make_store(self) -> KeyValueStore:
        """Make an empty store; the suite closes it."""
        raise NotImplementedError("the subclass says how its store is made")

    async def pass_time(self, seconds: float) -> None:
        """Let `seconds` go by for the store; override it where its clock can be moved."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[KeyValueStore]:
        """Make a store, fail if a test hangs, and close it."""
        store = await self.make_store()
        try:
            async with asyncio.timeout(self.patience):
                yield store
        finally:
            await store.aclose()

    async def outlive(self) -> None:
        """Let more time go by than a key with a ttl has."""
        await self.pass_time(self.ttl * 1.5)

    async def in_time(self, store: KeyValueStore, prepare: Callable[[], Awaitable[T]]) -> T:
        """Do something with keys that have a ttl; again, with a longer one, while the machine is too slow for it."""
        now = asyncio.get_running_loop().time
        while True:
            begun = now()
            found = await prepare()
            if now() - begun < self.ttl:
                return found
            self.ttl *= 2
            await store.clear("s:")


class WatchAndLockTests(StoreTests):
    """Watches and locks."""

    async def test_a_watch_sees_every_change_in_order(self) -> None:
        """Whatever verb makes a change, a watcher of the prefix gets it, in order, and nothing of other keys."""
        async with self.opened() as store, store.watch("s:") as changes:
            await store.set("s:a", 1)
            await store.set("t:a", 1)
            await store.add("s:a", 2)
            await store.append("s:b", "x")
            await store.prepend("s:b", "w")
            await store.compare_and_set("s:a", 0, 1)
            await store.compare_and_set("s:a", 3, None)
            await store.delete("s:a")
            await store.delete("s:a")
            await store.pop("s:b")
            await store.set("s:c", (1,))
            await store.clear("s:")
            assert await _take(changes, 9) == [
                Change("s:a", 1, "set"),
                Change("s:a", 3, "set"),
                Change("s:b", ["x"], "set"),
                Change("s:b", ["w", "x"], "set"),
                Change("s:a", None, "set"),
                Change("s:a", None, "delete"),
                Change("s:b", None, "delete"),
                Change("s:c", (1,), "set"),
                Change("s:c", None, "delete"),
            ]

    async def test_an_exact_watch_sees_one_key(self) -> None:
        """Watching one key leaves out those that begin like it."""
        async with self.opened() as store, store.watch("s:k", exact=True) as changes:
            await store.set("s:k2", 1)
            await store.set("s:k", 2)
            assert await _take(changes, 1) == [Change("s:k", 2, "set")]

    async def test_every_watch_gets_every_change(self) -> None:
        """Watchers do not take changes from each other, and none gets what was before it."""
        async with self.opened() as store:
            await store.set("s:k", 0)
            async with store.watch("s:") as first, store.watch("s:k", exact=True) as second:
                for number in range(CROWD):
                    await store.set("s:k", number)
                for changes in (first, second):
                    assert [change.value for change in await _take(changes, CROWD)] == list(range(CROWD))

    async def test_a_waiting_watcher_is_woken(self) -> None:
        """A watcher that waits already gets the next change."""
        async with self.opened() as store, store.watch("s:") as changes:
            waiting = asyncio.ensure_future(_take(changes, 1))
            await asyncio.sleep(0)
            await store.set("s:k", "late")
            assert await waiting == [Change("s:k", "late", "set")]

    async def test_a_watch_sees_keys_expire(self) -> None:
        """A key that nobody touches is reported when its time is up."""
        async with self.opened() as store, AsyncExitStack() as watches:

            async def begin() -> tuple[Watch, list[Change]]:
                await watches.aclose()
                await store.set("s:before", 1, ttl=self.ttl)
                changes = await watches.enter_async_context(store.watch("s:"))
                await store.set("s:after", 1, ttl=self.ttl)
                return changes, await _take(changes, 1)

            changes, seen = await self.in_time(store, begin)
            assert seen == [Change("s:after", 1, "set")]
            waiting = asyncio.ensure_future(_take(changes, 2))
            await self.outlive()
            expired = await waiting
            assert {(change.key, change.kind) for change in expired} == {("s:before", "expire"), ("s:after", "expire")}

    async def test_a_watch_ends_with_itself_or_its_store(self) -> None:
        """Closing either ends the iteration, for a reader that waits too; closing twice is fine."""
        async with self.opened() as store:
            changes = store.watch("s:")
            async with changes:
                await changes.aclose()
                assert [change async for change in changes] == []
            seen = asyncio.Event()

            async def read(changes: Watch) -> list[str]:
                kinds: list[str] = []
                async for change in changes:
                    kinds.append(change.kind)
                    seen.set()
                return kinds

            async with store.watch("s:") as changes:
                reader = asyncio.ensure_future(read(changes))
                await store.set("s:k", 1)
                await seen.wait()
                await store.aclose()
                assert await reader == ["set"]
            await store.aclose()

    async def test_a_lock_excludes(self) -> None:
        """Of many tasks one at a time is inside, and each has a higher fencing number than the one before."""
        async with self.opened() as store:
            fences: list[int] = []

            async def count() -> None:
                async with store.lock("s:k", self.patience) as fence:
                    fences.append(fence)
                    seen = await store.get("s:n", 0)
                    await asyncio.sleep(0)
                    await store.set("s:n", seen + 1)

            await asyncio.gather(*(count() for _ in range(CROWD)))
            assert await store.get("s:n") == CROWD
            assert fences == sorted(set(fences))

    async def test_a_held_lock_times_out(self) -> None:
        """Who cannot have the lock in time gets a LockTimeoutError; other locks and the value are not concerned."""
        async with self.opened() as store:

            async def take(key: str, seconds: float) -> str:
                async with store.lock(key, seconds):
                    return "taken"

            async with store.lock("s:k"):
                for seconds in (0, 0.01):
                    with pytest.raises(LockTimeoutError):
                        await asyncio.create_task(take("s:k", seconds))
                assert await asyncio.create_task(take("s:other", 0)) == "taken"
                await store.set("s:k", 1)
                assert await store.keys() == ["s:k"]
            assert await asyncio.create_task(take("s:k", 0)) == "taken"

    async def test_a_lock_is_re_entrant_for_its_holder(self) -> None:
        """The holder may take the lock again, and it is free only after the last release."""
        async with self.opened() as store:

            async def is_free() -> bool:
                try:
                    async with store.lock("s:k", 0):
                        return True
                except LockTimeoutError:
                    return False

            async with store.lock("s:k") as outer:
                async with store.lock("s:k", 0) as inner:
                    assert inner == outer
                assert not await asyncio.create_task(is_free())
            assert await asyncio.create_task(is_free())

    async def test_the_named_holder_has_the_lock(self) -> None:
        """With `lock_holder` set, that is who holds, whichever asyncio task asks; releasing needs no holder."""
        async with self.opened() as store:

            async def take(holder: str | None) -> AbstractAsyncContextManager[int]:
                token = lock_holder.set(holder)
                try:
                    held = store.lock("s:k", 0)
                    await held.__aenter__()
                finally:
                    lock_holder.reset(token)
                return held

            first = await asyncio.create_task(take("thread 1"))
            again = await asyncio.create_task(take("thread 1"))
            for other in ("thread 2", None):
                with pytest.raises(LockTimeoutError):
                    await asyncio.create_task(take(other))
            for held in (again, first):
                await held.__aexit__(None, None, None)
            await (await asyncio.create_task(take("thread 2"))).__aexit__(None, None, None)

    async def test_a_lock_is_free_after_an_error(self) -> None:
        """An exception leaves through the lock, unchanged, and the lock is free."""
        async with self.opened() as store:
            with pytest.raises(ZeroDivisionError):
                async with store.lock("s:k"):
                    raise ZeroDivisionError
            async with store.lock("s:k", 0):
                pass

    async def test_a_cancelled_waiter_takes_no_lock(self) -> None:
        """Cancelling one of those who wait, also in the moment of its turn, costs the others nothing."""
        async with self.opened() as store:
            waiting = asyncio.Event()
            taken: list[str] = []

            async def take(name: str) -> None:
                waiting.set()
                async with store.lock("s:k"):
                    taken.append(name)

            async with store.lock("s:k"):
                names = ("early", "sudden", "late", "last")
                early, sudden, late, last = [asyncio.create_task(take(name)) for name in names]
                await waiting.wait()
                early.cancel()
                await asyncio.wait([early])
                sudden.cancel()
            late.cancel()
            await asyncio.wait([sudden, late, last])
            assert early.cancelled()
            assert sudden.cancelled()
            assert taken[-1] == "last"
            async with store.lock("s:k", 0):
                pass


async def _take(changes: Watch, count: int) -> list[Change]:
    """Read the next `count` changes."""
    found: list[Change] = []
    async for change in changes:
        found.append(change)
        if len(found) == count:
            break
    return found
