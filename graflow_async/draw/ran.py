"""Ran: the graph that a run really was, beside the declared one: what was reached, children, loops, jumps, maps.

A task with children is drawn around them. Children of one kind are one box with their number: a picture of a map of a
thousand elements has one box for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from ..story import Span
from .layers import back_edges
from .spans import NUMBERED, Instance, instances_of, look_of, look_of_many
from .text import many, times
from .view import Branches, Look, Pair, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EACH = 8  # so many children of one task have a box each; of more, those of one kind share one
MOST_KINDS = 24  # boxes for the children of one task; what else there is is one more box
DEEPEST = 8  # boxes in each other; what lies deeper is counted


def ran(graph: Graph, spans: Sequence[Span], *, critical: Iterable[Span] = (), heading: str = "") -> View:
    """Give the view of a run.

    Args:
        graph: the graph that was declared.
        spans: the attempts, in order of their starts.
        critical: those of them that are marked as critical.
        heading: a line above the picture.
    """
    made = _Made(graph, spans, {span.key for span in critical})
    made.place()
    looks = made.looks()
    declared = view_of(graph)
    nodes = [*declared.nodes, *made.added]
    groups: dict[str, Branches] = {**declared.groups, **made.groups}
    looped = [(node, node) for node in made.loops if (node, node) not in declared.edges]
    jumps = made.jumps()
    edges = [*declared.edges, *looped, *jumps, *made.followed()]
    view = View(nodes, groups, edges, declared.cycles, {**declared.looks, **looks})
    view.loops = made.loops
    view.jumps = frozenset(jumps)
    view.faint = frozenset(edge for edge in declared.edges if not made.has_passed(edge))
    view.heading = heading
    view.is_run = True
    return view


class _Made:
    """What is found out about a run, from the top to the innermost children.

    Attributes:
        boxes: key of a box -> the instances in it.
        folded: box of a map -> the instances of its elements.
        added: keys of the boxes that the graph has not, in order.
        groups: box -> the boxes of its children.
        loops: box -> how often its task went around.
        caused: pairs of boxes of which the end of something in the first let something in the other begin.
        around: declared edges with which a loop begins anew.
        deeper: box -> how many tasks lie in it that are not drawn.
    """

    def __init__(self, graph: Graph, spans: Sequence[Span], critical: set[int]) -> None:
        self.graph = graph
        self.critical = critical
        self.declared = view_of(graph)
        self.instances = instances_of(spans)
        self.boxes: dict[str, list[Instance]] = {}
        self.folded: dict[str, list[Instance]] = {}
        self.box_of: dict[int, str] = {}
        self.labels: dict[str, str] = {}
        self.added: list[str] = []
        self.groups: dict[str, Branches] = {}
        self.loops: dict[str, str] = {}
        self.caused: set[Pair] = set()
        self.around = _around(self.declared)
        self.deeper: dict[str, str] = {}

    def place(self) -> None:
        """Give every instance its box: the top first, then what they started."""
        children: dict[int, list[Instance]] = {}
        top: list[Instance] = []
        for instance in self.instances.values():
            known = instance.parent is not None and instance.parent in self.instances
            (children.setdefault(instance.parent or 0, []) if known else top).append(instance)
        for instance in top:
            if instance.task_id not in self.declared.looks and instance.task_id not in self.boxes:
                self.added.append(instance.task_id)
            self._put(instance.task_id, instance.task_id, [instance])
        layer = list(self.boxes)
        for _ in range(DEEPEST):
            layer = [inner for box in layer for inner in self._place_children(box, children)]
        for box in layer:
            self._count_deeper(box, children)
        causes = ((instance.spans[0].cause, self.box_of.get(key)) for key, instance in self.instances.items())
        self.caused = {(self.box_of[cause], box) for cause, box in causes if box is not None and cause in self.box_of}
        for box, instances in self.boxes.items():
            turns = max(instance.turns for instance in instances)
            if turns > 1:
                self.loops[box] = times(turns, "turn")

    def _put(self, box: str, label: str, instances: list[Instance]) -> None:
        """Put instances into a box."""
        self.boxes.setdefault(box, []).extend(instances)
        self.labels.setdefault(box, label)
        self.box_of.update((instance.key, box) for instance in instances)

    def _place_children(self, box: str, children: Mapping[int, list[Instance]]) -> list[str]:
        """Give the children of what is in a box their boxes, one for each kind; a map's are part of its own."""
        started = [child for instance in self.boxes[box] for child in children.get(instance.key, ())]
        if self._is_map(box):
            self.folded[box] = started
            self.box_of.update((child.key, box) for child in started)
            started = [inner for child in started for inner in children.get(child.key, ())]
        kinds: dict[str, list[Instance]] = {}
        is_crowded = len({child.task_id for child in started}) > EACH
        for child in started:
            numbered = NUMBERED.fullmatch(child.task_id)
            kinds.setdefault(numbered[1] if numbered and is_crowded else child.task_id, []).append(child)
        made: list[str] = []
        for number, (kind, those) in enumerate(kinds.items()):
            ids = {child.task_id for child in those}
            label = kind if len(ids) > 1 else those[0].task_id
            if number >= MOST_KINDS and len(kinds) > MOST_KINDS + 1:
                label = f"{many(len(kinds) - MOST_KINDS)} other tasks"
                self._add(made, f"{box}/…", label, those)
            else:
                self._add(made, f"{box}/{kind}", label, those)
        if made:
            before = self.groups.get(box, ())
            self.groups[box] = (*before, *((inner,) for inner in made))
        return made

    def _count_deeper(self, box: str, children: Mapping[int, list[Instance]]) -> None:
        """Count what lies in a box that is drawn without it."""
        stack, count = list(self.boxes[box]), -len(self.boxes[box])
        while stack:
            instance = stack.pop()
            count += 1
            self.box_of.setdefault(instance.key, box)
            stack += children.get(instance.key, ())
        if count:
            self.deeper[box] = times(count, "task") + " inside"

    def _add(self, made: list[str], box: str, label: str, instances: list[Instance]) -> None:
        """Put instances into a box that the graph has not."""
        while box in self.declared.looks:
            box += "'"  # an id may hold a slash as well
        if box not in self.boxes:
            self.added.append(box)
            made.append(box)
        self._put(box, label, instances)

    def looks(self) -> dict[str, Look]:
        """Say what there is to say of every box; what was not reached is faint."""
        found: dict[str, Look] = {}
        for box, declared in self.declared.looks.items():
            if box not in self.boxes and box not in self.declared.groups:
                found[box] = Look(declared.label, note=declared.note, is_many=declared.is_many, is_faint=True)
        for box, instances in self.boxes.items():
            label, elements = self.labels[box], self.folded.get(box, instances)
            if self._is_map(box):
                look = look_of_many(label, elements, instances[-1].state)
            elif len({instance.task_id for instance in instances}) > 1:
                look = look_of_many(label, instances)
            else:
                look = look_of(label, instances)
            look.note = ", ".join(note for note in (look.note, self.deeper.get(box, "")) if note)
            look.is_faint = look.state == "skipped"
            look.is_critical = any(instance.key in self.critical for instance in (*instances, *elements))
            found[box] = look
        return found

    def _is_map(self, box: str) -> bool:
        """Say whether a box stands for a declared map."""
        look = self.declared.looks.get(box)
        return look is not None and look.is_many

    def has_passed(self, edge: Pair) -> bool:
        """Say whether a run has gone along a declared edge: of a loop by what let its end begin, else by its ends."""
        if edge in self.around and edge not in self.caused:
            return edge[0] == edge[1] and edge[0] in self.loops
        return self._has_begun(edge[0]) and self._has_begun(edge[1])

    def _has_begun(self, node: str) -> bool:
        """Say whether a task, or any of a group, has been reached."""
        branches = self.declared.groups.get(node)
        if branches is not None:
            return not any(branches) or any(self._has_begun(member) for branch in branches for member in branch)
        return any(instance.state != "skipped" for instance in self.boxes.get(node, ()))

    def jumps(self) -> list[Pair]:
        """Find what released a task although no edge leads there: another one has jumped."""
        numbers = self.graph.numbers
        found: dict[Pair, bool] = {}
        for key, instance in self.instances.items():
            target = self.box_of[key]
            source = self.box_of.get(instance.spans[0].cause or 0)
            if source not in numbers or instance.parent is not None:
                continue
            if (source, target) not in found:
                found[source, target] = target in numbers and numbers[source] in self._before(numbers[target])
        declared = {*self.declared.edges}
        return [pair for pair, is_declared in found.items() if not is_declared and pair not in declared]

    def followed(self) -> list[Pair]:
        """Find which children of one task began when others had ended, as those of a child run do."""
        found: dict[Pair, None] = {}
        for key, instance in self.instances.items():
            before = self.instances.get(instance.spans[0].cause or 0)
            if before is None or instance.parent is None or before.parent != instance.parent:
                continue
            source, target = self.box_of.get(before.key), self.box_of.get(key)
            if source is not None and target is not None and source != target:
                found[source, target] = None
        return list(found)

    def _before(self, number: int) -> set[int]:
        """Collect the tasks right before a node, joins seen through."""
        found: set[int] = set()
        stack = list(self.graph.predecessors_of[number])
        while stack:
            before = stack.pop()
            if before not in found:
                found.add(before)
                if self.graph.table[before].join is not None:
                    stack += self.graph.predecessors_of[before]
        return found


def _around(view: View) -> set[Pair]:
    """Find the declared edges that lead back to what was there before."""
    numbers = {node: number for number, node in enumerate(view.nodes)}
    successors: list[list[int]] = [[] for _ in view.nodes]
    for source, target in view.edges:
        successors[numbers[source]].append(numbers[target])
    return {(view.nodes[source], view.nodes[target]) for source, target in back_edges(successors)}
