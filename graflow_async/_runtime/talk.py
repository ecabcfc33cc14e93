"""Messages between the run and a body that runs elsewhere: the same parts of a run that a journal writes, as bytes.

Both sides know the run's graph. What else a message speaks of (definitions, graphs) travels in front of it, once for
each conversation.
"""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from ..checkpointer import Kind
from ..graph import Graph
from .decoding import Decoder
from .encoding import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

codec = lazily("graflow_async.codec")


class Talk:
    """One side of a conversation.

    Attributes:
        encoder, decoder: for what is sent, and for what comes.
        verbs: verb -> what carries it out, given the number of the request and the arguments.
    """

    def __init__(self, graph: Graph, send: Callable[[bytes], None]) -> None:
        """Talk about a run with that graph; `send` passes a message on, in order."""
        self._send = send
        self._front: list[tuple[int, bytes]] = []
        self.encoder = Encoder(graph, {}, None, lambda kind, payload: self._front.append((kind, payload)))
        self.decoder = Decoder(graph, {}, None)
        self.verbs: dict[str, Callable[..., None]] = {"reply": self._replied, "refuse": self._refused}
        self._requests = 0
        self._open: dict[int, asyncio.Future[Any]] = {}

    def tell(self, verb: str, *args: Any, number: int = 0) -> None:
        """Send a message that is not answered.

        Raises:
            NotSerializableError: something in it cannot be pickled.
        """
        self._send(self.message(verb, args, f"what is sent to {verb!r}", number))

    def message(self, verb: str, args: tuple[Any, ...], what: str, number: int = 0) -> bytes:
        """Make a message; `what` names its content in an error.

        Raises:
            NotSerializableError: something in it cannot be pickled.
        """
        body = self.encoder.dumps(args, what)
        front, self._front[:] = list(self._front), []  # what the content speaks of for the first time
        return pickle.dumps((verb, number, front, body), 5)

    async def ask(self, verb: str, *args: Any) -> Any:
        """Send a request, and wait for its answer.

        Raises:
            NotSerializableError: something in it cannot be pickled.
            BaseException: what the other side raised.
        """
        self._requests += 1
        number = self._requests
        future = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self.tell(verb, *args, number=number)
            return await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                self.tell("withdrawn", number=number)
            raise
        finally:
            self._open.pop(number, None)

    def answer(self, number: int, value: Any, error: BaseException | None = None) -> None:
        """Answer a request."""
        if error is not None:
            self.tell("refuse", codec.dumps_error(error), number=number)
        else:
            self.tell("reply", value, number=number)

    def take(self, data: bytes) -> None:
        """Take a message of the other side, and do what it says; only for bytes whose signature was checked."""
        verb, number, front, body = pickle.loads(data)
        for kind, payload in front:
            if kind == Kind.CODE:
                self.decoder.learn_code(payload)
            elif kind == Kind.FUNCTION:
                self.decoder.learn_function(payload)
            else:
                self.decoder.learn_graph(payload)
        self.verbs[verb](number, *self.decoder.loads(body))

    def close(self, error: BaseException) -> None:
        """Let everybody who waits for an answer have an error."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)

    def _replied(self, number: int, value: Any) -> None:
        future = self._open.get(number)
        if future is not None and not future.done():
            future.set_result(value)

    def _refused(self, number: int, error: bytes) -> None:
        future = self._open.get(number)
        if future is not None and not future.done():
            future.set_exception(codec.loads_error(error))
