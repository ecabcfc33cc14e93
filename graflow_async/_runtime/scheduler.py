"""The shell around the machine: submits facts, carries commands out. No decisions are made here."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .._core.commands import Cancel, Deliver, DropTimer, Finish, Resume, SetTimer, Tell
from .._core.events import Cancelled, Completed, Event, Failed, Parked, TimerFired, Unparked
from .._core.machine import Machine
from .._core.run_state import RunState
from .._core.state import Batch, Instance
from .._core.wishes import Wishes
from .._lazy import lazily
from ..errors import InternalError, text_of
from ..protocols import Clock
from .lanes import Lane, Lanes, Seat, too_late
from .timers import Timers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextvars import Context

    from .ports import Notifier
    from .recorded import Recorded

logger = logging.getLogger("graflow_async.run")
_ports = lazily("graflow_async._runtime.ports")  # for its types
_recorded = lazily("graflow_async._runtime.recorded")  # for its types
recording = lazily("graflow_async._core.replay")  # for tests and for finding bugs

CANCEL_AGAIN_AT = 0.9
EPSILON = 1e-6


class Scheduler:
    """One run on one event loop. `submit` is a plain function: whoever learns a fact calls it.

    Attributes:
        recorded: children that bodies had called in an earlier life of the run; None if there was none.
        cancel_grace: seconds that a body gets to end once it was told to.
    """

    recorded: Recorded | None = None

    def __init__(
        self,
        state: RunState,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        context: Context,
        begin: Callable[[Lane, Instance], Awaitable[None] | None],
        notifier: Notifier | None,
        cancel_grace: float,
        validate: bool,
    ) -> None:
        """Put machine, lanes and timers together."""
        self.state = state
        self.machine: Machine = self.new_machine(state, validate=validate)
        self.machine.observed = notifier is not None and notifier.is_detailed
        self.machine.noticed = notifier is not None
        self._keeps_events = validate
        self.loop = loop
        self.clock = clock
        self.notifier = notifier
        self.done: asyncio.Future[Finish] = loop.create_future()
        # One call less per child, where nobody wants to know who has taken it.
        take = state.take if self.machine.__class__ is Machine else self.machine.take
        self.lanes = Lanes(loop, context, begin, self.watch, self.crash, self.forget, take)
        self._queue = self.lanes.queue
        self.timers = Timers(clock, lambda token: self.submit(TimerFired(token)))
        self.cancel_grace = cancel_grace
        self._told: dict[int, tuple[Seat, float]] = {}
        self._patrol_handle: Any = None
        self._waits: dict[int, _Wait] = {}
        self.on_cancel: Callable[[int], None] = lambda _: None
        self._perform: dict[type, Callable[[Any], None]] = {
            Instance: self.lanes.push,
            Batch: self.lanes.push,
            Cancel: self._cancel,
            Resume: self._resume,
            SetTimer: lambda command: self.timers.set(command.token, command.delay),
            DropTimer: lambda command: self.timers.drop(command.token),
            Deliver: lambda command: command.handle.deliver(command.index, command.kind, command.value),
            Finish: self._finish,
            Tell: self._tell,
        }

    def new_machine(self, state: RunState, *, validate: bool) -> Machine:
        """Make the machine of the run."""
        return recording.RecordingMachine(state) if validate else Machine(state)

    def submit(self, event: Event) -> None:
        """Work a fact in and carry out what follows."""
        try:
            for command in self.machine.apply(event):
                self._perform[command.__class__](command)
        except Exception as error:
            self.crash(error)
            raise

    def crash(self, error: BaseException) -> None:
        """End the run at once: something that must not happen has happened, and waiting would be for ever."""
        logger.critical("run %s broke; please report this", self.state.run_id, exc_info=error)
        failure = InternalError(
            f"run {self.state.run_id} broke: {type(error).__name__}: {text_of(error)}; please report this"
        )
        failure.__cause__ = error
        if not self.done.done():
            self.done.set_result(Finish("failed", None, failure))
        self._give_up()

    def _give_up(self) -> None:
        """Let nothing begin any more and stop waiting for what has begun; threads that wait for the run are woken."""
        for key, seat in list(self.lanes.busy.items()):
            if seat.in_thread:
                self.on_cancel(key)
        self.lanes.close()

    def perform_with(self, verbs: Mapping[type, Callable[[Any], None]]) -> None:
        """Let somebody else carry out commands of these types."""
        self._perform.update(verbs)

    def suspended(self, instance: Instance, error: BaseException) -> bool:
        """Say whether the run pauses because nobody has answered a question; one without a journal fails instead."""
        del instance, error
        return False

    async def park(self, instance: Instance, future: asyncio.Future[Any], wait: str = "", about: str = "") -> Any:
        """Await something on behalf of a body; while it waits, the body holds no slot.

        `wait` is what listeners are told that it waits for, as in a `TaskWaiting` event; nothing if it is empty.
        """
        if (not instance.gates and (not wait or not self.machine.observed)) or future.done():
            return await future
        async with self.parked(instance, wait, about):
            return await future

    def completed(self, instance: Instance, value: Any, wishes: Wishes | None) -> None:
        """Submit the commonest fact of all, wrapped into an event only if somebody keeps events."""
        if self._keeps_events:
            self.submit(Completed(instance.key, value, wishes))
            return
        try:
            for command in self.machine.complete(instance, value, wishes):
                if isinstance(command, Instance):
                    self._queue.append(command)  # the lane on which this body ran looks at the queue next
                else:
                    self._perform[command.__class__](command)
        except Exception as error:
            self.crash(error)
            raise

    def parked(self, instance: Instance, wait: str = "", about: str = "") -> Parking:
        """Hold no slot on behalf of a body; it has them again when the block has ended."""
        return Parking(self, instance, wait, about)

    def leave_slots(self, instance: Instance) -> _Wait | None:
        """Note that a body begins to wait; with its first wait it gives its slots back."""
        if not instance.gates:
            return None
        wait = self._waits.get(instance.key)
        if wait is None:
            wait = self._waits[instance.key] = _Wait()
        wait.count += 1
        if wait.count == 1 and wait.going is None and instance.key in self.state.live:
            self.submit(Parked(instance.key))
        return wait

    async def regain_slots(self, instance: Instance, wait: _Wait) -> None:
        """Note that a wait of a body is over; after its last one it goes on when it has its slots again.

        A cancelled body needs none for its clean-up, nor does one of a run that has paused.
        """
        wait.count -= 1
        is_wanted = not instance.doomed and not self.done.done() and instance.key in self.state.live
        if wait.count == 0 and is_wanted:
            if wait.going is None:
                wait.going = self.loop.create_future()
                self.submit(Unparked(instance.key))
            await self._await_slots(instance, wait)
        if wait.count == 0 and wait.going is None:
            self._waits.pop(instance.key, None)

    async def _await_slots(self, instance: Instance, wait: _Wait) -> None:
        """Wait for slots, also through a cancellation that is the body's own affair (its own timeout, say)."""
        going = wait.going
        if going is None:
            return  # they have come back at once
        own: asyncio.CancelledError | None = None
        while not going.done():
            try:
                await asyncio.shield(going)
            except asyncio.CancelledError as error:
                lane = self.lanes.busy.get(instance.key)
                if instance.doomed or lane is None or lane.timed_out or self.done.done():
                    raise
                own = error
        if own is not None:
            raise own

    def forget(self, key: int) -> None:
        """Forget the waits of an attempt that has ended."""
        self._waits.pop(key, None)

    def close(self) -> None:
        """Forget timers."""
        self.timers.close()
        if self._patrol_handle is not None:
            self._patrol_handle.cancel()
            self._patrol_handle = None

    # -- commands ---------------------------------------------------------------------------------------------

    def _resume(self, command: Resume) -> None:
        wait = self._waits.get(command.instance.key)
        if wait is None or wait.going is None:
            return
        going, wait.going = wait.going, None
        if wait.count:
            self.submit(Parked(command.instance.key))  # it waits for somebody else by now
        if not going.done():
            going.set_result(None)

    def _cancel(self, command: Cancel) -> None:
        key = command.instance.key
        lane = self.lanes.busy.get(key)
        if lane is None:
            return  # not begun, or in a step right now: it is looked at when it begins or suspends
        lane.cancel()
        if lane.in_thread:
            self.on_cancel(key)
        self.watch(key)

    def watch(self, key: int) -> None:
        """Keep an eye on a body that was told to stop."""
        lane = self.lanes.busy.get(key)
        if lane is None:
            return
        self._told[key] = (lane, self.clock.monotonic())
        if self._patrol_handle is None:
            self._patrol_handle = self.clock.call_later(self.cancel_grace * CANCEL_AGAIN_AT, self._patrol)

    def _patrol(self) -> None:
        """Cancel those again whose grace is nearly over, and give up those whose grace is over.

        A body that waits for children has its grace once these have ended: they may be the ones that do not.
        """
        self._patrol_handle = None
        now, grace = self.clock.monotonic(), self.cancel_grace
        wake = now + grace
        for key, (lane, since) in list(self._told.items()):
            instance = self.state.live.get(key)
            if instance is None or self.lanes.busy.get(key) is not lane:
                del self._told[key]
                continue
            due = since + grace
            if instance.open and now >= due - EPSILON and not self.done.done():
                self._told[key] = (lane, now)
                continue
            if now >= due - EPSILON:
                self._abandon(key, lane)
                continue
            again = since + grace * CANCEL_AGAIN_AT
            if lane.cancels == 1 and not lane.in_thread and now >= again - EPSILON:
                lane.cancel()
            wake = min(wake, due if lane.cancels > 1 or lane.in_thread else again)
        if self._told:
            self._patrol_handle = self.clock.call_later(max(wake - now, 0.0), self._patrol)

    def _abandon(self, key: int, lane: Seat) -> None:
        """Stop waiting for a body that will not end."""
        self._told.pop(key, None)
        instance = self.state.live.get(key)
        if instance is None:
            return
        what = "its thread is left to run on" if lane.in_thread else "it ignores its cancellation and is left behind"
        logger.warning("task %r did not end within cancel_grace=%s s: %s", instance.id, self.cancel_grace, what)
        self.lanes.abandon(lane)
        if lane.in_thread:
            lane.cancel()
        if lane.timed_out and not instance.doomed:
            self.submit(Failed(key, too_late(instance)))
        else:
            self.submit(Cancelled(key))

    def _finish(self, command: Finish) -> None:
        if not self.done.done():
            self.done.set_result(command)

    def _tell(self, command: Tell) -> None:
        if self.notifier is not None:
            self.notifier.tell(command)


class Parking:
    """A block in which a body waits for somebody and holds no slot."""

    __slots__ = ("_about", "_instance", "_notifier", "_scheduler", "_slots", "_wait")

    def __init__(self, scheduler: Scheduler, instance: Instance, wait: str, about: str) -> None:
        """Stand before the block."""
        self._scheduler = scheduler
        self._instance = instance
        self._notifier = scheduler.notifier if wait and scheduler.machine.observed else None
        self._wait = wait
        self._about = about
        self._slots: _Wait | None = None

    async def __aenter__(self) -> None:
        """Give the slots back."""
        if self._notifier is not None:
            self._notifier.waiting(self._instance, self._wait, self._about)
        self._slots = self._scheduler.leave_slots(self._instance)

    async def __aexit__(self, *_: object) -> None:
        """Take them again before the body goes on."""
        if self._notifier is not None:
            self._notifier.resumed(self._instance, self._wait, self._about)
        if self._slots is not None:
            await self._scheduler.regain_slots(self._instance, self._slots)


class _Wait:
    """How many awaits of a body are open, and the future of its slots while it wants them back."""

    __slots__ = ("count", "going")

    def __init__(self) -> None:
        self.count = 0
        self.going: asyncio.Future[None] | None = None
