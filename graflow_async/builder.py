"""From expressions to a graph: which tasks are nodes, what their ids are, which edges and joins the operators drew."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .compose import Chain, Expression, Group
from .definition import PLAIN_KINDS
from .errors import ConfigError, DuplicateTaskError
from .graph import Graph, Join, Node
from .policy import GroupPolicy
from .protocols import Executor
from .task import Task, is_mapped, is_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def build_graph(items: Iterable[Expression], number: Callable[[str], int] | None = None) -> Graph:
    """Build the graph of some expressions in order of appearance.

    Args:
        items: tasks and expressions; what they share is drawn once.
        number: gives the next number for an automatic id; None counts within this graph.

    Raises:
        DuplicateTaskError: one id, two different tasks.
        GraphCompilationError: a policy does not fit its members.
        ConfigError: two groups bring different executors of one name.
    """
    return _Builder(list(items), number).build()


class _Builder:
    """Collects nodes and edges, first as drawn, then numbered for the machine."""

    def __init__(self, items: list[Expression], number: Callable[[str], int] | None) -> None:
        self.items = items
        self.number = number
        self.table: list[Node] = []
        self.by_object: dict[int, int] = {}  # id() of a task or group -> number; the items keep them alive
        self.ids: dict[str, Task[Any, Any] | None] = {}
        self.counts: dict[str, int] = {}
        self.group_count = 0
        self.executors: dict[int, str] = {}
        self.given: dict[str, Executor] = {}
        self.drawn: dict[tuple[int, int], None] = {}
        self.firsts: dict[int, list[list[int]]] = {}  # join -> first drawn node of each branch, with the whole branch
        self.separate: set[int] = set()

    def build(self) -> Graph:
        """Run the steps."""
        self._claim_ids()
        for item in self.items:
            self._place(item)
        successors: list[list[int]] = [[] for _ in self.table]
        for before, after in self.drawn:
            successors[before].extend(self._entries(after))
        for node in self.table:
            if node.join is not None:
                self._close_join(node, successors)
        self._bound(self.table)
        edges = [(self.table[a].id, self.table[b].id) for a, b in self.drawn]
        forks = {n + len(self.table): tuple(self._place_at(b[0]) for b in bs) for n, bs in self.firsts.items()}
        for number, branches in self.firsts.items():
            if not branches:  # nothing to wait for: it begins with its end
                forks[number + len(self.table)] = (number,)
        entries = {n + len(self.table): tuple(self._entries(n)) for n in self.firsts}
        graph = Graph(self.table, successors, edges, self._targets(), forks, entries)
        graph.executors = self.given
        return graph

    def _place_at(self, number: int) -> int:
        """Give the place where a drawn node begins: a group begins at its fork."""
        return number if self.table[number].join is None else number + len(self.table)

    def _targets(self) -> list[tuple[int, ...]]:
        """List the places that each node's edges lead to: drawn edges, and from the end of a branch into its join."""
        targets: list[list[int]] = [[] for _ in self.table]
        for before, after in self.drawn:
            targets[before].append(self._place_at(after))
        for number, branches in self.firsts.items():
            for branch in branches:
                targets[branch[-1]].append(number)
        return [tuple(dict.fromkeys(row)) for row in targets]

    def _claim_ids(self) -> None:
        """Reserve every id that was given, before automatic ones are counted."""
        for expression in _walk(self.items, self.separate):
            if is_task(expression):
                task_id = expression.given_id()
                if task_id is None:
                    continue
                known = self.ids.setdefault(task_id, expression)
                if known is not expression:
                    first = known.definition.place if known is not None else "a group"
                    raise DuplicateTaskError(task_id, first, expression.definition.place)
            elif isinstance(expression, Group) and expression.name is not None:
                self._claim_group(expression)

    def _claim_group(self, group: Group) -> None:
        """Reserve the name of a group."""
        name = group.name or ""
        if name in self.ids and id(group) not in self.by_object:
            known = self.ids[name]
            raise DuplicateTaskError(name, known.definition.place if known else "a group", "a group")
        self.ids[name] = None
        self.by_object[id(group)] = -1

    def _place(self, expression: Expression) -> tuple[int, int]:
        """Place an expression; give its first and its last drawn node."""
        if isinstance(expression, Chain):
            ends = [self._place(part) for part in expression.parts]
            for (_, last), (first, _) in pairwise(ends):
                self.drawn[last, first] = None
            return ends[0][0], ends[-1][1]
        if is_mapped(expression):
            expression = expression.node
        number = self.by_object.get(id(expression), -1)
        if number >= 0:
            return number, number
        if is_task(expression):
            return self._place_task(expression)
        if isinstance(expression, Group):
            return self._place_group(expression)
        message = f"cannot place {expression!r} in a graph"
        raise TypeError(message)

    def _place_task(self, task: Task[Any, Any]) -> tuple[int, int]:
        """Make the node of a task, numbering an automatic id."""
        task_id = task.given_id()
        if task_id is None:
            task_id = self._auto_id(task.definition.id)
            task.settle_id(task_id)
            self.ids[task_id] = task
        number = len(self.table)
        self.table.append(Node(number, task_id, task, None))
        self.by_object[id(task)] = number
        return number, number

    def _auto_id(self, base: str) -> str:
        """Count the next free automatic id."""
        while True:
            if self.number is not None:
                count = self.number(base)
            else:
                count = self.counts[base] = self.counts.get(base, 0) + 1
            if f"{base}_{count}" not in self.ids:
                return f"{base}_{count}"

    def _place_group(self, group: Group) -> tuple[int, int]:
        """Make the join of a group and place its branches."""
        name = group.name
        while name is None:
            self.group_count += 1
            candidate = f"ParallelGroup_{self.group_count}"
            name = candidate if candidate not in self.ids else None
        self.ids[name] = None
        join = Join(group.policy, group.max_concurrency)
        number = len(self.table)
        self.table.append(Node(number, name, None, join))
        self.by_object[id(group)] = number
        if isinstance(group.executor, str):
            self.executors[number] = group.executor
        elif group.executor is not None:
            self.executors[number] = group.executor.name
            if self.given.setdefault(group.executor.name, group.executor) != group.executor:
                message = f"group {name!r}: another group of the graph has another executor {group.executor.name!r}"
                raise ConfigError(message)
        branches: list[list[int]] = []
        for branch in group.branches(self._is_separate):
            parts = branch.parts if isinstance(branch, Chain) else (branch,)
            self._place(branch)
            branches.append([self._place(part)[0] for part in parts])
        self.firsts[number] = branches
        return number, number

    def _is_separate(self, group: Group) -> bool:
        """Say whether a group also stands somewhere else as a node."""
        return id(group) in self.separate

    def _entries(self, number: int) -> list[int]:
        """List where a drawn node begins."""
        if self.table[number].join is None:
            return [number]
        found: list[int] = []
        stack = [number]
        while stack:
            top = stack.pop()
            branches = self.firsts.get(top)
            if branches:
                stack.extend(branch[0] for branch in reversed(branches))
            else:
                found.append(top)
        return found

    def _close_join(self, node: Node, successors: list[list[int]]) -> None:
        """Lead every branch into its join and check the policy against the keys."""
        join = node.join
        if join is None:
            return
        branches: dict[int, str] = {}
        for branch in self.firsts[node.number]:
            last = branch[-1]
            branches[last] = self.table[last].id
            if node.number not in successors[last]:
                successors[last].append(node.number)
            for member in branch:
                self.table[member].groups = tuple(dict.fromkeys((*self.table[member].groups, node.number)))
        join.branches = tuple(branches.items())
        join.members = tuple(tuple(self.table[n].id for n in branch) for branch in self.firsts[node.number])
        if isinstance(join.policy, GroupPolicy):
            join.policy.check(node.id, join.keys)

    def _bound(self, table: list[Node]) -> None:
        """Let nodes know the bounds and the executor of the groups around them."""
        for node in table:
            if node.task is not None:
                node.task.definition.look()
            stack = list(node.groups)
            bounds: dict[int, None] = {}
            executor = None
            while stack:
                number = stack.pop()
                join = table[number].join
                if join is not None and join.max_concurrency is not None:
                    bounds[number] = None
                executor = executor or self.executors.get(number)
                stack.extend(table[number].groups)
            node.bounds = tuple(bounds)
            if node.task is not None and executor is None:
                definition = node.task.definition
                node.is_plain = node.kind == "async" and not definition.limits and not bounds
            if executor is not None and node.task is not None and node.task.definition.executor == "auto":
                node.kind = executor if node.task.definition.kind != "async" or executor != "thread" else node.kind
                node.stays = executor in PLAIN_KINDS


def _walk(items: list[Expression], separate: set[int]) -> Iterator[Expression]:
    """Go through every part of some expressions; note the groups that stand as nodes of their own."""
    seen: set[int] = set()
    stack: list[Expression] = list(reversed(items))
    while stack:
        expression = stack.pop()
        if isinstance(expression, Group):
            separate.add(id(expression))
        if id(expression) in seen:
            continue
        seen.add(id(expression))
        if is_mapped(expression):
            yield expression.node
            continue
        yield expression
        if isinstance(expression, Chain):
            stack.extend(reversed(expression.parts))
        elif isinstance(expression, Group):
            stack.extend(reversed(expression.branches()))
