"""FileStore: the published suite, and what only values in a file promise."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

from graflow_async.errors import NotSerializableError, StoreError
from graflow_async.store import MISSING, Change, KeyValueStore
from graflow_async.stores.file import FileStore
from graflow_async.testing.stores import KeyValueStoreSuite
from tests.stores.file_changes import KEYRING, Clock, contents, store_at

SEED = 20_260_302
LARGE = 200_000  # bytes; written in a thread


class TestFileStore(KeyValueStoreSuite):
    """The suite, on the wall clock and the loop's own timers."""

    ttl = 0.3

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.path = tmp_path / "deep" / "store"

    async def make_store(self) -> KeyValueStore:
        return FileStore(self.path, keyring=KEYRING)


class TestFileStoreThatCompactsAllTheTime(TestFileStore):
    """The suite, while the file is rewritten whenever it can be."""

    async def make_store(self) -> KeyValueStore:
        return FileStore(self.path, keyring=KEYRING, compact_at=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store"


BUILT_IN = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**100],
    "floats": [0.5, float("inf"), -0.0],
    "complex": 1 + 2j,
    "text": "zwölf \x00 \U0001f600 \udc80",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "tuple": (1, (2,), ()),
    "list": [1, [2], []],
    "dict": {1: "one", (1, 2): None, "d": {}},
    "set": {1, "a"},
    "frozenset": frozenset({1}),
    "range": range(1, 9, 2),
    "slice": slice(1, 2),
    "ellipsis": ...,
    "type": int,
    "function": len,
    "exception": ValueError("x"),
    "decimal": Decimal("1.10"),
}


async def test_values_of_every_built_in_type_are_there_after_reopening(path):
    """What was stored comes back equal, of the same type, also inside others, from another store on the file."""
    async with store_at(path) as store:
        for key, value in BUILT_IN.items():
            await store.set(key, value)
            await store.append("all", value)
    async with store_at(path) as store:
        found = await contents(store)
    everything = found.pop("all")
    error, listed = found.pop("exception"), everything.pop(list(BUILT_IN).index("exception"))
    assert [(type(each), each.args) for each in (error, listed)] == [(ValueError, ("x",))] * 2
    expected = {key: value for key, value in BUILT_IN.items() if key != "exception"}
    assert found == expected
    assert everything == list(expected.values())
    assert [type(value) for value in everything] == [type(value) for value in expected.values()]


async def test_a_value_that_cannot_be_pickled_changes_nothing(path):
    """Who stores a generator is told so, by every verb, and file and memory are as before."""
    async with store_at(path) as store:
        await store.set("k", [1])
        size = path.stat().st_size
        bad = (number for number in ())
        for write in (
            store.set("k", bad),
            store.append("k", bad),
            store.prepend("k", bad),
            store.compare_and_set("k", [1], bad),
            store.set("new", {"deep": [bad]}),
        ):
            with pytest.raises(NotSerializableError, match="generator"):
                await write
        assert await contents(store) == {"k": [1]}
        assert path.stat().st_size == size


async def every_verb(store):
    """Change keys by all verbs and give what is left."""
    await store.set("set", 1)
    await store.set("set", (2,))
    await store.append("list", "b")
    await store.append("list", "c")
    await store.prepend("list", "a")
    await store.set("given", ["x"])
    await store.append("given", "y")
    await store.prepend("given", "w")
    await store.prepend("front", 1)
    await store.add("number", 2)
    await store.add("number", 0.5)
    await store.compare_and_set("cas", MISSING, 1)
    await store.compare_and_set("cas", 1, 2)
    await store.compare_and_set("cas", 1, 3)
    await store.set("gone 1", 1)
    await store.delete("gone 1")
    await store.append("gone 2", 1)
    await store.pop("gone 2")
    await store.append("gone 2", 2)
    await store.set("gone 3", 1)
    await store.compare_and_set("gone 3", 1, MISSING)
    await store.set("p:1", 1)
    await store.set("p:2", 1)
    await store.clear("p:")
    await store.set("p:3", 3)
    await store.set("large", "x" * LARGE)
    await store.append("large list", "x" * LARGE)
    await store.append("large list", "y" * LARGE)
    return await contents(store)


async def test_every_verb_is_kept(path):
    """Whatever verb made a change, it is there after reopening: by another store, and by the same one."""
    store = store_at(path)
    expected = await every_verb(store)
    await store.aclose()
    assert expected["list"] == ["a", "b", "c"]
    assert expected["gone 2"] == [2]
    assert expected["number"] == 2.5
    assert await contents(store) == expected
    await store.aclose()
    for _ in range(2):
        async with store_at(path) as again:
            assert await contents(again) == expected


