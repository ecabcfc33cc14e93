"""A run as a body sees it that does not run where the run is: the same context, on a link that talks to the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._core.events import Called, CancelRequested, HandleDropped
from .._core.question import Question
from .._core.state import Instance
from .._lazy import lazily
from ..errors import GraflowRuntimeError
from .far_broker import FarBroker
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

codec = lazily("graflow_async.codec")
FIRST_KEY = 1 << 40  # numbers that called children have on this side; the run knows which are meant


class FarScheduler:
    """Passes on what a body asks of the run's scheduler.

    Attributes:
        recorded: nothing is remembered on this side.
        done: never; the run tells when it is over by cancelling the body.
        is_late: the body's time is over.
    """

    recorded = None
    is_late = False

    def __init__(self, talk: Talk, instance: Instance, gates: Mapping[str, Any]) -> None:
        """Serve the body of `instance`; `gates` are the names of the limits that the run has."""
        self._talk = talk
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        self.state = FarState(gates)
        self.state.live[instance.key] = instance
        self._receivers: dict[int, Any] = {}
        self._unwanted: set[int] = set()

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
            talk.tell("called", key, number, event.index, event.handle.is_bulk, rows, children)
            self.state.next_key = key + len(rows if rows is not None else children or ())
        elif isinstance(event, HandleDropped):
            talk.tell("dropped", encoder.handle(event.handle))
        elif isinstance(event, CancelRequested):
            number = encoder.handle(event.handle)
            self._unwanted.add(number or 0)
            talk.tell("cancelled", number)
        else:
            raise GraflowRuntimeError(f"a task that runs elsewhere cannot tell the run {type(event).__name__}")

    async def park(self, instance: Instance, future: asyncio.Future[Any], *_: str) -> Any:
        """Await something on behalf of the body; while it waits, it holds no slot of the run."""
        if not instance.gates or future.done():
            return await future
        async with self.parked(instance):
            return await future

    def parked(self, instance: Instance, *_: str) -> AbstractAsyncContextManager[None]:
        """Hold no slot of the run on behalf of the body until the block has ended."""
        return FarParking(self._talk, self, instance)

    def close(self) -> None:
        """Tell those who wait for children although the body has ended that they will not hear of them."""
        error = GraflowRuntimeError("the task that started this child has ended: only the run knows what became of it")
        for number, receiver in self._receivers.items():
            if receiver.is_bulk:
                for _ in range(receiver.pending):
                    receiver.deliver(0, "cancelled", None)
            elif not receiver.done():
                is_unwanted = number in self._unwanted
                receiver.deliver(0, "cancelled" if is_unwanted else "error", None if is_unwanted else error)

    def delivered(self, number: int, index: int, kind: str, value: Any) -> None:
        """Give the end of a called child to its handle."""
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

    __slots__ = ("_instance", "_scheduler", "_talk")

    def __init__(self, talk: Talk, scheduler: FarScheduler, instance: Instance) -> None:
        """Stand before the block."""
        self._talk = talk
        self._scheduler = scheduler
        self._instance = instance

    async def __aenter__(self) -> None:
        """Give the slots back."""
        if self._instance.gates:
            self._talk.tell("parked")

    async def __aexit__(self, *_: object) -> None:
        """Take them again before the body goes on, also through a cancellation that is the body's own affair."""
        if not self._instance.gates:
            return
        number, slots = self._talk.request("unparked")
        own: asyncio.CancelledError | None = None
        while not slots.done():
            try:
                await asyncio.wait((slots,))
            except asyncio.CancelledError as error:
                if self._instance.doomed or self._scheduler.is_late:
                    self._talk.withdraw(number)
                    raise
                own = error
        self._talk.forget(number)
        if own is not None:
            raise own
        slots.result()


