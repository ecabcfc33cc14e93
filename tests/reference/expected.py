"""What a run must and may do: the record that the interpreter fills and the comparison reads.

Where a run is cut short (a stop, a failing strict group, a race) the order of independent tasks decides how far the
others came. The record then says only what holds in every order: each execution belongs to *scopes* of work that is
cancelled together, and an execution is certain if it had ended before whatever cut its scopes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final


class _Anything:
    """Equal to every value; it stands where a value depends on the order."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Anything()


@dataclass(eq=False)
class Scope:
    """Work that is cancelled together; each cut is the set (a bit mask) of what had ended by then for certain.

    The scope of a detached child is cut by nothing, but it is there only if its parent's execution, `origin`, is.
    """

    cuts: list[int] = field(default_factory=list[int])
    origin: Execution | None = None

    def spares(self, execution: Execution, given: tuple[Scope, ...]) -> bool:
        """Tell whether an execution in this scope happens whatever cuts the scope."""
        is_there = self.origin is None or self.origin.is_certain(given)
        return is_there and all(cut >> execution.index & 1 for cut in self.cuts)


@dataclass(frozen=True)
class Execution:
    """One execution of one body; `past` is the bit mask of the executions that ended before it started."""

    index: int
    task_id: str
    cycle: int
    attempt: int
    past: int
    scopes: tuple[Scope, ...]

    def is_certain(self, given: tuple[Scope, ...] = ()) -> bool:
        """Tell whether it happens in every order, knowing that the scopes `given` were not cut before."""
        return all(scope.spares(self, given) for scope in self.scopes if scope not in given)


@dataclass(frozen=True)
class Stop:
    """One way a run may end early: `kind` is "failed", "group failed", "terminated" or "cancelled"."""

    kind: str
    id: str
    value: object = None


Key = tuple[str, int, int]
"""Task id, turn within its visit (1-based), attempt (1-based)."""


@dataclass(frozen=True)
class Expected:
    """Everything that can be said about a run of one program, whatever the order of independent tasks.

    Attributes:
        stops: the ways the run may end early; one of them happens. Empty: the run completes.
        value: the run's value if it completes.
        least: executions that certainly happen.
        most: executions that may happen at all.
        results: the last value of each task, for the tasks where it is certain; for completing runs.
        tolerated: tasks that fail under a policy that lets the run go on.
        needs: for (x, y) the number of executions of x that ended before each start of y, smallest first.
        orders: tasks that start in this order, where all of them start.
        revisited: tasks that are reached more than once, so that their turns are not told apart by visit.
    """

    stops: frozenset[Stop]
    value: object
    least: Counter[Key]
    most: Counter[Key]
    results: dict[str, object]
    tolerated: frozenset[str]
    needs: dict[tuple[str, str], list[int]]
    orders: frozenset[tuple[str, ...]]
    revisited: frozenset[str]

    def counts(self) -> dict[str, int]:
        """Return how often each body is executed at most, attempts included."""
        total: Counter[str] = Counter()
        for (task_id, _, _), number in self.most.items():
            total[task_id] += number
        return dict(total)

    def must_run(self) -> set[str]:
        """Return the tasks that are executed in every order."""
        return {task_id for task_id, _, _ in self.least}

    def may_run(self) -> set[str]:
        """Return the tasks that are executed in some orders only."""
        return {task_id for task_id, _, _ in self.most} - self.must_run()

    def is_after(self, later: str, earlier: str) -> bool:
        """Tell whether each start of `later` has at least one ended execution of `earlier` before it."""
        return self.needs.get((earlier, later), [0])[0] > 0

    def describe(self) -> str:
        """Write the record down for a person."""
        ending = f"completed with {self.value!r}"
        if self.stops:
            ending = "one of " + ", ".join(sorted(f"{stop.kind} by {stop.id}" for stop in self.stops))
        lines = [f"  ends: {ending}"]
        for key in sorted(self.most):
            number = f"{self.least[key]}..{self.most[key]}"
            lines.append(f"  {key[0]} turn {key[1]} attempt {key[2]}: {number} times")
        return "\n".join(lines)


def count(executions: list[Execution]) -> tuple[Counter[Key], Counter[Key]]:
    """Count the executions that happen in every order, and all of them."""
    least: Counter[Key] = Counter()
    most: Counter[Key] = Counter()
    for one in executions:
        key = (one.task_id, one.cycle, one.attempt)
        most[key] += 1
        least[key] += one.is_certain()
    return +least, most


def always(executions: list[Execution]) -> set[str]:
    """Return the tasks whose every execution happens in every order."""
    return {one.task_id for one in executions} - {one.task_id for one in executions if not one.is_certain()}


def requirements(executions: list[Execution]) -> dict[tuple[str, str], list[int]]:
    """Derive, for each pair of ids, how many of the one must have ended at each start of the other.

    The smallest number comes first: the n-th start in a real log has at least the n-th number before it, whichever
    of several concurrent executions it was.
    """
    starts: dict[str, list[Counter[str]]] = defaultdict(list)
    for one in executions:
        before = Counter(
            other.task_id
            for other in executions[: one.index]
            if one.past >> other.index & 1 and other.is_certain(one.scopes)
        )
        starts[one.task_id].append(before)
    needs: dict[tuple[str, str], list[int]] = {}
    for task_id, befores in starts.items():
        for earlier in {other for before in befores for other in before}:
            needs[earlier, task_id] = sorted(before[earlier] for before in befores)
    return needs
