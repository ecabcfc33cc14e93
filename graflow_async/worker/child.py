"""The child process of a worker that runs one task alone: `python -m graflow_async.worker.child FD`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import traceback

from .._runtime.far_body import FarBody
from .._runtime.far_host import FarHost
from .._runtime.reading_orders import OrderReader
from ..executors.threads import ThreadPool
from .faces import cannot, new_face
from .frames import frame, next_frame


async def main(descriptor: int) -> None:
    """Run what comes through a socket, and tell through it what came of it."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    found = await next_frame(reader)
    if found is None:
        return
    code, order, where, paths, allowed = found
    sys.path += [path for path in paths if path not in sys.path]
    pool = ThreadPool()
    try:
        orders = OrderReader(allowed)
        orders.learn(code)
        place = f"worker {where}, in a process of its own ({os.getpid()})"
        host = FarHost(lambda: pool, new_face, place, _broken)
        body = FarBody(*orders.read(order), lambda data: writer.write(frame("message", data)), host)
    except Exception as error:  # noqa: BLE001  # an order that cannot be read: its task has failed
        outcome = cannot(error)
    else:
        hearing = asyncio.create_task(_hear(reader, body))
        outcome = await body.run()
        hearing.cancel()
    writer.write(frame("outcome", outcome))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def _broken(error: BaseException) -> None:
    """Die: the worker hears of it."""
    traceback.print_exception(error)
    os._exit(1)


async def _hear(reader: asyncio.StreamReader, body: FarBody) -> None:
    """Pass on what the run says; without the worker there is no use in going on."""
    while (found := await next_frame(reader)) is not None:
        if found[0] == "cancel":
            body.cancel()
        else:
            body.talk.take(found[1])
    os._exit(1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that does not end is left behind
