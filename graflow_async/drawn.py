"""What can be looked at of something that has a name and a graph: drawings, lists, notebook output."""

from __future__ import annotations

from typing import Any

from ._lazy import lazily
from .graph import Graph

draw = lazily("graflow_async.draw")


class Drawn:
    """The drawings of a graph.

    Attributes:
        name: its name.
    """

    name: str

    @property
    def graph(self) -> Graph:
        """The graph."""
        raise NotImplementedError

    def to_mermaid(self) -> str:
        """Draw the graph as Mermaid text."""
        return draw.to_mermaid(self.graph)

    def to_dot(self) -> str:
        """Draw the graph in Graphviz's language."""
        return draw.to_dot(self.graph, self.name)

    def to_ascii(self) -> str:
        """Draw the graph as plain text."""
        return draw.to_ascii(self.graph)

    def to_svg(self) -> str:
        """Draw the graph as SVG."""
        return draw.to_svg(self.graph, self.name)

    def show_info(self) -> None:
        """Print name, size, drawing and cycles."""
        graph = self.graph
        print(f"=== Workflow {self.name} ===")
        print(f"{len(graph.nodes)} nodes, {len(graph.edges)} edges")
        print(self.to_ascii())
        cycles = graph.cycles
        print("cycles: " + ("none" if not cycles else "; ".join(" -> ".join(cycle) for cycle in cycles)))

    def visualize_dependencies(self) -> None:
        """Print one line for each node with what follows it."""
        graph = self.graph
        print(f"=== Dependencies of {self.name} ===")
        for node in graph.nodes:
            after = graph.successors(node)
            print(f"{node} >> {', '.join(after)}" if after else f"{node} (nothing follows)")

    def _repr_html_(self) -> str:
        """Draw the graph in a notebook."""
        return draw.to_html(self.graph, self.name)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give a notebook the drawing in the forms that it can choose from."""
        _ = include, exclude
        return {"image/svg+xml": self.to_svg(), "text/html": self._repr_html_(), "text/plain": self.to_ascii()}
