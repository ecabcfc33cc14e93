"""How a run with a journal pauses: nothing begins any more, what runs may end, what waits is let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core.commands import Finish, Resume
from .._core.events import Suspended
from .._core.state import Batch, Instance, Status
from .._lazy import lazily
from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

faults = lazily("graflow_async.feedback_errors")


class Pausing(Scheduler):
    """A scheduler that can stop in good order.

    Attributes:
        place: what the run is resumed from.
        sleeping: keys of the bodies that wait for nothing but time.
    """

    place = ""
    sleeping: dict[int, int]
    _reason: str | None = None
    _is_checking = False

    def pause(self, reason: str) -> None:
        """Let nothing begin any more, and end the run as paused once all that runs has ended or waits for something.

        What runs on for longer than `cancel_grace` is cancelled, and starts over when the run is resumed.
        """
        if self._reason is not None or self.done.done():
            return
        self._reason = reason
        self.perform_with(dict.fromkeys((Instance, Batch, Resume), _ignore))
        self.lanes.queue.clear()
        self.clock.call_later(self.cancel_grace, self._stop)
        self.look_whether_quiet()

    def look_whether_quiet(self) -> None:
        """After a fact: if the run is to pause and everything waits by now, let it end."""
        if not self._is_checking:
            self._is_checking = True
            self.loop.call_soon(self._end_if_quiet)  # the body that runs at this moment is in the middle of a step

    @property
    def is_pausing(self) -> bool:
        """Whether the run is about to pause."""
        return self._reason is not None

    def is_quiet(self) -> bool:
        """Say whether every body that has begun waits: for people, children, time, or slots."""
        asking = {question.key for question in self.state.asked.values()}
        for key in self.lanes.busy:
            instance = self.state.live.get(key)
            waits = instance is None or instance.status is not Status.RUNNING or instance.open > 0
            if not (waits or key in asking or key in self.sleeping):
                return False
        return True

    def suspended(self, instance: Instance, error: BaseException) -> bool:
        """Pause the run if a body ends because nobody has answered its questions; it starts over on resume."""
        if instance.doomed or self.done.done():
            return False
        timeouts: list[Any] = list(_leaves(error))
        questions = [self.state.question_of(instance, getattr(leaf, "question_id", "")) for leaf in timeouts]
        asked = [question for question in questions if question is not None and question.kind == "expired"]
        if not asked or len(asked) < len(questions):
            return False
        for question in asked:
            self.submit(Suspended(instance.key, question.id))
        names = ", ".join(repr(leaf.request_id) for leaf in timeouts)
        self.pause(f"nobody answered {names} in time")
        return True

    def _end_if_quiet(self) -> None:
        self._is_checking = False
        if self.is_quiet():
            self._stop()

    def _stop(self) -> None:
        """End the run as paused; what still waits is cancelled, and nothing of that is recorded."""
        if self.done.done():
            return
        state = self.state
        waiting = [
            question for question in (*state.asked.values(), *state.named.values()) if question.about is not None
        ]
        names = [q.about.request_id for q in waiting if q.kind in ("", "suspended")]
        for instance in state.live.values():
            steps = (instance.steps or {}).values()
            names += [
                q.about.request_id for q in steps if getattr(q, "kind", None) == "suspended" and q.about is not None
            ]
        error = faults.WorkflowPausedError(state.run_id, list(dict.fromkeys(names)), self.place, self._reason)
        self.done.set_result(Finish("paused", None, error))
        for key, seat in list(self.lanes.busy.items()):
            seat.cancel()
            if seat.in_thread:
                self.on_cancel(key)
            self.watch(key)


class IdleWatch:
    """Pauses a run in which nothing happens but waiting, and somebody is waited for."""

    def __init__(self, scheduler: Pausing, activity: Callable[[], int], after: float) -> None:
        """Pause after that many seconds; `activity()` gives another number whenever something has happened."""
        self._scheduler = scheduler
        self._activity = activity
        self._after = after
        self._timer: Any = None
        self._seen = -1

    def asked(self) -> None:
        """Begin to watch: a question is open."""
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._seen = self._activity()
        self._timer = self._scheduler.clock.call_later(self._after, self._look)

    def _look(self) -> None:
        self._timer = None
        scheduler = self._scheduler
        if scheduler.done.done() or not scheduler.state.asked:
            return
        if self._activity() == self._seen and scheduler.is_quiet():
            scheduler.pause(f"everything has waited for longer than pause_after={self._after:g} s")
        else:
            self._arm()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Go through an exception, or those that a group of them is made of."""
    if isinstance(error, BaseExceptionGroup):
        for part in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(part)
    else:
        yield error


def _ignore(_: Any) -> None:
    """Begin nothing."""
