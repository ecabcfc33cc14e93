"""What every key-value store must do, as a class of pytest tests to inherit from.

Write a class whose name begins with `Test`, give it `make_store`, and let pytest (with pytest-asyncio) collect it::

    class TestMyStore(KeyValueStoreSuite):
        async def make_store(self):
            return MyStore(...)
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ..channel import Channel
from ..store import MISSING, KeyValueStore
from ._stores import CROWD, WatchAndLockTests

ROUND_TRIPS: list[Any] = [
    None,
    0,
    True,
    -1.5,
    "zwölf",
    b"\x00\xff",
    (1, 2),
    {1, 2},
    frozenset({"a"}),
    {1: "one", 2: "two"},
    {(1, 2): None},
    [1, "a", (2, {"b": {3}})],
    {},
    [],
]


class KeyValueStoreSuite(WatchAndLockTests):
    """The promises of `graflow_async.store.KeyValueStore`, one test each.

    Override `make_store`, and `pass_time` where the store's clock can be moved by hand. `ttl` and `patience` are
    seconds that a slow backend may want more of.
    """

    # Values

    async def test_fits_the_protocol(self) -> None:
        """A store has every verb of the port."""
        async with self.opened() as store:
            assert isinstance(store, KeyValueStore)

    @pytest.mark.parametrize("value", ROUND_TRIPS, ids=repr)
    async def test_values_come_back_as_they_went_in(self, value: Any) -> None:
        """Tuples stay tuples, sets sets, int keys ints, None a value; also inside others."""
        async with self.opened() as store:
            await store.set("s:k", value)
            assert _with_types(await store.get("s:k", MISSING)) == _with_types(value)

    async def test_missing_key_gives_the_default_itself(self) -> None:
        """A key that does not exist is told apart from one that holds None."""
        async with self.opened() as store:
            assert await store.get("s:k") is None
            assert await store.get("s:k", MISSING) is MISSING
            assert not await store.exists("s:k")
            await store.set("s:k", None)
            assert await store.get("s:k", MISSING) is None
            assert await store.exists("s:k")

    async def test_get_many_gives_what_exists(self) -> None:
        """Reading several keys leaves out those that do not exist."""
        async with self.opened() as store:
            await store.set("s:a", 1)
            await store.set("s:b", None)
            assert await store.get_many(["s:a", "s:b", "s:c"]) == {"s:a": 1, "s:b": None}
            assert await store.get_many([]) == {}

    async def test_delete_and_pop(self) -> None:
        """`delete` says whether the key existed, `pop` gives what it held."""
        async with self.opened() as store:
            await store.set("s:a", 1)
            assert await store.delete("s:a") is True
            assert await store.delete("s:a") is False
            await store.set("s:b", None)
            assert await store.pop("s:b", "default") is None
            assert await store.pop("s:b", "default") == "default"

    async def test_keys_and_clear_go_by_prefix(self) -> None:
        """A prefix is taken literally, and clearing one leaves the others alone."""
        async with self.opened() as store:
            for key in ("s:a", "s:b", "s*:c", "t:a"):
                await store.set(key, 1)
            assert sorted(await store.keys("s:")) == ["s:a", "s:b"]
            assert await store.keys("s*") == ["s*:c"]
            assert await store.clear("s:") == 2
            assert sorted(await store.keys()) == ["s*:c", "t:a"]
            assert await store.clear("nothing") == 0

    # Lists and numbers

    async def test_append_and_prepend(self) -> None:
        """Lists grow at both ends, from nothing, and both verbs give the new length."""
        async with self.opened() as store:
            assert [await store.append("s:a", item) for item in (1, (2,), None)] == [1, 2, 3]
            assert await store.get("s:a") == [1, (2,), None]
            assert [await store.prepend("s:b", item) for item in (1, 2, 3)] == [1, 2, 3]
            assert await store.get("s:b") == [3, 2, 1]
            await store.set("s:c", ["x"])
            assert await store.append("s:c", "y") == 2
            assert await store.prepend("s:c", "w") == 3
            assert await store.get("s:c") == ["w", "x", "y"]

    async def test_append_needs_a_list(self) -> None:
        """Appending to another value is a TypeError and changes nothing."""
        async with self.opened() as store:
            for value in ("text", 1, None, (1,)):
                await store.set("s:k", value)
                with pytest.raises(TypeError):
                    await store.append("s:k", 1)
                with pytest.raises(TypeError):
                    await store.prepend("s:k", 1)
                assert await store.get("s:k", MISSING) == value

    async def test_a_list_that_was_read_does_not_grow(self) -> None:
        """Reader and writer of a list are independent of later appends."""
        async with self.opened() as store:
            mine = [1]
            await store.set("s:k", mine)
            await store.append("s:k", 2)
            read = await store.get("s:k")
            await store.append("s:k", 3)
            many = await store.get_many(["s:k"])
            await store.append("s:k", 4)
            assert (mine, read, many["s:k"]) == ([1], [1, 2], [1, 2, 3])
            assert await store.get("s:k") == [1, 2, 3, 4]

    async def test_add(self) -> None:
        """A missing number counts as 0; negative and float amounts are fine; ints stay ints."""
        async with self.opened() as store:
            assert await store.add("s:k", 5) == 5
            assert await store.add("s:k") == 6
            total = await store.add("s:k", -2)
            assert total == 4
            assert type(total) is int
            assert type(await store.get("s:k")) is int
            assert await store.add("s:k", 0.5) == 4.5
            assert await store.add("s:big", 2**70) == 2**70

    async def test_add_needs_numbers(self) -> None:
        """Adding to something else, or something else, is a TypeError and changes nothing."""
        async with self.opened() as store:
            await store.set("s:k", "1")
            with pytest.raises(TypeError):
                await store.add("s:k", 1)
            assert await store.get("s:k") == "1"
            with pytest.raises(TypeError):
                await store.add("s:new", cast("Any", "1"))
            assert not await store.exists("s:new")

    async def test_compare_and_set(self) -> None:
        """Only who names the present value may replace it; MISSING means no key on either side."""
        async with self.opened() as store:
            assert await store.compare_and_set("s:k", None, 1) is False
            assert await store.compare_and_set("s:k", MISSING, {"n": 1}) is True
            assert await store.compare_and_set("s:k", MISSING, 2) is False
            assert await store.compare_and_set("s:k", {"n": 2}, 2) is False
            assert await store.compare_and_set("s:k", {"n": 1}, None) is True
            assert await store.compare_and_set("s:k", None, MISSING) is True
            assert not await store.exists("s:k")
            assert await store.compare_and_set("s:k", MISSING, MISSING) is True

    # Time to live

    async def test_a_key_is_gone_when_its_time_is_up(self) -> None:
        """Whatever verb set the ttl and whatever verb looks, the key is missing afterwards."""
        async with self.opened() as store:
            keys = ["s:set", "s:append", "s:prepend", "s:add", "s:cas"]

            async def write() -> dict[str, Any]:
                await store.set("s:set", 1, ttl=self.ttl)
                await store.append("s:append", 1, ttl=self.ttl)
                await store.prepend("s:prepend", 1, ttl=self.ttl)
                await store.add("s:add", 1, ttl=self.ttl)
                await store.compare_and_set("s:cas", MISSING, 1, ttl=self.ttl)
                return await store.get_many(keys)

            assert len(await self.in_time(store, write)) == 5
            await self.outlive()
            assert await store.keys("s:") == []
            assert await store.get_many(keys) == {}
            for key in keys:
                assert await store.get(key, MISSING) is MISSING
                assert not await store.exists(key)
                assert not await store.delete(key)
                assert await store.pop(key, MISSING) is MISSING
            assert await store.append("s:append", 2) == 1
            assert await store.add("s:add", 2) == 2

    async def test_a_ttl_of_zero_is_up_at_once(self) -> None:
        """Nothing is kept for no time, and what was there before is gone."""
        async with self.opened() as store:
            await store.set("s:k", 1)
            await store.set("s:k", 2, ttl=0)
            assert not await store.exists("s:k")

    async def test_a_plain_set_forgets_the_ttl(self) -> None:
        """What is set for good stays."""
        async with self.opened() as store:
            await store.set("s:k", 1, ttl=self.ttl)
            await store.set("s:k", 2)
            await self.outlive()
            assert await store.get("s:k") == 2

    async def test_changing_in_place_keeps_the_ttl(self) -> None:
        """Appending, adding and replacing do not make a passing key a lasting one."""
        async with self.opened() as store:

            async def write() -> None:
                await store.append("s:list", 1, ttl=self.ttl)
                await store.append("s:list", 2)
                await store.add("s:number", 1, ttl=self.ttl)
                await store.add("s:number", 1)
                await store.set("s:value", 1, ttl=self.ttl)
                await store.compare_and_set("s:value", 1, 2)

            await self.in_time(store, write)
            await self.outlive()
            assert await store.keys("s:") == []

    # Many at once

    async def test_competing_adds_and_appends_all_count(self) -> None:
        """No increment and no item is lost among many tasks."""
        async with self.opened() as store:
            await asyncio.gather(*(store.add("s:n") for _ in range(CROWD)))
            lengths = await asyncio.gather(*(store.append("s:l", number) for number in range(CROWD)))
            assert await store.get("s:n") == CROWD
            assert sorted(lengths) == list(range(1, CROWD + 1))
            assert sorted(await store.get("s:l")) == list(range(CROWD))

    async def test_one_of_many_compare_and_sets_wins(self) -> None:
        """Of all who want to replace one value, one does."""
        async with self.opened() as store:
            won = await asyncio.gather(*(store.compare_and_set("s:k", MISSING, number) for number in range(CROWD)))
            assert won.count(True) == 1
            assert await store.get("s:k") == won.index(True)

    async def test_competing_updates_all_count(self) -> None:
        """`Channel.update` loses nothing, although its function waits and changes the value it was given."""
        async with self.opened() as store:
            channel = Channel(store, "s")

            async def count(value: dict[str, int]) -> dict[str, int]:
                await asyncio.sleep(0)
                value["n"] += 1
                return value

            await asyncio.gather(*(channel.update("k", count, {"n": 0}) for _ in range(CROWD)))
            assert await channel.get("k") == {"n": CROWD}


def _with_types(value: Any) -> Any:
    """Give `value` with the types of all its parts, so that 1 and True, or a list and a tuple, differ."""
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return dict, [(_with_types(key), _with_types(item)) for key, item in items]
    if isinstance(value, (list, tuple)):
        return type(cast("Any", value)), [_with_types(item) for item in cast("list[Any]", value)]
    return type(value), value
