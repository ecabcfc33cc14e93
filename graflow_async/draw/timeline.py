"""Timeline: the spans of a run as rows of bars and waits, in seconds from its start; no colours, no formats.

Children stand below what started them. However many spans there are, a chart stays a chart: many children of one kind
are one row that tells how many ran at once, what is too short to be seen is joined with its neighbours, and beyond
MOST_ROWS the shortest rows are left out, and counted.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING

from ..story import Span
from .spans import NUMBERED, Instance, counted, instances_of
from .text import TIMES, duration, many, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EACH = 12  # so many children of one kind have a row each
MOST_ROWS = 300
BINS = 240  # steps of a row that tells how many ran at once
FINEST = 1200  # parts of the whole time; what is shorter cannot be seen
DEEPEST = 8  # steps that rows are moved in
STICKING_OUT = frozenset({"failed", "retrying", "cancelled"})


class Bar:
    """A stretch of a row: an attempt, or several too short to be told apart.

    Attributes:
        begin, end: seconds from the start of the chart.
        status: how the attempt ended, or how far it is.
        words: what there is to say of it.
        count: how many attempts it stands for.
        is_critical: whether it lies on the critical path.
    """

    __slots__ = ("begin", "count", "end", "is_critical", "status", "words")

    def __init__(self, begin: float, end: float, status: str, words: str, *, is_critical: bool = False) -> None:
        """Make a bar of one attempt."""
        self.begin = begin
        self.end = end
        self.status = status
        self.words = words
        self.count = 1
        self.is_critical = is_critical


class Row:
    """A line of the chart.

    Attributes:
        label: name of the task, or of the kind of many.
        depth: how many rows it lies below.
        note: what stands at its end: how long it took, how often.
        bars: in order.
        waits: what was waited for, in order; `status` is the kind of wait.
        load: for a row that stands for many: how many ran in each of BINS equal steps; else empty. Its bars are those
            that stick out: what failed, and what lies on the critical path.
        words: everything there is to say of it.
        state: how it ended.
        is_critical: whether anything in it lies on the critical path.
        counts: for a row that stands for many: state -> how many.
        children: the rows right below it.
    """

    __slots__ = (
        "bars",
        "children",
        "counts",
        "depth",
        "is_critical",
        "label",
        "load",
        "note",
        "state",
        "waits",
        "words",
    )

    def __init__(self, label: str, depth: int, state: str, note: str) -> None:
        """Make a row with nothing in it."""
        self.label = label
        self.depth = depth
        self.state = state
        self.note = note
        self.words = f"{label}\n{note}"
        self.bars: list[Bar] = []
        self.waits: list[Bar] = []
        self.load: list[int] = []
        self.counts: Mapping[str, int] = {}
        self.children: list[Row] = []
        self.is_critical = False

    @property
    def seconds(self) -> float:
        """How much time it covers; one that stands for many counts as the longest."""
        if self.load:
            return float("inf")
        return max((bar.end for bar in self.bars), default=0.0) - min((bar.begin for bar in self.bars), default=0.0)


class Chart:
    """A timeline, ready to be drawn.

    Attributes:
        rows: from the top.
        seconds: the length of the whole.
        tasks: how many tasks it is about.
        hidden: how many rows were left out.
        path: the rows and bars of the critical path, in time.
    """

    __slots__ = ("hidden", "path", "rows", "seconds", "tasks")

    def __init__(self, rows: list[Row], seconds: float, tasks: int, hidden: int) -> None:
        """Take the finished rows."""
        self.rows = rows
        self.seconds = seconds
        self.tasks = tasks
        self.hidden = hidden
        found = [(row, bar) for row in rows for bar in row.bars if bar.is_critical]
        self.path = sorted(found, key=lambda one: (one[1].begin, one[1].end))

    @property
    def summary(self) -> str:
        """What the chart is about, in one line."""
        parts = [times(self.tasks, "task"), duration(self.seconds)]
        if self.hidden:
            parts.append(f"the {many(self.hidden)} shortest rows are left out")
        return ", ".join(parts)

    def joints(self) -> Iterable[tuple[Row, Bar, Row, Bar]]:
        """Go through the bars of the critical path that follow one in another row: row, bar, and those before."""
        slack = self.seconds / FINEST
        by_end = sorted(self.path, key=lambda one: one[1].end)
        ends = [bar.end for _, bar in by_end]
        for row, bar in self.path:
            place = bisect_right(ends, bar.begin + slack) - 1
            while place >= 0 and by_end[place][1].begin >= bar.begin:
                place -= 1
            if place >= 0 and by_end[place][0] is not row:
                yield row, bar, *by_end[place]


def chart(spans: Sequence[Span], critical: Iterable[Span] = (), now: float | None = None) -> Chart:
    """Make the chart of some spans.

    Args:
        spans: the attempts.
        critical: those of them that are the critical path.
        now: until when to draw what has not ended; by default the last moment that the spans know.
    """
    made = _Made([span for span in spans if span.status != "skipped"], critical, now)
    top = made.rows(made.top, 0)
    while made.later:
        row, key = made.later.pop()
        row.children = made.rows(made.children.get(key, ()), row.depth + 1)
    everything = list(_flat(top))
    rows = _longest(top, everything)
    return Chart(rows, made.seconds, len(made.instances), len(everything) - len(rows))


def _flat(rows: Iterable[Row]) -> Iterable[Row]:
    """Go through rows and what lies below them, as drawn."""
    stack = list(rows)[::-1]
    while stack:
        row = stack.pop()
        yield row
        stack += row.children[::-1]


def _longest(top: Sequence[Row], rows: list[Row]) -> list[Row]:
    """Leave out the shortest rows that nothing lies below, until there are few enough."""
    if len(rows) <= MOST_ROWS:
        return rows
    order = sorted(rows, key=lambda row: (not row.is_critical, -row.seconds))
    kept = {id(row) for row in order[:MOST_ROWS]}
    above = {id(child): row for row in rows for child in row.children}
    for row in order[:MOST_ROWS]:
        outer = above.get(id(row))
        while outer is not None and id(outer) not in kept:
            kept.add(id(outer))
            outer = above.get(id(outer))
    return [row for row in _flat(top) if id(row) in kept]


class _Made:
    """What rows are made of."""

    def __init__(self, spans: Sequence[Span], critical: Iterable[Span], now: float | None) -> None:
        self.instances = instances_of(spans)
        self.critical = {(span.key, span.turn, span.attempt) for span in critical}
        self.children: dict[int, list[Instance]] = {}
        self.top: list[Instance] = []
        self.later: list[tuple[Row, int]] = []  # rows whose children are still to be made, and their keys
        for instance in self.instances.values():
            known = instance.parent is not None and instance.parent in self.instances
            (self.children.setdefault(instance.parent or 0, []) if known else self.top).append(instance)
        moments = [moment for span in spans for moment in _moments(span)]
        self.begin = min(moments, default=0.0)
        self.now = max(max(moments, default=0.0), now or 0.0)
        self.seconds = self.now - self.begin

    def rows(self, instances: Sequence[Instance], depth: int) -> list[Row]:
        """Make the rows of what has one parent, many of a kind in one."""
        kinds: dict[str, list[Instance]] = {}
        for instance in instances:
            numbered = NUMBERED.fullmatch(instance.task_id)
            kinds.setdefault(numbered[1] if numbered else instance.task_id, []).append(instance)
        found: list[Row] = []
        seen: set[str] = set()
        for instance in instances:
            numbered = NUMBERED.fullmatch(instance.task_id)
            kind = numbered[1] if numbered else instance.task_id
            if len(kinds[kind]) <= EACH:
                found.append(self.row(instance, depth))
            elif kind not in seen:
                seen.add(kind)
                found.append(self.row_of_many(kind, kinds[kind], depth))
        return found

    def row(self, instance: Instance, depth: int) -> Row:
        """Make the row of one instance, and those below it."""
        spans = instance.spans
        notes = [duration(self.until(spans[-1]) - (instance.began or spans[-1].queued_at))]
        if instance.turns > 1:
            notes.append(times(instance.turns, "turn"))
        row = Row(instance.task_id, min(depth, DEEPEST), instance.state, ", ".join(notes))
        bars = [bar for span in spans for bar in (*self.queued(span), *self.bars(span))]
        row.bars = joined(bars, self.seconds)
        row.waits = joined([wait for span in spans for wait in self.waits(span)], self.seconds)
        row.is_critical = any(bar.is_critical for bar in row.bars)
        self.later.append((row, instance.key))
        return row

    def row_of_many(self, kind: str, instances: Sequence[Instance], depth: int) -> Row:
        """Make the row of many, with how many of them ran at once; what they started is counted."""
        counts = counted(instance.state for instance in instances)
        notes = [f"{many(count)} {state}" for state, count in counts.items() if state != "completed"]
        inside = self.inside(instances)
        notes += [f"{many(inside)} inside"] if inside else []
        row = Row(f"{kind} {TIMES} {many(len(instances))}", min(depth, DEEPEST), next(iter(counts)), ", ".join(notes))
        stretches = [bar for instance in instances for span in instance.spans for bar in self.bars(span)]
        row.counts = counts
        row.load = load(stretches, self.seconds)
        row.is_critical = any(bar.is_critical for bar in stretches)
        if stretches:
            begin, end = min(bar.begin for bar in stretches), max(bar.end for bar in stretches)
            row.words = "\n".join(
                [row.label, f"{duration(end - begin)}, at most {many(max(row.load))} at once", *notes]
            )
            row.note = ", ".join([duration(end - begin), *notes])
        row.bars = joined([bar for bar in stretches if bar.is_critical or bar.status in STICKING_OUT], self.seconds)
        return row

    def waited(self, instances: Iterable[Instance]) -> Iterable[str]:
        """Say for what many have waited, all of them together."""
        kinds: dict[str, float] = {}
        for instance in instances:
            for wait in (wait for span in instance.spans for wait in self.waits(span)):
                kinds[wait.status] = kinds.get(wait.status, 0.0) + wait.end - wait.begin
        return [f"waited {duration(seconds)} in all ({kind})" for kind, seconds in kinds.items()]

    def inside(self, instances: Iterable[Instance]) -> int:
        """Count what instances have started, directly or not."""
        stack = [child for instance in instances for child in self.children.get(instance.key, ())]
        count = 0
        while stack:
            count += 1
            stack += self.children.get(stack.pop().key, ())
        return count

    def until(self, span: Span) -> float:
        """Give the end of a span, or the moment up to which it is drawn."""
        return self.now if span.finished_at is None else span.finished_at

    def bars(self, span: Span) -> Iterable[Bar]:
        """Make the bar of an attempt, if its body began."""
        if span.started_at is None:
            return
        begin, end = span.started_at - self.begin, self.until(span) - self.begin
        is_critical = (span.key, span.turn, span.attempt) in self.critical
        words = [span.task_id, f"{span.status}, {duration(end - begin)} from {duration(begin)}"]
        words += [f"turn {span.turn}"] if span.turn > 1 else []
        words += [f"attempt {span.attempt}"] if span.attempt > 1 else []
        words += [span.error] if span.error else []
        words += ["critical path"] if is_critical else []
        yield Bar(begin, max(begin, end), span.status, "\n".join(words), is_critical=is_critical)

    def queued(self, span: Span) -> Iterable[Bar]:
        """Make the bar of the time that an attempt was ready and had not begun."""
        begin = span.queued_at - self.begin
        end = (self.until(span) if span.started_at is None else span.started_at) - self.begin
        if end - begin > self.seconds / FINEST:
            yield Bar(begin, end, "queued", f"{span.task_id}\nready, {duration(end - begin)} before it began")

    def waits(self, span: Span) -> Iterable[Bar]:
        """Make what an attempt waited for."""
        for wait in span.waits:
            begin, end = wait.since - self.begin, (self.now if wait.until is None else wait.until) - self.begin
            if end > begin:
                about = f": {wait.about}" if wait.about else ""
                yield Bar(begin, end, wait.kind, f"{span.task_id}\nwaits {duration(end - begin)} ({wait.kind}{about})")


def _moments(span: Span) -> Iterable[float]:
    """List the moments that a span knows."""
    yield span.queued_at
    for moment in (span.started_at, span.finished_at):
        if moment is not None:
            yield moment
    for wait in span.waits:
        yield wait.since if wait.until is None else wait.until


def joined(bars: list[Bar], seconds: float) -> list[Bar]:
    """Join neighbours that are too short to be told apart."""
    least = seconds / FINEST
    found: list[Bar] = []
    for bar in sorted(bars, key=lambda bar: (bar.begin, bar.end)):
        last = found[-1] if found else None
        is_short = last is not None and bar.end - bar.begin < least and bar.begin - last.end < least
        if last is None or not is_short or bar.status != last.status or bar.is_critical != last.is_critical:
            found.append(bar)
            continue
        last.end = max(last.end, bar.end)
        last.count += 1
        last.words = (
            f"{last.words.split(chr(10))[0]}\n{many(last.count)} {TIMES} {last.status}, too short to be told apart"
        )
    return found


def load(bars: Iterable[Bar], seconds: float) -> list[int]:
    """Count how many bars there are at once in each of BINS steps: the most in the middle of a step or at a begin."""
    step = seconds / BINS if seconds > 0 else 1.0
    changes = sorted(change for bar in bars for change in ((bar.begin, 1), (max(bar.end, bar.begin + step / 8), -1)))
    found = [0] * BINS
    running, place = 0, 0
    for moment, those in groupby(changes, key=lambda change: change[0]):
        here = min(int(moment / step), BINS - 1)
        for number in range(place, here + 1):
            found[number] = max(found[number], running)
        running += sum(change for _, change in those)
        found[here] = max(found[here], running)
        place = here + 1
    return found


def ticks(seconds: float, most: int = 8) -> list[float]:
    """Give the moments that an axis names: at most `most` after 0, at round distances."""
    if seconds <= 0:
        return [0.0]
    rough = seconds / most
    power = 1e-9
    while power * 10 <= rough:
        power *= 10
    steps = [power * factor for factor in (1, 2, 5, 10)] if rough < 30 else [15.0, 30.0, 60.0, 120.0, 300.0, 600.0]
    steps += [] if rough < 30 else [900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0]
    step = next((step for step in steps if step >= rough), 86400.0 * (int(rough / 86400) + 1))
    return [round(step * number, 12) for number in range(int(seconds / step + 1e-9) + 1)]
