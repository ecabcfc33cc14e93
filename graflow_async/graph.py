"""Graph: nodes, edges and join rules, numbered for the machine, with the drawn view. Running never changes it.

A group is drawn as one node and compiled into a *join*: `a >> (b | c) >> d` becomes a->b, a->c, b->j, c->j, j->d, where
`j` carries the group's policy and no function.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .definition import PLAIN_KINDS
from .errors import GraphCompilationError
from .policy import BestEffort, Critical, GroupPolicy, OnGroupFinished, Strict
from .protocols import Executor
from .route import Plot, Route, make_route, strongly_connected
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STAYS = "!"  # behind the kind of a node, where it is written down: a group keeps it here


class Join:
    """What a group asks of its branches.

    Attributes:
        policy: decides what a failing branch means.
        judge: the policy, if it can be asked at any time; None for one of the user's own, which looks once at the end.
        is_eager: whether a success may decide the group.
        max_concurrency: how many of its tasks run at once.
        branches: (number of the branch's last node, key in the group's result), as written.
        members: drawn ids of each branch, in order, for the view.
    """

    __slots__ = ("branches", "is_eager", "judge", "max_concurrency", "members", "policy")

    def __init__(self, policy: GroupPolicy | OnGroupFinished, max_concurrency: int | None) -> None:
        """Start without branches."""
        self.policy = policy
        self.judge = policy if isinstance(policy, GroupPolicy) else None
        self.is_eager = self.judge is not None and not isinstance(policy, (Strict, BestEffort, Critical))
        self.max_concurrency = max_concurrency
        self.branches: tuple[tuple[int, str], ...] = ()
        self.members: tuple[tuple[str, ...], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the group's result, as written."""
        return tuple(key for _, key in self.branches)


class Node:
    """One place in a compiled graph: a task, or the join of a group.

    Attributes:
        number: its index in the graph.
        id: the task's or the group's id.
        task: the task; None for a join.
        join: what a group asks; None for a task.
        groups: numbers of the joins whose branch it is directly part of (nearly always none or one).
        bounds: numbers of all enclosing joins that bound concurrency.
        is_plain: whether it needs no gate but those that everything passes.
        kind: how it runs, a group's executor taken into account.
        stays: whether a group keeps it in the process of its run, whatever the executor of the run is.
    """

    __slots__ = ("bounds", "groups", "id", "is_plain", "join", "kind", "number", "stays", "task")

    def __init__(self, number: int, node_id: str, task: Task[Any, Any] | None, join: Join | None) -> None:
        """Make a node without edges."""
        self.number = number
        self.id = node_id
        self.task = task
        self.join = join
        self.groups: tuple[int, ...] = ()
        self.bounds: tuple[int, ...] = ()
        self.kind = task.definition.kind if task is not None else ""
        self.is_plain = False
        self.stays = False


