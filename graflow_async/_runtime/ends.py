"""How a body ends: what it returned or raised becomes a fact for the machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._core.events import Cancelled, Event, Failed
from .._core.state import Instance
from .._lazy import lazily
from ..errors import BindingError, GraflowRuntimeError, note, text_of
from ..protocols import Clock, TimerHandle
from .lanes import Lanes, Seat, too_late

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from .ports import TaskContext

_ports = lazily("graflow_async._runtime.ports")  # for its types


# What may say that nobody has answered a question: its timeout, or a group of such.
SUSPENDING: tuple[type[BaseException], ...] = (TimeoutError, BaseExceptionGroup)


class Ends:
    """What all ways of running a body share. The attributes without a value are set before the first body begins."""

    lanes: Lanes
    completed: Callable[[Instance, Any, Any], None]
    suspended: Callable[[Instance, BaseException], bool]
    watch: Callable[[int], None]
    on_cancel: Callable[[int], None]
    on_start: Callable[[Instance], None] | None = None

    def __init__(self, *, context: Context, clock: Clock, submit: Callable[[Event], None], run_id: str) -> None:
        """Work for one run."""
        self._context = context
        self._clock = clock
        self._submit = submit
        self._run_id = run_id

    def _returned(self, lane: Seat, instance: Instance, value: Any) -> None:
        """Tell the machine that a body has returned, and what it wished."""
        if lane.abandoned:
            return
        if lane.timed_out:
            self._raised(lane, instance, asyncio.CancelledError())
            return
        face: TaskContext | None = instance.face
        if face is None:
            self.completed(instance, value, None)
            return
        instance.face = None
        if face.failures and (failure := face.unawaited_failure()) is not None:
            self._raised(lane, instance, failure)
        else:
            self.completed(instance, value, face.wishes)

    def _arm(self, lane: Seat, instance: Instance, timeout: float) -> TimerHandle:
        """Cancel a body when its time is over."""

        def over() -> None:
            lane.timed_out = True
            lane.cancel()
            self.on_cancel(instance.key)
            self.watch(instance.key)

        return self._clock.call_later(timeout, over)

    def _raised(self, lane: Seat, instance: Instance, error: BaseException) -> None:
        """Turn what a body raised into a fact."""
        if lane.abandoned:
            return
        if lane.timed_out and not instance.doomed:
            lane.timed_out = False
            late = too_late(instance)
            if not isinstance(error, asyncio.CancelledError):
                late.__cause__ = error
            error = late
        elif isinstance(error, asyncio.CancelledError):
            if instance.doomed:
                self._submit(Cancelled(instance.key))
                return
            message = f"task {instance.id!r} cancelled its own asyncio task, or let somebody else's cancellation out"
            own = GraflowRuntimeError(message)
            own.__cause__ = error
            error = own
        elif isinstance(error, (SystemExit, GeneratorExit)):
            wrapped = GraflowRuntimeError(
                f"task {instance.id!r} raised {type(error).__name__}({text_of(error)}); a task cannot end the program"
            )
            wrapped.__cause__ = error
            error = wrapped
        if isinstance(error, Upstream):
            self._submit(Failed(instance.key, error.error, again=False))
            return
        if isinstance(error, SUSPENDING) and self.suspended(instance, error):
            return
        again = not isinstance(error, BindingError)
        note(
            error,
            f"graflow_async: task {instance.id!r}, attempt {instance.attempt}, turn {instance.turn}, "
            f"run {self._run_id}",
        )
        self._submit(Failed(instance.key, error, again=again))


class Upstream(Exception):  # noqa: N818  # never seen outside of the runtime
    """Carries the failure of a handle that was passed as an argument."""

    def __init__(self, error: Exception) -> None:
        """Keep it."""
        super().__init__(error)
        self.error = error
