"""What is fixed about a task when it is written: its function and its options, checked once."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, cast

from ._lazy import lazily
from .errors import ConfigError, DefinitionError
from .plan import Plan, is_coroutine_callable, plan_of
from .policy import Cache, RetryPolicy, require_count, require_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keywords import TaskOptions

_keywords = lazily("graflow_async.keywords")

MAX_ID_LENGTH = 200
PLAIN_KINDS = frozenset({"async", "thread", "inline"})
"""How a function runs when no executor is asked."""


class Definition:
    """A task's function with its options. Immutable by convention: one definition serves any number of instances.

    Attributes:
        id: the id that instances without their own id carry.
        func: the plain function; None for a node that does nothing.
        retry: how attempts are repeated; None for never.
        waits: whether `retry` waits between attempts.
        kind: how it runs: "async", "thread", "inline", or the name of another executor.
        plan_now: the plan, if it was worked out already (the property `plan` does it).
        is_free: whether it asks for no limit and no executor, which a run may not have.
        is_flow: whether it was written with `@flow`.
        is_static: whether it was a static method, which binds no `self`.
    """

    __slots__ = (
        "cache",
        "description",
        "executor",
        "func",
        "id",
        "inject_context",
        "is_flow",
        "is_free",
        "is_static",
        "kind",
        "limits",
        "max_cycles",
        "on_crash",
        "persist",
        "plan_now",
        "resolve",
        "retry",
        "tags",
        "timeout",
    )

    def __init__(self, task_id: str, func: Callable[..., Any] | None, options: TaskOptions) -> None:
        """Keep everything after a look at it.

        Raises:
            DefinitionError: no usable id, or a function that cannot be called.
            ConfigError: an option has a value that makes no sense.
        """
        check_id(task_id)
        given: Any = func
        if given is not None and not callable(given) and not isinstance(given, classmethod):
            message = f"task {task_id!r} needs a callable, not {type(func).__name__} {func!r}"
            raise DefinitionError(message)
        self.id = task_id
        self.func = func
        self.inject_context = False
        self.executor = "auto"
        self.retry: RetryPolicy | None = None
        self.timeout: float | None = None
        self.max_cycles = 1000
        self.limits: tuple[str, ...] = ()
        self.resolve = True
        self.on_crash = "retry"
        self.persist = True
        self.cache: Cache | None = None
        self.tags: tuple[str, ...] = ()
        self.description = ""
        self.is_flow = False
        self.is_static = False
        self.plan_now: Plan | None = None
        if options:
            self._take(options)
        self.kind = self._kind()
        self.is_free = not self.limits and self.kind in PLAIN_KINDS

    @property
    def plan(self) -> Plan:
        """How the function takes its parameters; worked out at first use."""
        plan = self.plan_now
        if plan is None:
            func = self.func if self.func is not None else _nothing
            plan = self.plan_now = plan_of(func, inject_context=self.inject_context, label=f"task {self.id!r}")
        return plan

    def look(self) -> None:
        """Work the plan out now, so that running need not.

        Raises:
            BindingError: `inject_context` is set and there is no parameter for the context.
        """
        if self.plan_now is None and self.func is not None and not isinstance(self.func, classmethod):
            self.plan_now = self.plan

    @property
    def place(self) -> str:
        """Where the function was written, as `file:line`."""
        func: Any = self.func
        while isinstance(func, functools.partial):
            func = cast("functools.partial[Any]", func).func
        code = getattr(func, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "no source"

    def bound_to(self, owner: Any, owner_type: type | None) -> Definition:
        """Copy the definition with its function bound to an object, as attribute access does for methods."""
        copy = object.__new__(Definition)
        for name in Definition.__slots__:
            setattr(copy, name, getattr(self, name))
        func: Any = self.func
        copy.func = func.__get__(owner, owner_type) if hasattr(func, "__get__") else types.MethodType(func, owner)
        copy.plan_now = None
        return copy

    def _kind(self) -> str:
        """Decide how the function runs."""
        func = self.func
        if func is None or isinstance(func, classmethod):
            return "async" if func is None else "thread"
        if self.executor in ("auto", "thread", "inline"):
            if is_coroutine_callable(func):
                return "async"
            return "inline" if self.executor == "inline" else "thread"
        return self.executor

    def _take(self, options: TaskOptions) -> None:
        """Check and keep the options that were given."""
        known: dict[str, Any] = _keywords.TaskOptions.__annotations__
        unknown = [name for name in options if name not in known]
        if unknown:
            message = f"task {self.id!r} has no option {unknown[0]!r}; options: {', '.join(known)}"
            raise ConfigError(message)
        where = f"task {self.id!r}: "
        self.inject_context = bool(options.get("inject_context", False))
        self.executor = _text(where + "executor", options.get("executor", "auto"))
        self.retry = self._retry(options)
        self.timeout = options.get("timeout")
        if self.timeout is not None:
            require_number(where + "timeout", self.timeout, exclusive=True)
        self.max_cycles = options.get("max_cycles", 1000)
        require_count(where + "max_cycles", self.max_cycles, least=1)
        self.limits = _names(where + "limits", options.get("limits", ()))
        self.resolve = bool(options.get("resolve_keyword_args", True))
        self.on_crash = options.get("on_crash", "retry")
        if self.on_crash not in ("retry", "fail"):
            message = f"{where}on_crash is 'retry' or 'fail', not {self.on_crash!r}"
            raise ConfigError(message)
        self.persist = bool(options.get("persist", True))
        self.cache = options.get("cache")
        if self.cache is not None and not isinstance(self.cache, Cache):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            message = f"{where}cache is a Cache(...), not {self.cache!r}"
            raise ConfigError(message)
        self.tags = _names(where + "tags", options.get("tags", ()))
        self.description = options.get("description", "")

    def _retry(self, options: TaskOptions) -> RetryPolicy | None:
        """Make one policy of `max_retries` and `retry_policy`; without a policy there is no wait."""
        policy = options.get("retry_policy")
        if policy is not None and not isinstance(policy, RetryPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            message = f"task {self.id!r}: retry_policy is a RetryPolicy(...), not {policy!r}"
            raise ConfigError(message)
        if "max_retries" in options:
            retries = options["max_retries"]
            require_count(f"task {self.id!r}: max_retries", retries)
            if policy is None:
                return RetryPolicy(retries, initial_interval=0.0) if retries else None
        return policy


def check_id(value: Any) -> None:
    """Refuse what cannot be a task's id.

    Raises:
        DefinitionError: no text, empty, too long, or with control characters.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_ID_LENGTH or not value.isprintable():
        message = f"a task id is a printable text of 1 to {MAX_ID_LENGTH} characters, not {value!r}"
        raise DefinitionError(message)


def name_of(func: Any) -> str:
    """Find the id that a function gives its task.

    Raises:
        DefinitionError: a lambda has no name to take.
    """
    raw = func
    while isinstance(raw, functools.partial):
        raw = cast("functools.partial[Any]", raw).func
    name = getattr(raw, "__name__", None) or type(raw).__name__
    if name == "<lambda>":
        message = "a lambda has no name; give its task an id: task('my_id')(lambda ...)"
        raise DefinitionError(message)
    return name


def _text(where: str, value: Any) -> str:
    """Refuse what is not a non-empty text."""
    if not isinstance(value, str) or not value:
        message = f"{where} is a non-empty text, not {value!r}"
        raise ConfigError(message)
    return value


def _names(where: str, value: Any) -> tuple[str, ...]:
    """Read a sequence of names; one text alone is a mistake that would become its letters."""
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        message = f"{where} is a list of names, not {value!r}"
        raise ConfigError(message)
    return tuple(value)


def _nothing() -> None:
    """Stand in for the function of a node that does nothing."""
