"""Groups: what is known of a group's turn, when its policy is asked, and how it ends."""

from __future__ import annotations

from typing import Any

from ..errors import GraflowRuntimeError, ParallelGroupError, text_of
from ..graph import Join
from ..policy import MemberResult, Verdict
from ..task import Task
from .admission import Admission
from .commands import Tell
from .gate import Gate
from .state import FIRED, Activation, Judged, Lap, Owner, new_instance


class Groups(Admission):
    """Judges groups."""

    def activation(self, lap: Lap, number: int) -> Activation:
        """Give what is noted of a group's turn."""
        if lap.groups is None:
            lap.groups = {}
            lap.is_simple = False
        return lap.groups.setdefault(number, Activation())

    def group_gate(self, lap: Lap, number: int) -> Gate:
        """Give the gate of a group that bounds its tasks."""
        activation = self.activation(lap, number)
        if activation.gate is None:
            node = lap.graph.table[number]
            size = node.join.max_concurrency if node.join is not None else None
            activation.gate = Gate(node.id, size or 1)
        return activation.gate

    def judge(self, lap: Lap, number: int) -> None:
        """Ask a group's policy while branches are open; a verdict cancels the rest."""
        join = lap.graph.table[number].join
        activation = self.activation(lap, number)
        if join is None or activation.passed is not None or lap.marks[number] >= FIRED:
            return
        if join.judge is None:
            return
        values = self._group_values(lap, join)
        verdict = join.judge.verdict(values, activation.failed, lap.pending[number])
        if verdict is Verdict.WAIT:
            return
        activation.passed = verdict is Verdict.PASS
        activation.settled = values
        self.cancel_group(lap, number)

    def conclude(self, lap: Lap, number: int) -> None:
        """Judge a group whose branches have all ended, and pass on its result or its failure."""
        node = lap.graph.table[number]
        join = node.join
        if join is None:
            return
        activation = lap.groups.get(number) if lap.groups is not None else None
        failed = activation.failed if activation is not None else {}
        values = self._group_values(lap, join)
        if activation is not None and activation.passed is not None:
            passed = activation.passed
            if passed and activation.settled is not None:
                values = activation.settled
        elif join.judge is not None:
            passed = not join.branches or join.judge.verdict(values, failed, 0) is Verdict.PASS
        elif join.branches:
            self._ask_policy(lap, number, values, failed)
            return
        else:
            passed = True
        self.close_group(lap, number, values, failed, passed=passed)

    def close_group(
        self,
        lap: Lap,
        number: int,
        values: dict[str, Any],
        failed: dict[str, BaseException],
        *,
        passed: bool,
        cause: BaseException | None = None,
    ) -> None:
        """End a group with its result, or with ParallelGroupError."""
        node = lap.graph.table[number]
        if self.observed:
            self.out.append(Tell("group_completed" if passed else "group_failed", node.id, lap.scope, None, values))
        if passed:
            lap.scope.results[node.id] = values
            self.deliver_from(lap, number, node.id, values)
        else:
            error = _group_error(node.id, node.join, values, failed, cause)
            lap.scope.failures.setdefault(node.id, error)
            self.fail_node(lap, number, error)
        self.leave_lap(lap)
        self.leave(lap.owner)

    def _ask_policy(self, lap: Lap, number: int, values: dict[str, Any], failed: dict[str, BaseException]) -> None:
        """Let a policy of the user's own look at the results, as a task of the run."""
        node = lap.graph.table[number]
        join = node.join
        if join is None:
            return
        policy: Any = join.policy
        results = {
            key: MemberResult(key, values.get(key), failed.get(key))
            for key in join.keys
            if key in values or key in failed
        }
        members = [lap.graph.table[last].task or key for last, key in join.branches]

        def on_group_finished(ctx: Any) -> Any:
            return policy.on_group_finished(node.id, members, results, ctx)

        judge: Task[Any, Any] = Task(node.id, on_group_finished, inject_context=True, executor="inline")
        instance = new_instance(self.state.next_key, judge, node.id, lap.owner, lap.scope, lap.parent, "inline")
        self.state.next_key += 1
        instance.then = Judged(lap, number, values, failed)
        self.state.live[instance.key] = instance
        self.start(instance)

    def _group_values(self, lap: Lap, join: Join) -> dict[str, Any]:
        """Collect what the branches of a group have delivered so far."""
        values = lap.values
        return {key: values[last] for last, key in join.branches if last in values}

    # -- what the layer above knows ---------------------------------------------------------------------------

    def leave_lap(self, lap: Lap) -> None:
        """Count an end in a lap that somebody waits for."""
        raise NotImplementedError

    def leave(self, owner: Owner) -> None:
        """Count an end under an owner."""
        raise NotImplementedError

    def fail_node(self, lap: Lap, number: int, error: BaseException) -> None:
        """Let a failure go where it belongs."""
        raise NotImplementedError

    def cancel_group(self, lap: Lap, number: int) -> None:
        """Cancel what still runs of a group."""
        raise NotImplementedError

    def deliver_from(self, lap: Lap, number: int, node_id: str, value: Any) -> None:
        """Deliver a value along every edge out of a node."""
        raise NotImplementedError


def _group_error(
    group_id: str,
    join: Join | None,
    values: dict[str, Any],
    failed: dict[str, BaseException],
    cause: BaseException | None,
) -> ParallelGroupError:
    """Make the error of a group that failed by its policy."""
    policy: Any = join.policy if join is not None else None
    label = getattr(policy, "label", type(policy).__name__)
    total = len(join.branches) if join is not None else 0
    names = ", ".join(failed) or "none"
    message = f"group {group_id!r} failed by policy {label}: {len(values)}/{total} succeeded; failed: {names}"
    if cause is not None:
        message = f"group {group_id!r} failed by its policy {label}: {text_of(cause)}"
    errors = [e if isinstance(e, Exception) else _as_exception(e) for e in failed.values()]
    if cause is not None and isinstance(cause, Exception):
        errors.append(cause)
    error = ParallelGroupError(message, errors or [GraflowRuntimeError(message)], group_id, failed, values)
    error.__cause__ = cause
    return error


def _as_exception(error: BaseException) -> GraflowRuntimeError:
    """Wrap what is no Exception, which a group of exceptions does not take."""
    wrapped = GraflowRuntimeError(f"{type(error).__name__}: {text_of(error)}")
    wrapped.__cause__ = error
    return wrapped
