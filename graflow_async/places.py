"""Where a queue or a channel of no run is, and how one gets there: on a loop, from a sync task, from plain code."""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._lazy import lazily
from .channel import Channel
from .current import caller, is_on_loop
from .errors import ConfigError, StoreError
from .options import BACKENDS
from .store import KeyValueStore
from .stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_blocking = lazily("graflow_async.channel.blocking")
_redis = lazily("graflow_async.stores.redis")  # the client is slow to import


class Place:
    """Where a queue or a channel is, and how it is reached from here: on a loop, from a sync task, from plain code.

    Attributes:
        backend: "memory" or "redis".
        name: of the queue or the channel.
    """

    def __init__(self, backend: str, name: str, new_store: Callable[[], KeyValueStore], namespace: str) -> None:
        """Make the store; it connects when it is first used."""
        self.backend = backend
        self.name = name
        self._new_store = new_store
        self._namespace = namespace
        self._channel = Channel(new_store(), namespace, name)
        self._home: Home | None = None
        self._guard = threading.Lock()

    def face(self) -> Any:
        """Give the channel as it is used here: the asynchronous one, or the blocking one."""
        if is_on_loop():
            return self._channel
        parent = caller()
        if parent is not None:
            return _blocking.SyncChannel(self._channel, partial(_in_task, parent))
        home = self._at_home()
        return _blocking.SyncChannel(home.channel, home.call)

    def do(self, work: Callable[[Channel], Coroutine[Any, Any, Any]]) -> Any:
        """Give a coroutine where a loop runs, else have it run and give its value."""
        if is_on_loop():
            return work(self._channel)
        parent = caller()
        if parent is not None:
            return parent.block(partial(work, self._channel))
        home = self._at_home()
        return home.call(work, home.channel)

    def close(self) -> Any:
        """Close as `aclose` on a loop, as `end` elsewhere."""
        return self.aclose() if is_on_loop() else self.end()

    async def aclose(self) -> None:
        """Close what is open on this loop, and what plain code has opened."""
        await self._channel.store.aclose()
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """Close what plain code has opened."""
        with self._guard:
            home, self._home = self._home, None
        if home is not None:
            home.close()

    def _at_home(self) -> Home:
        """Give the loop of plain code, started with its first use."""
        with self._guard:
            if self._home is None:
                store = self._channel.store if self.backend == "memory" else self._new_store()
                self._home = Home(Channel(store, self._namespace, self.name))
            return self._home


class Home:
    """A loop in a thread, for what must live longer than one blocking call: connections, locks, watches.

    It ends when it is closed, when nobody has it any more, or with the program.

    Attributes:
        channel: what is used on it.
    """

    def __init__(self, channel: Channel) -> None:
        """Start the thread."""
        self.channel = channel
        self._loop = asyncio.new_event_loop()
        # A daemon: the interpreter waits for all others before it ends what is left.
        thread = threading.Thread(target=_serve, args=(self._loop,), name="graflow-home", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _end, self._loop, thread, channel.store)

    def call(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run a coroutine function on the loop, and wait for its value; an interrupted wait cancels it.

        Raises:
            StoreError: it was closed meanwhile.
        """

        async def run() -> Any:
            return await function(*args)

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise StoreError(f"{self.channel!r} was closed while somebody used it") from None
        except BaseException:
            future.cancel()
            raise


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, store: KeyValueStore) -> None:
    if threading.current_thread() is thread:  # the last reference went there: nobody may wait for itself
        loop.stop()
        return
    asyncio.run_coroutine_threadsafe(store.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _in_task(parent: Any, function: Callable[..., Any], /, *args: Any) -> Any:
    """Run a coroutine function on the loop of a sync task's run."""

    async def run() -> Any:
        return await function(*args)

    return parent.block(run)


def place_for(kind: str, backend: str, name: Any, redis_url: str | None, secret_keys: Any) -> Place:
    """Find the place of a queue or channel.

    Raises:
        ConfigError: no such backend, or no usable name.
    """
    if backend not in BACKENDS[1:]:
        raise ConfigError(f"backend is 'memory' or 'redis', not {backend!r}")
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConfigError(f"{kind}_name is a printable, non-empty text, not {name!r}")
    # A namespace for each, without the characters that end one.
    namespace = f"{kind}~{quote(name, safe=' ')}"
    if backend != "redis":
        return Place("memory", name, MemoryStore, namespace)
    make: Callable[[], KeyValueStore] = partial(_redis.RedisStore, redis_url, secret_keys=secret_keys)
    return Place("redis", name, make, namespace)