async def test_random_changes_are_what_memory_says(path):
    """Any row of verbs gives after reopening, with and without a rewritten file, what it gave before."""
    draw = random.Random(SEED)
    for compact_at in (0, 1 << 30):
        for _ in range(5):
            async with store_at(path, compact_at=compact_at) as store:
                for _ in range(200):
                    key = f"k{draw.randrange(6)}"
                    value = draw.choice((1, "text", [1], "x" * draw.randrange(3_000)))
                    verb = draw.choice(("set", "append", "prepend", "add", "delete", "clear", "cas"))
                    try:
                        if verb in {"set", "append", "prepend"}:
                            await getattr(store, verb)(key, value)
                        elif verb == "cas":
                            await store.compare_and_set(key, await store.get(key, MISSING), value)
                        elif verb == "add":
                            await store.add(key)
                        else:
                            await getattr(store, verb)(key)
                    except TypeError:
                        continue
                before = await contents(store)
            async with store_at(path, compact_at=compact_at) as store:
                assert await contents(store) == before


async def test_times_to_live_go_on_while_the_file_is_closed(path):
    """A key is up when its time is up, whether or not somebody had the file open; the others live on."""
    clock = Clock()
    async with store_at(path, time=clock) as store:
        await store.set("short", 1, ttl=10)
        await store.set("long", 1, ttl=100)
        await store.append("kept", 1, ttl=100)
        await store.append("kept", 2)
        await store.add("number", 1, ttl=100)
        await store.add("number", 1)
        await store.set("forgotten", 1, ttl=10)
        await store.set("forgotten", 2)
        await store.set("given later", 1)
        await store.compare_and_set("given later", 1, 2, ttl=10)
        await store.set("up at once", 1, ttl=0)
    clock.now += 50
    async with store_at(path, time=clock) as store:
        assert sorted(await store.keys()) == ["forgotten", "kept", "long", "number"]
        clock.now += 49
        assert await store.exists("long")
        clock.now += 1.5
        assert await contents(store) == {"forgotten": 2}
        assert await store.append("kept", 3) == 1
        assert await store.add("number") == 1
    async with store_at(path, time=clock) as store:
        assert await contents(store) == {"forgotten": 2, "kept": [3], "number": 1}


async def test_an_expired_key_begins_anew(path):
    """What is added to a key whose time was up has nothing of what was there, nor its time, after reopening."""
    clock = Clock()
    async with store_at(path, time=clock) as store:
        for key in ("list", "front"):
            await store.append(key, "old", ttl=10)
        await store.add("number", 7, ttl=10)
        clock.now += 11
        await store.append("list", "new")
        await store.prepend("front", "new")
        await store.add("number", 1)
    clock.now += 100
    async with store_at(path, time=clock) as store:
        assert await contents(store) == {"list": ["new"], "front": ["new"], "number": 1}


async def test_a_key_may_expire_while_its_large_record_is_written(path):
    """A record that was written for a key which was gone a moment later changes nothing that it should not."""
    clock = Clock()
    for verb, outcome in (("append", 1), ("compare_and_set", False), ("set", None)):
        async with store_at(path, time=clock) as store:
            await store.set("k", ["old"], ttl=10)
            arguments = (["old"], "x" * LARGE, 100) if verb == "compare_and_set" else ("x" * LARGE,)
            writing = asyncio.create_task(getattr(store, verb)("k", *arguments))
            await asyncio.sleep(0)
            clock.now += 10
            assert await writing == outcome
            before = await contents(store)
            assert before == {1: {"k": ["x" * LARGE]}, False: {}, None: {"k": "x" * LARGE}}[outcome]
        clock.now += 50
        async with store_at(path, time=clock) as store:
            assert await contents(store) == before
            await store.clear()


async def test_watches_and_locks_are_those_of_memory(path):
    """A watch that is entered before the file is open sees no old values, only changes; locks need no file at all."""
    async with store_at(path) as store:
        await store.set("s:old", 1)
    store = store_at(path)
    async with store.lock("s:k") as fence:
        assert fence == 1
        assert not path.with_name("store.lock").exists() or store._memory is None
    async with store.watch("s:") as changes:
        await store.set("s:new", 2)
        await store.set("s:large", "x" * LARGE)
        await store.delete("s:old")
        assert [await anext(changes) for _ in range(3)] == [
            Change("s:new", 2, "set"),
            Change("s:large", "x" * LARGE, "set"),
            Change("s:old", None, "delete"),
        ]
        await store.aclose()
        assert [change async for change in changes] == []
    early = store.watch("s:")
    await early.aclose()
    assert [change async for change in early] == []
    assert store._memory is None


