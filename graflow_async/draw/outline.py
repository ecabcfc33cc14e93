"""Outline: a graph as it is drawn, in whatever format: what lies in which group, and which edges lead up.

Nothing here knows sizes, places or a format. A drawing is a tree of *containers*: the whole (`TOP`) and every group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layers import back_edges, downward_order
from .view import Branches, Look, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TOP = None  # the container of what lies in no group


class Edge:
    """One edge as drawn.

    Attributes:
        source: id of the task or group that it leaves.
        target: id of the task or group that it reaches.
        home: the innermost container that holds both ends.
        tail: the direct child of `home` that is, or holds, the source.
        head: the direct child of `home` that is, or holds, the target.
        is_upward: whether it leads to what is drawn above its source.
        is_loop: whether following it leads back to its source.
        is_member: whether it only says that the source belongs to the target, a group drawn elsewhere.
    """

    __slots__ = ("head", "home", "is_loop", "is_member", "is_upward", "source", "tail", "target")

    def __init__(self, source: str, target: str, home: str | None, tail: str, head: str, *, is_member: bool) -> None:
        """Make an edge that leads down."""
        self.source = source
        self.target = target
        self.home = home
        self.tail = tail
        self.head = head
        self.is_member = is_member
        self.is_upward = False
        self.is_loop = False

    @property
    def is_direct(self) -> bool:
        """Whether both ends are direct children of one container."""
        return self.source == self.tail and self.target == self.head


class Outline:
    """The tree of containers of a graph and the edges between them.

    Attributes:
        view: what is drawn.
        ids: every task and group, in order of appearance.
        number: id -> its place in that order.
        groups: group id -> the ids in each of its branches.
        children: container -> what is drawn directly in it, in order.
        path: id -> the containers around it, from the whole inwards.
        edges: every edge, in the order drawn; those between a group and what lies in it lead to its border tasks.
        inner: container -> the edges whose home it is.
        containers: all of them, inner ones before those around them, the whole last.
    """

    __slots__ = (
        "_cycle_of",
        "_heads",
        "_tails",
        "children",
        "containers",
        "edges",
        "groups",
        "ids",
        "inner",
        "number",
        "path",
        "view",
    )

    def __init__(self, view: View) -> None:
        """Read a view."""
        self.view = view
        self.ids = view.nodes
        self.number = {node_id: number for number, node_id in enumerate(self.ids)}
        self.groups: Mapping[str, Branches] = view.groups
        homes = _homes(self.ids, self.groups)
        self.path = _paths(homes)
        self.children = _children(self.ids, self.groups, homes)
        innermost_first = sorted(self.groups, key=lambda group: -len(self.path[group]))
        self.containers: list[str | None] = [*innermost_first, TOP]
        self._cycle_of = {member: number for number, cycle in enumerate(view.cycles) for member in cycle}
        self.edges = list(self._read_edges(view.edges, homes))
        self.inner: dict[str | None, list[Edge]] = {container: [] for container in self.containers}
        for edge in self.edges:
            self.inner[edge.home].append(edge)
        for container, edges in self.inner.items():
            self._turn(self.children[container], edges)
        self._heads = {edge.head for edge in self.edges if not edge.is_upward}
        self._tails = {edge.tail for edge in self.edges if not edge.is_upward}

    def is_group(self, node_id: str) -> bool:
        """Say whether an id is a group's."""
        return node_id in self.groups

    def look(self, node_id: str) -> Look:
        """Give what is said of a task or a group."""
        return self.view.looks[node_id]

    def note(self, group: str) -> str:
        """Say why nothing is drawn in a group."""
        return "drawn elsewhere" if any(self.groups[group]) else "no members"

    def first_of(self, node_id: str) -> str:
        """Find a task at the upper border of a group, in its middle; a task or a childless group stands for itself."""
        return self._border(node_id, self._heads)

    def last_of(self, node_id: str) -> str:
        """Find a task at the lower border of a group, in its middle; a task or a childless group stands for itself."""
        return self._border(node_id, self._tails)

    def _border(self, node_id: str, inside: set[str]) -> str:
        """Walk into a group, each time to the middle one of the children that are not `inside` it."""
        while children := self.children.get(node_id):
            outer = [child for child in children if child not in inside] or children
            node_id = outer[(len(outer) - 1) // 2]
        return node_id

    def _read_edges(self, drawn: Iterable[tuple[str, str]], homes: Mapping[str, str | None]) -> Iterator[Edge]:
        """Make the edges; a group that a member is also part of gets an edge that only says so."""
        for source, target in drawn:
            pairs = self._resolve(source, target)
            for pair in pairs:
                edge = self._edge(*pair)
                edge.is_loop = pairs != [(source, target)] and self.is_group(source)
                yield edge
        for group, branches in self.groups.items():
            for member in dict.fromkeys(member for branch in branches for member in branch):
                if homes[member] != group and group not in self.path[member]:
                    yield self._edge(member, group, is_member=True)

    def _resolve(self, source: str, target: str) -> list[tuple[str, str]]:
        """Lead an edge between a group and something inside it to the tasks at the group's border."""
        found: dict[tuple[str, str], None] = {}
        stack = [(source, target)]
        while stack:
            source, target = stack.pop()
            if source in self.path[target]:
                stack += [(branch[-1], target) for branch in reversed(self.groups[source])]
            elif target in self.path[source]:
                stack += [(source, branch[0]) for branch in reversed(self.groups[target])]
            else:
                found[source, target] = None
        return list(found)

    def _edge(self, source: str, target: str, *, is_member: bool = False) -> Edge:
        """Make an edge, finding the container where it is drawn."""
        around, others = (*self.path[source], source), (*self.path[target], target)
        depth = 0
        while depth + 1 < min(len(around), len(others)) and around[depth] == others[depth]:
            depth += 1
        # Below the whole every entry of a path is an id.
        return Edge(source, target, around[depth - 1], around[depth] or "", others[depth] or "", is_member=is_member)

    def _turn(self, children: list[str], edges: list[Edge]) -> None:
        """Find the edges of one container that lead up; what is no plain edge adapts itself to those that are."""
        numbers = {child: number for number, child in enumerate(children)}
        successors: list[list[int]] = [[] for _ in children]
        for edge in edges:
            if edge.tail != edge.head and not edge.is_loop and not edge.is_member:
                successors[numbers[edge.tail]].append(numbers[edge.head])
        upward = back_edges(successors)
        forward = [[after for after in row if (n, after) not in upward] for n, row in enumerate(successors)]
        place = {number: place for place, number in enumerate(downward_order(forward))}
        for edge in edges:
            edge.is_upward = place[numbers[edge.head]] < place[numbers[edge.tail]]
            edge.is_loop = edge.is_loop or edge.source == edge.target or (edge.is_upward and self._on_cycle(edge))

    def _on_cycle(self, edge: Edge) -> bool:
        """Say whether an edge lies on a cycle; a group is entered at the start of its branches."""
        cycle = self._cycle_of.get(edge.source)
        if cycle is None or edge.is_member:
            return False
        stack = [edge.target]
        while stack:
            node_id = stack.pop()
            branches = self.groups.get(node_id)
            if branches:
                stack += [branch[0] for branch in branches]
            elif self._cycle_of.get(node_id) == cycle:
                return True
        return False


def _homes(ids: list[str], groups: Mapping[str, Branches]) -> dict[str, str | None]:
    """Choose for each id the group in which it is drawn: the innermost, among equals the first."""
    claims: dict[str, list[str]] = {}
    for group, branches in groups.items():
        for member in dict.fromkeys(member for branch in branches for member in branch):
            claims.setdefault(member, []).append(group)
    homes: dict[str, str | None] = {}
    for node_id in ids:
        found = claims.get(node_id)
        if found is None or len(found) == 1:
            homes[node_id] = found[0] if found else TOP
            continue
        around = [_all_around(group, claims) for group in found]
        homes[node_id] = next(group for group in found if not any(group in outer for outer in around))
    return homes


def _all_around(group: str, claims: Mapping[str, list[str]]) -> set[str]:
    """Collect the groups that hold a group, directly or not, without itself."""
    found: set[str] = set()
    stack = list(claims.get(group, ()))
    while stack:
        outer = stack.pop()
        if outer not in found:
            found.add(outer)
            stack += claims.get(outer, ())
    return found


def _paths(homes: Mapping[str, str | None]) -> dict[str, tuple[str | None, ...]]:
    """Spell out the containers around each id."""
    paths: dict[str, tuple[str | None, ...]] = {}
    for node_id in homes:
        stack = [node_id]
        while (home := homes[stack[-1]]) is not None and home not in paths:
            stack.append(home)
        while stack:
            inner = stack.pop()
            home = homes[inner]
            paths[inner] = (TOP,) if home is None else (*paths[home], home)
    return paths


def _children(
    ids: list[str], groups: Mapping[str, Branches], homes: Mapping[str, str | None]
) -> dict[str | None, list[str]]:
    """List what is drawn directly in each container: in a group as its branches were written."""
    children: dict[str | None, list[str]] = {TOP: [node_id for node_id in ids if homes[node_id] is TOP]}
    for group, branches in groups.items():
        members = dict.fromkeys(member for branch in branches for member in branch)
        children[group] = [member for member in members if homes[member] == group]
    return children
