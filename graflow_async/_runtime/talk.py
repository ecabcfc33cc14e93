"""Messages between the run and a body that runs elsewhere: the same parts of a run that a journal writes, as bytes.

Both sides know the run's graph. What else a message speaks of (definitions, graphs) travels in front of it, once for
each conversation.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from .._lazy import lazily
from ..errors import NotSerializableError, text_of
from ..graph import Graph
from .decoding import Decoder
from .encoding import ROOT, Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

codec = lazily("graflow_async.codec")
by_reference = lazily("graflow_async._runtime.pickling")
SILENT = b"s"  # in front of how a body ended: it has said nothing before
TALKED = b"t"
PLAIN = b"p"  # in front of a pickled value: the body has returned it, and said nothing
SEEN_AT_MOST = 8  # values that a body has read last, kept on both sides to be compared by identity


class FarEncoder(Encoder):
    """An encoder of what is sent, and not written down."""

    refusal = "cannot be sent between a run and its workers"
    executors: Collection[str] | None = None
    """Names of those that the run has; others that a graph brings along are sent with it. None: none are sent."""

    def graph(self, graph: Graph) -> int:
        """Give the number of a graph; with the first use it is sent, and not known if that fails."""
        try:
            return super().graph(graph)
        except BaseException:
            for node in graph.table:  # which of its tasks it is
                if node.task is not None:
                    self.dumps((node.task.args, node.task.kwargs), f"what task {node.id!r} is called with")
            raise

    def brought(self, graph: Graph) -> tuple[Any, ...]:
        """Give the executors that a graph brings along, and that the run has not.

        Raises:
            NotSerializableError: one cannot be pickled.
        """
        known = self.executors
        if known is None or not graph.executors:
            return ()
        found = {name: executor for name, executor in graph.executors.items() if name not in known}
        for name, executor in found.items():
            try:
                self.dumps(executor, f"executor {name!r} of a group")
            except NotSerializableError as error:
                message = (
                    f"{error}; give it to the run, whose tasks then find it by its name: executor={{{name!r}: ...}}"
                )
                raise NotSerializableError(message) from error
        return (found,) if found else ()

    def beginning(self, emit: Callable[[int, bytes], None]) -> Self:
        """Give an encoder for the same graph that has written nothing, and emits elsewhere."""
        made = copy.copy(self)
        made.emit = emit
        made._definitions = {}
        made._graphs = {id(self._graph): (ROOT, self._graph)}
        made._next_graph = ROOT + 1
        made._functions = {}
        return made


class Talk:
    """One side of a conversation. A body that says nothing costs next to nothing: all else is made at first use.

    Attributes:
        executors: where the body is, names of those that the run has.
        largest: bytes that a message may have; Redis takes little more.
    """

    largest = 500 << 20

    def __init__(
        self,
        graph: Graph,
        send: Callable[[bytes], None],
        serve: Callable[[str, int, tuple[Any, ...]], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Talk about a run with that graph.

        Args:
            graph: what both sides know.
            send: passes a message on, in order.
            serve: carries a verb of the other side out, given the number of the request and the arguments.
            broken: hears of a message that makes no sense here.
        """
        self._graph = graph
        self._send = send
        self._serve = serve
        self._broken = broken
        self._front: list[tuple[int, bytes]] = []
        self._encoder: FarEncoder | None = None
        self._decoder: Decoder | None = None
        self._requests = 0
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._end: BaseException | None = None
        self.executors: Collection[str] | None = None

    @property
    def encoder(self) -> FarEncoder:
        """For what is sent."""
        if self._encoder is None:
            self._encoder = _encoder_of(self._graph).beginning(lambda kind, data: self._front.append((kind, data)))
            self._encoder.executors = self.executors
        return self._encoder

    @property
    def decoder(self) -> Decoder:
        """For what comes."""
        if self._decoder is None:
            self._decoder = Decoder(self._graph, {}, None)
        return self._decoder

    # -- sending ----------------------------------------------------------------------------------------------

    def tell(self, verb: str, *args: Any, number: int = 0) -> None:
        """Send a message that is not answered; after `close` nobody hears it.

        Raises:
            NotSerializableError: something in it cannot be pickled.
        """
        if self._end is None:
            self._send(self.message(verb, args, f"what is sent to {verb!r}", number))

    def message(self, verb: str, args: tuple[Any, ...], what: str, number: int = 0) -> bytes:
        """Make a message; `what` names its content in an error.

        Raises:
            NotSerializableError: something in it cannot be pickled, or it is too large.
        """
        body = self._dumps(args, what)
        if len(body) > self.largest:
            raise NotSerializableError(
                f"{what} takes {len(body)} bytes, and {self.largest} can be sent at once; keep large data elsewhere "
                "and pass a reference to it"
            )
        front = self._front  # what the content speaks of for the first time
        if front:
            front = list(front)
            self._front.clear()
        return pickle.dumps((verb, number, front, body), 5)

    def request(self, verb: str, *args: Any) -> tuple[int, asyncio.Future[Any]]:
        """Send a request; give its number, to `forget` it by, and the future of its answer.

        Raises:
            NotSerializableError: something in it cannot be pickled.
        """
        if self._end is not None:
            raise self._end
        self._requests += 1
        number = self._requests
        future = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self.tell(verb, *args, number=number)
        except BaseException:
            del self._open[number]
            raise
        return number, future

    async def ask(self, verb: str, *args: Any) -> Any:
        """Send a request, and wait for its answer; if the wait is cancelled, until what was asked for is undone.

        Raises:
            NotSerializableError: something in it cannot be pickled.
            BaseException: what the other side raised.
        """
        number, future = self.request(verb, *args)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled() and number in self._open:
                await self._undone(number)
            raise
        finally:
            self.forget(number)

    async def _undone(self, number: int) -> None:
        """Withdraw a request, and wait until that is answered, however it is; a second cancellation ends the wait."""
        if self._end is not None:
            return
        undone = self._open[number] = asyncio.get_running_loop().create_future()
        self.tell("withdrawn", number=number)
        await asyncio.wait((undone,))
        if not undone.cancelled():
            undone.exception()

    def withdraw(self, number: int) -> None:
        """Let the other side stop what a request asked for, without waiting until it has."""
        if self._open.pop(number, None) is not None:
            self.tell("withdrawn", number=number)

    def forget(self, number: int) -> None:
        """Wait for the answer of a request no longer."""
        self._open.pop(number, None)

    def answer(self, number: int, value: Any, error: BaseException | None = None) -> None:
        """Answer a request; a value that cannot be sent is answered with the reason."""
        if error is None:
            try:
                self.tell("reply", value, number=number)
            except Exception as refused:  # noqa: BLE001  # of pickling: whoever asked has to know
                error = refused
            else:
                return
        self.tell("refuse", codec.dumps_error(error), number=number)

    def close(self, error: BaseException) -> None:
        """Say and hear nothing any more: who still waits for an answer is cancelled, who asks later gets the error."""
        self._end = error
        for future in self._open.values():
            future.cancel()
        self._open.clear()

    # -- hearing ----------------------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take a message of the other side, and do what it says; only for bytes whose signature was checked."""
        if self._end is not None:
            return
        verb, number, front, body = pickle.loads(data)
        try:
            for kind, payload in front:
                self.decoder.learn(kind, payload)
            args = self._loads(body)
        except Exception as error:  # noqa: BLE001  # of unpickling: somebody waits for it
            cause = error.__cause__ or error
            message = f"what was sent with {verb!r} cannot be loaded here: {type(cause).__name__}: {text_of(cause)}"
            unread = NotSerializableError(message)
            unread.__cause__ = cause
            self._cannot_load(verb, number, unread)
            return
        if verb == "reply":
            self._settle(number, args[0], None)
        elif verb == "refuse":
            self._settle(number, None, codec.loads_error(args[0]))
        else:
            self._serve(verb, number, args)

    def _cannot_load(self, verb: str, number: int, error: Exception) -> None:
        """Let those hear of a message that cannot be loaded here who wait for what it says."""
        if verb in {"reply", "refuse"}:
            self._settle(number, None, error)
        elif number:
            self.answer(number, None, error)
        else:
            self._broken(error)

    def _settle(self, number: int, value: Any, error: BaseException | None) -> None:
        future = self._open.get(number)
        if future is None:
            return
        if future.done():
            if future.cancelled():  # whoever waited has not come to withdrawing it: nothing is left to be undone
                del self._open[number]
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(_for_future(error))

    # Plain pickle first: what it takes needs neither encoder nor decoder.

    def _dumps(self, value: Any, what: str) -> bytes:
        try:
            return pickle.dumps(value, 5)
        except Exception:  # noqa: BLE001  # a user's object may raise anything
            return self.encoder.dumps_slowly(value, what)

    def _loads(self, data: bytes) -> Any:
        return self.decoder.loads(data)


def _for_future(error: BaseException) -> BaseException:
    """Give an exception that a future takes."""
    if not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"it raised StopIteration: {error}")
    wrapped.__cause__ = error
    return wrapped


@lru_cache(maxsize=8)
def _encoder_of(graph: Graph) -> FarEncoder:
    """Give the encoder of a graph from which those of conversations are copied: its nodes are looked up once."""
    return FarEncoder(graph, {}, None, _nowhere)


def _nowhere(kind: int, payload: bytes) -> None:
    """Emit nothing: only copies encode."""
