"""What a group makes of its branches, by its policy."""

from __future__ import annotations

from tests.reference.expected import Scope
from tests.reference.outcome import AmbiguousError, Blocked, Done, Failed, Outcome
from tests.reference.program import Expr, Par, elements, name_of


def key_of(member: Expr) -> str:
    """Return the key of a branch in its group's value: the id of its last task or group, as drawn."""
    return name_of(elements(member)[-1])


def judge(group: Par, outcomes: dict[str, Outcome], past: int, inside: Scope) -> Outcome:
    """Say how a group ends, and mark in its scope what may have been cancelled.

    Raises:
        AmbiguousError: who is first decides, and more than one can be.
    """
    policy = group.policy
    failed = {key: one for key, one in outcomes.items() if isinstance(one, Failed)}
    good = {key: one for key in map(key_of, group.members) if isinstance(one := outcomes[key], Done)}
    fatal = [one for key, one in failed.items() if policy.kind == "strict" or key in policy.names]
    is_race = policy.kind == "first" or policy.cancel_rest
    need = 1 if policy.kind == "first" else policy.need
    if any(isinstance(one, Blocked) for one in outcomes.values()):
        if fatal or is_race:
            raise AmbiguousError(f"a stop inside {group.name} may be cancelled before it happens")
        return Blocked()
    ended = past
    for one in [*failed.values(), *good.values()]:
        ended |= one.past
    who = frozenset({("group failed", group.name)})
    if fatal:
        inside.cuts += [cause for one in fatal for cause in one.causes]
        return Failed(ended, tuple(inside.cuts), who)
    if group.members and len(good) < need:
        return Failed(ended, (ended,), who)
    if is_race and group.members:
        if len(good) > need:
            raise AmbiguousError(f"several members can win in {group.name}")
        won = past
        for one in good.values():
            won |= one.past
        inside.cuts.append(won)
    value = {key: one.value for key, one in good.items()}
    return Done(ended, value, {group.name: value})
