"""What the bodies of a run have written down, and whether each repetition has its reason."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tests.worker.chaos.bodies import KEY

LAG = 3.0  # seconds after its end in which a body may not have been reported yet, on a machine that is busy


class Strike(NamedTuple):
    """One disaster: what, from when to when by the monotonic clock, and which process; None for all of them."""

    kind: str
    begun: float
    ended: float = math.inf
    pid: int | None = None


class Body(NamedTuple):
    """One body that has begun."""

    item: int
    pids: tuple[int, ...]
    nonce: str
    begun: float
    ended: float | None

    def was_hit(self, strikes: list[Strike], lag: float) -> bool:
        """Say whether a disaster came over it before it can have been reported."""
        if 1 in self.pids:  # it ran alone, and its worker was dead before it began
            return True
        until = math.inf if self.ended is None else self.ended + lag
        return any(
            strike.pid in (None, *self.pids) and self.begun <= strike.ended and strike.begun <= until
            for strike in strikes
        )


async def bodies(client: Any) -> dict[int, list[Body]]:
    """Give the bodies that have begun, by item."""
    found: dict[str, Body] = {}
    for line in await client.lrange(KEY, 0, -1):
        what, item, pid, parent, nonce, at = line.decode().split()
        if what == "begun":
            found[nonce] = Body(int(item), (int(pid), int(parent)), nonce, float(at), None)
        else:
            found[nonce] = found[nonce]._replace(ended=float(at))
    by_item: dict[int, list[Body]] = {}
    for body in found.values():
        by_item.setdefault(body.item, []).append(body)
    return by_item


class Report(NamedTuple):
    """What came of a run.

    Attributes:
        about: what was asked for: seed and sizes.
        strikes: how often which disaster came.
        seconds: how long it took.
        lost: items without their right value, or with that of no body.
        twice: items whose end was told, or recorded, more than once.
        again: bodies that ran although one for the same item had begun before.
        baseless: those of them whose predecessor no disaster had hit.
        left: what has stayed in Redis that should not: entries, claims, keys.
        dead: dead letters that are no poison, and poison that is no dead letter.
        notes: other figures.
        faults: other things that are wrong.
    """

    about: dict[str, Any]
    strikes: dict[str, int]
    seconds: float
    lost: int
    twice: int
    again: int
    baseless: int
    left: list[str]
    dead: list[str]
    notes: dict[str, Any]
    faults: list[str]

    def __str__(self) -> str:
        """Tell it in a few lines."""
        told = {**self.about, "strikes": self.strikes, "seconds": round(self.seconds, 1), **self.notes}
        counts = {name: getattr(self, name) for name in ("lost", "twice", "again", "baseless", "left", "dead")}
        return f"{told}\n{counts}" + "".join(f"\nfault: {fault}" for fault in self.faults)

    @property
    def is_good(self) -> bool:
        """Whether everything is as promised."""
        bad = (self.lost, self.twice, self.baseless, self.left, self.dead, self.faults)
        return not any(bad)


def again_and_baseless(found: dict[int, list[Body]], strikes: list[Strike], lag: float = LAG) -> tuple[int, list[Body]]:
    """Count bodies that ran again, and give those before them that nothing had come over."""
    again = sum(len(each) - 1 for item, each in found.items() if item >= 0)
    baseless = [
        body
        for item, each in found.items()
        if item >= 0 and len(each) > 1
        # All but one were in vain: the one that counts may be any of them, as they are not in the order of claims.
        for body in unhit(each, strikes, lag)
    ]
    return again, baseless


def unhit(each: list[Body], strikes: list[Strike], lag: float) -> list[Body]:
    """Give bodies of one item that ran in vain without a reason: one of them may be the one that counts."""
    whole = [body for body in each if not body.was_hit(strikes, lag)]
    return whole[1:]
