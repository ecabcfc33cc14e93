"""What follows what: dependencies looked up, circles found, disabled steps passed over, references made edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .faults import Faults, Path, nearest, spelled
from .steps import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

Edges = dict[str, dict[str, Path]]
"""Step id -> id of each step that it waits for, with the place that says so."""


def arrange(steps: list[Step], faults: Faults) -> list[Step]:
    """Work out which enabled steps follow which; give the enabled ones in the order of the document."""
    known = _by_id(steps, faults)
    edges: Edges = {}
    for step in steps:
        edges.setdefault(step.id, _edges_of(step, known, faults))
    order = _sort(edges, faults)
    _check_disabled(known, faults)
    if order is not None and not faults:
        _settle(known, edges, order)
    return [step for step in steps if step.is_enabled]


def _by_id(steps: list[Step], faults: Faults) -> dict[str, Step]:
    """Index the steps that have an id; one that stands twice is a fault."""
    known: dict[str, Step] = {}
    for step in steps:
        first = known.setdefault(step.id, step)
        if first is not step and step.id:
            message = f"duplicate id {step.id!r}: it belongs to {spelled(first.path)} already"
            faults.add((*step.path, "id"), message)
    known.pop("", None)
    return known


def _edges_of(step: Step, known: Mapping[str, Step], faults: Faults) -> dict[str, Path]:
    """Look up what a step waits for: what it depends on and what it refers to."""
    found: dict[str, Path] = {}
    for name, path in step.depends_on:
        if name in known:
            found[name] = path
        else:
            faults.add(path, f"{step.label} depends on {name!r}, which is no step; {nearest(name, known, 'steps')}")
    for reference in step.references:
        if reference.step not in known:
            near = nearest(reference.step, known, "steps")
            faults.add(reference.path, f"{step.label} refers to {reference.step!r}, which is no step; {near}")
        elif reference.step == step.id:
            faults.add(reference.path, f"{step.label} refers to its own result")
        elif known[reference.step].is_enabled:
            found.setdefault(reference.step, reference.path)
    return found


def _check_disabled(known: Mapping[str, Step], faults: Faults) -> None:
    """Report references to steps that will never have a result, unless a default or a test for it says what then."""
    for step in known.values():
        if not step.is_enabled:
            continue
        for reference in step.references:
            other = known.get(reference.step)
            if other is not None and not other.is_enabled and reference.needs_value:
                message = f"{step.label} refers to {other.id!r}, which is disabled; give the reference a default"
                faults.add(reference.path, message)


def _sort(edges: Edges, faults: Faults) -> list[str] | None:
    """Put steps after what they wait for; every edge that closes a circle is a fault that names the whole circle.

    Returns:
        The order; None if there is none.
    """
    order: list[str] = []
    state: dict[str, int] = {}  # absent: not seen; n >= 0: n-th on the way; -1: done
    is_round = False
    for start in edges:
        if start in state:
            continue
        trail = [start]
        state[start] = 0
        stack = [iter(edges[start].items())]
        while stack:
            for name, path in stack[-1]:
                if state.get(name, -1) >= 0:
                    is_round = True
                    _report_circle(trail[state[name] :], list(edges), path, faults)
                elif name not in state:
                    state[name] = len(trail)
                    trail.append(name)
                    stack.append(iter(edges[name].items()))
                    break
            else:
                stack.pop()
                done = trail.pop()
                state[done] = -1
                order.append(done)
    return None if is_round else order


def _report_circle(waiting: list[str], names: list[str], path: Path, faults: Faults) -> None:
    """Name a circle, beginning with the step that is written first; each arrow leads to a step that waits."""
    ring = waiting[::-1]
    first = ring.index(min(ring, key=names.index))
    shown = " -> ".join([*ring[first:], *ring[:first], ring[first]])
    faults.add(path, f"cycle: {shown}; none of these steps could ever start")


def _settle(known: Mapping[str, Step], edges: Edges, order: list[str]) -> None:
    """Find the direct predecessors: disabled ones passed over, references only where nothing else leads there."""
    bits = {name: 1 << number for number, name in enumerate(order)}
    above: dict[str, int] = {}  # id -> bits of every enabled step before it
    for name in order:
        step = known[name]
        before: dict[str, None] = {}
        written = {dependency for dependency, _ in step.depends_on}
        for dependency in edges[name]:
            if dependency in written:
                other = known[dependency]
                before.update(dict.fromkeys([dependency] if other.is_enabled else other.before))
        reached = 0
        for dependency in before:
            reached |= above[dependency] | bits[dependency]
        more = [d for d in edges[name] if d not in written and not reached & bits[d]]
        for dependency in more:
            reached |= above[dependency] | bits[dependency]
        step.before = [*before, *more]
        above[name] = reached