async def test_many_verbs_at_once_open_one_file(path):
    """The first use opens the file, however many tasks are first, and none of them loses anything."""
    store = store_at(path)
    await asyncio.gather(*(store.append("l", "x" * (LARGE * (number % 7 == 0))) for number in range(50)))
    assert len(await store.get("l")) == 50
    await store.aclose()
    async with store_at(path) as again:
        assert len(await again.get("l")) == 50


async def test_a_cancelled_large_write_is_whole(path):
    """Who is cancelled while a thread writes leaves memory and file equal, and the cancellation arrives."""
    async with store_at(path) as store:
        await store.set("k", 0)
        writing = asyncio.create_task(store.set("k", "x" * 20_000_000))
        await asyncio.sleep(0)
        writing.cancel()
        second = asyncio.create_task(store.add("n"))
        with pytest.raises(asyncio.CancelledError):
            await writing
        await second
        before = await contents(store)
        assert before["k"] == "x" * 20_000_000
    async with store_at(path) as store:
        assert await contents(store) == before


async def test_reading_goes_on_while_a_thread_writes(path):
    """Until a large value is with the operating system, everyone sees the value before it, without waiting."""
    async with store_at(path) as store:
        await store.set("k", 0)
        writing = asyncio.create_task(store.set("k", "x" * 5_000_000))
        await asyncio.sleep(0)
        assert not store._gate.is_open
        assert await store.get("k") == 0
        assert not writing.done()
        await writing
        assert len(await store.get("k")) == 5_000_000


async def test_closing_and_using_at_once(path):
    """Verbs that come while the store is being closed open it again and are kept; nobody is told it is in use."""
    store = store_at(path, compact_at=0)
    for _ in range(10):
        await asyncio.gather(
            *(store.append("l", "x" * size) for size in (1, LARGE, 2, 100)),
            store.aclose(),
            store.add("n"),
            store.aclose(),
            store.append("l", "x" * LARGE),
            store.sync(),
            store.add("n"),
        )
    assert await store.get("n") == 20
    assert len(await store.get("l")) == 50
    await store.aclose()


def test_a_store_outlives_its_loop(path):
    """One store may be used in one loop after another, closed in between or not."""
    store = store_at(path)

    async def use(close):
        await asyncio.gather(store.set("large", "x" * LARGE), store.add("k"))
        async with store.watch("k") as changes, store.lock("k", 0):
            value = await store.add("k")
            assert await anext(changes) == Change("k", value, "set")
        if close:
            await store.aclose()
        return value

    assert [asyncio.run(use(close)) for close in (False, False, True, True)] == [2, 4, 6, 8]


async def test_two_stores_cannot_have_one_file(path):
    """The second one is told who has it, and gets it when the first is closed."""
    async with store_at(path):
        with pytest.raises(StoreError, match=r"in use by pid \d+ on .*one process at a time"):
            await store_at(path).set("k", 1)
    async with store_at(path) as store:
        await store.set("k", 1)


async def test_appending_to_an_unread_list_does_not_copy_it(path):
    """Building a long log costs one step an item here too, also after reopening; who read it has a snapshot."""
    for count in (100, 200):
        async with store_at(path) as store:
            await store.append("l", 0)
            memory = store._memory
            assert memory is not None
            await store.append("l", 1)
            inside = memory._values["l"]
            for number in range(2, 100):
                await store.append("l", number)
            assert memory._values["l"] is inside
            read = await store.get("l")
            await store.append("l", "more")
            assert len(read) == count
            assert (await store.get("l")).pop() == "more"
            await store.set("l", read)
            await store.set("l", 1)
            with pytest.raises(TypeError):
                await store.append("l", 1)
            await store.set("l", read)
    async with store_at(path) as store:
        assert await store.get("l") == [*range(100)] * 2


async def test_lists_that_came_and_went_are_lengthened_rightly(path):
    """Removing, replacing and timing a list is seen by the next append, also by the quick one."""
    clock = Clock()
    async with store_at(path, time=clock) as store:
        for end in (store.delete, store.pop, store.clear):
            await store.append("l", 1)
            await store.append("l", 2)
            await end("l")
            assert await store.append("l", 3) == 1
        await store.append("l", 4, ttl=10)
        await store.append("l", 5)
        clock.now += 10
        assert await store.append("l", 6) == 1
        assert await store.append("l", "x" * LARGE) == 2
        assert await store.append("l", 7) == 3
    clock.now += 100
    async with store_at(path, time=clock) as store:
        assert await store.append("l", "y" * LARGE) == 4
        assert await store.get("l") == [6, "x" * LARGE, 7, "y" * LARGE]