class FarDesk:
    """Asks people through the run.

    Attributes:
        broker: where the questions of the run are, for those who answer them.
    """

    def __init__(self, talk: Talk, loop: asyncio.AbstractEventLoop) -> None:
        """Ask through `talk`, which belongs to `loop`."""
        self._talk = talk
        self._asking: dict[str, tuple[int, asyncio.Future[Any]]] = {}
        self.broker = FarBroker(talk, loop)

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
        return self._new(owner, slot, draft, None, self._talk.request("asked", owner, slot, draft, timeout, anew))

    def expect(self, instance: Instance, owner: str, slot: Any, topic: str, timeout: float | None) -> Question:
        """Wait for an event, unless this place of the run has waited for it before."""
        del instance
        return self._new(owner, slot, None, topic, self._talk.request("expected", owner, slot, topic, timeout))

    def _new(
        self, owner: str, slot: Any, about: Any, topic: str | None, request: tuple[int, asyncio.Future[Any]]
    ) -> Question:
        number, _ = request
        question = Question(f"request {number}", slot, owner, about, topic=topic)
        self._asking[question.id] = request
        return question

    def waiter(self, question: Question) -> asyncio.Future[None]:
        """Give a future that is done once a question has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number, answer = self._asking[question.id]

        def settle(answer: asyncio.Future[Any]) -> None:
            self._asking.pop(question.id, None)
            self._talk.forget(number)
            error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
            if error is not None:
                if not waiter.done():
                    waiter.set_exception(error)
                return
            question.id, question.kind, question.value, told = answer.result()
            if told is not None:
                _fill(question.about, told)
            if not waiter.done():
                waiter.set_result(None)

        answer.add_done_callback(settle)
        return waiter

    def let_go(self, question: Question, future: asyncio.Future[None]) -> None:
        """Stop waiting for a question."""
        future.cancel()
        number, answer = self._asking.pop(question.id, (0, None))
        if answer is not None and not answer.done():
            self._talk.withdraw(number)


def _fill(draft: Any, told: Any) -> None:
    """Put what the run has added to a question into the body's own draft, which whoever asks already holds."""
    for name in draft.__class__.__slots__:
        object.__setattr__(draft, name, getattr(told, name))


class FarSteps(dict[Any, Any]):
    """Values of the steps of a body; a new one is kept by the run as well, for further attempts."""

    def __init__(self, talk: Talk, known: dict[Any, Any] | None) -> None:
        """Begin with those of earlier attempts."""
        super().__init__(known or {})
        self._talk = talk

    def __setitem__(self, name: Any, value: Any) -> None:
        """Keep the value of a step.

        Raises:
            NotSerializableError: it cannot be pickled.
        """
        self._talk.tell("stepped", name, value)
        super().__setitem__(name, value)


class FarMemory:
    """The run's journal, as far as a body needs it."""

    def __init__(self, talk: Talk, on_loop: Callable[[Callable[[], None]], None]) -> None:
        """Keep through `talk`; `on_loop` calls something on the loop's thread."""
        self._talk = talk
        self._on_loop = on_loop
        self._positions = 0

    def position(self, instance: Instance) -> int:
        """Let the run note how much the body has written so far; give the number of that note."""
        del instance
        self._positions += 1
        self._talk.tell("position", self._positions)
        return self._positions

    async def keep(self, instance: Instance, name: Any, value: Any, since: int) -> None:
        """Keep the value of a step of the body."""
        del instance
        await self._talk.ask("kept", name, value, since)

    async def save(self, instance: Instance, path: str | None, metadata: Any) -> tuple[str, dict[str, Any]]:
        """Take a checkpoint of the whole run now."""
        del instance
        return await self._talk.ask("saved", path, metadata)

    def save_after(self, instance: Instance, path: str | None, metadata: Any) -> None:
        """Take a checkpoint of the whole run when the body has returned."""
        del instance
        self._on_loop(lambda: self._talk.tell("save_after", path, metadata))

    async def flush(self) -> None:
        """Do nothing: the run does."""
