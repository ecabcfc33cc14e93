"""View: what a drawing shows, in whatever format: nodes, groups, edges, and what is said of each.

A declared graph has one (`view_of`), and so has a run (`ran`). Nothing here knows sizes, places or a format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graph import Graph, Node
from .text import TIMES, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Branches = tuple[tuple[str, ...], ...]
Pair = tuple[str, str]

# How far a task is, in the order in which several in one box are told; what is not there has not been reached.
STATES = ("running", "waiting", "retrying", "queued", "failed", "cancelled", "completed", "skipped")
SIZED: Any = (list, tuple, range, set, frozenset, dict)
DEFAULT_POLICY = "strict"


class Look:
    """What is said of a task or a group.

    Attributes:
        label: its name.
        state: one of STATES; "" where nothing has run.
        note: a second, quieter line.
        counts: state -> how many, where one box stands for many tasks.
        is_many: whether one box stands for many tasks.
        is_faint: whether a run has left it out.
        is_critical: whether the run would have been shorter, had it been quicker.
    """

    __slots__ = ("counts", "is_critical", "is_faint", "is_many", "label", "note", "state")

    def __init__(
        self,
        label: str,
        *,
        state: str = "",
        note: str = "",
        counts: Mapping[str, int] | None = None,
        is_many: bool = False,
        is_faint: bool = False,
        is_critical: bool = False,
    ) -> None:
        """Say what there is to say."""
        self.label = label
        self.state = state
        self.note = note
        self.counts: Mapping[str, int] = counts or {}
        self.is_many = is_many
        self.is_faint = is_faint
        self.is_critical = is_critical

    @property
    def words(self) -> str:
        """State and note in one line, for drawings of words; what every group does by itself is left out."""
        return ", ".join(part for part in (self.state, self.note) if part and part != DEFAULT_POLICY)


class View:
    """What a drawing shows.

    Attributes:
        nodes: key of every task and group, in order of appearance.
        groups: key of a group -> the keys in each of its branches; a task with children is a group of them.
        edges: pairs of keys.
        cycles: sets of keys that lie on a common cycle.
        looks: key -> what is said of it.
        loops: key of what repeats itself -> what is said of that.
        jumps: those edges that nobody declared: a task has jumped.
        faint: those edges that nothing has passed.
        heading: a line above the whole; "" for none.
        is_run: whether it shows a run.
    """

    __slots__ = ("cycles", "edges", "faint", "groups", "heading", "is_run", "jumps", "looks", "loops", "nodes")

    def __init__(
        self,
        nodes: list[str],
        groups: Mapping[str, Branches],
        edges: list[Pair],
        cycles: list[list[str]],
        looks: Mapping[str, Look],
    ) -> None:
        """Take what every view has."""
        self.nodes = nodes
        self.groups = groups
        self.edges = edges
        self.cycles = cycles
        self.looks = looks
        self.loops: Mapping[str, str] = {}
        self.jumps: frozenset[Pair] = frozenset()
        self.faint: frozenset[Pair] = frozenset()
        self.heading = ""
        self.is_run = False


def view_of(drawable: Graph | View) -> View:
    """Give the view of a declared graph; a view is its own."""
    if isinstance(drawable, View):
        return drawable
    looks = {node.id: declared_look(node) for node in drawable.table}
    return View(drawable.nodes, drawable.groups, drawable.edges, drawable.cycles, looks)


def declared_look(node: Node) -> Look:
    """Say of a node what its declaration says: the policy of a group, that a task is a map."""
    if node.join is not None:
        return Look(node.id, note=_bounded(policy_label(node.join.policy), node.join.max_concurrency))
    mapped: Any = getattr(getattr(node.task, "definition", None), "func", None)
    mapped = getattr(mapped, "__dict__", {}).get("mapped")
    if mapped is None:
        return Look(node.id)
    return Look(node.id, note=_bounded(_times(mapped.iterables), mapped.max_concurrency), is_many=True)


def policy_label(policy: Any) -> str:
    """Name a policy; one of the user's own by its class."""
    label = getattr(policy, "label", None)
    return label if isinstance(label, str) else type(policy).__name__


def _bounded(text: str, bound: int | None) -> str:
    """Add how many run at once."""
    return text if bound is None else f"{text}, {many(bound)} at once"


def _times(iterables: Sequence[Any]) -> str:
    """Say over how many elements a map goes, if that is known before it runs."""
    sizes = [len(given) for given in iterables if isinstance(given, SIZED)]
    return f"{TIMES} {many(sizes[0])}" if sizes else f"{TIMES} n"
