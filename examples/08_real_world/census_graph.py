"""Who imports whom, and how important that makes a module: plain functions over the facts of all files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from census_source import Facts, Import

DAMPING = 0.85
"""The part of its importance that a module passes on; the rest is spread evenly over all modules."""

TOLERANCE = 1e-9
"""A ranking has converged when all scores together, which are 1, change by no more than this in one step."""


@dataclass(frozen=True, slots=True)
class Module:
    """A file by the name under which it is imported."""

    name: str
    path: str
    is_package: bool

    @property
    def package(self) -> str:
        """The package that a relative import in this module starts from; empty at the top."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ImportGraph:
    """Modules, sorted by path, and for each of them the positions of those it imports."""

    modules: list[Module]
    edges: list[list[int]]

    def even_scores(self) -> list[float]:
        """Start with everybody equally important; all scores together are 1."""
        count = len(self.modules)
        return [1 / count] * count if count else []

    def pass_on(self, scores: Sequence[float]) -> list[float]:
        """Let each module give its importance in equal parts to those it imports: one step of a power iteration."""
        count = len(self.modules)
        if not count:
            return []
        kept = sum(score for score, targets in zip(scores, self.edges, strict=True) if not targets)
        after = [(1 - DAMPING + DAMPING * kept) / count] * count
        for score, targets in zip(scores, self.edges, strict=True):
            for target in targets:
                after[target] += DAMPING * score / len(targets)
        return after

    def importers(self) -> list[int]:
        """Count for each module how many others import it."""
        counts = [0] * len(self.modules)
        for targets in self.edges:
            for target in targets:
                counts[target] += 1
        return counts


@dataclass(frozen=True, slots=True)
class Ranking:
    """The importance of each module by its position in the graph, and how far the iteration has come."""

    scores: list[float]
    turns: int
    change: float
    converged: bool


def rank_once(graph: ImportGraph, before: Ranking | None) -> Ranking:
    """Go one step on from an earlier ranking, or from everybody being equally important."""
    scores = before.scores if before else graph.even_scores()
    after = graph.pass_on(scores)
    change = sum(abs(new - old) for new, old in zip(after, scores, strict=True))
    return Ranking(after, (before.turns if before else 0) + 1, change, change <= TOLERANCE)


def link_modules(folder: Path, facts: Mapping[str, Facts]) -> ImportGraph:
    """Make the graph of the imports that stay within the folder; self-imports and others are left out."""
    prefix = _enclosing_packages(folder)
    modules = [_module_of(path, prefix) for path in sorted(facts)]
    positions: dict[str, int] = {}
    for position, module in enumerate(modules):
        # As the import system does: of `a.py` and `a/__init__.py` the package is the one that is found.
        if module.is_package or module.name not in positions:
            positions[module.name] = position
    edges: list[list[int]] = []
    for position, module in enumerate(modules):
        wanted = (name for one in facts[module.path].imported for name in _names_of(one, module.package))
        found = {_longest_known(name, positions) for name in wanted}
        edges.append(sorted(target for target in found if target is not None and target != position))
    return ImportGraph(modules, edges)


def _enclosing_packages(folder: Path) -> list[str]:
    """Name the packages around the files of a folder that is itself a package, outermost first."""
    names: list[str] = []
    current = folder.absolute()
    while current.name and (current / "__init__.py").is_file():
        names.insert(0, current.name)
        current = current.parent
    return names


def _module_of(path: str, prefix: list[str]) -> Module:
    """Name the module of a path relative to the folder."""
    parts = [*prefix, *Path(path).with_suffix("").parts]
    is_package = parts[-1] == "__init__" and len(parts) > 1
    return Module(".".join(parts[:-1] if is_package else parts), path, is_package)


def _names_of(one: Import, package: str) -> Iterator[str]:
    """List the full names that an import may mean; nothing if its dots lead out of the top package."""
    base = one.module
    if one.level:
        above = package.split(".") if package else []
        if one.level > len(above):
            return
        base = ".".join(above[: len(above) - one.level + 1] + ([base] if base else []))
    if one.names:
        # A name may be a submodule or something defined in the module itself: the longer name is tried first.
        yield from (f"{base}.{name}" for name in one.names)
    else:
        yield base


def _longest_known(name: str, positions: Mapping[str, int]) -> int | None:
    """Find the innermost module on the way to a dotted name."""
    while name:
        if name in positions:
            return positions[name]
        name = name.rpartition(".")[0]
    return None
