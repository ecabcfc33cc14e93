"""Typed channels: what fits goes in and comes out as it was, what does not is refused on write and unseen on read."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import pydantic
import pytest

from graflow_async.channel import Channel
from graflow_async.errors import ChannelTypeError, StoreError
from graflow_async.store import Change
from graflow_async.stores.memory import MemoryStore


class Progress(TypedDict):
    name: str
    done: int
    note: NotRequired[str]


@dataclass
class Point:
    x: float
    y: float
    tags: list[str] = field(default_factory=list)


# For values that a type checker would refuse.
UncheckedPoint: Any = Point


class Order(pydantic.BaseModel):
    id: int
    items: dict[str, int] = {}


GOOD = [
    (Progress, {"name": "a", "done": 1}),
    (Progress, {"name": "a", "done": 1, "note": "n"}),
    (Point, Point(1, 2.5, ["a"])),
    (Order, Order(id=1, items={"a": 2})),
]
BAD = [
    (Progress, {"name": "a"}, ".done is missing"),
    (Progress, {"name": "a", "done": 1, "more": 2}, ".more is no field"),
    (Progress, {"name": "a", "done": "1"}, ".done is str, not int"),
    (Progress, [("name", "a")], "must be a dict, not list"),
    (Point, UncheckedPoint("1", 2), ".x is str, not float"),
    (Point, UncheckedPoint(1, 2, ["a", 3]), ".tags[1] is int, not str"),
    (Point, {"x": 1, "y": 2}, "must be of that class, not dict"),
    (Order, Order.model_construct(id="7"), ".id: Input should be a valid integer"),
    (Order, Order.model_construct(items={}), ".id: Field required"),
    (Order, {"id": 1}, "must be of that class, not dict"),
]


@pytest.fixture
def channel():
    return Channel(MemoryStore(), "run-1")


@pytest.mark.parametrize(("model", "value"), GOOD)
async def test_what_fits_makes_the_round_trip(channel, model, value):
    """A value of the model is stored as it is, under the same key as on the plain channel."""
    typed = channel.typed(model)
    await typed.set("k", value)
    assert await typed.get("k") is value
    assert await channel.get("k") is value


@pytest.mark.parametrize(("model", "value", "words"), BAD)
async def test_what_does_not_fit_is_refused(channel, model, value, words):
    """A missing field, an extra field or a wrong type is a ChannelTypeError that names it, and writes nothing."""
    typed = channel.typed(model)
    with pytest.raises(ChannelTypeError) as caught:
        await typed.set("k", value)
    assert words in str(caught.value)
    assert "'k'" in str(caught.value)
    assert model.__name__ in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, StoreError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert await channel.keys() == []


@pytest.mark.parametrize(("model", "value", "words"), BAD)
async def test_bad_stored_data_is_not_seen(channel, model, value, words):
    """What another writer left under the key is None, or the default, to a typed reader."""
    typed = channel.typed(model)
    good = next(good for kind, good in GOOD if kind is model)
    await channel.set("k", value)
    assert await typed.get("k") is None
    assert await typed.get("k", good) is good
    assert await typed.exists("k")
    assert await typed.pop("k") is None
    assert not await typed.exists("k")


@pytest.mark.parametrize("model", [int, dict, "Progress", None, dict[str, int], object()])
def test_what_is_no_model_is_refused(channel, model):
    """A typed channel of something else than a model is a ValueError that says what is needed."""
    with pytest.raises(ValueError, match="TypedDict, dataclass or pydantic"):
        channel.typed(model)


async def test_missing_key_and_other_verbs(channel):
    """Keys, deletion and clearing are those of the channel."""
    typed = channel.typed(Progress)
    await typed.set("a", {"name": "a", "done": 1})
    await typed.set("b", {"name": "b", "done": 1}, ttl=0)
    assert await typed.get("b") is None
    assert await typed.pop("b", {"name": "d", "done": 0}) == {"name": "d", "done": 0}
    assert await typed.keys() == ["a"]
    assert await typed.delete("a") is True
    assert await typed.delete("a") is False
    await typed.set("c", {"name": "c", "done": 1})
    assert await typed.pop("c") == {"name": "c", "done": 1}
    await channel.set("d", 1)
    assert await typed.clear() == 1


async def test_update_is_checked(channel):
    """The function sees only what fits, and what it makes must fit."""
    typed = channel.typed(Progress)

    async def advance(value):
        return {**value, "done": value["done"] + 1}

    start = {"name": "a", "done": 0}
    await channel.set("k", "garbage")
    assert await typed.update("k", advance, start) == {"name": "a", "done": 1}
    await asyncio.gather(*(typed.update("k", advance) for _ in range(10)))
    with pytest.raises(ChannelTypeError, match="done is missing"):
        await typed.update("k", lambda value: {"name": "a"})
    assert await typed.get("k") == {"name": "a", "done": 11}


async def test_wait_sees_only_what_fits(channel):
    """Neither bad data nor another value ends the wait, and the predicate is spared the former."""
    typed = channel.typed(Progress)
    both = asyncio.gather(typed.wait("k"), typed.wait("k", lambda value: value["done"] == 2))
    await asyncio.sleep(0)
    await channel.set("k", {"done": 2})
    await typed.set("k", {"name": "a", "done": 1})
    await typed.set("k", {"name": "a", "done": 2})
    assert [value["done"] for value in await both] == [1, 2]


async def test_watch_shows_bad_values_as_none(channel):
    """A watcher gets every change; a value that does not fit is hidden."""
    typed = channel.typed(Progress)
    good = {"name": "a", "done": 1}
    async with typed.watch() as everything, typed.watch("k") as one:
        await channel.set("k", 1)
        await typed.set("k", good)
        await typed.delete("k")
        expected = [Change("k", None, "set"), Change("k", good, "set"), Change("k", None, "delete")]
        for changes in (everything, one):
            assert [await anext(changes) for _ in range(3)] == expected


async def test_lock_is_the_channels(channel):
    """Typed and plain face share one lock a key."""
    async with channel.typed(Progress).lock("k"):

        async def take():
            async with channel.lock("k", timeout=0):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.ensure_future(take())


def test_pydantic_is_not_imported_for_others():
    """Typed channels of TypedDicts and dataclasses work, and cost no import of pydantic."""
    program = """
import sys
from dataclasses import dataclass
from graflow_async.typed import model_check
@dataclass
class P:
    x: int
assert model_check(P)(P(1)) is None
assert not any(name.split(".")[0] == "pydantic" for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
