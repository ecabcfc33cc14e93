"""Which spans determined when a run ended. Only that may live here: a walk over spans, nothing of the run."""

from __future__ import annotations

from bisect import bisect_right
from math import inf

from .story import Span, Story, Wait


def critical_path(story: Story) -> list[Span]:
    """Give the spans that determined when the run ended (so far), in the order in which they were queued.

    It starts with the span that ended last (one that was cancelled only if there is no other), and goes back from
    each span:

    1. to the child that had ended last when the span was waiting for children, and so on back through that child until
       what its parent itself called; then on with what the parent waited for before it called it;
    2. else, if it had to wait for a limit last, to the span that made room for it;
    3. else to the span whose end made it ready: its last predecessor, its own attempt or turn before, or the task that
       jumped to it;
    4. else to the span of the body that called it; one that the start of the run made ready is the first.
    """
    ended = sorted((span for span in story.spans if span.order), key=lambda span: span.order)
    if not ended:
        return []
    family = _Family(story, ended)
    current: Span | None = next((span for span in reversed(ended) if span.status != "cancelled"), ended[-1])
    before = inf
    while current is not None:
        family.seen[id(current)] = current
        child = family.child_before(current, before)
        following = child or family.before(current)
        if following is not None:
            current, before = following, inf
        else:
            before = current.queued_at
            current = family.parent(current)
    place = {id(span): number for number, span in enumerate(story.spans)}
    return sorted(family.seen.values(), key=lambda span: place[id(span)])


class _Family:
    """Spans by what leads from one to another.

    Attributes:
        seen: the path so far, by identity.
    """

    def __init__(self, story: Story, ended: list[Span]) -> None:
        self.seen: dict[int, Span] = {}
        self._spans: dict[int, list[Span]] = {}
        self._children: dict[int, list[Span]] = {}
        self._ends: dict[int, list[float]] = {}
        for span in story.spans:
            if span.key:
                self._spans.setdefault(span.key, []).append(span)
        for span in ended:
            if span.parent is not None and span.finished_at is not None:
                self._children.setdefault(span.parent, []).append(span)
                self._ends.setdefault(span.parent, []).append(span.finished_at)

    def child_before(self, parent: Span, before: float) -> Span | None:
        """Give the child that ended last, not after a moment, and for which its parent was waiting then."""
        children = self._children.get(parent.key)
        if children is None:
            return None
        waits = [wait for wait in parent.waits if wait.kind == "child"]
        place = bisect_right(self._ends[parent.key], before)
        while place and waits:
            place -= 1
            child = children[place]
            if child.queued_at < parent.queued_at:
                return None  # of an earlier turn or attempt of its parent, as are all before it
            if child.queued_at >= before:
                continue  # it took no time
            if id(child) not in self.seen and any(_covers(wait, child) for wait in waits):
                return child
        return None

    def before(self, span: Span) -> Span | None:
        """Give the span to whose end another one owes that it began."""
        waits = [w for w in span.waits if span.started_at is None or (w.until or inf) <= span.started_at]
        last = waits[-1] if waits else None
        if last is not None and last.kind == "limit" and last.by is not None and last.until is not None:
            found = self._latest(last.by, last.until)
            if found is not None:
                return found
        if span.cause is None:
            return None
        if span.cause == span.key:
            own = self._spans[span.key]
            place = next(number for number, other in enumerate(own) if other is span)
            return own[place - 1] if place and id(own[place - 1]) not in self.seen else None
        return self._latest(span.cause, span.queued_at)

    def parent(self, span: Span) -> Span | None:
        """Give the span of the body under which another one was made."""
        if span.parent is None:
            return None
        return next((s for s in reversed(self._spans.get(span.parent, [])) if s.queued_at <= span.queued_at), None)

    def _latest(self, key: int, at: float) -> Span | None:
        """Give the last span of an instance that was there at a moment, unless the path leads through it already."""
        found = next((span for span in reversed(self._spans.get(key, [])) if span.queued_at <= at), None)
        return None if found is None or id(found) in self.seen else found


def _covers(wait: Wait, child: Span) -> bool:
    """Say whether a wait was under way when a child ended."""
    end = child.finished_at
    return end is not None and wait.since <= end <= (inf if wait.until is None else wait.until)
