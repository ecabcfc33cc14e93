"""Expressions: what `>>`, `<<` and `|` build. Immutable values; nothing here knows a graph or a run.

Operators link to their operands instead of copying them, so that `expr = expr >> t` in a loop stays linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .current import caller, open_block
from .definition import check_id
from .errors import ConfigError, DefinitionError, GraflowRuntimeError
from .policy import STRICT, GroupPolicy, OnGroupFinished, group_policy, require_count
from .protocols import Executor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator


E = TypeVar("E", "Chain", "Group")
T = TypeVar("T")


class Expression:
    """Something that can stand in a workflow: a task, a chain, a group or a map."""

    __slots__ = ()

    def __rshift__(self, other: Expression) -> Chain:
        """Draw an edge from the end of this to the start of `other`."""
        return _new_chain((self, _operand(other, ">>")))

    def __lshift__(self, other: Expression) -> Chain:
        """Draw an edge from the end of `other` to the start of this."""
        return _new_chain((_operand(other, "<<"), self))

    def __or__(self, other: Expression) -> Group:
        """Put both side by side in a group; `a | b | c` is one group of three."""
        return _register(Group._of((self, _operand(other, "|")), extends=isinstance(self, Group)))  # pyright: ignore[reportPrivateUsage]  # same module

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run this as a child of the running task, elsewhere as a run of its own."""
        return run_expression(self).__await__()


class Chain(Expression):
    """Expressions one after the other."""

    __slots__ = ("_operands",)

    def __init__(self, parts: Iterable[Expression]) -> None:
        """Keep the parts.

        Raises:
            ValueError: no parts.
            TypeError: a part is not a task expression.
        """
        self._operands = tuple(_operand(part, "chain()") for part in parts)
        if not self._operands:
            message = "chain() needs at least one task"
            raise ValueError(message)

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The parts in order, chains within chains opened."""
        found: list[Expression] = []
        stack: list[Expression] = [self]
        while stack:
            expression = stack.pop()
            if isinstance(expression, Chain):
                stack.extend(reversed(expression._operands))
            else:
                found.append(expression)
        return tuple(found)

    @property
    def leftmost(self) -> Expression:
        """The first part."""
        return self.parts[0]

    @property
    def rightmost(self) -> Expression:
        """The last part."""
        return self.parts[-1]

    def __len__(self) -> int:
        """Count the parts."""
        return len(self.parts)

    def __iter__(self) -> Iterator[Expression]:
        """Go through the parts in order."""
        return iter(self.parts)

    def __getitem__(self, index: int) -> Expression:
        """Give the part at `index`."""
        return self.parts[index]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle flat: links as deep as a long chain would exhaust the stack."""
        return Chain, (self.parts,)

    def __repr__(self) -> str:
        """Show the parts as they were written."""
        return " >> ".join(_shown(part) for part in self.parts)


