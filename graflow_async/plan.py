"""How a callable takes its parameters, worked out once per function.

`inspect.signature` costs about 10 µs and must not run per task; plain functions are read from their code object.
Nothing here knows where a value comes from: that is decided when a task runs.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, cast

from .errors import BindingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTEXT_TYPES = frozenset({"TaskExecutionContext", "SyncTaskExecutionContext"})
MISSING: Any = inspect.Parameter.empty

_VARARGS, _VARKEYWORDS, _COROUTINE, _ITERABLE_COROUTINE = 0x04, 0x08, 0x80, 0x100


class Parameter:
    """One named parameter that a value has to be found for."""

    __slots__ = ("annotation", "default", "keyword_only", "name")

    def __init__(self, name: str, default: Any, annotation: Any, *, keyword_only: bool) -> None:
        """Keep what the signature says of it."""
        self.name = name
        self.default = default
        self.annotation = annotation
        self.keyword_only = keyword_only

    @property
    def is_required(self) -> bool:
        """Whether the function cannot be called without it."""
        return self.default is MISSING


class Plan:
    """The parameters of one callable, and how to call it.

    Attributes:
        parameters: every named parameter but the context ones, in order.
        positional: names that positional arguments fill, in order.
        slots: the same with the contexts that stand among them.
        names: all names in `parameters`.
        context_names: parameters that receive the context by name.
        context_first: whether the context is the first positional argument.
        is_async: whether calling it gives a coroutine.
        enough: with that many positional arguments nothing is left to find or to inject by name.
    """

    __slots__ = (
        "_open_after",
        "context_first",
        "context_names",
        "enough",
        "is_async",
        "label",
        "names",
        "parameters",
        "positional",
        "slots",
        "var_keyword",
        "var_positional",
    )

    def __init__(
        self,
        label: str,
        parameters: list[Parameter],
        *,
        var_positional: bool,
        var_keyword: bool,
        is_async: bool,
        inject_context: bool,
    ) -> None:
        """Sort the parameters into injected ones and ones to find a value for."""
        self.label = label
        self.var_positional = var_positional
        self.var_keyword = var_keyword
        self.is_async = is_async
        self.context_names = tuple(p.name for p in parameters if _is_context(p.annotation))
        self.context_first = False
        if inject_context:
            first = parameters[0] if parameters and not parameters[0].keyword_only else None
            if first is None and not var_positional:
                message = f"{label} has inject_context=True but no positional parameter to take the context; add one"
                raise BindingError(message)
            self.context_first = True
            if first is not None:
                self.context_names = tuple(name for name in self.context_names if name != first.name)
                parameters = parameters[1:]
        elif parameters and self.context_names[:1] == (parameters[0].name,) and not parameters[0].keyword_only:
            self.context_first = True
            self.context_names = self.context_names[1:]
            parameters = parameters[1:]
        self.parameters = tuple(p for p in parameters if p.name not in self.context_names)
        self.positional = tuple(p.name for p in self.parameters if not p.keyword_only)
        self.slots = tuple(p.name for p in parameters if not p.keyword_only)
        self.names = frozenset(p.name for p in self.parameters)
        self.enough = len(self.parameters) if not self.context_names else sys.maxsize
        self._open_after: dict[int, tuple[Parameter, ...]] = {}

    @property
    def wants_context(self) -> bool:
        """Whether the function takes the context at all."""
        return self.context_first or bool(self.context_names)

    def open_parameters(self, given: int, keywords: Iterable[str] = ()) -> tuple[Parameter, ...]:
        """List the parameters that `given` positional arguments and `keywords` leave without a value."""
        found = self._open_after.get(given)
        if found is None:
            taken = self.positional[:given]
            found = self._open_after[given] = tuple(p for p in self.parameters if p.name not in taken)
        if keywords and found:
            names = set(keywords)
            return tuple(p for p in found if p.name not in names)
        return found

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        """Refuse arguments that fit no parameter.

        Raises:
            BindingError: too many positional arguments, an unknown name, or a parameter given twice.
        """
        if len(args) > len(self.positional) and not self.var_positional:
            message = (
                f"{self.label} takes {len(self.positional)} positional argument(s) ({self._describe()}) "
                f"but {len(args)} were given"
            )
            raise BindingError(message)
        if not kwargs:
            return
        taken = self.positional[: len(args)]
        for name in kwargs:
            if name in taken:
                message = f"{self.label}: parameter {name!r} is given by position and by name"
                raise BindingError(message)
            if name in self.context_names:
                message = f"{self.label}: parameter {name!r} is the context, which the run gives"
                raise BindingError(message)
            if name not in self.names and not self.var_keyword:
                message = f"{self.label} has no parameter {name!r}; it takes: {self._describe()}"
                raise BindingError(message)

    def arrange(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], found: dict[str, Any], context: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put given and found values in the order that the function takes them."""
        named = dict(kwargs)
        ordered: list[Any] = [context] if self.context_first else []
        given = 0
        gap = False  # a default lies before: the rest can only go by name
        for name in self.slots:
            if name in self.context_names:
                if gap:
                    named[name] = context
                else:
                    ordered.append(context)
            elif given < len(args):
                ordered.append(args[given])
                given += 1
            elif gap or (name not in found and name not in named):
                gap = True
                if name in found:
                    named[name] = found[name]
            else:
                ordered.append(found[name] if name in found else named.pop(name))
        ordered.extend(args[given:])
        for name in self.context_names:
            if name not in self.slots:
                named[name] = context
        for parameter in self.parameters:
            if parameter.keyword_only and parameter.name in found:
                named[parameter.name] = found[parameter.name]
        return tuple(ordered), named

    def _describe(self) -> str:
        """List the parameters for an error message."""
        return ", ".join(p.name for p in self.parameters) or "none"


