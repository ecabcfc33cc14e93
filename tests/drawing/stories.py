"""Spans of runs that never were, for drawings: by hand, and random ones."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from graflow_async.story import Span, Wait

if TYPE_CHECKING:
    from graflow_async.graph import Graph

STATES = ("completed", "running", "waiting", "failed", "cancelled", "queued", "retrying", "skipped")
KINDS = ("input", "limit", "retry", "person", "event", "child", "sleep", "worker", "loop")
START = 1_700_000_000.0


def span(
    task_id: str,
    key: int,
    begin: float = 0.0,
    end: float | None = 1.0,
    status: str = "completed",
    *,
    parent: int | None = None,
    cause: int | None = None,
    turn: int = 1,
    attempt: int = 1,
    queued: float | None = None,
) -> Span:
    """Make a span; times are seconds from START, an end of None means that it has not ended."""
    made = Span(task_id, key, attempt, turn, START + (begin if queued is None else queued), parent, cause)
    made.started_at = None if status in {"queued", "skipped"} else START + begin
    made.finished_at = None if end is None else START + end
    made.status = status
    return made


def waiting(made: Span, kind: str, since: float, until: float | None, about: str = "") -> Span:
    """Add a wait to a span."""
    made.add_wait(Wait(kind, START + since, None if until is None else START + until, about))
    return made


def random_story(graph: Graph, seed: int) -> list[Span]:
    """Make spans of a run of a graph: all states, turns, attempts, waits, jumps, children and many of a kind."""
    rng = random.Random(seed)
    found: list[Span] = []
    keys = iter(range(1, 10_000_000))
    known: list[int] = []
    clock = 0.0
    for node in graph.nodes:
        if node in graph.groups or rng.random() < 0.1:
            continue
        key = next(keys)
        begin = clock = clock + rng.expovariate(2.0)
        length = rng.expovariate(0.8)
        state = rng.choices(STATES, (20, 2, 2, 2, 1, 1, 1, 2))[0]
        is_open = state in {"running", "waiting", "queued"}
        cause = rng.choice(known) if known and rng.random() < 0.1 else None
        for turn in range(1, rng.choice((1, 1, 1, 1, 4)) + 1):
            end = None if is_open else begin + length
            made = span(node, 0 if state == "skipped" else key, begin, end, state, cause=cause, turn=turn)
            if rng.random() < 0.4 and state != "skipped":
                since = begin + length * rng.random() * 0.5
                about = rng.choice(("", "gpu", "approve the budget & <go>"))
                waiting(made, rng.choice(KINDS), since, None if state == "waiting" else since + length / 3, about)
            found.append(made)
            begin += length
            if is_open or state in {"failed", "skipped", "cancelled"}:
                break
        known.append(key)
        if state == "skipped" or rng.random() > 0.25:
            continue
        many = rng.choice((1, 2, 5, 40))
        for number in range(many):
            at = begin - length + number * length / many / 2
            status = "failed" if rng.random() < 0.1 else "completed"
            child = span(f"{node}_child_{number}", next(keys), at, at + length / 3, status, parent=key)
            found.append(child)
    return found
