"""What can be looked at of something that has a name and a graph: drawings, lists, notebook output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import lazily
from .graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from .story import Span

draw = lazily("graflow_async.draw")
_story = lazily("graflow_async.story")  # for its types


class Pictures:
    """The drawings of something, in several languages.

    Attributes:
        name: its name.
    """

    name: str

    def _drawn(self) -> Any:
        """Give what is drawn: a graph, or the view of a run."""
        raise NotImplementedError

    def to_mermaid(self) -> str:
        """Draw it as Mermaid text."""
        return draw.to_mermaid(self._drawn())

    def to_dot(self) -> str:
        """Draw it in Graphviz's language."""
        return draw.to_dot(self._drawn(), self.name)

    def to_ascii(self) -> str:
        """Draw it as plain text."""
        return draw.to_ascii(self._drawn())

    def to_svg(self) -> str:
        """Draw it as SVG."""
        return draw.to_svg(self._drawn(), self.name)

    def _repr_html_(self) -> str:
        """Draw it in a notebook."""
        return draw.to_html(self._drawn(), self.name)

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Give a notebook the drawings that it asks for; all of them if it does not say which."""
        forms: dict[str, Callable[[], str]] = {
            "image/svg+xml": self.to_svg,
            "text/html": self._repr_html_,
            "text/plain": self.to_ascii,
        }
        return {
            form: make()
            for form, make in forms.items()
            if (not include or form in include) and (not exclude or form not in exclude)
        }


class Drawn(Pictures):
    """The drawings of a graph, and lists of what is in it."""

    @property
    def graph(self) -> Graph:
        """The graph."""
        raise NotImplementedError

    def _drawn(self) -> Any:
        """Draw the graph as it was declared."""
        return self.graph

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


class DrawnRun(Pictures):
    """The drawings of a run: the graph that it really was, and its timeline. Without a handle nothing is recorded."""

    graph: Graph

    @property
    def status(self) -> str:
        """How far it is."""
        raise NotImplementedError

    def timeline(self) -> list[Span]:
        """List the attempts."""
        raise NotImplementedError

    def critical_path(self) -> list[Span]:
        """Give the attempts that determined when the run ended."""
        raise NotImplementedError

    def _now(self) -> float:
        """Give the time, in seconds since the epoch."""
        raise NotImplementedError

    def timeline_svg(self) -> str:
        """Draw when each task ran, and what it waited for, as SVG."""
        return draw.timeline_svg(self.timeline(), **self._charted())

    def timeline_html(self) -> str:
        """Draw when each task ran, and what it waited for, as a page that opens by double click."""
        return draw.timeline_html(self.timeline(), **self._charted())

    def _drawn(self) -> Any:
        """Draw what has run: children, turns and jumps included, and what was not reached."""
        heading = f"{self.name}: {self.status}"
        return draw.ran(self.graph, self.timeline(), critical=self.critical_path(), heading=heading)

    def _charted(self) -> dict[str, Any]:
        """Give what a timeline says besides its spans."""
        is_open = self.status == "running"
        heading = f"{self.name}: {self.status}"
        return {"critical": self.critical_path(), "heading": heading, "now": self._now() if is_open else None}
