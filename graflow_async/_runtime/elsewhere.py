"""A run as a body sees it that does not run where the run is: the same context, on a link that talks to the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from .._core.events import Called, CancelRequested, HandleDropped
from .._core.question import Question
from .._core.state import Instance
from .._lazy import lazily
from ..errors import GraflowRuntimeError
from ..store import Change
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

codec = lazily("graflow_async.codec")
FIRST_KEY = 1 << 40  # numbers that called children have on this side; the run knows which are meant


class FarScheduler:
    """Passes on what a body asks of the run's scheduler.

    Attributes:
        recorded: nothing is remembered on this side.
        done: never; the run tells when it is over by cancelling the body.
    """

    recorded = None

    def __init__(self, talk: Talk, instance: Instance, gates: Mapping[str, Any]) -> None:
        """Serve the body of `instance`; `gates` are the names of the limits that the run has."""
        self._talk = talk
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        self.state = FarState(gates)
        self.state.live[instance.key] = instance
        self._receivers: dict[int, Any] = {}
        talk.verbs["delivered"] = self._delivered

    def submit(self, event: Any) -> None:
        """Pass a fact about the body on to the run.

        Raises:
            NotSerializableError: what it speaks of cannot be pickled.
        """
        talk, encoder = self._talk, self._talk.encoder
        if isinstance(event, Called):
            number = encoder.handle(event.handle)
            rows = None if event.tasks is None else encoder.rows(event.tasks)
            children = None if event.tasks is not None else [encoder.child(child) for child in event.children]
            key = self.state.next_key
            self._receivers[number or 0] = event.handle
            talk.tell("called", key, number, event.handle.is_bulk, rows, children)
            self.state.next_key = key + len(rows if rows is not None else children or ())
        elif isinstance(event, HandleDropped):
            talk.tell("dropped", encoder.handle(event.handle))
        elif isinstance(event, CancelRequested):
            talk.tell("cancelled", encoder.handle(event.handle))
        else:
            raise GraflowRuntimeError(f"a task that runs elsewhere cannot tell the run {type(event).__name__}")

    async def park(self, instance: Instance, future: asyncio.Future[Any]) -> Any:
        """Await something on behalf of the body; while it waits, it holds no slot of the run."""
        if not instance.gates or future.done():
            return await future
        async with self.parked(instance):
            return await future

    def parked(self, instance: Instance) -> AbstractAsyncContextManager[None]:
        """Hold no slot of the run on behalf of the body until the block has ended."""
        return FarParking(self._talk, bool(instance.gates))

    def _delivered(self, _: int, number: int, index: int, kind: str, value: Any) -> None:
        if kind == "error":
            value = codec.loads_error(value)
        self._receivers[number].deliver(index, kind, value)


class FarState:
    """What a body's link asks of the run's state."""

    def __init__(self, gates: Mapping[str, Any]) -> None:
        """Know the names of the limits."""
        self.gates = gates
        self.next_key = FIRST_KEY
        self.live: dict[int, Instance] = {}


class FarParking:
    """A block in which the body holds no slot of the run."""

    __slots__ = ("_has_slots", "_talk")

    def __init__(self, talk: Talk, has_slots: bool) -> None:  # noqa: FBT001  # one flag
        """Stand before the block."""
        self._talk = talk
        self._has_slots = has_slots

    async def __aenter__(self) -> None:
        """Give the slots back."""
        if self._has_slots:
            await self._talk.ask("parked")

    async def __aexit__(self, *_: object) -> None:
        """Take them again before the body goes on."""
        if self._has_slots:
            await self._talk.ask("unparked")


class FarStore:
    """The run's store, verb by verb."""

    def __init__(self, talk: Talk) -> None:
        """Ask through `talk`."""
        self._talk = talk
        self._watches: dict[int, FarWatch] = {}
        self._numbers = 0
        talk.verbs["change"] = self._changed

    def number(self) -> int:
        """Number a lock or a watch."""
        self._numbers += 1
        return self._numbers

    async def _verb(self, verb: str, *args: Any) -> Any:
        return await self._talk.ask("store", verb, args)

    async def get(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.get`."""
        return (await self.get_many([key])).get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See `KeyValueStore.get_many`."""
        return await self._verb("get_many", list(keys))

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """See `KeyValueStore.set`."""
        await self._verb("set", key, value, ttl)

    async def delete(self, key: str) -> bool:
        """See `KeyValueStore.delete`."""
        return await self._verb("delete", key)

    async def exists(self, key: str) -> bool:
        """See `KeyValueStore.exists`."""
        return await self._verb("exists", key)

    async def keys(self, prefix: str = "") -> list[str]:
        """See `KeyValueStore.keys`."""
        return await self._verb("keys", prefix)

    async def clear(self, prefix: str = "") -> int:
        """See `KeyValueStore.clear`."""
        return await self._verb("clear", prefix)

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """See `KeyValueStore.append`."""
        return await self._verb("append", key, value, ttl)

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """See `KeyValueStore.prepend`."""
        return await self._verb("prepend", key, value, ttl)

    async def pop(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.pop`."""
        return await self._verb("pop", key, default)

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """See `KeyValueStore.add`."""
        return await self._verb("add", key, amount, ttl)

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """See `KeyValueStore.compare_and_set`."""
        return await self._verb("compare_and_set", key, expected, value, ttl)

    def watch(self, prefix: str = "", *, exact: bool = False) -> FarWatch:
        """See `KeyValueStore.watch`."""
        watch = FarWatch(self._talk, self.number(), prefix, exact=exact)
        self._watches[watch.number] = watch
        return watch

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """See `KeyValueStore.lock`."""
        return FarLock(self._talk, self.number(), key, timeout)

    async def aclose(self) -> None:
        """Do nothing: the store is the run's."""

    def _changed(self, _: int, number: int, change: tuple[str, Any, Any] | None) -> None:
        self._watches[number].put(None if change is None else Change(*change))


class FarWatch:
    """A watch of the run's store."""

    def __init__(self, talk: Talk, number: int, prefix: str, *, exact: bool) -> None:
        """Watch a prefix, or a key."""
        self.number = number
        self._talk = talk
        self._what = (prefix, exact)
        self._changes: asyncio.Queue[Change | None] = asyncio.Queue()
        self._is_open = False

    def put(self, change: Change | None) -> None:
        """Take a change; None for the end."""
        self._changes.put_nowait(change)

    def __aiter__(self) -> Self:
        """Give the watch itself."""
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: the watch or its store was closed.
        """
        await self.__aenter__()
        change = await self._changes.get()
        if change is None:
            raise StopAsyncIteration
        return change

    async def __aenter__(self) -> Self:
        """Begin to watch, at the latest now."""
        if not self._is_open:
            self._is_open = True
            await self._talk.ask("watched", self.number, *self._what)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the watch."""
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        if self._is_open:
            self._talk.tell("unwatched", self.number)
        self._changes.put_nowait(None)


class FarLock:
    """A lock of the run's store."""

    __slots__ = ("_key", "_number", "_talk", "_timeout")

    def __init__(self, talk: Talk, number: int, key: str, timeout: float | None) -> None:
        """Stand before the lock."""
        self._talk = talk
        self._number = number
        self._key = key
        self._timeout = timeout

    async def __aenter__(self) -> int:
        """Take it, and give its fencing number."""
        return await self._talk.ask("locked", self._number, id(asyncio.current_task()), self._key, self._timeout)

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._talk.tell("unlocked", self._number)


class FarDesk:
    """Asks people through the run."""

    def __init__(self, talk: Talk) -> None:
        """Ask through `talk`."""
        self._talk = talk
        self._asking: dict[str, asyncio.Task[Any]] = {}

    @property
    def broker(self) -> Any:
        """Refuse: the broker is the run's.

        Raises:
            GraflowRuntimeError: always.
        """
        raise GraflowRuntimeError("a task that runs elsewhere can ask, but not answer, through its run's broker")

    def restart(self) -> None:
        """Do nothing: questions live with the run."""

    async def aclose(self, *, withdraw: bool, grace: float) -> None:
        """Do nothing: questions live with the run."""
        del withdraw, grace

    def ask(
        self, instance: Instance, owner: str, slot: Any, draft: Any, timeout: float | None, *, anew: bool = False
    ) -> Question:
        """Ask a question, unless this place of the run has asked it before."""
        del instance
        return self._new(owner, slot, draft, None, self._talk.ask("asked", owner, slot, draft, timeout, anew))

    def expect(self, instance: Instance, owner: str, slot: Any, topic: str, timeout: float | None) -> Question:
        """Wait for an event, unless this place of the run has waited for it before."""
        del instance
        return self._new(owner, slot, None, topic, self._talk.ask("expected", owner, slot, topic, timeout))

    def _new(self, owner: str, slot: Any, about: Any, topic: str | None, request: Any) -> Question:
        question = Question("", slot, owner, about, topic=topic)
        question.id = f"{id(question):x}"
        self._asking[question.id] = asyncio.get_running_loop().create_task(request)
        return question

    def waiter(self, question: Question) -> asyncio.Future[None]:
        """Give a future that is done once a question has ended."""
        return asyncio.ensure_future(self._settled(question))

    async def _settled(self, question: Question) -> None:
        task = self._asking[question.id]
        question.id, question.kind, question.value, question.about = await asyncio.shield(task)

    def let_go(self, question: Question, future: asyncio.Future[None]) -> None:
        """Stop waiting for a question."""
        future.cancel()
        task = self._asking.pop(question.id, None)
        if task is not None:
            task.cancel()


class FarMemory:
    """The run's journal, as far as a body needs it."""

    def __init__(self, talk: Talk) -> None:
        """Keep through `talk`."""
        self._talk = talk

    def position(self, instance: Instance) -> int:
        """Give 0: the run knows what was written."""
        del instance
        return 0

    async def keep(self, instance: Instance, name: Any, value: Any, since: int) -> None:
        """Keep the value of a step of the body."""
        del instance, since
        await self._talk.ask("kept", name, value)

    async def save(self, instance: Instance, path: str | None, metadata: Any) -> tuple[str, dict[str, Any]]:
        """Take a checkpoint of the whole run now."""
        del instance
        return await self._talk.ask("saved", path, metadata)

    def save_after(self, instance: Instance, path: str | None, metadata: Any) -> None:
        """Take a checkpoint of the whole run when the body has returned."""
        del instance
        self._talk.tell("save_after", path, metadata)

    async def flush(self) -> None:
        """Do nothing: the run does."""
