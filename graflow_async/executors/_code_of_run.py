"""The code of a run, where workers find it: graphs and tasks, each sent once, numbered by their first use."""

from __future__ import annotations

import hashlib
from itertools import chain

from .._redis.jobs_calls import Calls
from .._redis.payloads import Payloads
from .._runtime.orders import OrderWriter

AT_ONCE = 200  # pieces in one command


def code_key(calls: Calls, run: str) -> str:
    """Give the key of the code of a run, which is named as keys name it."""
    return f"{calls.prefix}code:{run}"


def field(epoch: int, number: int) -> str:
    """Give the field of a piece; each process that drives the run numbers its own."""
    return f"{epoch}.{number}"


class CodeOfRun:
    """Sends the code of a run.

    Attributes:
        epoch: number of this process among those that have driven the run.
    """

    def __init__(self, calls: Calls, run: str, payloads: Payloads, writer: OrderWriter, patience: float) -> None:
        """Send what `writer` has in its code, a list that grows."""
        self.epoch = 0
        self._calls = calls
        self._key = code_key(calls, run)
        self._lasting = ("EXPIRE", self._key, calls.keep)
        self._payloads = payloads
        self._code = writer.code
        self._stages = writer.stages
        self._patience = patience
        self._sent = 0
        self._digested = 0
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def is_sent(self) -> bool:
        """Whether Redis has all code so far."""
        return self._sent == len(self._code)

    def digest(self) -> bytes:
        """Give a digest of all code so far."""
        if self._digested < len(self._code):
            for number in range(self._digested, len(self._code)):
                if number not in self._stages:
                    self._digest.update(hashlib.blake2b(self._code[number], digest_size=16).digest())
            self._digested = len(self._code)
        return self._digest.digest()

    async def send(self) -> None:
        """Send what was not sent before.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        while self._sent < len(self._code):
            first, last = self._sent, min(len(self._code), self._sent + AT_ONCE)
            pieces = {field(self.epoch, n): self._payloads.seal(self._code[n]) for n in range(first, last)}

            words = ("HSET", self._key, *chain.from_iterable(pieces.items()))
            await self._calls.send((words, self._lasting), "sending code", self._patience)
            self._sent = last

    async def keep(self) -> None:
        """Let it last as long as at its start again; if Redis has forgotten it, it is sent again with the next job.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        (is_there,) = await self._calls.send((self._lasting,), "keeping code", self._patience)
        if not is_there:
            self._sent = 0

    async def remove(self) -> None:
        """Remove it.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        await self._calls.send((("DEL", self._key),), "removing code", self._patience)
