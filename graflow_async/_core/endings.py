"""How things end: done, failed, cancelled, stopped; and who goes on because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BindingError
from .commands import Cancel, Deliver, DropTimer, Finish, SetTimer, Tell
from .descent import Descent
from .kinship import in_group, in_lap
from .run_state import RunState
from .state import (
    Awaited,
    Batch,
    BranchEnd,
    Instance,
    Judged,
    Lap,
    Owner,
    PartOf,
    Scope,
    Status,
    Then,
)
from .walk import Walk
from .wishes import Outcome, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

DONE, CLOSING = Status.DONE, Status.CLOSING


class Endings(Walk):
    """Ends instances, laps, groups and scopes, and tells those who wait."""

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        super().__init__(state)
        self.descent = Descent(state)

    # -- success ----------------------------------------------------------------------------------------------

    def finish(self, instance: Instance, value: Any) -> None:
        """End an instance with its value and release what comes after it."""
        scope = instance.scope
        scope.results[instance.id] = value
        del self.state.live[instance.key]
        instance.status = DONE
        if self.observed:
            self.told_end("completed", instance, value)
        lap, owner = instance.lap, instance.owner
        if lap is not None:
            self.deliver_from(lap, instance.node, instance.id, value)
            if lap.then is not None:
                self.leave_lap(lap)
        elif instance.then is None:
            if owner is scope:
                scope.finals[instance.id] = value
        elif isinstance(instance.then, Judged):
            group = instance.then
            scope.results[instance.id] = group.value
            self.close_group(group.lap, group.node, group.value, group.failed, passed=True)
            return
        else:
            self.deliver_end(instance.then, instance.id, value, instance.key)
        if owner is not scope and (owner.status is not CLOSING or owner.wishes is not None):
            _remember(owner, instance, value)
        owner.open = left = owner.open - 1
        if not left:
            self.agenda.append(owner)

    def deliver_end(self, then: Then, source_id: str, value: Any, key: int) -> None:
        """Give the value of something that ended to whoever waits for it."""
        if isinstance(then, Awaited):
            self.out.append(Deliver(then.handle, then.base + key, "value", value))
        elif isinstance(then, PartOf):
            if then.lap.sink is not None:
                then.lap.sink[source_id] = value
            self.leave_lap(then.lap)
        elif isinstance(then, Judged):
            self.close_group(then.lap, then.node, then.value, then.failed, passed=True)
        elif isinstance(then, BranchEnd):
            then.lap.values[then.last] = value
            self.deliver(then.lap, then.join, source_id, value)
            self.leave_lap(then.lap)

    def leave_lap(self, lap: Lap) -> None:
        """Count an end in a lap; the last one ends the lap and gives its value on."""
        if lap.then is None:
            return
        lap.open -= 1
        if lap.open:
            return
        self.state.laps.pop(lap.key, None)
        if lap.is_unwanted or lap.scope.stop is not None:
            self._end_unwanted(lap.then, lap.key)
        elif lap.failure is not None:
            self.fail_end(lap.then, lap.failure, lap.owner, lap.key)
        elif isinstance(lap.then, PartOf):
            self.leave_lap(lap.then.lap)
        else:
            sink = lap.sink or {}
            value = next(iter(sink.values())) if len(sink) == 1 else (dict(sink) if sink else None)
            self.deliver_end(lap.then, next(reversed(sink), ""), value, lap.key)

    def _end_unwanted(self, then: Then, key: int) -> None:
        """Let those know that wait for the end of something that was cancelled."""
        if isinstance(then, Awaited):
            self.out.append(Deliver(then.handle, then.base + key, "cancelled", None))
        elif isinstance(then, (PartOf, BranchEnd, Judged)):
            self.leave_lap(then.lap)

    def leave(self, owner: Owner) -> None:
        """Count an end under an owner; with the last one the owner may close."""
        owner.open -= 1
        if owner.open == 0:
            self.agenda.append(owner)

    # -- failure ----------------------------------------------------------------------------------------------

    def attempt_failed(self, instance: Instance, error: BaseException, *, again: bool) -> None:
        """Try again if the task's policy says so, else let the failure out."""
        retry = instance.task.definition.retry
        if (
            again
            and retry is not None
            and not instance.doomed
            and instance.attempt <= retry.max_retries
            and isinstance(error, retry.retry_on)
            and not isinstance(error, BindingError)
        ):
            delay = retry.delay(instance.attempt, f"{self.state.run_id}/{instance.key}/{instance.turn}")
            instance.attempt += 1
            instance.face = instance.named = None
            if self.noticed:
                self.told_end("retrying", instance, (error, delay))
            if delay > 0:
                instance.status = Status.BACKOFF
                self.state.timers[instance.key] = instance
                self.out.append(SetTimer(instance.key, delay))
            else:
                self.start(instance)
            return
        self.fail(instance, error)

    def fail(self, instance: Instance, error: BaseException) -> None:
        """End an instance with its exception, for good."""
        self._bury(instance, Status.FAILED)
        scope, then, lap, owner = instance.scope, instance.then, instance.lap, instance.owner
        if self.noticed:
            self.told_end("failed", instance, error)
        if scope.stop is not None:
            scope.failures.setdefault(instance.id, error)
            if isinstance(then, Awaited):
                self.out.append(Deliver(then.handle, then.base + instance.key, "error", error))
            else:
                self._end_unwanted(then, instance.key)
        elif isinstance(then, Awaited):
            self.out.append(Deliver(then.handle, then.base + instance.key, "error", error))
            if isinstance(owner, Instance) and owner.status is CLOSING:
                scope.failures.setdefault(instance.id, error)
                self._fail_parent(owner, error, again=True)
        elif isinstance(then, Judged):
            self.close_group(then.lap, then.node, then.value, then.failed, passed=False, cause=error)
            return
        else:
            scope.failures.setdefault(instance.id, error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                self.stop(self.state.root, Stop("failed", error=error))
            elif then is not None:
                self.fail_end(then, error, owner, instance.key)
            elif lap is not None:
                self.fail_node(lap, instance.node, error)
            else:
                self._fail_owner(owner, error)
        if lap is not None and lap.then is not None:
            self.leave_lap(lap)
        self.leave(owner)

    def fail_node(self, lap: Lap, number: int, error: BaseException) -> None:
        """Let the failure of a node go to its group, to whoever awaits the lap, or to the owner."""
        groups = [g for g in lap.graph.table[number].groups if lap.route.expected[g] >= 0]
        if groups:
            for group in groups:
                self._fail_branch(lap, group, number, error)
            self.skip_from(lap, number)
            for group in groups:
                self.judge(lap, group)
        elif lap.then is not None:
            lap.failure = lap.failure or error
            self.cancel_lap(lap)
        else:
            self._fail_owner(lap.owner, error)

    def fail_end(self, then: Then, error: BaseException, owner: Owner, key: int) -> None:
        """Let a failure go to whoever waits for the end of something."""
        if isinstance(then, Awaited):
            self.out.append(Deliver(then.handle, then.base + key, "error", error))
            if isinstance(owner, Instance) and owner.status is CLOSING:
                self._fail_parent(owner, error, again=True)
        elif isinstance(then, PartOf):
            whole = then.lap
            whole.failure = whole.failure or error
            self.cancel_lap(whole)
            self.leave_lap(whole)
        elif isinstance(then, BranchEnd):
            self._fail_branch(then.lap, then.join, then.last, error)
            if self._skip_edge(then.lap, then.join):
                self.skip_from(then.lap, then.join)
            self.judge(then.lap, then.join)
            self.leave_lap(then.lap)
        elif isinstance(then, Judged):
            self.close_group(then.lap, then.node, then.value, then.failed, passed=False, cause=error)
        else:
            self._fail_owner(owner, error)

    def _fail_branch(self, lap: Lap, group: int, number: int, error: BaseException) -> None:
        """Note a failure under the key of its branch."""
        branch = lap.graph.branch_of(group, number)
        if branch is not None:
            self.activation(lap, group).failed.setdefault(branch[1], error)

    def _fail_owner(self, owner: Owner, error: BaseException) -> None:
        """Let a failure of a wished child (or of a top-level task) go up."""
        if isinstance(owner, Scope):
            self.stop(owner, Stop("failed", error=error))
        else:
            self._fail_parent(owner, error, again=False)

    def _fail_parent(self, parent: Instance, error: BaseException, *, again: bool) -> None:
        """Let a parent whose body has ended fail for a child; its other children are cancelled first."""
        if parent.outcome is None or parent.outcome.error is None:
            parent.outcome = Outcome(error=error, again=again)
            parent.wishes = None
            self.cancel_under(parent)

    # -- cancellation -----------------------------------------------------------------------------------------

    def cancel(self, instance: Instance) -> None:
        """Make an instance stop, wherever it is."""
        if instance.doomed:
            return
        instance.doomed = True
        status = instance.status
        if status in (Status.DELAYED, Status.BACKOFF):
            self.state.timers.pop(instance.key, None)
            self.out.append(DropTimer(instance.key))
            self.end_cancelled(instance)
        elif status is Status.READY:
            self.end_cancelled(instance)
        elif status is CLOSING:
            self.agenda.append(instance)
        else:
            self.out.append(Cancel(instance))

    def cancel_under(self, owner: Owner) -> None:
        """Cancel everything that an owner waits for, at any depth."""
        if isinstance(owner, Instance):
            if owner.is_swept:
                return
            owner.is_swept = True
        self.cancel_within(owner)

    def cancel_within(self, what: Any, predicate: Callable[[Instance | Batch], bool] | None = None) -> None:
        """Cancel what is in an owner or a lap, or goes to a handle, at any depth, or what of it a predicate holds for.

        Of a batch the rest is cancelled. A predicate has to hold for all that is under something it holds for.
        """
        batches, instances, _ = self.descent.within(what)
        if predicate is not None:
            batches = [batch for batch in batches if predicate(batch)]
            instances = [instance for instance in instances if predicate(instance)]
        for batch in batches:
            self._drop(batch)
        for instance in instances:
            instance.is_swept = True  # what is under it is among those found
            if instance.key in self.state.live:
                self.cancel(instance)

    def cancel_lap(self, lap: Lap) -> None:
        """Cancel everything that belongs to a lap."""
        self.cancel_within(lap, lambda other: in_lap(other, lap))

    def cancel_group(self, lap: Lap, number: int) -> None:
        """Cancel what still runs of a group: its branches, and everything that these wait for."""
        inside = lap.graph.inside(number)
        self.cancel_within(lap, lambda other: in_group(other, lap, number, inside))

    def end_cancelled(self, instance: Instance) -> None:
        """End an instance that was told to stop."""
        self._bury(instance, Status.CANCELLED)
        if self.noticed:
            self.told_end("cancelled", instance)
        lap, then = instance.lap, instance.then
        if instance.scope.stop is None:
            if lap is not None:
                self.skip_from(lap, instance.node)
            elif isinstance(then, BranchEnd) and self._skip_edge(then.lap, then.join):
                self.skip_from(then.lap, then.join)
        self._end_unwanted(then, instance.key)
        if lap is not None and lap.then is not None:
            self.leave_lap(lap)
        self.leave(instance.owner)

    def _drop(self, batch: Batch) -> None:
        """Forget the children of a batch that have not started."""
        batch.dropped = True
        rest = len(batch.tasks) - batch.taken
        if self.noticed:
            self.out.append(Tell("dropped", "", batch.scope, None, (batch.tasks, batch.taken, batch.first)))
        self.state.batches.pop(batch.first, None)
        if batch.then is not None:
            for position in range(batch.taken, len(batch.tasks)):
                self.out.append(Deliver(batch.then.handle, batch.then.base + batch.first + position, "cancelled", None))
        batch.tasks = []
        batch.owner.open -= rest
        if batch.owner.open == 0:
            self.agenda.append(batch.owner)

    # -- scopes -----------------------------------------------------------------------------------------------

    def stop(self, scope: Scope, stop: Stop) -> None:
        """End a scope early: nothing further starts, what runs is cancelled. The first reason counts."""
        if scope.stop is not None or scope.phase == "closed":
            return
        scope.stop = stop
        for inner in self.descent.within(scope)[2]:
            inner.stop = inner.stop or Stop("cancelled")
        self.cancel_under(scope)
        if scope.open == 0:
            self.agenda.append(scope)

    def stop_run(self, error: BaseException) -> None:
        """End the whole run with an error."""
        self.stop(self.state.root, Stop("failed", error=error))

    def close_scope(self, scope: Scope) -> None:
        """End a scope in which nothing is open any more."""
        scope.phase = "closed"
        stop = scope.stop
        kind, value, error = "completed", None, None
        if stop is None:
            finals = scope.finals
            value = next(iter(finals.values())) if len(finals) == 1 else (dict(finals) if finals else None)
        elif stop.kind == "terminated":
            value = stop.value
        else:
            kind, error = stop.kind, stop.error
        if scope.caller is None:
            self.out.append(Finish(kind, value, error))
            return
        self.state.scopes.pop(scope.key, None)
        if self.noticed:
            self.out.append(Tell("run_" + kind, scope.name, scope, None, error if error is not None else value))
        if error is not None:
            self.fail_end(scope.then, error, scope.caller, scope.key)
        elif kind == "completed":
            self.deliver_end(scope.then, scope.name, value, scope.key)
        elif isinstance(scope.then, Awaited):
            self.out.append(Deliver(scope.then.handle, scope.then.base + scope.key, "cancelled", None))
        self.leave(scope.caller)

    # -- small parts ------------------------------------------------------------------------------------------

    def _bury(self, instance: Instance, status: Status) -> None:
        """Take an instance out of the living."""
        del self.state.live[instance.key]
        instance.status = status


def _remember(owner: Owner, child: Instance, value: Any) -> None:
    """Keep a child's result for its owner, whose body or next turn may ask for it; items of a map are in its list."""
    if isinstance(owner, Scope) or (isinstance(child.then, Awaited) and child.then.handle.is_bulk):
        return
    if owner.own is None:
        owner.own = {}
    if child.own is not None:
        owner.own.update(child.own)
    owner.own[child.id] = value
