"""Parameters of a step: data with references to results of other steps, read once, looked up when the step starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import BindingError
from .faults import Faults, Path, check_keys, spelled

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE_KEYS = ("result_of", "field", "default")
ELEMENTS = "elements"
MAX_DEPTH = 100
MISSING: Any = object()
_OPEN: Any = object()


class Reference:
    """Stands for the result of another step, or a part of it.

    Attributes:
        step: id of the other step.
        field: keys, indexes and attribute names that lead to the part.
        default: what it is if there is no result or no such part; MISSING for an error.
        path: where it is written.
        needs_value: whether it is an error if there is no value.
    """

    __slots__ = ("default", "field", "needs_value", "path", "step")

    def __init__(self, step: str, field: tuple[str | int, ...], default: Any, path: Path) -> None:
        """Keep the parts."""
        self.step = step
        self.field = field
        self.default = default
        self.path = path
        self.needs_value = default is MISSING

    def find(self, results: Mapping[str, Any]) -> Any:
        """Give the value, MISSING if there is none; the default does not count."""
        value = results.get(self.step, MISSING)
        for part in self.field:
            if value is MISSING:
                break
            value = _part(value, part)
        return value

    def value(self, results: Mapping[str, Any]) -> Any:
        """Give the value, else the default.

        Raises:
            BindingError: there is neither.
        """
        value = self.find(results)
        if value is not MISSING:
            return value
        if self.default is not MISSING:
            return self.default
        if self.step not in results:
            what = f"step {self.step!r} has no result: it was skipped, or has not run"
        else:
            there = _described(results[self.step])
            what = f"the result of step {self.step!r}, {there}, has no {' / '.join(map(repr, self.field))}"
        message = f"{spelled(self.path)}: {what}; give the reference a default"
        raise BindingError(message)

    def __repr__(self) -> str:
        """Show what is referred to."""
        return f"result_of({', '.join(map(repr, (self.step, *self.field)))})"


class _Made:
    """A list or mapping with references in it, to be made anew with their values."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: type, parts: Any) -> None:
        self.kind = kind
        self.parts = parts


