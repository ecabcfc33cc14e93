"""How a piece of interpreted work ends, and how concurrent pieces end together."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.reference.expected import ANY, Scope
from tests.reference.program import Expr


class AmbiguousError(Exception):
    """What this program does depends on the order of independent tasks, or on a rule nobody wrote down."""


class TooLongError(Exception):
    """This program goes on for too long to be worth a test."""


@dataclass(frozen=True)
class Done:
    """Work that ended well; `finals` are the last tasks of it, `jumps` where its task wants to go instead."""

    past: int
    value: object = None
    finals: dict[str, object] = field(default_factory=dict[str, object])
    jumps: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Work that failed: which exceptions may surface, and what had ended when the first of them was raised."""

    past: int
    causes: tuple[int, ...]
    raised: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Blocked:
    """Work that never ends because the run is stopped in it."""


Outcome = Done | Failed | Blocked


def together(outcomes: list[Outcome], past: int, nursery: Scope) -> Outcome:
    """Join concurrent work: one failure cancels the rest and is the failure of all."""
    failures = [one for one in outcomes if isinstance(one, Failed)]
    if failures and any(isinstance(one, Blocked) for one in outcomes):
        raise AmbiguousError("a failure and a stop race with each other")
    if any(isinstance(one, Blocked) for one in outcomes):
        return Blocked()
    finals: dict[str, object] = {}
    for one in outcomes:
        if not isinstance(one, Blocked):
            past |= one.past
        if isinstance(one, Done):
            finals |= one.finals
    if failures:
        nursery.cuts += [cause for one in failures for cause in one.causes]
        return Failed(past, tuple(nursery.cuts), frozenset(who for one in failures for who in one.raised))
    value = outcomes[0].value if len(outcomes) == 1 and isinstance(outcomes[0], Done) else ANY
    return Done(past, value, finals)
