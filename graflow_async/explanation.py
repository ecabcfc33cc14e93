"""Why a task ran when it did, or why it has not begun, in words: made from the story of a run when somebody asks."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .events import LoopBlocked
from .graph import Graph
from .story import Span, Story, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

SHORTEST = 0.001
"""Seconds that a ready task has to wait for the loop before it is worth a word."""
MOST_NAMES = 5

_SO_FAR = " so far"
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}
_BEFORE = {
    "limit": "for limit {!r}",
    "retry": "for its next attempt, after {}",
    "sleep": "for {}",
    "worker": "for a worker of {!r}",
    "loop": "for the loop{}",
}
_WITHIN = {
    "limit": "for limit {!r} again",
    "person": "for an answer to {!r}",
    "event": "for event {!r}",
    "child": "for {!r}",
    "sleep": "asleep",
    "worker": "for a worker of {!r}",
}


class Part:
    """One part of an explanation.

    Attributes:
        kind: "ready", "ran", or the kind of a wait.
        seconds: how long; for "ready" how long after the run began. None if it is not known or not over.
        about: as in a wait; for "ready" what made it so.
        text: the part in words.
        is_within: whether it lies within the time that the body ran.
    """

    __slots__ = ("about", "is_within", "kind", "seconds", "text")

    def __init__(self, kind: str, seconds: float | None, about: str, text: str, *, is_within: bool = False) -> None:
        """Keep what is known."""
        self.is_within = is_within
        self.kind = kind
        self.seconds = seconds
        self.about = about
        self.text = text

    def __repr__(self) -> str:
        """Show it."""
        return f"Part({self.kind!r}, seconds={self.seconds}, about={self.about!r})"


class Explanation:
    """Why an instance ran when it did; `str()` gives a paragraph.

    Attributes:
        task_id: id of the task.
        key: number of the instance; None if there is none yet.
        status: of its last attempt, as in a span; "waiting" for a task that has not begun.
        spans: its attempts, turn by turn.
        parts: what the last attempt waited for, and how long it ran.
    """

    __slots__ = ("key", "parts", "spans", "status", "task_id", "text")

    def __init__(
        self, task_id: str, key: int | None, status: str, spans: list[Span], parts: list[Part], text: str
    ) -> None:
        """Keep everything."""
        self.task_id = task_id
        self.key = key
        self.status = status
        self.spans = spans
        self.parts = parts
        self.text = text

    def __str__(self) -> str:
        """Give the explanation in words."""
        return self.text

    def __repr__(self) -> str:
        """Show whose it is."""
        return f"<Explanation of {self.task_id!r} key={self.key} {self.status}>"


def explain(
    story: Story,
    target: str | int,
    graph: Graph,
    now: float,
    held: Callable[[int], str] | None = None,
    ended: Collection[str] = (),
) -> Explanation:
    """Explain an instance, by its task's id (the latest of that id) or by its key.

    Args:
        story: what has happened.
        target: id or key.
        graph: of the run, for what has not begun.
        now: the moment, in seconds since the epoch.
        held: says of the instance with a key which limit holds it up, and who has its places.
        ended: ids of tasks that have ended, those of an earlier life of the run included.

    Raises:
        ConfigError: there is no such task; the message names the nearest ids.
    """
    found = [span for span in story.spans if (span.key if isinstance(target, int) else span.task_id) == target]
    if not found:
        if isinstance(target, str) and graph.has_node(target):
            return _not_begun(story, target, graph, now, ended)
        raise ConfigError(_unknown(story, target, graph))
    last = found[-1]
    spans = [span for span in found if span.key == last.key]
    parts = parts_of(last, story, now)
    text = " ".join(_sentences(last, spans, parts, now, held))
    others = len({span.key for span in found}) - 1
    if others:
        text += f" ({others} other{'s' if others > 1 else ''} had this id before; this is instance {last.key}.)"
    return Explanation(last.task_id, last.key or None, last.status, spans, parts, text)


def parts_of(span: Span, story: Story, now: float) -> list[Part]:
    """Give what an attempt waited for and how long it ran, waits of one kind for one thing put together."""
    if span.status == "skipped":
        return []
    name = _names(story)
    began = min(story.began_at if story.began_at is not None else span.queued_at, span.queued_at)
    cause = _cause(span, name)
    parts = [_ready(span, span.queued_at - began, cause)]
    start = span.started_at
    before = [wait for wait in span.waits if start is None or wait.since < start]
    within = [wait for wait in span.waits if start is not None and wait.since >= start]
    loop = loop_wait(span, story)
    parts += [_part(waits, _BEFORE, now, name) for waits in _grouped([*before, *([loop] if loop is not None else [])])]
    if start is None:
        return parts
    ran = (span.finished_at or now) - start
    parts.append(
        Part("ran", ran, "", f"{'ran' if span.finished_at is not None else 'has been running for'} {_time(ran)}")
    )
    parts += [_part(waits, _WITHIN, now, name) for waits in _grouped(within)]
    return [*parts, *_blocks(span, start, span.finished_at or now, story)]


def _ready(span: Span, after: float, cause: str) -> Part:
    """Say when an attempt was ready, and why."""
    if span.cause is None and span.parent is None:
        return Part("ready", after, cause, f"It was ready {cause}.")
    return Part("ready", after, cause, f"It was ready {_time(after)} after the run began, {cause}.")


def _blocks(span: Span, start: float, end: float, story: Story) -> Iterable[Part]:
    """Say when the loop was held while a body ran: by itself, or by others."""
    for block in story.blocks:
        where = _where(block)
        if block.key == span.key and start <= block.at <= end + block.seconds:
            yield Part("held", block.seconds, where, f"held the loop for {_time(block.seconds)} at {where}")
        elif block.key != span.key and block.at > start and block.at - block.seconds < end:
            seconds = min(block.at, end) - max(block.at - block.seconds, start)
            text = f"{_time(seconds)} in which the loop was held by {_holder(block)}"
            yield Part("loop", seconds, where, text, is_within=True)


def loop_wait(span: Span, story: Story) -> Wait | None:
    """Give how long an attempt that might begin waited for the loop; None if that is not worth a word."""
    ready, start = span.admitted_at, span.started_at
    if ready is None or start is None or start - ready < SHORTEST:
        return None
    blocks = [b for b in story.blocks if b.at > ready and b.at - b.seconds < start and b.key != span.key]
    holders = ", ".join(dict.fromkeys(map(_holder, blocks)))
    return Wait("loop", ready, start, f", which was held by {holders}" if holders else "")


# -- sentences ------------------------------------------------------------------------------------------------


def _sentences(
    last: Span, spans: list[Span], parts: list[Part], now: float, held: Callable[[int], str] | None
) -> Iterable[str]:
    """Write the paragraph: what happened, the attempt that it was, when it was ready, when its end was safe."""
    name = last.task_id
    if last.status == "skipped":
        yield f"{name} was skipped: nothing that leads to it has delivered."
        return
    why = held(last.key) if held is not None and last.status == "queued" else ""
    waited = [p.text for p in parts if p.kind not in ("ready", "ran", "held") and not p.is_within]
    if why:
        waited = [text for text in waited if not text.endswith(_SO_FAR)]  # it is said with who is to blame
    within = [p.text for p in parts if p.is_within]
    ran = next((p.text for p in parts if p.kind == "ran"), None)
    clauses = [f"waited {_listed(waited)}"] if waited else []
    if ran is not None:
        clauses.append(ran + (f" (of which {_listed(within)})" if within else ""))
    clauses += [p.text for p in parts if p.kind == "held"]
    clauses += _end_of(last, now, why)
    turn = f" (turn {last.turn})" if last.turn > 1 else ""
    yield f"{name}{turn} {_listed(clauses)}."
    yield next(p.text for p in parts if p.kind == "ready")
    failed = [span for span in spans if span.turn == last.turn and span.attempt < last.attempt]
    if failed:
        errors = "; ".join(dict.fromkeys(span.error or "a failure" for span in failed))
        yield f"It is its {_ordinal(last.attempt)} attempt, after {errors}."
    if last.saved_at is not None and last.finished_at is not None and last.saved_at - last.finished_at >= SHORTEST:
        yield f"Its end was safe {_time(last.saved_at - last.finished_at)} later."


def _end_of(span: Span, now: float, why: str) -> list[str]:
    """Say how an attempt ended, or what it does just now."""
    if span.status in ("failed", "retrying"):
        return [f"failed with {span.error}"]
    if span.status == "completed":
        return ["completed"]
    if span.status == "cancelled":
        return ["was cancelled" if span.started_at is not None else "was cancelled before it began"]
    if span.status == "queued":
        if any(wait.until is None for wait in span.waits) and not why:
            return ["has not begun yet"]
        since = _time(now - span.queued_at)
        return [f"has waited {since} {why}" if why else f"has not begun yet: it has waited {since} for the loop"]
    return []


def _cause(span: Span, name: Callable[[int], str]) -> str:
    """Say what made an attempt ready."""
    if span.cause == span.key:
        return "when the attempt before had failed" if span.attempt > 1 else "when the turn before had ended"
    if span.cause is not None:
        return f"when {name(span.cause)!r} had ended"
    return f"when {name(span.parent)!r} asked for it" if span.parent is not None else "when the run began"


def _part(waits: list[Wait], words: dict[str, str], now: float, name: Callable[[int], str]) -> Part:
    """Put waits of one kind for one thing into words."""
    first = waits[0]
    seconds = sum((wait.until if wait.until is not None else now) - wait.since for wait in waits)
    if first.kind == "child" and not first.about:
        said = "for its children"
    else:
        said = words.get(first.kind, "for {!r}").format(first.about)
    so_far = _SO_FAR if waits[-1].until is None else ""
    giver = waits[-1].by
    if giver is not None:
        said += f", until {name(giver)!r} made room"
    text = f"{_time(seconds)} {said}{so_far}"
    return Part(first.kind, seconds, first.about.removeprefix(", "), text, is_within=words is _WITHIN)


def _grouped(waits: Iterable[Wait]) -> list[list[Wait]]:
    """Put waits together that are of one kind for one thing."""
    groups: dict[tuple[str, str], list[Wait]] = {}
    for wait in waits:
        if wait.seconds is None or wait.seconds >= SHORTEST / 10:
            groups.setdefault((wait.kind, wait.about), []).append(wait)
    return list(groups.values())


def _not_begun(story: Story, task_id: str, graph: Graph, now: float, known: Collection[str]) -> Explanation:
    """Explain a task of the graph that is no instance yet, or was one before the story began."""
    if task_id in known:
        text = (
            f"{task_id} ended before this process went on with the run; its journal tells: graflow-async runs explain"
        )
        return Explanation(task_id, None, "completed", [], [], text)
    open_ones: list[str] = []
    ended: list[str] = []
    before = _tasks_before(graph, task_id)
    for name in before:
        last = next((span for span in reversed(story.spans) if span.task_id == name), None)
        if last is None and name in known:
            ended.append(f"{name!r} (completed)")
        elif last is None:
            open_ones.append(f"{name!r} (not begun)")
        elif last.finished_at is None or last.status == "retrying":
            since = "" if last.started_at is None else f" for {_time(now - last.started_at)}"
            open_ones.append(f"{name!r} ({last.status}{since})")
        else:
            ended.append(f"{name!r} ({last.status})")
    verb = "never began" if story.ended_at is not None else "has not begun"
    if open_ones:
        text = f"{task_id} {verb}: it waits for {_listed(open_ones)}."
    elif before:
        text = f"{task_id} {verb}: what leads to it has ended and did not release it: {_listed(ended)}."
    else:
        text = f"{task_id} {verb}: nothing leads to it; it runs if it is a start, or if a task asks for it."
    return Explanation(task_id, None, "waiting" if story.ended_at is None else "skipped", [], [], text)


def _tasks_before(graph: Graph, task_id: str) -> list[str]:
    """List the tasks from which an edge leads to a node, directly or through a group."""
    names: dict[str, None] = {}
    stack = [graph.number_of(task_id)]
    seen = set(stack)
    while stack:
        for number in graph.predecessors_of[stack.pop()]:
            if number in seen:
                continue
            seen.add(number)
            if graph.table[number].task is None:
                stack.append(number)
            else:
                names[graph.table[number].id] = None
    return list(names)


def _unknown(story: Story, target: Any, graph: Graph) -> str:
    """Say that there is no such task, and which ones are near."""
    known = list(dict.fromkeys([*(span.task_id for span in story.spans), *graph.nodes]))
    near = get_close_matches(str(target), known, n=MOST_NAMES, cutoff=0.5)
    shown = near or known[:MOST_NAMES]
    gone = f"; {story.lost} older instances are forgotten" if story.lost else ""
    hint = f"; near: {', '.join(map(repr, shown))}" if near else f"; known: {', '.join(map(repr, shown)) or 'nothing'}"
    if not near and len(known) > len(shown):
        hint += f" and {len(known) - len(shown)} more"
    return f"nothing has run as {target!r}{hint}{gone}"


def _names(story: Story) -> Callable[[int], str]:
    """Give a function from keys to ids."""
    known: dict[int, str] = {}

    def name(key: int) -> str:
        if not known:
            known.update((span.key, span.task_id) for span in story.spans)
        return known.get(key, f"instance {key}")

    return name


def _where(block: LoopBlocked) -> str:
    """Give the place of a line."""
    return f"{block.file}:{block.line}"


def _holder(block: LoopBlocked) -> str:
    """Say who held the loop, and where."""
    return f"{block.task_id or block.function} at {_where(block)}"


def _ordinal(number: int) -> str:
    return _ORDINALS.get(number, f"{number}th")


def _listed(items: list[str]) -> str:
    """Join items as in a sentence."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _time(seconds: float) -> str:
    """Write a duration."""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    if seconds >= 0.0095:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else "under 0.1 ms"
