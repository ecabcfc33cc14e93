"""Where bodies run that do not run where their run is: lanes like those of a run, for as many runs as there are."""

from __future__ import annotations

import asyncio
import itertools
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from .._core.state import Batch, Instance
from ..current import open_block, running
from ..definition import Definition
from ..errors import GraflowRuntimeError
from ..plan import is_coroutine_callable
from ..protocols import Executor
from .lanes import Lane, Lanes
from .ports import TaskContext, ThreadPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KINDS_KEPT = 1024


class Hosted(Protocol):
    """A body, as its host sees it."""

    @property
    def instance(self) -> Instance:
        """Stands for the body on this side; its key is given by the host."""
        ...

    def begin(self, lane: Lane) -> Awaitable[None] | None:
        """Run it as far as it goes without suspending; gives the rest if it has not ended."""
        ...

    def context(self) -> TaskContext:
        """Give its context."""
        ...

    def watch(self) -> None:
        """Keep an eye on it: it was told to stop."""
        ...


class FarHost:
    """Runs bodies of any runs on one event loop.

    Attributes:
        where: names this process, for notes on exceptions.
        threads: gives the threads of this process.
        new_face: makes the context of a body.
        is_plain: whether plain values may be told without more ado.
        apart: runs plain functions that need no context outside of this process; None to run them in threads.
    """

    def __init__(
        self,
        threads: Callable[[], ThreadPort],
        new_face: Callable[[Any, Instance], TaskContext],
        where: str,
        crash: Callable[[BaseException], None],
        *,
        is_plain: bool = True,
        apart: Executor | None = None,
    ) -> None:
        """Stand ready, on the running loop; `crash` hears of what must not happen."""
        self.threads = threads
        self.new_face = new_face
        self.where = where
        self.is_plain = is_plain
        self.apart = apart
        context = copy_context()
        context.run(open_block.set, None)
        context.run(running.set, None)
        loop = asyncio.get_running_loop()
        self.lanes = Lanes(loop, context, self._begin, self._watch, crash, _nothing, _no_batches)
        self._bodies: dict[int, Hosted] = {}
        self._keys = itertools.count(1)
        self._kinds: dict[Definition, str] = {}

    def next_key(self) -> int:
        """Give a number that no other body has here."""
        return next(self._keys)

    def kind_of(self, definition: Definition) -> str:
        """Say how a function runs here, whatever executor it asks for where its run is: "async" or "thread"."""
        kind = definition.kind
        if kind == "async":
            return kind
        known = self._kinds.get(definition)
        if known is None:
            func: Any = definition.func
            known = "async" if is_coroutine_callable(func) else "thread"
            if len(self._kinds) >= KINDS_KEPT:
                self._kinds.clear()
            self._kinds[definition] = known
        return known

    def start(self, body: Hosted) -> None:
        """Run a body as soon as a lane is free."""
        self._bodies[body.instance.key] = body
        self.lanes.push(body.instance)

    def ended(self, body: Hosted) -> None:
        """Forget a body."""
        self._bodies.pop(body.instance.key, None)

    def context_for(self, instance: Instance) -> TaskContext:
        """Make the context of a body, once.

        Raises:
            GraflowRuntimeError: it has ended.
        """
        body = self._bodies.get(instance.key)
        if body is None:
            raise GraflowRuntimeError(f"task {instance.id!r} has ended")
        return body.context()

    def _begin(self, lane: Lane, instance: Instance) -> Awaitable[None] | None:
        return self._bodies[instance.key].begin(lane)

    def _watch(self, key: int) -> None:
        self._bodies[key].watch()


def _nothing(key: int) -> None:
    """Forget nothing: waits are kept where the run is."""


def _no_batches(batch: Batch) -> NoReturn:
    """Refuse: bodies come one by one."""
    raise AssertionError(batch)
