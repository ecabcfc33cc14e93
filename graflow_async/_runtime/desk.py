"""A run's side of the broker: its questions go out, what becomes of them comes back as facts. Nothing is polled.

One task carries out what is asked of the broker, in order for each question; another one watches for changes. Neither
exists before the first question, and both end with the run.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.commands import Expire, Publish, Reply, Tell
from .._core.events import Answered, Asked, Received
from .._core.question import Question
from .._core.state import Instance
from ..broker import Broker, Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState
from ..feedback_errors import AlreadyAnsweredError, DuplicateRequestError, UnknownRequestError
from ..protocols import Clock
from .complaints import Complaints
from .errands import Errands
from .letters import Letters
from .ports import Memory
from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

logger = logging.getLogger("graflow_async.feedback")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts to watch a broker that fails


class Desk:
    """Asks for the bodies of one run.

    Attributes:
        broker: where the questions go.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        broker: Broker,
        clock: Clock,
        context: Context,
        memory: Memory | None,
        notify: Callable[..., Coroutine[Any, Any, None]] | None,
        on_ask: Callable[[], None] | None,
    ) -> None:
        """Work for the run of `scheduler`.

        Args:
            scheduler: takes the facts.
            broker: where the questions go.
            clock: of the run.
            context: contextvars for the tasks of this desk: those of whoever asks must not stay in them.
            memory: keeps the run's journal, if it has one.
            notify: tells the handlers, given what has happened and the question.
            on_ask: called after each question.
        """
        self.broker = broker
        self._scheduler = scheduler
        self._state = scheduler.state
        self._clock = clock
        self._context = context
        self._notify = notify
        self._on_ask = on_ask
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._errands = Errands(self._new_task, self._watched)
        self._watching: asyncio.Task[None] | None = None
        self._is_watching = asyncio.Event()
        self._complaints = Complaints(scheduler.state.run_id)
        self._letters = Letters(broker, memory, self._take_record)
        self._calls: set[asyncio.Task[None]] = set()
        scheduler.perform_with({Publish: self._publish, Expire: self._expire, Reply: self._reply})

    # -- for bodies -------------------------------------------------------------------------------------------

    def ask(
        self,
        instance: Instance,
        owner: str,
        slot: Any,
        draft: FeedbackRequest,
        timeout: float | None,
        *,
        anew: bool = False,
    ) -> Question:
        """Ask a question, unless this place of the run has asked it before: give it, open or not.

        Args:
            instance: whose body asks.
            owner: where in the run that is.
            slot: the question's name, or (what, which) if it is known by its place among those of the instance.
            draft: the question, without address and times.
            timeout: seconds.
            anew: its earlier answer was no good.

        Raises:
            DuplicateRequestError: its name belongs to a question that is asked elsewhere in the run.
        """
        is_named = isinstance(slot, str)
        known = self._known(instance, slot, is_named=is_named)
        if known is not None and is_named and known.owner != owner:
            raise DuplicateRequestError(
                f"request_id {slot!r} is taken in this run (by task {known.about.task_id!r}); a name is for one "
                "question: make it unique, for instance with ctx.cycle_count or an item's id",
                slot,
            )
        is_again = False
        if known is not None and not anew:
            if known.kind in ("", "answered") or self._is_news(known, instance):
                return known
            # What the records of another run have left behind (this one is its fork) stays that run's own.
            is_again = known.kind in ("expired", "suspended") and known.about.run_id == self._state.run_id
        address = known.id if known is not None and is_again else os.urandom(16).hex()
        now = self._clock.time()
        request = replace(
            draft,
            id=address,
            request_id=draft.request_id or f"{instance.id}-{address[:6]}",
            run_id=self._state.run_id,
            workflow=instance.scope.name,
            task_id=instance.id,
            created_at=now,
            deadline=None if timeout is None else now + timeout,
        )
        question = Question(address, slot, owner, request, is_named=is_named, again=is_again, attempt=instance.attempt)
        self._open(instance, question, timeout)
        return question

    def expect(self, instance: Instance, owner: str, slot: Any, topic: str, timeout: float | None) -> Question:
        """Wait for an event, unless this place of the run has waited for it before."""
        known = self._known(instance, slot, is_named=False)
        if known is not None and (known.kind in ("", "answered") or self._is_news(known, instance)):
            return known
        self._watch()
        question = Question(os.urandom(16).hex(), slot, owner, None, topic=topic, attempt=instance.attempt)
        self._open(instance, question, timeout)
        return question

    def _open(self, instance: Instance, question: Question, timeout: float | None) -> None:
        self._scheduler.submit(Asked(instance.key, question, timeout))
        if self._on_ask is not None:
            self._on_ask()

    def waiter(self, question: Question) -> asyncio.Future[None]:
        """Give a future that is done once a question has ended."""
        future: asyncio.Future[None] = self._scheduler.loop.create_future()
        if question.kind:
            future.set_result(None)
        else:
            self._waiters.setdefault(question.id, []).append(future)
        return future

    def let_go(self, question: Question, future: asyncio.Future[None]) -> None:
        """Stop waiting for a question; one that nobody waits for is withdrawn."""
        waiters = self._waiters.get(question.id, [])
        if future in waiters:
            waiters.remove(future)
        if self._scheduler.done.done():
            return
        if not waiters and question.id in self._state.asked:
            self._scheduler.submit(Answered(question.id, "withdrawn"))
        elif question.topic is not None and question.kind == "answered" and not question.is_told:
            question.is_told = True  # it came at the moment when the wait was given up: the next one has it
            self._scheduler.submit(Received(question.topic, question.value))

    def _known(self, instance: Instance, slot: Any, *, is_named: bool) -> Question | None:
        return self._state.named.get(slot) if is_named else (instance.steps or {}).get(slot)

    def _is_news(self, known: Question, instance: Instance) -> bool:
        """Say whether a question's end without an answer is still to be told: to a body that starts over, once."""
        if known.kind not in ("expired", "cancelled") or known.is_told or known.attempt != instance.attempt:
            return False
        known.is_told = True
        return True

    # -- a resumed run ----------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Put the questions again that were open when the recorded run stopped; a fork asks its own."""
        for question in list(self._state.asked.values()):
            if question.about is None:
                self._watch()
            elif question.about.run_id != self._state.run_id:
                self._scheduler.submit(Answered(question.id, "withdrawn"))
            else:
                self._publish(Publish(question))
        if self._state.asked and self._on_ask is not None:
            self._on_ask()

    # -- commands ---------------------------------------------------------------------------------------------

    def _publish(self, command: Publish) -> None:
        question = command.question
        if question.about is not None:
            self._errands.add(question.id, partial(self._put, question))

    def _expire(self, command: Expire) -> None:
        question = command.question
        if question.about is None:
            self._scheduler.submit(Answered(question.id, "expired"))
        else:
            self._errands.add(question.id, partial(self._settle, question, FeedbackState.EXPIRED, None))

    def _reply(self, command: Reply) -> None:
        question = command.question
        for future in self._waiters.pop(question.id, ()):
            if not future.done():
                future.set_result(None)
        request: FeedbackRequest | None = question.about
        if request is None:
            return
        if question.kind == "withdrawn":
            if request.run_id == self._state.run_id:
                reason = "its task no longer waits for the answer"
                self._errands.add(question.id, partial(self._settle, question, FeedbackState.CANCELLED, reason))
        elif question.kind == "answered":
            self._tell("on_response_received", request, question.value)
        elif question.kind == "expired":
            self._tell("on_request_timeout", request)

    # -- the broker -------------------------------------------------------------------------------------------

    async def _put(self, question: Question) -> None:
        """Put a question; whoever waits for the answer hears of a broker that refuses."""
        request: FeedbackRequest = question.about
        is_left = question.kind == "suspended"
        if is_left:
            request = replace(request, deadline=None)
        try:
            record = await self.broker.ask(request, again=question.again or is_left)
        except Exception as error:  # noqa: BLE001  # a broker of the user's own may raise anything
            self._refuse(question, error)
            return
        self._take_record(record)
        if record.state is not FeedbackState.PENDING or is_left:
            return
        notifier, instance = self._scheduler.notifier, self._state.live.get(question.key)
        if notifier is not None and instance is not None:
            notifier.tell(Tell("asked", instance.id, instance.scope, instance, record.request))
        self._tell("on_request_created", record.request)
        await self._letters.use(record.request)

    def _refuse(self, question: Question, error: Exception) -> None:
        """Let those who wait for a question have the broker's error; the question was not asked."""
        waiting = self._waiters.pop(question.id, [])
        if question.id in self._state.asked:
            self._scheduler.submit(Answered(question.id, "withdrawn"))
        for future in waiting:
            if not future.done():
                future.set_exception(error)
        if not waiting:
            self._complaints.tell(f"{question.about.request_id!r} could not be asked", error, logging.ERROR)

    async def _settle(self, question: Question, state: FeedbackState, reason: str | None) -> None:
        """Expire or cancel a question at the broker; if somebody was faster, that counts."""
        record = None
        try:
            try:
                record = await self.broker.settle(question.id, state, at=self._clock.time(), reason=reason)
            except AlreadyAnsweredError:
                record = await self.broker.get(question.id)
        except UnknownRequestError:
            pass  # the broker has lost it, or never had it
        except Exception as error:  # noqa: BLE001  # of the backend: the timer's end must not be lost
            self._complaints.tell(f"{question.about.request_id!r} could not be {state}", error)
        if self._state.asked.get(question.id) is not question or self._scheduler.done.done():
            return  # it has ended meanwhile, and may be asked again by now
        if record is not None:
            self._take_record(record)
        else:
            self._scheduler.submit(Answered(question.id, "expired"))

    # -- what comes back --------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._watching is None:
            self._watching = self._new_task(self._follow())

    async def _watched(self) -> None:
        """See to it that nothing that happens at the broker from now on is missed."""
        self._watch()
        await self._is_watching.wait()

    async def _follow(self) -> None:
        """Watch the broker as long as the run lasts; after a failure everything is looked at again."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self.broker.watch(self._state.run_id) as changes:
                    await self._look_at_everything()
                    self._is_watching.set()
                    self._complaints.over()
                    pause = FIRST_PAUSE
                    async for change in changes:
                        self._take(change)
            except Exception as error:  # noqa: BLE001  # of the backend
                self._is_watching.set()  # whoever asks is to hear of it from the broker itself
                self._complaints.tell("the broker cannot be watched, which is tried again", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _look_at_everything(self) -> None:
        run_id = self._state.run_id
        for letter in await self.broker.letters(run_id):
            self._take(Change(run_id, letter=letter))
        for record in await self.broker.find(run_id=run_id) if self._state.asked else ():
            self._take(Change(run_id, record))

    def _take(self, change: Change) -> None:
        """Turn a change into a fact, if it is one."""
        if self._scheduler.done.done():
            return
        letter, record = change.letter, change.record
        if record is not None:
            question = self._state.asked.get(record.request.id)
            again = question is not None and question.about.created_at != record.request.created_at
            if not (again and record.state is FeedbackState.EXPIRED):  # it has been asked again since
                self._take_record(record)
        elif letter is not None and letter.kind == "event":
            if letter.id not in self._state.taken_letters:
                self._scheduler.submit(Received(letter.name, letter.payload, letter.id))
            self._errands.add(letter.id, partial(self._letters.drop, letter))
        elif letter is not None:
            self._letters.keep(letter)
            question = self._state.named.get(letter.name) or self._state.asked.get(letter.name)
            if question is not None and not question.kind:
                self._errands.add(question.id, partial(self._letters.use, question.about))

    def _take_record(self, record: FeedbackRecord) -> None:
        """End an open question as its record says."""
        is_open = record.request.id in self._state.asked and not self._scheduler.done.done()
        if not is_open or record.state is FeedbackState.PENDING:
            return
        value = record.response if record.state is FeedbackState.ANSWERED else record.reason
        self._scheduler.submit(Answered(record.request.id, str(record.state), value))

    # -- handlers and the end ---------------------------------------------------------------------------------

    def _tell(self, event: str, *args: Any) -> None:
        """Tell the handlers, without waiting for them."""
        if self._notify is not None:
            call = self._new_task(self._notify(event, *args))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def _new_task(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._scheduler.loop.create_task(coro, context=self._context.copy())

    async def aclose(self, *, withdraw: bool, grace: float) -> None:
        """Let what is under way end, for at most `grace` seconds; withdraw what is still open if the run is over."""
        for question in list(self._state.asked.values()) if withdraw else ():
            if question.about is not None and question.about.run_id == self._state.run_id:
                settle = partial(self._settle, question, FeedbackState.CANCELLED, "its run has ended")
                self._errands.add(question.id, settle)
        for future in [future for waiters in self._waiters.values() for future in waiters]:
            future.cancel()  # whoever waits there has outlived the body that asked
        under_way = [*self._calls, *([self._errands.task] if self._errands.task is not None else [])]
        if under_way:
            await asyncio.wait(under_way, timeout=grace)
        left = [*self._calls, *(task for task in (self._errands.task, self._watching) if task is not None)]
        for task in left:
            task.cancel()
        for end in await asyncio.gather(*left, return_exceptions=True):
            if isinstance(end, Exception):
                logger.error("run %s: asking people broke", self._state.run_id, exc_info=end)
