"""What a worker knows of runs: their graphs and the code of their tasks, fetched when an order needs more of it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from .._redis.jobs import Claim
from .._redis.jobs_calls import Calls
from .._redis.payloads import Payloads
from .._runtime.orders import needs
from .._runtime.reading_orders import OrderReader
from ..errors import CheckpointError
from ..executors._code_of_run import code_key, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RUNS_KEPT = 64


class Written(NamedTuple):
    """An order that was unsealed: what it takes to read it, and the rest of it.

    Attributes:
        run: as keys name it.
        epoch: number of the process that wrote it among those that have driven the run.
        needed: how many pieces of that process's code it needs.
        rest: the order.
    """

    run: str
    epoch: int
    needed: int
    rest: bytes


def written_in(claim: Claim, order: bytes) -> Written:
    """Open an order; only bytes whose signature was checked."""
    return Written(claim.run, int(claim.flags), *needs(order))


class Code:
    """The code of the runs that were met last."""

    def __init__(self, calls: Calls, patience: float | None, allowed: Sequence[str] | None = None) -> None:
        """Fetch through `calls`; with `allowed` only tasks of these modules are read."""
        self._allowed = allowed
        self._calls = calls
        self._patience = patience
        self._readers: OrderedDict[tuple[str, int], OrderReader] = OrderedDict()
        self._fetching: dict[tuple[str, int], asyncio.Lock] = {}

    def known(self, order: Written) -> OrderReader | None:
        """Give what reads an order, if nothing has to be fetched for it."""
        key = order.run, order.epoch
        reader = self._readers.get(key)
        if reader is None or reader.known < order.needed:
            return None
        self._readers.move_to_end(key)
        return reader

    async def reader(self, order: Written, payloads: Payloads) -> OrderReader:
        """Give what reads an order, and fetch what that takes.

        Raises:
            CheckpointError: it is not there, or cannot be loaded here.
            SecurityError: its signature does not fit.
            StoreUnavailableError: Redis does not answer.
        """
        key = order.run, order.epoch
        async with self._fetching.setdefault(key, asyncio.Lock()):
            reader = self._readers.setdefault(key, OrderReader(self._allowed))
            if reader.known < order.needed:
                reader.learn(await self.pieces(order, payloads, reader.known))
        self._fetching.pop(key, None)
        while len(self._readers) > RUNS_KEPT:
            self._readers.popitem(last=False)
        return reader

    async def pieces(self, order: Written, payloads: Payloads, first: int = 0) -> list[bytes]:
        """Fetch the pieces that an order needs, from `first` on.

        Raises:
            CheckpointError: they are not there.
            SecurityError: their signature does not fit.
            StoreUnavailableError: Redis does not answer.
        """
        numbers = range(first, order.needed)
        words = ("HMGET", code_key(self._calls, order.run), *(field(order.epoch, number) for number in numbers))
        (records,) = await self._calls.send((words,), f"fetching the code of run {order.run}", self._patience)
        return list(_unsealed(order, records, payloads))


def _unsealed(order: Written, records: list[bytes | None], payloads: Payloads) -> Iterable[bytes]:
    for record in records:
        if record is None:
            raise CheckpointError(f"the code of run {order.run} is not in Redis any more")
        yield payloads.unseal(record)