class Graph:
    """A compiled graph. `nodes`, `edges`, `get_node` and the like show it as it was drawn.

    Attributes:
        table: the compiled nodes by number.
        successors_of: numbers of the nodes after each node, in edge order.
        predecessors_of: numbers of the nodes before each node.
        edges: drawn edges (id, id), groups as one node.
        numbers: id -> number of the node.
        demanding: nodes that need a limit or an executor, which a run may not have.
        eager: joins whose policy may end the group before every branch has.
        executors: name -> executor that a group brings along, for a run that has none of that name.
        starts_all: whether a node without any edge starts although there are edges.
    """

    __slots__ = (
        "_ancestors",
        "_last_numbers",
        "_routes",
        "demanding",
        "eager",
        "edges",
        "executors",
        "numbers",
        "plot",
        "predecessors_of",
        "starts_all",
        "successors_of",
        "table",
    )

    def __init__(
        self,
        table: list[Node],
        successors: list[list[int]],
        edges: list[tuple[str, str]],
        targets: list[tuple[int, ...]],
        forks: dict[int, tuple[int, ...]],
        entries: dict[int, tuple[int, ...]],
    ) -> None:
        """Take the finished tables of the builder."""
        self.table = table
        self.edges = edges
        self.successors_of = [tuple(dict.fromkeys(row)) for row in successors]
        self.plot = Plot(targets, forks, entries, self.successors_of)
        predecessors: list[list[int]] = [[] for _ in table]
        for number, row in enumerate(self.successors_of):
            for after in row:
                predecessors[after].append(number)
        self.predecessors_of = [tuple(row) for row in predecessors]
        self.numbers = {node.id: node.number for node in table}
        self.demanding = [
            n
            for n in table
            if n.task is not None
            and (n.task.definition.limits or not PLAIN_KINDS.issuperset((n.kind, n.task.definition.kind)))
        ]
        self.starts_all = False
        self.executors: dict[str, Executor] = {}
        self.eager = frozenset(n.number for n in table if n.join is not None and n.join.is_eager)
        self._routes: dict[tuple[Any, ...], Route] = {}
        self._last_numbers: dict[str, int] = {}
        self._ancestors: dict[int, frozenset[int]] = {}

    # -- the view ---------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[str]:
        """Ids of tasks and groups, in order of appearance."""
        return [node.id for node in self.table]

    @property
    def groups(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Group id -> the ids in each of its branches."""
        return {node.id: node.join.members for node in self.table if node.join is not None}

    def get_node(self, task_id: str) -> Task[Any, Any]:
        """Give the task with this id.

        Raises:
            GraphCompilationError: there is none; the message names the nearest ids.
        """
        task = self.table[self.number_of(task_id)].task
        if task is None:
            message = f"{task_id!r} is a group, not a task; its members: {self.groups[task_id]}"
            raise GraphCompilationError(message)
        return task

    def has_node(self, task_id: str) -> bool:
        """Say whether a task or group has this id."""
        return task_id in self.numbers

    def successors(self, task_id: str) -> list[str]:
        """List the ids drawn after this one."""
        self.number_of(task_id)
        return [after for before, after in self.edges if before == task_id]

    def predecessors(self, task_id: str) -> list[str]:
        """List the ids drawn before this one."""
        self.number_of(task_id)
        return [before for before, after in self.edges if after == task_id]

    @property
    def cycles(self) -> list[list[str]]:
        """The sets of nodes that lie on a common cycle, each in order of appearance."""
        found = strongly_connected(self.successors_of)
        return [[self.table[n].id for n in group] for group in found]

    def __contains__(self, item: object) -> bool:
        """Say whether an id or a task is in the graph."""
        if item.__class__ is str:
            return item in self.numbers
        return any(node.task is item for node in self.table)

    def __len__(self) -> int:
        """Count tasks and groups."""
        return len(self.table)

    def __iter__(self) -> Any:
        """Go through the ids."""
        return iter(self.nodes)

    def __repr__(self) -> str:
        """Show the size."""
        return f"<Graph: {len(self.table)} nodes, {len(self.edges)} edges>"

    # -- for the machine --------------------------------------------------------------------------------------

    def number_of(self, task_id: str) -> int:
        """Give the number of a task or group.

        Raises:
            GraphCompilationError: the id is unknown; the message names the nearest ids.
        """
        number = self.numbers.get(task_id)
        if number is None:
            import difflib  # only for messages: it is slow to import

            near = difflib.get_close_matches(str(task_id), self.numbers, n=3, cutoff=0.5) or list(self.numbers)[:5]
            known = f"; did you mean {', '.join(map(repr, near))}?" if near else "; the workflow has no tasks"
            message = f"no task {task_id!r} in the workflow{known}"
            raise GraphCompilationError(message)
        return number

    def last_number(self, name: str) -> int:
        """Give the highest n for which an id `<name>_<n>` is taken; 0 if none is."""
        known = self._last_numbers.get(name)
        if known is None:
            prefix = f"{name}_"
            tails = [node_id[len(prefix) :] for node_id in self.numbers if node_id.startswith(prefix)]
            known = self._last_numbers[name] = max((int(t) for t in tails if t.isdecimal()), default=0)
        return known

    def find(self, task: Task[Any, Any]) -> Node | None:
        """Find the node of exactly this task."""
        number = self.numbers.get(task.given_id() or "")
        if number is None:
            return None
        node = self.table[number]
        return node if node.task is task else None

    def resembles(self, task: Task[Any, Any]) -> Node | None:
        """Find a node with the id of `task` that is another task."""
        number = self.numbers.get(task.given_id() or "")
        if number is None:
            return None
        node = self.table[number]
        return node if node.task is not task else None

    def roots(self) -> tuple[int, ...]:
        """List the nodes that start without being told.

        Raises:
            GraphCompilationError: there is no task, or every task waits for another.
        """
        if not self.table:
            message = "the workflow has no tasks; define some in its block, or name one: wf.run(task)"
            raise GraphCompilationError(message)
        before, after = self.predecessors_of, self.successors_of
        has_edges = any(after) and not self.starts_all
        found = tuple(n for n in range(len(self.table)) if not before[n] and (after[n] or not has_edges))
        if not found:
            cycle = " -> ".join(self.cycles[0]) if self.cycles else ""
            message = (
                f"no task can start: each waits for another ({cycle}); say where to start: wf.run('{self.table[0].id}')"
            )
            raise GraphCompilationError(message)
        return found

    def settle(self) -> None:
        """Work out how the graph is walked from its roots, if it has any, so that no run has to."""
        with suppress(GraphCompilationError):
            self.route(self.roots())

    def start(self, nodes: Iterable[str | Task[Any, Any]]) -> Route:
        """Make the route from named start nodes; a member of a group starts its branch alone.

        Raises:
            GraphCompilationError: a start node is not in the graph.
        """
        places: list[int] = []
        inside: set[int] | None = None
        for item in nodes:
            number = self.number_of(item) if isinstance(item, str) else self._number_of_task(item)
            node = self.table[number]
            places.append(self.place(number))
            if node.groups:
                within = self.inside(node.groups[0])
                inside = within if inside is None else inside | within
        if inside is not None and all(n in inside for place in places for n in self.plot.nodes_at(place)):
            return self.route(tuple(places), frozenset(inside))
        return self.route(tuple(places))

    def start_anywhere(self, number: int) -> Route:
        """Make the route from one node, wherever it lies; what follows it follows."""
        return self.route((self.place(number),))

    def _number_of_task(self, task: Task[Any, Any]) -> int:
        """Give the number of a task that has to be in the graph."""
        node = self.find(task)
        if node is None:
            known = ", ".join(map(repr, self.nodes[:8]))
            message = f"start task {task!r} is not part of the workflow; its nodes: {known}"
            raise GraphCompilationError(message)
        return node.number

    def route(self, starts: Sequence[int], inside: frozenset[int] | None = None) -> Route:
        """Give the route from some start places, worked out once; `inside` restricts it to some nodes."""
        key = (tuple(starts), inside)
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = make_route(self.plot, key[0], inside)
        return route

    def place(self, number: int) -> int:
        """Give the place of a drawn node: a task is at its number, a group begins at its fork."""
        return number if self.table[number].join is None else number + len(self.table)

    def inside(self, join: int) -> set[int]:
        """Collect the nodes that lie in a group, those of inner groups included."""
        found: set[int] = set()
        wanted = {join}
        while wanted:
            layer = {n.number for n in self.table if any(g in wanted for g in n.groups)} - found
            found |= layer
            wanted = {n for n in layer if self.table[n].join is not None}
        return found

    def branch_of(self, join: int, number: int) -> tuple[int, str] | None:
        """Give (last node, key) of the branch of a group in which a node lies; None if it lies in none."""
        info = self.table[join].join
        branches = info.branches if info is not None else ()
        return next((b for b in branches if b[0] == number or number in self.ancestors(b[0])), None)

    def below(self, number: int) -> set[int]:
        """Collect a node and everything that can be reached from it."""
        found = {number}
        stack = [number]
        while stack:
            for after in self.successors_of[stack.pop()]:
                if after not in found:
                    found.add(after)
                    stack.append(after)
        return found

    def ancestors(self, number: int) -> frozenset[int]:
        """Collect everything from which a node can be reached; worked out once per node."""
        known = self._ancestors.get(number)
        if known is None:
            found: set[int] = set()
            stack = [number]
            while stack:
                for before in self.predecessors_of[stack.pop()]:
                    if before not in found:
                        found.add(before)
                        stack.append(before)
            known = self._ancestors[number] = frozenset(found)
        return known
