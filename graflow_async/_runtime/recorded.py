"""Called children: how they are told apart, and those of an earlier life of a body that starts over and asks again."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._lazy import lazily

if TYPE_CHECKING:
    from collections.abc import Iterator

pickle = lazily("pickle")


class Unsaved:
    """Stands for the result of a task with `persist=False`."""

    __slots__ = ()

    def __reduce__(self) -> str:
        """Pickle as a name, so that there is one in every process."""
        return "UNSAVED"


UNSAVED = Unsaved()
T = TypeVar("T")
Identity = tuple[Any, ...]
"""What a child is known by within its parent: ("task", id), ("walk", ids of its nodes) or ("run", name, number)."""


class Handle(Generic[T]):
    """Stands for a child that was started; given as an argument of another child it is awaited first."""

    @property
    def child(self) -> Any:
        """The handle as the loop knows it; it has the `key` of its child."""
        raise NotImplementedError


class RecordedChild:
    """One called child.

    Attributes:
        key: number of its instance, lap or scope.
        arguments: what it was called with: (positional, by name).
        kind, value: how it ended; an empty kind while it has not.
        call: the receiver that the machine knows.
    """

    __slots__ = ("_receivers", "arguments", "call", "identity", "key", "kind", "value")

    def __init__(self, key: int, identity: Identity, arguments: Any, call: RecordedCall) -> None:
        """Begin as one that has not ended."""
        self.key = key
        self.identity = identity
        self.arguments = arguments
        self.call = call
        self.kind = ""
        self.value: Any = None
        self._receivers: list[tuple[Any, int]] = []

    def give_to(self, receiver: Any, index: int) -> None:
        """Let a receiver (with `deliver(index, kind, value)`) have the end, at once if it is known."""
        if self.kind:
            receiver.deliver(index, self.kind, self.value)
        else:
            self._receivers.append((receiver, index))

    def end(self, kind: str, value: Any) -> None:
        """Take the end."""
        self.kind, self.value = kind, value
        receivers, self._receivers = self._receivers, []
        for receiver, index in receivers:
            receiver.deliver(index, kind, value)


class RecordedHandle(Handle[Any]):
    """A handle that was an argument of a recorded child; `bind` makes it one that can be awaited.

    Attributes:
        key: of the child that it stands for.
    """

    def __init__(self, of: RecordedChild) -> None:
        """Stand for a recorded child."""
        self.key = of.key
        self._of = of
        self._bound: Any = None

    @property
    def child(self) -> Any:
        """The handle that can be awaited; before there is one, this one."""
        return self if self._bound is None else self._bound

    def bind(self, handle: Any) -> None:
        """Let a handle of the run that goes on have the child's end."""
        handle.key, handle.known_as = self._of.key, self._of.call
        self._bound = handle
        self._of.give_to(handle, 0)


class RecordedCall:
    """The receiver of children that were called in an earlier life of their parent.

    Attributes:
        number: of the receiver, in the journal.
        is_bulk: whether it belonged to a map.
        parent: key of the instance that called them.
        children: position -> child.
    """

    __slots__ = ("children", "is_bulk", "number", "parent")

    def __init__(self, number: int, *, is_bulk: bool) -> None:
        """Begin without children."""
        self.parent = -1
        self.number: int | None = number
        self.is_bulk = is_bulk
        self.children: dict[int, RecordedChild] = {}

    def deliver(self, index: int, kind: str, value: Any) -> None:
        """Take the end of a child."""
        child = self.children.get(index)
        if child is not None:
            child.end(kind, value)


class Recorded:
    """All children that bodies which start over may ask for."""

    def __init__(self) -> None:
        """Begin empty."""
        self._of: dict[int, dict[Identity, deque[RecordedChild]]] = {}
        self._by_key: dict[int, RecordedChild] = {}

    def __bool__(self) -> bool:
        """Say whether anything is left."""
        return bool(self._of)

    def add(self, parent: int, child: RecordedChild) -> None:
        """Keep a child of a parent (by its key)."""
        self._of.setdefault(parent, {}).setdefault(child.identity, deque()).append(child)
        self._by_key[child.key] = child

    def by_key(self, key: int) -> RecordedChild | None:
        """Find a child by its number."""
        return self._by_key.get(key)

    def knows(self, parent: int) -> bool:
        """Say whether there are children of a parent."""
        return parent in self._of

    def claim(self, parent: int, identity: Identity, arguments: Any) -> RecordedChild | None:
        """Take the child with that identity and equal arguments; not one that was cancelled, or whose value is lost."""
        waiting = self._of.get(parent, {}).get(identity)
        if not waiting:
            return None
        for child in waiting:
            if child.kind != "cancelled" and child.value is not UNSAVED and _equal(child.arguments, arguments):
                waiting.remove(child)
                return child
        return None

    def adopt(self, parent: int, handle: Any, identity: Identity, arguments: Any) -> bool:
        """Let a new handle have the end of the child that `claim` gives, and its key; say whether there is one."""
        child = self.claim(parent, identity, arguments)
        if child is None:
            return False
        handle.key, handle.known_as = child.key, child.call
        child.give_to(handle, 0)
        return True

    def forget(self, parent: int) -> Iterator[RecordedChild]:
        """Drop the children of a parent whose attempt has ended; give those that still live and nobody asked for."""
        for waiting in self._of.pop(parent, {}).values():
            for child in waiting:
                self._by_key.pop(child.key, None)
                if not child.kind:
                    yield child


def _equal(left: Any, right: Any) -> bool:
    """Compare arguments: by value, or where that makes no sense by what they are pickled to."""
    with suppress(Exception):  # arrays refuse, and a user's __eq__ may do anything
        if bool(left == right):
            return True
    try:
        return pickle.dumps(left, 5) == pickle.dumps(right, 5)
    except Exception:  # noqa: BLE001  # what cannot be pickled cannot be compared either
        return False


def arguments_of(task: Any) -> tuple[Any, Any]:
    """Give what a task is called with, in a form that can be compared: a handle stands for its child."""
    kwargs: dict[str, Any] | None = task.kwargs
    if not any(isinstance(value, Handle) for value in (*task.args, *(kwargs or {}).values())):
        return (task.args, kwargs)
    named = {name: _plain(value) for name, value in (kwargs or {}).items()}
    return (tuple(_plain(value) for value in task.args), named if kwargs is not None else None)


def identity_of(child: Any) -> tuple[Identity, Any]:
    """Give what a called child is known by, and its arguments."""
    task = child.task
    if task is not None:
        name = f"{task.definition.id}_{child.number}" if child.number else (task.given_id() or task.definition.id)
        return ("task", name), arguments_of(task)
    table = child.graph.table
    return ("walk", tuple(node.id for node in table)), [arguments_of(n.task) for n in table if n.task is not None]


def _plain(value: Any) -> Any:
    return ("child", value.child.key) if isinstance(value, Handle) else value  # pyright: ignore[reportUnknownMemberType]
