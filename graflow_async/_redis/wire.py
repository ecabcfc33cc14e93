"""Commands on connections that are kept between them: a pool does as much for a command as the command costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import hiredis
from redis import exceptions as faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

# In Python packing a long command is half of what a job costs here.
_pack: Callable[[tuple[Any, ...]], bytes] = cast("Any", hiredis).pack_command


class Wire:
    """Connections of a client's pool, as many as were busy at once; the client closes them."""

    def __init__(self, client: Redis) -> None:
        """Take connections as they are needed."""
        self._pool: Any = client.connection_pool
        self._idle: list[Any] = []
        self._partings = 0

    async def send(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one go, and give their answers as they came.

        Raises:
            ResponseError: Redis has refused one.
            ConnectionError: no connection, or it broke: whether the commands were carried out is not known.
        """
        connection: Any = self._idle.pop() if self._idle else await self._pool.get_connection()
        partings = self._partings
        answers: list[Any] = []
        read = 0
        try:
            await connection.send_packed_command([_pack(words) for words in commands], check_health=False)
            while read < len(commands):
                read += 1
                answers.append(await connection.read_response())
        except BaseException as error:
            if isinstance(error, faults.ResponseError) and read == len(commands):
                await self._keep(connection, partings)
            else:  # what is still to come on it would be taken for the answer to something else
                await self._drop(connection)
            raise
        await self._keep(connection, partings)
        return answers

    async def part(self) -> None:
        """Use none of the present connections again: perhaps another server is the one to talk to by now."""
        self._partings += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            await self._drop(connection)

    async def _keep(self, connection: Any, partings: int) -> None:
        """Keep a connection that was taken after so many partings."""
        if partings == self._partings:
            self._idle.append(connection)
        else:
            await self._drop(connection)

    async def _drop(self, connection: Any) -> None:
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)
