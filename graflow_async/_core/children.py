"""What a body wished for takes effect: children, another turn, the end of the run; and what it called while running."""

from __future__ import annotations

from typing import Any

from ..errors import CycleLimitExceededError
from ..task import Task
from .commands import Deliver
from .endings import Endings
from .state import (
    Awaited,
    Batch,
    BranchEnd,
    Detached,
    Instance,
    Judged,
    Owner,
    PartOf,
    Position,
    Scope,
    Status,
    Then,
    new_instance,
)
from .wishes import SAME, UNSET, Child, Stop, Wishes

RUNNING = Status.RUNNING


class Children(Endings):
    """Makes children of instances and waits for them before anything else goes on."""

    def settle(self, instance: Instance, value: Any, wishes: Wishes) -> None:
        """Let the wishes of a body that has ended take effect."""
        instance.value = value
        if wishes.stop is not None:
            self._stop_by(instance, value, wishes.stop)
            return
        if wishes.again is not None and not wishes.children:
            self.turn(instance, wishes.again)
            return
        instance.status = Status.CLOSING
        if wishes.again is not None or wishes.jumps:
            instance.wishes = wishes
        children = wishes.children
        if children:
            if wishes.is_mixed:
                self._release_mixed(instance, children)
            else:
                self._release_tasks(instance, children)
        if not instance.open and not instance.doomed:
            self._after_children(instance)
        elif self.observed and instance.open:
            self.told_closing(instance)

    def _release_mixed(self, parent: Instance, children: list[Any]) -> None:
        """Make children of an instance in the order in which they were wished; plain tasks in a row go together."""
        row: list[Any] = []
        for child in children:
            if not isinstance(child, Child):
                row.append(child)
                continue
            if row:
                self._release_tasks(parent, row)
                row = []
            if child.waits:
                self._release_one(parent, parent, child, None)
            else:
                self._release_one(parent, parent.scope, child, Detached())
        if row:
            self._release_tasks(parent, row)

    def _stop_by(self, instance: Instance, value: Any, stop: Stop) -> None:
        """End the scope because a task of it said so; a terminating task has completed, a cancelling one has not."""
        scope = instance.scope
        if stop.kind == "terminated":
            scope.results[instance.id] = value
            if stop.value is UNSET:
                stop.value = value
        self._bury(instance, Status.DONE if stop.kind == "terminated" else Status.CANCELLED)
        if self.noticed:
            self.told_end("completed" if stop.kind == "terminated" else "cancelled", instance)
        self.stop(scope, stop)
        owner = instance.owner
        if isinstance(instance.then, Awaited):  # whoever awaits it is being cancelled, and waits for its end
            self.out.append(Deliver(instance.then.handle, instance.then.base + instance.key, "cancelled", None))
        elif isinstance(instance.then, (PartOf, BranchEnd, Judged)):
            self.leave_lap(instance.then.lap)
        if instance.lap is not None:
            self.leave_lap(instance.lap)
        self.leave(owner)

    def _after_children(self, instance: Instance) -> None:
        """Go on after the wished children: another turn, a jump, or the end."""
        wishes = instance.wishes
        instance.wishes = None
        if wishes is None:
            self.finish(instance, instance.value)
        elif wishes.again is not None:
            self.turn(instance, wishes.again)
        elif isinstance(instance.then, Judged):  # a policy has no successors of its own: it waits for what it jumps to
            for child in wishes.jumps or ():
                self._release_one(instance, instance, child, None)
            if not instance.open:
                self.finish(instance, instance.value)
        elif wishes.jumps:
            self._jump(instance, wishes.jumps)

    def turn(self, instance: Instance, data: tuple[tuple[Any, ...], dict[str, Any] | None]) -> None:
        """Give an instance another turn."""
        turn, limit = instance.turn, instance.task.definition.max_cycles
        if turn >= limit:
            self.fail(instance, CycleLimitExceededError(instance.id, turn, limit))
            return
        instance.scope.results[instance.id] = instance.value
        if self.observed:
            self.told_end("iterated", instance, instance.value)
        instance.turn = turn + 1
        if instance.attempt != 1:
            instance.attempt = 1
        if instance.steps is not None:
            instance.steps = None
        if instance.named is not None:
            instance.named = None
        instance.data = None if data is SAME else data
        instance.face = None
        state = self.state
        if instance.gates or state.max_steps is not None or self.observed:
            self.begin(instance)
            return
        state.steps += 1
        instance.status = RUNNING
        self.out.append(instance)

    def _release_tasks(
        self, parent: Instance, tasks: list[tuple[Task[Any, Any], int]], handle: Any = None, index: int = 0
    ) -> None:
        """Make tasks children of an instance, in runs that pass the same gates."""
        state = self.state
        if parent.scope.stop is not None and parent.status is Status.CLOSING:
            return  # the run was stopped while these were being made
        parent.open += len(tasks)
        position, total = 0, len(tasks)
        while position < total:
            first = tasks[position][0]
            gates = self.gates_for(first, first.definition.kind)
            end, known = total, first.definition
            for place, (task, _) in enumerate(tasks[position:] if position else tasks, position):
                if task.definition is not known:
                    known = task.definition
                    if self.gates_for(task, known.kind) != gates:
                        end = place
                        break
            batch = Batch(
                state.next_key, tasks if end - position == total else tasks[position:end], parent, parent.scope, parent
            )
            batch.gates = gates
            if handle is not None:
                batch.then = Awaited(handle, index + position - batch.first)
            state.next_key += end - position
            self._start_children(batch)
            position = end

    def _start_children(self, batch: Batch) -> None:
        """Start a batch as one, unless its turns have to be counted one by one."""
        state = self.state
        if len(batch.tasks) > 1 and state.max_steps is None:
            self.start_batch(batch)
            return
        state.batches[batch.first] = batch
        while batch.tasks and not batch.dropped:
            self.begin(state.take(batch))

    def _release_one(
        self, parent: Instance, owner: Owner, child: Child, then: Then, sink: dict[str, Any] | None = None
    ) -> None:
        """Make one wished or called child: a task, or a walk through a graph."""
        upstream = None if isinstance(then, Awaited) else [(parent.id, parent.value)]
        if then is None and parent.scope.stop is not None:
            return  # the run was stopped while these were being made
        if child.task is not None:
            self._new_task(parent, owner, child, then, upstream)
            return
        if child.graph is None or child.route is None:
            return
        scope = parent.scope
        key = self._next_key() if then is not None and not isinstance(then, Detached) else -1
        self.open_lap(
            child.graph,
            child.route,
            owner,
            scope,
            key=key,
            parent=parent,
            then=None if isinstance(then, Detached) else then,
            sink=sink,
            upstream=upstream,
            delay=child.delay,
        )

    def _new_task(
        self, parent: Instance | None, owner: Owner, child: Child, then: Then, upstream: list[tuple[str, Any]] | None
    ) -> None:
        """Make an instance of one task outside of any graph."""
        task = child.task
        if task is None:
            return
        task_id = f"{task.definition.id}_{child.number}" if child.number else (task.given_id() or task.definition.id)
        scope = owner if isinstance(owner, Scope) else owner.scope
        instance = new_instance(self._next_key(), task, task_id, owner, scope, parent, task.definition.kind)
        instance.then = Awaited(then.handle, then.base - instance.key) if isinstance(then, Position) else then
        instance.upstream = upstream
        instance.gates = self.gates_for(task, task.definition.kind)
        instance.awaits_arguments = child.awaits_arguments
        if not child.number and parent is not None:
            instance.ordinal = parent.name_child(task_id)
        owner.open += 1
        self.state.live[instance.key] = instance
        if child.delay is None:
            self.begin(instance)
        else:
            self.begin_later(instance, child.delay)

    def _jump(self, instance: Instance, jumps: list[Child]) -> None:
        """Let other tasks run in an instance's place."""
        raise NotImplementedError

    def _next_key(self) -> int:
        """Number an instance."""
        key = self.state.next_key
        self.state.next_key = key + 1
        return key
