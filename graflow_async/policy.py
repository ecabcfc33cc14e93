"""When to try again, how many may run at once, when a group has succeeded: plain values without behaviour over time."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ._lazy import lazily
from .errors import ConfigError, GraphCompilationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

RetryOn = type[BaseException] | tuple[type[BaseException], ...]


zlib = lazily("zlib")


def require_number(name: str, value: Any, *, least: float = 0, exclusive: bool = False) -> None:
    """Refuse what is not a number of at least `least`.

    Raises:
        ConfigError: it is not a number, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124  # NaN
        message = f"{name} must be a number, not {value!r}"
        raise ConfigError(message)
    if value < least or (exclusive and value == least):
        bound = f"greater than {least:g}" if exclusive else f"at least {least:g}"
        message = f"{name} must be {bound}, not {value!r}"
        raise ConfigError(message)


def require_count(name: str, value: Any, *, least: int = 0) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ConfigError: it is not an int, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} must be a whole number, not {value!r}"
        raise ConfigError(message)
    require_number(name, value, least=least)


class RetryPolicy:
    """How often, after what wait (seconds) and on which exceptions an attempt is repeated.

    The n-th wait is `initial_interval * backoff_factor ** (n - 1)`, never more than `max_interval`. With `jitter` it
    is drawn between half of that and all of it, the same for the same run and instance.
    """

    __slots__ = ("backoff_factor", "initial_interval", "jitter", "max_interval", "max_retries", "retry_on")

    def __init__(
        self,
        max_retries: int = 3,
        initial_interval: float = 1.0,
        backoff_factor: float = 2.0,
        max_interval: float = 60.0,
        jitter: bool = False,  # noqa: FBT001, FBT002  # the field's usual spelling
        retry_on: RetryOn = Exception,
    ) -> None:
        """Keep the numbers after a look at them.

        Raises:
            ConfigError: a negative number, or `retry_on` is no exception class.
        """
        require_count("RetryPolicy.max_retries", max_retries)
        require_number("RetryPolicy.initial_interval", initial_interval)
        require_number("RetryPolicy.backoff_factor", backoff_factor, exclusive=True)
        require_number("RetryPolicy.max_interval", max_interval)
        classes = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        if not all(isinstance(c, type) and issubclass(c, BaseException) for c in classes):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            message = f"RetryPolicy.retry_on must be an exception class or a tuple of them, not {retry_on!r}"
            raise ConfigError(message)
        self.max_retries = max_retries
        self.initial_interval = initial_interval
        self.backoff_factor = backoff_factor
        self.max_interval = max_interval
        self.jitter = jitter
        self.retry_on = retry_on

    def delay(self, retry: int, seed: str = "") -> float:
        """Give the wait in seconds before retry number `retry` (1-based)."""
        try:
            wait = min(self.initial_interval * self.backoff_factor ** (retry - 1), self.max_interval)
        except OverflowError:
            wait = self.max_interval
        if not self.jitter:
            return wait
        fraction = zlib.crc32(f"{seed}/{retry}".encode()) / 2**32
        return wait * (0.5 + 0.5 * fraction)

    def __repr__(self) -> str:
        """Show the numbers."""
        return (
            f"RetryPolicy(max_retries={self.max_retries}, initial_interval={self.initial_interval}, "
            f"backoff_factor={self.backoff_factor}, max_interval={self.max_interval}, jitter={self.jitter})"
        )


class Rate:
    """A named limit by starts per time: at most `count` starts in any `per` seconds."""

    __slots__ = ("count", "per")

    def __init__(self, count: int, per: float = 1.0) -> None:
        """Keep both after a look at them.

        Raises:
            ConfigError: a count below 1 or a time that is not positive.
        """
        require_count("Rate.count", count, least=1)
        require_number("Rate.per", per, exclusive=True)
        self.count = count
        self.per = per

    def __repr__(self) -> str:
        """Show both numbers."""
        return f"Rate({self.count}, per={self.per})"


class Cache:
    """Reuse a stored result across runs.

    Args:
        ttl: seconds that a result stays usable; None keeps it.
        key: function of the bound arguments that gives the key; None uses the arguments themselves.
    """

    __slots__ = ("key", "ttl")

    def __init__(self, ttl: float | None = None, key: Callable[..., Any] | None = None) -> None:
        """Keep both after a look at them.

        Raises:
            ConfigError: a ttl that is not positive, or a key that cannot be called.
        """
        if ttl is not None:
            require_number("Cache.ttl", ttl, exclusive=True)
        if key is not None and not callable(key):
            message = f"Cache.key must be callable, not {key!r}"
            raise ConfigError(message)
        self.ttl = ttl
        self.key = key


class Verdict(Enum):
    """What a policy says of a group as far as it has come."""

    WAIT = "wait"
    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"


@runtime_checkable
class GroupPolicy(Protocol):
    """Decides, whenever a member of a group has ended, whether the group has. A verdict cancels what still runs."""

    @property
    def label(self) -> str:
        """Name it in messages."""
        ...

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Refuse members that the policy cannot work with, before the run."""
        ...

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:
        """Judge by the members that succeeded, that failed, and the number still open."""
        ...


class MemberResult:
    """How one member of a group ended, for a policy of one's own.

    Attributes:
        task_id: the member's id.
        success: whether it ended with a value.
        value: its value, None if it failed.
        error: its exception, None if it succeeded.
    """

    __slots__ = ("error", "success", "task_id", "value")

    def __init__(self, task_id: str, value: Any = None, error: BaseException | None = None) -> None:
        """Keep the outcome of a member."""
        self.task_id = task_id
        self.value = value
        self.error = error
        self.success = error is None

    @property
    def error_message(self) -> str | None:
        """The text of the exception, None if it succeeded."""
        return None if self.error is None else str(self.error)

    def __repr__(self) -> str:
        """Show the outcome."""
        return f"MemberResult({self.task_id!r}, {self.error!r})" if self.error else f"MemberResult({self.task_id!r})"


@runtime_checkable
class OnGroupFinished(Protocol):
    """A policy of one's own: looks at all results when every member has ended; raising fails the group."""

    def on_group_finished(
        self, group_id: str, members: Sequence[Any], results: Mapping[str, MemberResult], ctx: Any
    ) -> Any:
        """Raise to fail the group, return to let it pass (sync or async)."""
        ...


