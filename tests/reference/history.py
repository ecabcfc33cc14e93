"""What has happened in one interpretation: executions, results, stops, and the record drawn from them."""

from __future__ import annotations

from collections import Counter

from tests.reference.expected import Execution, Expected, Scope, Stop, always, count, requirements
from tests.reference.outcome import AmbiguousError, Done, Failed, Outcome, TooLongError
from tests.reference.program import Element, Program, Ref, Turn

MAX_EXECUTIONS = 160


class History:
    """The growing history of one interpretation."""

    def __init__(self, program: Program) -> None:
        """Start with nothing."""
        self.program = program
        self.everything = Scope()
        self.executions: list[Execution] = []
        self.turns: Counter[str] = Counter()
        self.visits: Counter[str] = Counter()
        self.results: dict[str, object] = {}
        self.unsure: set[str] = set()
        self.tolerated: set[str] = set()
        self.lost: list[tuple[Failed, Execution]] = []
        self._latest: dict[str, Execution] = {}
        self._stops: list[tuple[Stop, Execution]] = []
        self._orders: set[tuple[str, ...]] = set()

    def execute(self, task_id: str, cycle: int, attempt: int, past: int, scopes: tuple[Scope, ...]) -> Execution:
        """Add one execution of a task's body."""
        counts_turns = len(self.program.script(task_id).turns) > 1
        before = self._latest.get(task_id)
        if before and counts_turns and not (past >> before.index & 1 and before.is_certain(scopes)):
            raise AmbiguousError(f"turns of {task_id} have no order, but its script counts them")
        if len(self.executions) >= MAX_EXECUTIONS:
            raise TooLongError(f"more than {MAX_EXECUTIONS} executions")
        execution = Execution(len(self.executions), task_id, cycle, attempt, past, scopes)
        self.executions.append(execution)
        self._latest[task_id] = execution
        return execution

    def stop(self, execution: Execution, turn: Turn) -> None:
        """Remember that this execution stops the run."""
        kind = "cancelled" if turn.stop == "cancel" else "terminated"
        values = {"cancel": None, "terminate": turn.value, "terminate_with": f"stop:{execution.task_id}"}
        self._stops.append((Stop(kind, execution.task_id, values.get(turn.stop)), execution))

    def note_order(self, parts: list[Element]) -> None:
        """Remember that tasks which become ready together start in this order (a group has no start of its own)."""
        order = tuple(part.id for part in parts if isinstance(part, Ref))
        if len(order) > 1 and len(set(order)) == len(order):
            self._orders.add(order)

    def record(self, outcome: Outcome) -> Expected:
        """Sum up; `outcome` is that of everything that is not detached."""
        for execution in [*(one for _, one in self._stops), *(one for _, one in self.lost)]:
            if not execution.is_certain():
                raise AmbiguousError(f"{execution.task_id} may be cancelled before it, or its child, ends the run")
        failures = [one for one, _ in self.lost] + ([outcome] if isinstance(outcome, Failed) else [])
        self.everything.cuts += [execution.past | 1 << execution.index for _, execution in self._stops]
        self.everything.cuts += [cause for failed in failures for cause in failed.causes]
        self._check_turns()
        stops = {stop for stop, _ in self._stops} | {Stop(*who) for failed in failures for who in failed.raised}
        least, most = count(self.executions)
        sure = always(self.executions)
        once = {task_id for task_id, number in self.visits.items() if number == 1}
        return Expected(
            stops=frozenset(stops),
            value=outcome.value if isinstance(outcome, Done) and not stops else None,
            least=least,
            most=most,
            results={task_id: value for task_id, value in self.results.items() if task_id in sure - self.unsure},
            tolerated=frozenset(self.tolerated & sure),
            needs=requirements(self.executions),
            orders=frozenset(order for order in self._orders if once.issuperset(order)),
            revisited=frozenset(set(self.visits) - once),
        )

    def _check_turns(self) -> None:
        """Refuse a script that counts turns if an earlier turn may turn out not to have happened."""
        last: dict[str, Execution] = {}
        for one in self.executions:
            before = last.get(one.task_id)
            last[one.task_id] = one
            if before and len(self.program.script(one.task_id).turns) > 1 and not before.is_certain(one.scopes):
                raise AmbiguousError(f"an earlier turn of {one.task_id} may not have happened")
