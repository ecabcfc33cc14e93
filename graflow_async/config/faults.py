"""Everything that is wrong with a configuration, collected, so that one error can tell it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import GraphCompilationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple[str | int, ...]


class Placed(Protocol):
    """A document that can say where something stands."""

    @property
    def label(self) -> str:
        """What to call the document."""
        ...

    def where(self, path: Path) -> str:
        """Say where a path leads, for a person to find."""
        ...


class Faults:
    """Collects problems with the path to each."""

    def __init__(self) -> None:
        """Begin without any."""
        self._found: list[tuple[Path, str]] = []

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._found)

    def add(self, path: Path, message: str) -> None:
        """Note a problem."""
        self._found.append((path, message))

    def raise_if_any(self, document: Placed) -> None:
        """Raise one error for all problems, in the order of the document.

        Raises:
            GraphCompilationError: there are problems.
        """
        if not self._found:
            return
        found = sorted(self._found, key=lambda fault: _step_of(fault[0]))
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        lines = [f"{place}: {text}" if (place := document.where(path)) else text for path, text in found]
        raise GraphCompilationError("\n  ".join([f"{document.label}: {count}, nothing was built", *lines]))


def _step_of(path: Path) -> int:
    """Give the number of the step that a path leads into; what belongs to none comes first."""
    return path[1] if len(path) > 1 and isinstance(path[1], int) else -1


def spelled(path: Path) -> str:
    """Spell a path as one would write it in Python: `steps[3].depends_on[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: object, known: Iterable[str], what: str) -> str:
    """Suggest what a word may have been meant to be, or list the first of what there is."""
    import difflib  # only for messages: it is slow to import

    names = list(known)
    near = difflib.get_close_matches(str(word), names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    if not names:
        return f"there are no {what}"
    rest = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{what}: {', '.join(names[:8])}{rest}"


def check_keys(data: dict[str, object], known: Iterable[str], path: Path, faults: Faults) -> None:
    """Report keys that mean nothing."""
    names = tuple(known)
    for key in data:
        if key not in names:
            faults.add((*path, str(key)), f"unknown key {key!r}; {nearest(key, names, 'keys')}")
