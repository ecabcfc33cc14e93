"""Where a parameter's value comes from: the seven rules of SPEC 1.4, first hit wins."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._core.state import Instance, Lap
from ..errors import BindingError
from ..plan import MISSING, Parameter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Provided:
    """Objects registered with `wf.provide`, by name or by type; a factory is called once per run."""

    def __init__(self, entries: Mapping[str | type, Any]) -> None:
        """Take what the workflow registered."""
        self._entries = dict(entries)
        self._made: dict[str | type, Any] = {}
        self._locks: dict[str | type, asyncio.Lock] = {}

    def __bool__(self) -> bool:
        """Say whether there is anything to look for."""
        return bool(self._entries)

    def key_for(self, parameter: Parameter) -> str | type | None:
        """Find the entry for a parameter: its name first, then its annotation."""
        if parameter.name in self._entries:
            return parameter.name
        annotation = parameter.annotation
        for entry in self._entries:
            if isinstance(entry, type) and (annotation is entry or annotation in (entry.__name__, entry.__qualname__)):
                return entry
        return None

    def entry(self, key: str | type) -> Any:
        """Give what was registered under a key, as it was registered; None if nothing was."""
        return self._entries.get(key)

    async def value(self, key: str | type) -> Any:
        """Give the object of an entry, making it at first use; all that ask meanwhile get the same one."""
        entry = self._entries[key]
        if not is_factory(entry):
            return entry
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if key not in self._made:
                made = entry()
                self._made[key] = await made if inspect.isawaitable(made) else made
            return self._made[key]


def is_factory(value: Any) -> bool:
    """Say whether a provided value makes the object instead of being it."""
    return inspect.isroutine(value) or isinstance(value, type)


class Binder:
    """Finds values for the parameters that a call leaves open.

    Attributes:
        provided: what the run's workflow registered.
    """

    def __init__(
        self,
        provided: Provided,
        peek: Callable[[Sequence[str]], Mapping[str, Any]] | None,
        fetch: Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]],
    ) -> None:
        """Look up channel keys with `peek` where the store can answer at once, else with `fetch`."""
        self.provided = provided
        self._peek = peek
        self._fetch = fetch

    async def find(self, instance: Instance, wanted: Sequence[Parameter]) -> dict[str, Any]:
        """Find values for `wanted`; parameters with a default may be left out of the answer.

        Raises:
            BindingError: a required parameter has no value, or two predecessors give it one.
        """
        found: dict[str, Any] = {}
        if self.provided:
            for parameter in wanted:
                key = self.provided.key_for(parameter)
                if key is not None:
                    found[parameter.name] = await self.provided.value(key)
        if instance.task.definition.resolve:
            await self._resolve(instance, [p for p in wanted if p.name not in found], found)
        missing = [p for p in wanted if p.is_required and p.name not in found]
        if missing:
            raise self._unbound(instance, missing[0])
        return found

    async def _resolve(self, instance: Instance, wanted: list[Parameter], found: dict[str, Any]) -> None:
        """Apply rules 3 to 6."""
        for parameter in wanted:
            value = result_by_id(instance, parameter.name)
            if value is not MISSING:
                found[parameter.name] = value
        names = [p.name for p in wanted if p.name not in found]
        if not names:
            return
        found.update(self._peek(names) if self._peek is not None else await self._fetch(names))
        upstream = predecessors(instance)
        for parameter in wanted:
            if parameter.name not in found:
                _from_mappings(instance, parameter.name, upstream, found)
        required = [p for p in wanted if p.is_required and p.name not in found]
        if len(required) == 1 and len(upstream) == 1:
            found[required[0].name] = upstream[0][1]

    def _unbound(self, instance: Instance, parameter: Parameter) -> BindingError:
        """Say which parameter got no value and what there was."""
        before = [name for name, _ in predecessors(instance)]
        keys = sorted({k for _, v in predecessors(instance) if isinstance(v, Mapping) for k in v if isinstance(k, str)})  # pyright: ignore[reportUnknownVariableType]
        there = f"its direct predecessors are {before}" if before else "it has no predecessor that delivered"
        if keys:
            there += f", which returned the keys {keys[:10]}"
        return BindingError(
            f"task {instance.id!r}: no value for parameter {parameter.name!r}; {there}; bind it "
            f"({instance.task.definition.id}({parameter.name}=...)), pass it with inputs={{{parameter.name!r}: ...}}, "
            "or give it a default"
        )


def _from_mappings(instance: Instance, name: str, upstream: list[tuple[str, Any]], found: dict[str, Any]) -> None:
    """Apply rule 5: a key of that name in a mapping returned by a direct predecessor."""
    givers: list[tuple[str, Any]] = [
        (source, value[name]) for source, value in upstream if isinstance(value, Mapping) and name in value
    ]
    if len(givers) > 1:
        sources = " and ".join(repr(source) for source, _ in givers)
        message = f"task {instance.id!r}: parameter {name!r} is returned by {sources}; bind it to say which one counts"
        raise BindingError(message)
    if givers:
        found[name] = givers[0][1]


def predecessors(instance: Instance) -> list[tuple[str, Any]]:
    """List (id, value) of the direct predecessors that delivered in this pass."""
    lap = instance.lap
    if lap is None:
        if instance.upstream is None and instance.then is None and instance.parent is not None:
            return [(instance.parent.id, instance.parent.value)]  # a wished child: its parent has returned
        return instance.upstream or []
    table, values = lap.graph.table, lap.values
    found = [(table[n].id, values[n]) for n in lap.graph.predecessors_of[instance.node] if n in values]
    if lap.carried is not None and instance.node in lap.carried:
        known = {name for name, _ in found}
        found.extend(item for item in lap.carried[instance.node] if item[0] not in known)
    return found


def result_by_id(instance: Instance, name: str) -> Any:
    """Apply rule 3: the result of the task with that id, among own children, ancestors and parents."""
    own = instance.own
    if own is not None and name in own:
        return own[name]
    current: Instance | None = instance
    while current is not None:
        if current is not instance and current.id == name and name in current.scope.results:
            return current.scope.results[name]
        if current.lap is not None:
            value = _in_lap(current.lap, current, name)
            if value is not MISSING:
                return value
        for source, value in current.upstream or ():
            if source == name:
                return value
        current = current.parent
    return MISSING


def _in_lap(lap: Lap, instance: Instance, name: str) -> Any:
    """Look for a result among the ancestors of an instance in its lap."""
    graph = lap.graph
    if graph.has_node(name):
        number = graph.number_of(name)
        if number in graph.ancestors(instance.node):
            if number in lap.values:
                return lap.values[number]
            return instance.scope.results.get(name, MISSING)
    for source, value in (lap.carried or {}).get(instance.node, ()):
        if source == name:
            return value
    return MISSING
