"""Running a body elsewhere: what a lane does where the run is, for one attempt that came as an order."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.state import Instance, Status, new_instance
from .._lazy import lazily
from ..compose import Expression
from ..current import open_block, running
from ..errors import BindingError, GraflowRuntimeError, note
from ..graph import Graph
from ..plan import is_coroutine_callable
from .far_link import FarLink, far_scope
from .in_threads import call_body
from .lanes import too_late
from .orders import CONTEXT, Order
from .ports import TaskContext, ThreadPort
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable

codec = lazily("graflow_async.codec")


class FarBody:
    """One attempt of a body.

    Attributes:
        outcome: message that says how it ended, once it has.
    """

    def __init__(
        self,
        order: Order,
        graph: Graph,
        task: Any,
        send: Callable[[bytes], None],
        threads: Callable[[], ThreadPort],
        new_face: Callable[[FarLink, Instance], TaskContext],
        where: str,
    ) -> None:
        """Make ready to run.

        Args:
            order: what is to run.
            graph: what its context shows.
            task: its task.
            send: passes a message on to the run.
            threads: gives the threads of this process.
            new_face: makes the context of a body.
            where: names this process, for notes on exceptions.
        """
        self._order = order
        self._where = where
        self._threads = threads
        self.talk = Talk(graph, send)
        scope = far_scope(order.scope, graph, order.workflow)
        kind = "async" if is_coroutine_callable(task.definition.func) else "thread"
        instance = new_instance(order.key, task, order.task_id, scope, scope, None, kind)
        instance.status = Status.RUNNING
        instance.gates = ("far",) if order.has_gates else ()  # type: ignore[assignment]  # only asked whether there are any
        instance.attempt, instance.turn, instance.place = order.attempt, order.turn, order.place
        instance.steps = order.steps
        self.instance: Instance = instance
        self.link = FarLink(
            self.talk,
            order.run_id,
            instance,
            gates=order.gates,
            executors=order.executors,
            has_memory=order.has_memory,
            threads=threads,
        )
        self._new_face = partial(new_face, self.link)
        scope.services = self
        self._task: asyncio.Task[Any] | None = None
        self._is_late = False

    def context_for(self, instance: Instance) -> TaskContext:
        """Make the context of the body, once."""
        if instance.face is None:
            instance.face = self._new_face(instance)
        return instance.face

    def cancel(self) -> None:
        """Make the body stop."""
        self.instance.doomed = True
        self.link.portals.close(self.instance.key)
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> bytes:
        """Run the body, and give the message that says how it ended."""
        instance, timeout = self.instance, self._order_timeout()
        context = copy_context()
        context.run(open_block.set, None)
        context.run(running.set, instance)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._call(), context=context)
        timer = None if timeout is None else loop.call_later(timeout, self._over)
        try:
            value = await self._task
        except BaseException as error:  # noqa: BLE001  # every end of a body is told to the run
            return self._failed(error)
        finally:
            if timer is not None:
                timer.cancel()
        return self._returned(value)

    def _order_timeout(self) -> float | None:
        return self.instance.task.definition.timeout

    def _over(self) -> None:
        self._is_late = True
        self.link.portals.close(self.instance.key)
        if self._task is not None:
            self._task.cancel()

    async def _call(self) -> Any:
        """Call the function the way its kind asks for."""
        instance, order = self.instance, self._order
        func: Any = instance.task.definition.func
        args = tuple(self._given(value) for value in order.args)
        kwargs = {name: self._given(value) for name, value in order.kwargs.items()}
        if instance.kind == "async":
            return await func(*args, **kwargs)
        instance.calls_run = instance.task.definition.is_flow
        call: Any = partial(copy_context().run, call_body, instance, func, args, kwargs)
        value = await self._threads().submit(call)
        if inspect.isawaitable(value) and not isinstance(value, Expression):
            return await value
        return value

    def _given(self, value: Any) -> Any:
        return self.context_for(self.instance) if value is CONTEXT else value

    def _returned(self, value: Any) -> bytes:
        face = self.instance.face
        if self._is_late:
            return self._failed(asyncio.CancelledError())
        if face is not None and face.failures and (failure := face.unawaited_failure()) is not None:
            return self._failed(failure)
        self.instance.status = Status.DONE
        row = None if face is None else self.talk.encoder.wishes(face.wishes)
        try:
            return self.talk.message("returned", (value, row), f"the result of task {self.instance.id!r}")
        except Exception as error:  # noqa: BLE001  # of pickling: the task fails for it
            return self._failed(error, again=False)

    def _failed(self, error: BaseException, *, again: bool = True) -> bytes:
        """Make the message of a body that raised."""
        instance = self.instance
        instance.status = Status.FAILED
        if self._is_late and not instance.doomed:
            late = too_late(instance)
            if not isinstance(error, asyncio.CancelledError):
                late.__cause__ = error
            error = late
        elif isinstance(error, asyncio.CancelledError):
            if instance.doomed:
                return self.talk.message("ended", (), "a cancelled task")
            own = GraflowRuntimeError(f"task {instance.id!r} cancelled its own asyncio task")
            own.__cause__ = error
            error = own
        again = again and not isinstance(error, BindingError)
        note(error, f"graflow_async: it ran on {self._where}\n{''.join(traceback.format_exception(error)).rstrip()}")
        return self.talk.message("raised", (codec.dumps_error(error), again), "an exception")
