"""Running a body elsewhere: what a lane does where the run is, for one attempt that came as an order."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core.state import Instance, Status, new_instance
from .._lazy import lazily
from ..compose import Expression
from ..current import open_block, running
from ..errors import BindingError, GraflowRuntimeError, note
from ..graph import Graph
from ..plan import is_coroutine_callable
from .elsewhere import FarSteps
from .far_link import FarLink, far_scope
from .in_threads import call_body
from .lanes import too_late
from .orders import CONTEXT, Order
from .ports import TaskContext, ThreadPort
from .scheduler import CANCEL_AGAIN_AT
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable

codec = lazily("graflow_async.codec")
logger = logging.getLogger("graflow_async.run")


class FarBody:
    """One attempt of a body."""

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
        self.talk = Talk(graph, send, self._hear, self._break)
        scope = far_scope(order.scope, graph, order.workflow)
        kind = "async" if is_coroutine_callable(task.definition.func) else "thread"
        instance = new_instance(order.key, task, order.task_id, scope, scope, None, kind)
        instance.status = Status.RUNNING
        instance.gates = ("far",) if order.has_gates else ()  # type: ignore[assignment]  # only asked whether there are any
        instance.attempt, instance.turn, instance.place = order.attempt, order.turn, order.place
        instance.steps = order.steps if order.has_memory else FarSteps(self.talk, order.steps)
        self.instance: Instance = instance
        self._new_face = new_face
        self._link: FarLink | None = None
        scope.services = self
        self._task: asyncio.Task[Any] | None = None
        self._is_in_thread = False
        self._has_timed_out = False
        self._is_over: asyncio.Future[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._end: tuple[Any, BaseException | None] | None = None
        self._broken: BaseException | None = None

    @property
    def link(self) -> FarLink:
        """The run as the body sees it, made when somebody looks, on the loop's thread."""
        link = self._link
        if link is None:
            order = self._order
            link = self._link = FarLink(
                self.talk,
                order.run_id,
                self.instance,
                namespace=order.namespace,
                gates=order.gates,
                executors=order.executors,
                provided={} if order.manager is None else {"prompt_manager": order.manager},
                has_memory=order.has_memory,
                threads=self._threads,
            )
        return link

    def context_for(self, instance: Instance) -> TaskContext:
        """Make the context of the body, once."""
        if instance.face is None:
            instance.face = self._new_face(self.link, instance)
        return instance.face

    def cancel(self) -> None:
        """Make the body stop, unless it has ended."""
        if self.instance.status is Status.RUNNING:
            self.instance.doomed = True
            self._stop()

    async def run(self) -> bytes:
        """Run the body, and give the message that says how it ended.

        One that does not end within the grace of the run once it was told to is left behind.
        """
        instance = self.instance
        timeout = instance.task.definition.timeout
        context = copy_context()
        context.run(open_block.set, None)
        context.run(running.set, instance)
        instance.started_at = monotonic()
        loop = asyncio.get_running_loop()
        over = self._is_over = loop.create_future()
        task = self._task = loop.create_task(self._call(), context=context)
        task.add_done_callback(lambda _: None if over.done() else over.set_result(None))
        if instance.doomed:
            self._stop()
        timer = None if timeout is None else loop.call_later(timeout, self._late)
        try:
            await over
        except asyncio.CancelledError:  # of whoever runs it
            over = self._is_over = loop.create_future()
            task.add_done_callback(lambda _: None if over.done() else over.set_result(None))
            self.cancel()
            await over
        finally:
            if timer is not None:
                timer.cancel()
            if self._patience is not None:
                self._patience.cancel()
        value, error = self._end or (None, asyncio.CancelledError())
        try:
            return self._returned(value) if error is None else self._failed(error)
        finally:
            self._close()

    def _close(self) -> None:
        """Let nothing of the body reach the run any more."""
        instance = self.instance
        self.talk.close(GraflowRuntimeError(f"task {instance.id!r} has ended"))
        if self._link is not None:
            self._link.portals.close(instance.key)
            self._link.far.close()

    def _hear(self, verb: str, number: int, args: tuple[Any, ...]) -> None:
        self.link.hear(verb, number, args)

    def _break(self, error: BaseException) -> None:
        """Stop the body: the run has told something that cannot be loaded here, and that it may wait for."""
        self._broken = error
        self._stop()

    def _late(self) -> None:
        self._has_timed_out = True
        if self._link is not None:
            self._link.far.is_late = True
        self._stop()

    def _stop(self) -> None:
        """Cancel the body; later again, and then give it up."""
        if self._link is not None:
            self._link.portals.close(self.instance.key)
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        if self._patience is None:
            grace = self._order.grace
            self._patience = task.get_loop().call_later(grace * CANCEL_AGAIN_AT, self._stop_again, grace)

    def _stop_again(self, grace: float) -> None:
        if self._task is not None:
            self._task.cancel()
            self._patience = self._task.get_loop().call_later(grace * (1 - CANCEL_AGAIN_AT), self._give_up)

    def _give_up(self) -> None:
        what = (
            "its thread is left to run on" if self._is_in_thread else "it ignores its cancellation and is left behind"
        )
        logger.warning("task %r did not end within cancel_grace=%s s: %s", self.instance.id, self._order.grace, what)
        if self._is_over is not None and not self._is_over.done():
            self._is_over.set_result(None)

    async def _call(self) -> None:
        """Call the function the way its kind asks for; nothing that it raises ends this process."""
        try:
            self._end = await self._value(), None
        except BaseException as error:  # noqa: BLE001  # every end of a body is told to the run
            self._end = None, error

    async def _value(self) -> Any:
        instance, order = self.instance, self._order
        func: Any = instance.task.definition.func
        args = tuple(self._given(value) for value in order.args)
        kwargs = {name: self._given(value) for name, value in order.kwargs.items()}
        if instance.kind == "async":
            return await func(*args, **kwargs)
        instance.calls_run = instance.task.definition.is_flow
        self.context_for(instance)
        call: Any = partial(copy_context().run, call_body, instance, func, args, kwargs)
        value = await self._in_thread(call)
        return await value if inspect.isawaitable(value) and not isinstance(value, Expression) else value

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        """Wait for a thread: through a cancellation (it cannot be stopped), but not past a timeout."""
        future = self._threads().submit(call)
        self._is_in_thread = True
        try:
            while True:
                try:
                    await asyncio.wait((future,))
                    return future.result()
                except asyncio.CancelledError:
                    if future.done():
                        return future.result()
                    if self._has_timed_out or self._broken is not None:
                        future.cancel()  # nobody wants to know any more how it ends
                        logger.warning("task %r is not waited for; its thread is left to run on", self.instance.id)
                        raise
        finally:
            self._is_in_thread = False

    def _given(self, value: Any) -> Any:
        return self.context_for(self.instance) if value is CONTEXT else value

    def _returned(self, value: Any) -> bytes:
        face = self.instance.face
        if self._has_timed_out or self._broken is not None:
            return self._failed(asyncio.CancelledError())
        if face is not None and face.failures and (failure := face.unawaited_failure()) is not None:
            return self._failed(failure)
        self.instance.status = Status.DONE
        try:
            row = None if face is None or face.wishes is None else self.talk.encoder.wishes(face.wishes)
            return self.talk.message("returned", (value, row), f"the result of task {self.instance.id!r}")
        except Exception as error:  # noqa: BLE001  # of pickling: the task fails for it
            return self._failed(error, again=False)

    def _failed(self, error: BaseException, *, again: bool = True) -> bytes:
        """Make the message of a body that raised."""
        instance = self.instance
        instance.status = Status.FAILED
        if self._broken is not None and not instance.doomed:
            error = self._broken
        elif self._has_timed_out and not instance.doomed:
            late = too_late(instance)
            if not isinstance(error, asyncio.CancelledError):
                late.__cause__ = error
            error = late
        elif isinstance(error, asyncio.CancelledError):
            if instance.doomed:
                return self.talk.message("ended", (), "a cancelled task")
            own = GraflowRuntimeError(
                f"task {instance.id!r} cancelled its own asyncio task, or let somebody else's cancellation out"
            )
            own.__cause__ = error
            error = own
        again = again and not isinstance(error, BindingError)
        note(error, f"graflow_async: it ran on {self._where}")
        return self.talk.message("raised", (codec.dumps_error(error), again), "an exception")
