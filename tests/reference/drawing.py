"""The drawn graph of a program: vertices, edges, roots and what lies after what."""

from __future__ import annotations

from itertools import pairwise

from tests.reference.program import Element, Expr, Par, elements, name_of


class Drawing:
    """The drawn graph: tasks and groups as vertices in order of appearance, edges in the order drawn."""

    def __init__(self, drawn: tuple[Expr, ...]) -> None:
        """Read the statements one after another."""
        self.nodes: dict[str, Element] = {}
        self.edges: dict[str, list[str]] = {}
        for expr in drawn:
            names = [self._add(element) for element in elements(expr)]
            for source, target in pairwise(names):
                if target not in self.edges[source]:
                    self.edges[source].append(target)

    def _add(self, element: Element) -> str:
        name = name_of(element)
        self.nodes.setdefault(name, element)
        self.edges.setdefault(name, [])
        return name

    def roots(self) -> list[str]:
        """Return where a run starts: vertices without predecessors, lonely tasks only if there is nothing else."""
        targets = {target for row in self.edges.values() for target in row}
        roots = [name for name in self.nodes if name not in targets]
        connected = [name for name in roots if self.edges[name] or isinstance(self.nodes[name], Par)]
        nothing_drawn = not targets and not any(isinstance(node, Par) for node in self.nodes.values())
        return roots if nothing_drawn else connected

    def is_lonely(self, name: str) -> bool:
        """Tell whether a vertex has no edge at all."""
        return not self.edges[name] and all(name not in row for row in self.edges.values())

    def after(self, name: str) -> set[str]:
        """Return every vertex that can be reached from one by at least one edge."""
        found: set[str] = set()
        open_ = list(self.edges[name])
        while open_:
            current = open_.pop()
            if current not in found:
                found.add(current)
                open_.extend(self.edges[current])
        return found

    def without(self, names: set[str]) -> Drawing:
        """Return the graph with some vertices left out."""
        rest = Drawing(())
        rest.nodes = {name: node for name, node in self.nodes.items() if name not in names}
        rest.edges = {name: [t for t in self.edges[name] if t not in names] for name in rest.nodes}
        return rest
