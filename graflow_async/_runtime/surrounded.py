"""Bodies with a block of somebody's around them: what a listener's `around` gives is entered where each body runs.

Only runs with such a listener use this class: all others do not even load it. The block is entered in the body's own
contextvars, on the loop, in a thread, in a child process or in a worker; what crosses a border is the pickled maker of
the block, which travels with the job.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from ..protocols import Attempt, Surrounds
from .bodies import Bodies
from .lanes import Lane
from .within import within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

logger = logging.getLogger("graflow_async.run")


class SurroundedBodies(Bodies):
    """Runs bodies for one run, each in the blocks that listeners put around it."""

    _surrounding: Sequence[Surrounds] = ()
    _tell: Callable[[Instance], None] | None = None

    def surround_for(self, surrounding: Sequence[Surrounds]) -> None:
        """Ask these listeners whenever a body begins, before all listeners are told that it does."""
        self._surrounding = surrounding
        self._tell = self.on_start
        self.on_start = self._surround

    def begin(self, lane: Lane, instance: Instance) -> Awaitable[None] | None:
        """Run a body as far as it goes without suspending; what is not async goes the way of all bodies."""
        definition = instance.task.definition
        is_here = instance.kind == "async" and not self._sends_coroutines
        if not is_here or definition.func is None or (instance.doomed and instance.key not in self._awaitables):
            return super().begin(lane, instance)
        if self.on_start is not None:
            self.on_start(instance)
        return self._finish(lane, instance, self._with_arguments(lane, instance, definition))

    def _surround(self, instance: Instance) -> None:
        """Ask for the blocks of an attempt that begins. Whoever fails here is not asked again."""
        attempt = attempt_of(self._run_id, instance, self._place_of(instance, instance.task.definition))
        makers: list[Callable[[], AbstractContextManager[Any]]] = []
        for listener in self._surrounding:
            try:
                maker = listener.around(attempt)
            except Exception:
                logger.exception("around() of listener %r failed; it is not called again", listener)
                self._surrounding = [other for other in self._surrounding if other is not listener]
            else:
                if maker is not None:
                    makers.append(maker)
        instance.around = None if not makers else makers[0] if len(makers) == 1 else Nested(makers)
        if self._tell is not None:
            self._tell(instance)

    def function_of(self, instance: Instance) -> Any:
        """Give what to call for a body: the function of its task, with the blocks around it."""
        func = instance.task.definition.func
        return func if instance.around is None else within(instance.around, func, is_async=instance.kind == "async")


class Nested:
    """Makes one block of several, the first one outermost."""

    __slots__ = ("_makers",)

    def __init__(self, makers: Sequence[Callable[[], AbstractContextManager[Any]]]) -> None:
        """Keep what makes each."""
        self._makers = makers

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what makes them."""
        return Nested, (self._makers,)

    def __call__(self) -> AbstractContextManager[Any]:
        """Make the blocks."""
        return _Entered([make() for make in self._makers])


class _Entered(ExitStack):
    """Blocks that are entered together."""

    def __init__(self, blocks: list[AbstractContextManager[Any]]) -> None:
        super().__init__()
        self._blocks = blocks

    def __enter__(self) -> Any:
        """Enter one after the other; if one refuses, those before it are left."""
        with ExitStack() as entering:
            for block in self._blocks:
                entering.enter_context(block)
            self.push(entering.pop_all())
        return self


def attempt_of(run_id: str, instance: Instance, kind: str) -> Attempt:
    """Describe an attempt of an instance to those outside of the runtime."""
    definition, scope = instance.task.definition, instance.scope
    retry = definition.retry
    return Attempt(
        run_id,
        instance.id,
        name=definition.id,
        key=instance.key,
        attempt=instance.attempt,
        turn=instance.turn,
        retries=0 if retry is None else retry.max_retries,
        kind=kind,
        parent=None if instance.parent is None else instance.parent.key,
        workflow=scope.name,
        scope=scope.key,
        caller=None if scope.caller is None else scope.caller.key,
        after=_before(instance),
    )


def _before(instance: Instance) -> tuple[str, ...]:
    """List the ids of the tasks whose values have led to an instance; a group stands for the last of its branches."""
    lap = instance.lap
    if lap is None:
        return tuple(source for source, _ in instance.upstream or ())
    found: list[str] = []
    graph, stack = lap.graph, list(reversed(lap.graph.predecessors_of[instance.node]))
    while stack:
        number = stack.pop()
        if number not in lap.values:
            continue
        node = graph.table[number]
        if node.task is None:
            stack.extend(reversed(graph.predecessors_of[number]))
        else:
            found.append(node.id)
    if lap.carried is not None:
        found.extend(source for source, _ in lap.carried.get(instance.node, ()))
    return tuple(dict.fromkeys(found))