class Group(Expression):
    """Expressions side by side; it ends when every branch has, and its result is a dict member id -> value.

    Attributes:
        name: the group's id; None lets the graph number it.
        policy: decides what a failing member means.
        max_concurrency: how many of its tasks run at once; None sets no bound of its own.
        executor: where members run that ask for `"auto"`: an executor, or the name of one; None leaves theirs.
    """

    __slots__ = ("_extends", "_operands", "executor", "max_concurrency", "name", "policy")

    def __init__(
        self,
        members: Iterable[Expression],
        name: str | None = None,
        *,
        policy: str | GroupPolicy | OnGroupFinished = STRICT,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
        coordinator: Executor | None = None,
    ) -> None:
        """Keep members and options; a `coordinator` is an executor that counts before `executor`.

        Raises:
            TypeError: a member is not a task expression.
            ConfigError: an unknown policy, a bound below 1, or what is no executor.
        """
        self._operands = tuple(_operand(member, "parallel()") for member in members)
        self._extends = False
        if name is not None:
            _check_name(name)
        self.name = name
        self.policy = group_policy(policy)
        if max_concurrency is not None:
            require_count("max_concurrency", max_concurrency, least=1)
        self.max_concurrency = max_concurrency
        self.executor = _check_executor(executor if coordinator is None else coordinator)

    @classmethod
    def _of(cls, operands: tuple[Expression, ...], *, extends: bool) -> Group:
        """Make the group of an operator; `extends` says that the left operand is a group to open."""
        group = cls(operands)
        group._extends = extends
        return group

    def branches(self, is_separate: Callable[[Group], bool] = lambda _: False) -> tuple[Expression, ...]:
        """List the branches; groups that `|` extended are opened unless they have a life of their own.

        Args:
            is_separate: says of a group whether it also stands elsewhere as a node.
        """
        found: list[Expression] = []
        group: Group = self
        while group._extends:
            left = group._operands[0]
            if not isinstance(left, Group) or left.is_configured or is_separate(left):
                break
            found.append(group._operands[1])
            group = left
        return (*group._operands, *reversed(found))

    @property
    def members(self) -> tuple[Expression, ...]:
        """The branches as written."""
        return self.branches()

    @property
    def is_configured(self) -> bool:
        """Whether it has a name or options, so that extending it must not dissolve it."""
        return not (
            self.name is None and self.policy is STRICT and self.max_concurrency is None and self.executor is None
        )

    def set_group_name(self, name: str) -> Group:
        """Give a copy of this group with a name.

        Raises:
            ConfigError: the name is no usable id.
        """
        _check_name(name)
        return self._copy(name=name)

    def with_execution(
        self,
        *,
        policy: str | GroupPolicy | OnGroupFinished | None = None,
        max_concurrency: int | None = None,
        executor: str | Executor | None = None,
    ) -> Group:
        """Give a copy of this group with the options that are not None.

        Raises:
            ConfigError: an unknown policy, a bound below 1, or what is no executor.
        """
        options: dict[str, Any] = {"policy": policy, "max_concurrency": max_concurrency, "executor": executor}
        return self._copy(**{name: value for name, value in options.items() if value is not None})

    def _copy(self, **changes: Any) -> Self:
        """Make the changed group and let it take this one's place in an open block."""
        options: dict[str, Any] = {
            "name": self.name,
            "policy": self.policy,
            "max_concurrency": self.max_concurrency,
            "executor": self.executor,
        }
        group = type(self)(self.members, **(options | changes))
        return _register(group, (self,))

    def __len__(self) -> int:
        """Count the branches."""
        return len(self.members)

    def __iter__(self) -> Iterator[Expression]:
        """Go through the branches in order."""
        return iter(self.members)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle flat, with the options."""
        state = (self.members, self.name, self.policy, self.max_concurrency, self.executor)
        return _restore_group, state

    def __repr__(self) -> str:
        """Show the branches as they were written."""
        return "(" + " | ".join(_shown(branch) for branch in self.members) + ")"


ParallelGroup = Group


def flatten(nested: Iterable[Iterable[T]]) -> list[T]:
    """Join one level: `[[1, 2], [3]]` becomes `[1, 2, 3]`.

    Raises:
        TypeError: a text, bytes or a mapping in the place of a list: as a map does, it says how to mean its parts.
    """
    joined: list[T] = []
    for inner in _level(nested, "flatten()"):
        joined.extend(_level(inner, "flatten(): an element"))
    return joined


def _level(value: Iterable[T], what: str) -> Iterable[T]:
    """Refuse what could be iterated, but hardly was meant to be."""
    if isinstance(value, (str, bytes, bytearray, Mapping)):
        kind = type(value).__name__  # pyright: ignore[reportUnknownArgumentType]
        hint = "x.items() or x.values()" if isinstance(value, Mapping) else "[x], or list(x) for its parts"
        message = f"{what} is a list or another iterable, not {kind}; write {hint}"
        raise TypeError(message)
    return value


def chain(*parts: Expression) -> Chain:
    """Put expressions one after the other, as `>>` does.

    Raises:
        ValueError: no parts.
        TypeError: a part is not a task expression.
    """
    return _new_chain(parts)


def parallel(
    *members: Expression,
    policy: str | GroupPolicy | OnGroupFinished = STRICT,
    max_concurrency: int | None = None,
    name: str | None = None,
) -> Group:
    """Put any number of expressions side by side, as `|` does; a group of none completes at once with `{}`.

    Raises:
        TypeError: a member is not a task expression.
        ConfigError: an unknown policy, or a bound below 1.
    """
    return _register(Group(members, name, policy=policy, max_concurrency=max_concurrency))


def run_expression(expression: Expression) -> Awaitable[Any]:
    """Run an expression as a child of the running task, elsewhere as a run of its own."""
    parent = caller()
    if parent is not None:
        return parent.call(expression)
    if not _alone:
        message = "import graflow_async before awaiting a task"
        raise GraflowRuntimeError(message)
    return _alone[0](expression)


def set_alone(runner: Callable[[Expression], Awaitable[Any]]) -> None:
    """Tell how an expression is run outside any run; called once by the module that knows."""
    _alone[:] = [runner]


_alone: list[Callable[[Expression], Awaitable[Any]]] = []


def _check_name(name: str) -> None:
    """Refuse a group name that is no usable id."""
    try:
        check_id(name)
    except DefinitionError as error:
        message = f"a group's name is a non-empty, printable text, as ids are: {error}"
        raise ConfigError(message) from None


def _check_executor(given: Any) -> str | Executor | None:
    """Refuse what is neither an executor nor the name of one."""
    if given is None or isinstance(given, (str, Executor)):
        return given
    message = f"a group's executor is one (name, execute(job), aclose()) or the name of one, not {given!r}"
    raise ConfigError(message)


def _operand(value: Any, where: str) -> Expression:
    """Refuse what cannot stand in a workflow."""
    if isinstance(value, Expression):
        return value
    hint = "; decorate it with @task" if callable(value) else ""
    message = f"{where} combines tasks, chains and groups, not {type(value).__name__} {value!r}{hint}"
    raise TypeError(message)


def _new_chain(operands: tuple[Expression, ...]) -> Chain:
    """Make a chain and register it in the open block."""
    return _register(Chain(operands))


def _register(expression: E, operands: tuple[Expression, ...] | None = None) -> E:
    """Tell the open block, if there is one, of a new expression."""
    block = open_block.get()
    if block is not None:
        made_of = expression._operands if operands is None else operands  # pyright: ignore[reportPrivateUsage]  # same module
        block.add_expression(expression, made_of)
    return expression


def _restore_group(members: Any, name: Any, policy: Any, max_concurrency: Any, executor: Any) -> Group:
    """Make a group again from its pickled parts, outside any block."""
    return Group(members, name, policy=policy, max_concurrency=max_concurrency, executor=executor)


def _shown(expression: Expression) -> str:
    """Show a part of an expression."""
    text = repr(expression)
    return f"({text})" if isinstance(expression, Chain) else text
