"""What comes out of a body: a value or an error, and what it wants to happen next."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..route import Route
from ..task import Task

UNSET: Any = object()
SAME: tuple[tuple[Any, ...], dict[str, Any] | None] = ((), None)
"""Another turn with the arguments that the task is bound to."""


class Stop:
    """Why a scope ends early: `kind` is "terminated", "failed" or "cancelled"."""

    __slots__ = ("error", "kind", "value")

    def __init__(self, kind: str, value: Any = None, error: BaseException | None = None) -> None:
        """Keep the reason."""
        self.kind = kind
        self.value = value
        self.error = error


class Child:
    """A wished expression: one task (with its automatic number), or a graph with a route through it.

    Attributes:
        delay: seconds before it starts.
        waits: whether its parent's "done" waits for it.
        awaits_arguments: whether there are handles among its arguments, to be awaited before it is called.
    """

    __slots__ = ("awaits_arguments", "delay", "graph", "number", "route", "task", "waits")

    def __init__(
        self,
        task: Task[Any, Any] | None = None,
        number: int = 0,
        graph: Graph | None = None,
        route: Route | None = None,
        *,
        delay: float | None = None,
        waits: bool = True,
    ) -> None:
        """Keep what is to run."""
        self.task = task
        self.number = number
        self.graph = graph
        self.route = route
        self.delay = delay
        self.waits = waits
        self.awaits_arguments = False


class Wishes:
    """What a body wants to happen next; all of it takes effect together, or not at all.

    Attributes:
        children: what runs as children, in order: a task with its automatic number (0: it has an id), or a Child.
        is_mixed: whether there is a Child among the children.
        jumps: what runs instead of the successors.
        again: data of the next turn, if another turn is wanted.
        stop: why the run is to end.
    """

    # No slots: one is made per wishing task, and most keep their defaults.
    children: list[Any] | None = None
    is_mixed = False
    jumps: list[Child] | None = None
    again: tuple[tuple[Any, ...], dict[str, Any] | None] | None = None
    stop: Stop | None = None


class Outcome:
    """How a body ended: with a value and wishes, or with an error.

    Attributes:
        error: the exception; None for a value.
        again: whether the attempt may be repeated.
    """

    __slots__ = ("again", "error", "value", "wishes")

    def __init__(
        self, value: Any = None, wishes: Wishes | None = None, error: BaseException | None = None, *, again: bool = True
    ) -> None:
        """Keep the end of a body."""
        self.value = value
        self.wishes = wishes
        self.error = error
        self.again = again