def plan_of(func: Callable[..., Any], *, inject_context: bool, label: str) -> Plan:
    """Work out (or remember) how `func` takes its parameters.

    Raises:
        BindingError: `inject_context` is set and there is no parameter for the context.
    """
    if type(func) is not types.FunctionType:
        return _inspect(func, inject_context=inject_context, label=label)
    known = _PLANS.get(func)
    if known is None:
        known = _PLANS[func] = {}
    plan = known.get(inject_context)
    if plan is None:
        if hasattr(func, "__wrapped__") or hasattr(func, "__signature__"):
            plan = _inspect(func, inject_context=inject_context, label=label)
        else:
            plan = _read(func, inject_context=inject_context, label=label)
        known[inject_context] = plan
    return plan


_PLANS: weakref.WeakKeyDictionary[types.FunctionType, dict[bool, Plan]] = weakref.WeakKeyDictionary()


def is_coroutine_callable(func: Callable[..., Any]) -> bool:
    """Say whether calling `func` gives a coroutine: functions, partials, methods and callable objects."""
    while isinstance(func, functools.partial):
        func = cast("functools.partial[Any]", func).func
    if inspect.iscoroutinefunction(func):
        return True
    call = getattr(type(func), "__call__", None)  # noqa: B004  # the function itself is wanted
    return not isinstance(func, (types.FunctionType, types.MethodType, type)) and inspect.iscoroutinefunction(call)


def _read(func: types.FunctionType, *, inject_context: bool, label: str) -> Plan:
    """Plan a plain function from its code object, without `inspect`."""
    code = func.__code__
    defaults = func.__defaults__ or ()
    keyword_defaults = func.__kwdefaults__ or {}
    annotations = func.__annotations__
    count = code.co_argcount
    names = code.co_varnames
    bare = count - len(defaults)
    parameters = [
        Parameter(
            name, defaults[i - bare] if i >= bare else MISSING, annotations.get(name, MISSING), keyword_only=False
        )
        for i, name in enumerate(names[:count])
    ]
    parameters.extend(
        Parameter(name, keyword_defaults.get(name, MISSING), annotations.get(name, MISSING), keyword_only=True)
        for name in names[count : count + code.co_kwonlyargcount]
    )
    return Plan(
        label,
        parameters,
        var_positional=bool(code.co_flags & _VARARGS),
        var_keyword=bool(code.co_flags & _VARKEYWORDS),
        is_async=bool(code.co_flags & (_COROUTINE | _ITERABLE_COROUTINE)) or inspect.iscoroutinefunction(func),
        inject_context=inject_context,
    )


def _inspect(func: Callable[..., Any], *, inject_context: bool, label: str) -> Plan:
    """Plan any other callable through its signature."""
    is_async = is_coroutine_callable(func)
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):  # some callables of C have none: they take what they are given
        return Plan(label, [], var_positional=True, var_keyword=True, is_async=is_async, inject_context=inject_context)
    parameters: list[Parameter] = []
    var_positional = var_keyword = False
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            var_positional = True
        elif p.kind is p.VAR_KEYWORD:
            var_keyword = True
        else:
            parameters.append(Parameter(p.name, p.default, p.annotation, keyword_only=p.kind is p.KEYWORD_ONLY))
    return Plan(
        label,
        parameters,
        var_positional=var_positional,
        var_keyword=var_keyword,
        is_async=is_async,
        inject_context=inject_context,
    )


def _is_context(annotation: Any) -> bool:
    """Say whether an annotation (a class, or text under `from __future__ import annotations`) names a context."""
    if annotation is MISSING:
        return False
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if text in CONTEXT_TYPES:
        return True
    text = str(annotation)  # `X | None`, Optional[X], Union[X, Y], as text or as objects
    union = re.fullmatch(r"(?:\w+\.)*(?:Optional|Union)\[(.*)\]", text)
    parts = union.group(1).split(",") if union else text.split("|")
    return any(part.strip().rpartition(".")[2] in CONTEXT_TYPES for part in parts)
