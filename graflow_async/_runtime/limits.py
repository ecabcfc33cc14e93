"""What bounds a run, and the fresh state that is bounded by it: the same whether the run begins or is told again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .._core.gate import Gate
from .._core.run_state import RunState
from ..errors import ConfigError
from ..graph import Graph
from ..policy import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping


class Limits:
    """The limits of a run.

    Attributes:
        concurrency: how many tasks run at once; None for any number.
        threads: how many sync tasks run at once.
        steps: how many turns there may be in all; None for any number.
        named: the named ones.
    """

    __slots__ = ("concurrency", "named", "steps", "threads")

    def __init__(
        self,
        concurrency: int | None = None,
        threads: int = 40,
        steps: int | None = None,
        named: Mapping[str, int | Rate] | None = None,
    ) -> None:
        """Keep them."""
        self.concurrency = concurrency
        self.threads = threads
        self.steps = steps
        self.named = named or {}

    def as_json(self) -> list[Any]:
        """Give plain data; equal limits give equal data."""
        named = {n: [v.count, v.per] if isinstance(v, Rate) else v for n, v in self.named.items()}
        return [self.concurrency, self.threads, self.steps, named]

    @classmethod
    def from_json(cls, data: list[Any]) -> Self:
        """Read what `as_json` gave."""
        named = {n: Rate(*v) if isinstance(v, list) else v for n, v in data[3].items()}  # pyright: ignore[reportUnknownArgumentType]
        return cls(data[0], data[1], data[2], named)

    def changed_by(self, options: Mapping[str, Any]) -> Self:
        """Give the limits with those that some options of a run name."""
        return type(self)(
            options.get("max_concurrency", self.concurrency),
            options.get("max_threads", self.threads),
            options.get("max_steps", self.steps),
            {**self.named, **(options.get("limits") or {})},
        )


def adjust(state: RunState, limits: Limits) -> list[Gate]:
    """Let other limits count for a run that has begun; give the gates that may have become wider.

    Raises:
        ConfigError: the run had no bound on its tasks and cannot get one, or the other way round.
    """
    if (limits.concurrency is None) != ("run" not in state.gates):
        message = "a run that began without max_concurrency goes on without it, and one that had it keeps some"
        raise ConfigError(message)
    state.max_steps = limits.steps
    wanted = new_state(state.run_id, state.root.graph, state.root.name, limits).gates
    for name, gate in wanted.items():
        known = state.gates.setdefault(name, gate)
        known.free += gate.size - known.size
        known.size, known.per = gate.size, gate.per
    return list(state.gates.values())


def new_state(run_id: str, graph: Graph, name: str, limits: Limits) -> RunState:
    """Make the state of a run in which nothing has happened."""
    state = RunState(run_id, graph, name, limits.steps)
    state.gates["threads"] = Gate("threads", limits.threads)
    for limit, bound in limits.named.items():
        state.gates[limit] = Gate(limit, bound.count, bound.per) if isinstance(bound, Rate) else Gate(limit, bound)
    if limits.concurrency is not None:
        state.gates["run"] = Gate("run", limits.concurrency)
        state.base = (state.gates["run"],)
    return state
