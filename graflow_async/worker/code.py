"""What a worker knows of runs: their graphs and the code of their tasks, fetched when an order needs more of it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from .._redis.client import our_errors
from .._redis.names import run_prefix
from .._redis.payloads import Payloads
from .._runtime.orders import OrderReader
from ..errors import CheckpointError

if TYPE_CHECKING:
    from redis.asyncio import Redis

RUNS_KEPT = 64


class Code:
    """The code of the runs that were met last."""

    def __init__(self, client: Redis) -> None:
        """Fetch through `client`."""
        self._client: Any = client
        self._readers: OrderedDict[str, OrderReader] = OrderedDict()
        self._fetching: dict[str, asyncio.Lock] = {}

    async def reader(self, run_id: str, needed: int, payloads: Payloads) -> OrderReader:
        """Give what reads the orders of a run, knowing at least `needed` pieces of its code.

        Raises:
            CheckpointError: they are not there.
            SecurityError: their signature does not fit.
            StoreUnavailableError: Redis does not answer.
        """
        found = self._readers.get(run_id)
        if found is not None and found.known >= needed:
            self._readers.move_to_end(run_id)
            return found
        async with self._fetching.setdefault(run_id, asyncio.Lock()):
            reader = self._readers.setdefault(run_id, OrderReader())
            if reader.known < needed:
                numbers = range(reader.known, needed)
                with our_errors(f"fetching the code of run {run_id}"):
                    records = cast(
                        "list[bytes | None]", await self._client.hmget(run_prefix(run_id) + "code", *map(str, numbers))
                    )
                missing = [str(n) for n, record in zip(numbers, records, strict=True) if record is None]
                if missing:
                    raise CheckpointError(f"the code of run {run_id} is not in Redis any more (pieces {missing})")
                reader.learn([payloads.unseal(record) for record in records if record is not None])
        self._fetching.pop(run_id, None)
        while len(self._readers) > RUNS_KEPT:
            self._readers.popitem(last=False)
        return reader