class Strict:
    """Every member has to succeed; the first failure cancels the rest."""

    label = "strict"

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Accept any members."""

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:  # noqa: ARG002
        """Fail at the first failure."""
        if failed:
            return Verdict.FAIL
        return Verdict.WAIT if remaining else Verdict.PASS


class BestEffort:
    """Failures are recorded and left out of the group's result."""

    label = "best_effort"

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Accept any members."""

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:  # noqa: ARG002
        """Pass when every member has ended, whichever way."""
        return Verdict.WAIT if remaining else Verdict.PASS


class First:
    """A race: the first success wins and cancels the rest; it fails if all fail."""

    label = "first"

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Accept any members."""

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:
        """Pass at the first success."""
        if succeeded:
            return Verdict.PASS
        if remaining:
            return Verdict.WAIT
        return Verdict.FAIL if failed else Verdict.PASS


class AtLeast:
    """`n` members have to succeed; with `cancel_rest` the group ends as soon as they have."""

    def __init__(self, n: int, *, cancel_rest: bool = False) -> None:
        """Keep the number.

        Raises:
            ConfigError: `n` is not a whole number of at least 0.
        """
        require_count("at_least(n)", n)
        self.n = n
        self.cancel_rest = cancel_rest

    @property
    def label(self) -> str:
        """Name it with its number."""
        return f"at_least({self.n})"

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Refuse to ask for more successes than there are members.

        Raises:
            GraphCompilationError: `n` is larger than the group.
        """
        if members and self.n > len(members):
            message = f"group {group_id!r} has {len(members)} member(s) but its policy is {self.label}; lower n"
            raise GraphCompilationError(message)

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:  # noqa: ARG002
        """Pass with enough successes, at the end or at once."""
        if len(succeeded) >= self.n and (self.cancel_rest or not remaining):
            return Verdict.PASS
        return Verdict.WAIT if remaining else Verdict.FAIL


class Critical:
    """The named members have to succeed, the others may fail."""

    def __init__(self, ids: Sequence[str]) -> None:
        """Keep the ids.

        Raises:
            ConfigError: no ids, or something else than a list of ids.
        """
        if isinstance(ids, str) or not ids or not all(isinstance(i, str) for i in ids):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            message = f"critical(ids) needs a non-empty list of member ids, not {ids!r}"
            raise ConfigError(message)
        self.ids = tuple(ids)

    @property
    def label(self) -> str:
        """Name it with its ids."""
        return f"critical({list(self.ids)})"

    def check(self, group_id: str, members: Sequence[str]) -> None:
        """Refuse ids that are no members.

        Raises:
            GraphCompilationError: an id is not in the group.
        """
        unknown = [i for i in self.ids if i not in members]
        if members and unknown:
            message = f"group {group_id!r} has no member {unknown[0]!r} (critical); members: {', '.join(members)}"
            raise GraphCompilationError(message)

    def verdict(self, succeeded: Collection[str], failed: Collection[str], remaining: int) -> Verdict:  # noqa: ARG002
        """Fail as soon as a critical member failed."""
        if any(i in failed for i in self.ids):
            return Verdict.FAIL
        return Verdict.WAIT if remaining else Verdict.PASS


def at_least(n: int, *, cancel_rest: bool = False) -> AtLeast:
    """Make the policy that asks for `n` successes; `cancel_rest=True` makes it a quorum.

    Raises:
        ConfigError: `n` is not a whole number of at least 0.
    """
    return AtLeast(n, cancel_rest=cancel_rest)


def critical(ids: Sequence[str]) -> Critical:
    """Make the policy that asks for the success of the named members.

    Raises:
        ConfigError: no ids.
    """
    return Critical(ids)


STRICT = Strict()
_BY_NAME: dict[str, GroupPolicy] = {"strict": STRICT, "best_effort": BestEffort(), "first": First()}


def group_policy(policy: Any) -> GroupPolicy | OnGroupFinished:
    """Read a policy as the user wrote it: a name, or an object.

    Raises:
        ConfigError: an unknown name, or an object without `on_group_finished`.
    """
    if isinstance(policy, str):
        known = _BY_NAME.get(policy)
        if known is not None:
            return known
        if policy in ("at_least", "at_least_n"):
            message = f"policy {policy!r} needs a number; write policy=at_least(n)"
        elif policy == "critical":
            message = "policy 'critical' needs the ids of its members; write policy=critical([ids])"
        else:
            message = (
                f"unknown group policy {policy!r}; use {', '.join(map(repr, _BY_NAME))}, at_least(n), critical(ids)"
            )
        raise ConfigError(message)
    if isinstance(policy, (GroupPolicy, OnGroupFinished)) and not isinstance(policy, type):
        return policy
    message = f"a group policy is a name or an object with on_group_finished(...), not {policy!r}"
    raise ConfigError(message)
