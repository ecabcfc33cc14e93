"""Running a body elsewhere: what a lane does where the run is, for one attempt that came as an order."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import types
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .._core.state import Instance, Status, new_instance
from .._lazy import lazily
from ..compose import Expression
from ..current import running
from ..errors import BindingError, GraflowRuntimeError, note
from ..protocols import Job
from .elsewhere import FarSteps
from .far_host import FarHost
from .far_link import FarLink
from .in_threads import call_body
from .isolation import as_coroutine
from .lanes import Lane, too_late
from .orders import CONTEXT, Order
from .ports import TaskContext
from .scheduler import CANCEL_AGAIN_AT
from .talk import PLAIN, SILENT, TALKED, Talk
from .within import within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextvars import Context

codec = lazily("graflow_async.codec")
logger = logging.getLogger("graflow_async.run")


class FarBody:
    """One attempt of a body.

    Attributes:
        instance: stands for it on this side.
    """

    __slots__ = (
        "_broken", "_done", "_has_talked", "_has_timed_out", "_host", "_is_in_thread", "_is_over", "_lane", "_link",
        "_on_link", "_order", "_patience", "_send", "_talk", "instance",
    )  # fmt: skip

    def __init__(
        self,
        order: Order,
        scope: Any,
        task: Any,
        send: Callable[[bytes], None],
        host: FarHost,
        on_link: Callable[[FarLink, Instance], None] | None = None,
    ) -> None:
        """Make ready to run.

        Args:
            order: what is to run.
            scope: what stands for its run on this side.
            task: its task.
            send: passes a message on to the run.
            host: runs it.
            on_link: is called with the link once there is one, before the body has it.
        """
        self._on_link = on_link
        self._order = order
        self._send = send
        self._host = host
        scope.services = host
        instance = new_instance(
            host.next_key(), task, order.task_id, scope, scope, None, host.kind_of(task.definition), _gates(order)
        )
        instance.status = Status.RUNNING
        instance.attempt, instance.turn, instance.place = order.attempt, order.turn, order.place
        instance.steps = order.steps
        self.instance: Instance = instance
        self._talk: Talk | None = None
        self._link: FarLink | None = None
        self._lane: Lane | None = None
        self._done: Callable[[bytes], None] | None = None
        self._has_talked = False
        self._has_timed_out = False
        self._is_in_thread = False
        self._is_over = False
        self._patience: asyncio.TimerHandle | None = None
        self._broken: BaseException | None = None

    @property
    def talk(self) -> Talk:
        """The conversation with the run, made when somebody has something to say."""
        if self._talk is None:
            self._talk = Talk(self.instance.scope.graph, self._say, self._hear, self._break)
        return self._talk

    @property
    def link(self) -> FarLink:
        """The run as the body sees it, made when somebody looks, on the loop's thread."""
        link = self._link
        if link is None:
            stage, instance = self._order.stage, self.instance
            if not stage.has_memory:
                instance.steps = FarSteps(self.talk, instance.steps)
            link = self._link = FarLink(
                self.talk,
                stage.run_id,
                instance,
                namespace=stage.namespace,
                gates=stage.gates,
                executors=stage.executors,
                provided={} if stage.manager is None else {"prompt_manager": stage.manager},
                has_memory=stage.has_memory,
                threads=self._host.threads,
            )
            if self._on_link is not None:
                self._on_link(link, instance)
        return link

    def context(self) -> TaskContext:
        """Make the context of the body, once."""
        if self.instance.face is None:
            self.instance.face = self._host.new_face(self.link, self.instance)
        return self.instance.face

    def start(self, done: Callable[[bytes], None]) -> None:
        """Run the body; `done` takes the message that says how it ended, with a mark in front.

        One that does not end within the grace of the run once it was told to is left behind.
        """
        self._done = done
        self._host.start(self)

    async def run(self) -> bytes:
        """Run the body, and give the message that says how it ended; a cancellation of the wait cancels the body."""
        over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.start(over.set_result)
        while not over.done():
            try:
                await asyncio.wait([over])
            except asyncio.CancelledError:
                self.cancel()
        return over.result()

    def cancel(self) -> None:
        """Make the body stop, unless it has ended."""
        if self.instance.status is Status.RUNNING:
            self.instance.doomed = True
            self._stop()

    # -- on a lane --------------------------------------------------------------------------------------------

    def begin(self, lane: Lane) -> Awaitable[None] | None:
        """Run the body as far as it goes without suspending; gives the rest if it has not ended."""
        instance = self.instance
        if instance.doomed or self._broken is not None:
            self._ended(None, asyncio.CancelledError())
            return None
        running.set(instance)  # in the lane's context, of which the body gets a copy
        try:
            coro: Any = self._call()
            if coro.__class__ is not CoroutineType:
                coro = as_coroutine(coro)
            context = copy_context()
            future = context.run(lane.step, coro)
        except BaseException as error:  # noqa: BLE001  # every end of a body is told to the run
            lane.renew()
            self._ended(None, error)
            return None
        if future is not lane.returned:
            return self._suspended(lane, context, future)
        self._ended(lane.returned.value, None)
        return None

    @types.coroutine
    def _suspended(self, lane: Lane, context: Context, future: Any) -> Generator[Any, Any, None]:
        """Drive a body that has suspended to its end."""
        instance, lanes = self.instance, self._host.lanes
        self._lane = lane
        lanes.suspend(lane, instance)
        timeout = instance.task.definition.timeout
        timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, self._late)
        failed, value = None, None
        try:
            while future is not lane.returned:
                try:
                    sent = yield future
                except BaseException as error:  # noqa: BLE001  # whatever is thrown in belongs to the body
                    future = context.run(lane.throw, error)
                else:
                    future = context.run(lane.step, sent)
            value = lane.returned.value
        except BaseException as error:  # noqa: BLE001  # every end of a body is told to the run
            failed = error
        if timer is not None:
            timer.cancel()
        if not lane.abandoned:
            lanes.proceed(lane, instance)
            self._ended(value, failed)

    def watch(self) -> None:
        """Keep an eye on the body, which was told to stop: cancel it again later, and then give it up."""
        if self._patience is None:
            grace = self._order.stage.grace
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(grace * CANCEL_AGAIN_AT, self._stop_again, grace)

    def _stop(self) -> None:
        """Cancel the body, if it has begun."""
        if self._link is not None:
            self._link.portals.close(self.instance.key)
        if self._lane is not None:
            self._lane.cancel()
            self.watch()

    def _stop_again(self, grace: float) -> None:
        if self._lane is not None:
            self._lane.cancel()
        self._patience = asyncio.get_running_loop().call_later(grace * (1 - CANCEL_AGAIN_AT), self._give_up)

    def _give_up(self) -> None:
        what = (
            "its thread is left to run on" if self._is_in_thread else "it ignores its cancellation and is left behind"
        )
        grace = self._order.stage.grace
        logger.warning("task %r did not end within cancel_grace=%s s: %s", self.instance.id, grace, what)
        if self._lane is not None:
            self._host.lanes.abandon(self._lane)
        self._ended(None, asyncio.CancelledError())

    def _late(self) -> None:
        self._has_timed_out = True
        if self._link is not None:
            self._link.far.is_late = True
        self._stop()

    def _ended(self, value: Any, error: BaseException | None) -> None:
        """Tell how the body has ended, and let nothing of it reach the run any more."""
        if self._is_over:
            return
        self._is_over = True
        if self._patience is not None:
            self._patience.cancel()
        instance = self.instance
        try:
            data = self._returned(value) if error is None else self._failed(error)
        finally:
            if self._talk is not None:
                self._talk.close(GraflowRuntimeError(f"task {instance.id!r} has ended"))
            if self._link is not None:
                self._link.portals.close(instance.key)
                self._link.far.close()
            self._host.ended(self)
        if self._done is not None:
            self._done(data)

    # -- what is said -----------------------------------------------------------------------------------------

    def _say(self, data: bytes) -> None:
        self._has_talked = True
        self._send(data)

    def _hear(self, verb: str, number: int, args: tuple[Any, ...]) -> None:
        self.link.hear(verb, number, args)

    def _break(self, error: BaseException) -> None:
        """Stop the body: the run has told something that cannot be loaded here, and that it may wait for."""
        self._broken = error
        self._stop()

    # -- the call ---------------------------------------------------------------------------------------------

    def _call(self) -> Any:
        """Call the function the way its kind asks for, and give what is to be awaited."""
        instance, given = self.instance, self._order.given
        definition = instance.task.definition
        func: Any = definition.func
        if given is None:
            args, kwargs = instance.task.args, {}
        else:
            args = tuple(self._given(value) for value in given[0])
            kwargs = {name: self._given(value) for name, value in given[1].items()}
        around, is_async = self._order.around, instance.kind == "async"
        apart = self._host.apart
        if apart is not None and not is_async and not definition.is_flow and not definition.plan.wants_context:
            instance.started_at = monotonic()
            run_id = self._order.stage.run_id
            return apart.execute(Job(run_id, instance.id, instance.key, func, args, kwargs, around=around))
        if around is not None:
            func = within(around, func, is_async=is_async)
        return func(*args, **kwargs) if is_async else self._threaded(func, args, kwargs)

    async def _threaded(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        instance = self.instance
        instance.calls_run = instance.task.definition.is_flow
        instance.started_at = monotonic()
        self.context()
        call: Any = partial(copy_context().run, call_body, instance, func, args, kwargs)
        value = await self._in_thread(call)
        return await value if inspect.isawaitable(value) and not isinstance(value, Expression) else value

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        """Wait for a thread: through a cancellation (it cannot be stopped), but not past a timeout."""
        future = self._host.threads().submit(call)
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
        return self.context() if value is CONTEXT else value

    def _returned(self, value: Any) -> bytes:
        face = self.instance.face
        if self._has_timed_out or self._broken is not None:
            return self._failed(asyncio.CancelledError())
        if face is not None and face.failures and (failure := face.unawaited_failure()) is not None:
            return self._failed(failure)
        self.instance.status = Status.DONE
        wishes = None if face is None else face.wishes
        if self._host.is_plain and wishes is None and not self._has_talked:
            with suppress(Exception):  # what plain pickle does not take needs more ado
                plain = pickle.dumps(value, 5)
                if len(plain) <= Talk.largest:
                    return PLAIN + plain
        try:
            row = None if wishes is None else self.talk.encoder.wishes(wishes)
            return self._last("returned", (value, row), f"the result of task {self.instance.id!r}")
        except Exception as error:  # noqa: BLE001  # of pickling: the task fails for it
            return self._failed(error, again=False)

    def _last(self, verb: str, args: tuple[Any, ...], what: str) -> bytes:
        return (TALKED if self._has_talked else SILENT) + self.talk.message(verb, args, what)

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
                return self._last("ended", (), "a cancelled task")
            own = GraflowRuntimeError(
                f"task {instance.id!r} cancelled its own asyncio task, or let somebody else's cancellation out"
            )
            own.__cause__ = error
            error = own
        again = again and not isinstance(error, BindingError)
        note(error, f"graflow_async: it ran on {self._host.where}")
        return self._last("raised", (codec.dumps_error(error), again), "an exception")


def _gates(order: Order) -> Any:
    """Give what stands for the slots that a body holds: it is only asked whether there are any."""
    return ("far",) if order.has_gates else ()