class Values:
    """Named values of which some are references or contain them.

    Attributes:
        fixed: the values that are known.
        open: the values that depend on results.
        references: all references in them.
    """

    __slots__ = ("fixed", "open", "references")

    def __init__(self) -> None:
        """Begin with none."""
        self.fixed: dict[str, Any] = {}
        self.open: dict[str, Any] = {}
        self.references: list[Reference] = []

    @property
    def names(self) -> list[str]:
        """All names."""
        return [*self.fixed, *self.open]

    def look_up(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give all values.

        Raises:
            BindingError: a reference leads nowhere and has no default.
        """
        memo: dict[int, Any] = {}
        return {**self.fixed, **{name: _resolve(value, results, memo) for name, value in self.open.items()}}


def read_values(data: Any, path: Path, faults: Faults) -> Values:
    """Read `params`."""
    found = Values()
    if data is None:
        return found
    if not isinstance(data, Mapping):
        faults.add(path, f"params is a mapping of parameter names to values, not {data!r}")
        return found
    reader = _Reader(faults, found.references)
    for name, value in cast("Mapping[Any, Any]", data).items():
        if not isinstance(name, str):
            faults.add((*path, str(name)), f"a parameter's name is a text, not {name!r}")
            continue
        part = reader.read(value, (*path, name), 0)
        (found.open if isinstance(part, (Reference, _Made)) else found.fixed)[name] = part
    return found


def read_elements(data: Any, path: Path, faults: Faults) -> Values | None:
    """Read `map`: the id of a step, a reference, or a list; the values have the one name `elements`."""
    found = Values()
    if isinstance(data, str):
        found.references.append(Reference(data, (), MISSING, path))
        found.open[ELEMENTS] = found.references[0]
    elif isinstance(data, (list, tuple)) or (isinstance(data, dict) and "result_of" in data):
        part = _Reader(faults, found.references).read(data, path, 0)
        (found.open if isinstance(part, (Reference, _Made)) else found.fixed)[ELEMENTS] = part
    else:
        faults.add(path, f"map is the id of a step, {{result_of: id, field: name}} or a list, not {data!r}")
        return None
    return found


def read_reference(
    data: Mapping[Any, Any], path: Path, faults: Faults, more_keys: Iterable[str] = ()
) -> Reference | None:
    """Read a mapping with the key `result_of`; None if it cannot be read."""
    check_keys(cast("dict[str, object]", data), (*REFERENCE_KEYS, *more_keys), path, faults)
    step = data["result_of"]
    if not isinstance(step, str):
        faults.add((*path, "result_of"), f"result_of is the id of a step, not {step!r}")
        return None
    given = data.get("field", ())
    field = cast("list[Any]", given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in field):
        faults.add((*path, "field"), f"field is a key, an index, or a list of them, not {given!r}")
        return None
    return Reference(step, tuple(field), data.get("default", MISSING), path)


class _Reader:
    """Reads values of any depth; containers that stand in several places are read once."""

    def __init__(self, faults: Faults, references: list[Reference]) -> None:
        self.faults = faults
        self.references = references
        self.memo: dict[int, Any] = {}

    def read(self, value: Any, path: Path, depth: int) -> Any:
        """Give a value as it is, or what stands for it if there are references in it."""
        if not isinstance(value, (dict, list, tuple)):
            return value
        container = cast("dict[Any, Any] | list[Any] | tuple[Any, ...]", value)
        known = self.memo.get(id(container), MISSING)
        if known is _OPEN or depth > MAX_DEPTH:
            reason = "contains itself" if known is _OPEN else f"is nested deeper than {MAX_DEPTH} levels"
            self.faults.add(
                path, f"the value {reason}; write {{literal: ...}} around data that are not to be looked into"
            )
            return None
        if known is MISSING:
            self.memo[id(container)] = _OPEN
            known = self.memo[id(container)] = self._read_container(container, path, depth)
        return known

    def _read_container(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: Path, depth: int) -> Any:
        """Read a list or mapping, or the reference or literal that a mapping spells."""
        if isinstance(value, dict):
            if "result_of" in value:
                reference = read_reference(value, path, self.faults)
                if reference is not None:
                    self.references.append(reference)
                return reference
            if set(value) == {"literal"}:
                return value["literal"]
            parts: Any = {key: self.read(item, (*path, str(key)), depth + 1) for key, item in value.items()}
            items = [(parts[key], item) for key, item in value.items()]
        else:
            parts = [self.read(item, (*path, index), depth + 1) for index, item in enumerate(value)]
            items = list(zip(parts, value, strict=True))
        if all(part is item for part, item in items):
            return value
        if any(isinstance(part, (Reference, _Made)) for part, _ in items):
            return _Made(dict if isinstance(value, dict) else tuple if isinstance(value, tuple) else list, parts)
        return tuple(parts) if isinstance(value, tuple) else parts


def _resolve(value: Any, results: Mapping[str, Any], memo: dict[int, Any]) -> Any:
    """Put values in the place of references."""
    if isinstance(value, Reference):
        return value.value(results)
    if not isinstance(value, _Made):
        return value
    if id(value) not in memo:
        if value.kind is dict:
            memo[id(value)] = {key: _resolve(part, results, memo) for key, part in value.parts.items()}
        else:
            memo[id(value)] = value.kind(_resolve(part, results, memo) for part in value.parts)
    return memo[id(value)]


def _part(value: Any, part: str | int) -> Any:
    """Give a key of a mapping, an element of a sequence, or an attribute; MISSING if there is none."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value).get(part, MISSING)
    if isinstance(part, int):
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            row = cast("Sequence[Any]", value)
            return row[part] if -len(row) <= part < len(row) else MISSING
        return MISSING
    return MISSING if part.startswith("_") else getattr(value, part, MISSING)


def _described(value: Any) -> str:
    """Say what a value is, without showing it."""
    if isinstance(value, Mapping):
        return f"a mapping with the keys {list(cast('Mapping[Any, Any]', value))[:10]}"
    return f"of type {type(value).__name__}"
