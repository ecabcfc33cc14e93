"""Conditions: `when` as data. A fixed set of tests on results of other steps; nothing is evaluated as code."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .faults import Faults, Path, nearest, spelled
from .values import MAX_DEPTH, MISSING, REFERENCE_KEYS, Reference, read_reference

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "equals": operator.eq,
    "not_equals": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda value, known: value in known,
    "not_in": lambda value, known: value not in known,
    "contains": operator.contains,
}
EXISTS = "exists"
CONNECTIVES = ("all", "any", "not")


class Condition:
    """One test or a combination of conditions.

    Attributes:
        kind: "test", "all", "any" or "not".
        parts: the combined conditions; none for a test.
        reference: what a test looks at.
        tests: (name, operand) of each test.
        path: where it is written.
    """

    __slots__ = ("kind", "parts", "path", "reference", "tests")

    def __init__(self, kind: str, path: Path, parts: tuple[Condition, ...] = ()) -> None:
        """Make a condition without tests."""
        self.kind = kind
        self.path = path
        self.parts = parts
        self.reference: Reference | None = None
        self.tests: list[tuple[str, Any]] = []

    def holds(self, results: Mapping[str, Any]) -> bool:
        """Say whether it holds; parts are looked at in order, and no more of them than needed.

        Raises:
            BindingError: it looks at something that is not there, without a default.
            TypeError: two values cannot be compared.
        """
        if self.kind == "all":
            return all(part.holds(results) for part in self.parts)
        if self.kind == "any":
            return any(part.holds(results) for part in self.parts)
        if self.kind == "not":
            return not self.parts[0].holds(results)
        reference = self.reference
        if reference is None:
            return True
        if not self.tests:
            return bool(reference.value(results))
        return all(self._passes(reference, name, operand, results) for name, operand in self.tests)

    def _passes(self, reference: Reference, name: str, operand: Any, results: Mapping[str, Any]) -> bool:
        """Apply one test."""
        if name == EXISTS:
            return (reference.find(results) is not MISSING) is operand
        value = reference.value(results)
        try:
            return bool(TESTS[name](value, operand))
        except TypeError as error:
            place = spelled((*self.path, name))
            message = f"{place}: {name} does not apply to {value!r} (result of step {reference.step!r}) and {operand!r}"
            raise TypeError(message) from error

    @property
    def references(self) -> list[Reference]:
        """Everything that it looks at."""
        own = [self.reference] if self.reference is not None else []
        return own + [reference for part in self.parts for reference in part.references]


def read_condition(data: Any, path: Path, faults: Faults, depth: int = 0) -> Condition | None:
    """Read `when`; None if it cannot be read."""
    if not isinstance(data, Mapping) or depth > MAX_DEPTH:
        what = (
            "is nested too deeply"
            if isinstance(data, Mapping)
            else f"is a mapping such as {{result_of: id, equals: value}}, not {data!r}"
        )
        faults.add(path, f"a condition {what}; no expression is evaluated")
        return None
    given = cast("Mapping[Any, Any]", data)
    found = [name for name in CONNECTIVES if name in given]
    if "result_of" in given and not found:
        return _read_test(given, path, faults)
    if len(found) != 1 or len(given) != 1:
        known = (*CONNECTIVES, "result_of")
        unknown = [key for key in given if key not in (*known, *REFERENCE_KEYS, *TESTS, EXISTS)]
        hint = f"; unknown key {unknown[0]!r}, {nearest(unknown[0], known, 'keys')}" if unknown else ""
        faults.add(
            path, f"a condition has the key 'result_of' with tests, or exactly one of 'all', 'any' and 'not'{hint}"
        )
        return None
    kind = found[0]
    inner = given[kind]
    if kind == "not":
        part = read_condition(inner, (*path, kind), faults, depth + 1)
        return Condition(kind, path, (part,)) if part is not None else None
    if not isinstance(inner, (list, tuple)) or not inner:
        faults.add((*path, kind), f"{kind} takes a list of conditions, not {inner!r}")
        return None
    rows = cast("list[Any]", inner)
    parts = [read_condition(item, (*path, kind, index), faults, depth + 1) for index, item in enumerate(rows)]
    return Condition(kind, path, tuple(part for part in parts if part is not None))


def _read_test(given: Mapping[Any, Any], path: Path, faults: Faults) -> Condition | None:
    """Read a reference with tests."""
    condition = Condition("test", path)
    condition.reference = read_reference(given, path, faults, (*TESTS, EXISTS))
    for name in given:
        if name not in TESTS and name != EXISTS:
            continue
        problem = _operand_problem(name, given[name])
        if problem is not None:
            faults.add((*path, name), problem)
        else:  # existence first: the others need the value
            condition.tests.insert(0 if name == EXISTS else len(condition.tests), (name, given[name]))
    if condition.reference is None:
        return None
    names = [name for name, _ in condition.tests]
    if names == [EXISTS] or (EXISTS, True) in condition.tests:
        condition.reference.needs_value = False
    return condition


def _operand_problem(name: str, operand: Any) -> str | None:
    """Say what is wrong with the operand of a test."""
    if name in ("in", "not_in") and not isinstance(operand, (list, tuple)):
        return f"{name} takes a list of values, not {operand!r}"
    if name == EXISTS and not isinstance(operand, bool):
        return f"{name} is true or false, not {operand!r}"
    return None
