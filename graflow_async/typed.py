"""Whether a value fits a model: checks built once from annotations, for typed channels.

A check answers as a static type checker would (an int is a fine float, a bool a fine int), but looks at the value: into
containers, TypedDicts, dataclasses and pydantic models. What cannot be looked into (iterators, callables, type
variables) is taken on trust. Nothing is converted. pydantic is used where a model of it turns up, never imported.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Collection, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Check = Callable[[Any], str | None]
"""Gives None for a value that fits, else the way to the misfit and what is wrong there: `.tags[2] is str, not int`."""

_PROMOTED: dict[Any, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}
# A class of the user's own may be parametrised by something else than its items.
_STANDARD_CONTAINERS = frozenset({"builtins", "collections", "collections.abc"})
_QUALIFIERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final"})


def model_check(model: Any) -> Check:
    """Build the check for values of a TypedDict, dataclass or pydantic model.

    Raises:
        ValueError: it is none of these, or its annotations name something that cannot be found.
    """
    check = _model_check(get_origin(model) or model, {})
    if check is None:
        raise ValueError(
            f"{model!r} is not a model; a typed channel needs a TypedDict, dataclass or pydantic model class"
        )
    return check


def _model_check(model: Any, known: dict[Any, Check]) -> Check | None:
    if not isinstance(model, type):
        return None
    if model in known:
        # Looked up late: the check of a model that contains itself is still being built.
        return lambda value: known[model](value)  # noqa: PLW0108
    if _is_typed_dict(model):
        build = _typed_dict_check
    elif hasattr(model, "__dataclass_fields__"):
        build = _dataclass_check
    elif _is_pydantic(model):
        build = _pydantic_check
    else:
        return None
    known[model] = _accept
    known[model] = build(model, known)
    return known[model]


def _is_typed_dict(model: Any) -> bool:
    # Asked of the shape: typing.is_typeddict does not know the TypedDict of typing_extensions.
    return hasattr(model, "__required_keys__") and hasattr(model, "__total__") and issubclass(model, dict)


def _is_pydantic(model: type) -> bool:
    pydantic = sys.modules.get("pydantic.main")
    return pydantic is not None and issubclass(model, pydantic.BaseModel)


def _hints(model: type) -> dict[str, Any]:
    try:
        return get_type_hints(model, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ValueError(f"the annotations of {model.__name__} cannot be resolved: {error}") from error


def _typed_dict_check(model: Any, known: dict[Any, Check]) -> Check:
    hints = _hints(model)
    checks = {name: _check(hint, known) for name, hint in hints.items()}
    required = [name for name, hint in hints.items() if _is_required(hint, default=name in model.__required_keys__)]

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f" must be a dict, not {_kind(value)}"
        items = cast("dict[Any, Any]", value)
        for name in required:
            if name not in items:
                return f".{name} is missing"
        for name, item in items.items():
            field = checks.get(name)
            if field is None:
                return f".{name} is no field of {model.__name__}"
            problem = field(item)
            if problem is not None:
                return f".{name}{problem}"
        return None

    return check


def _is_required(hint: Any, *, default: bool) -> bool:
    # __required_keys__ is wrong where annotations are strings: the qualifier was not evaluated when the class was made.
    while True:
        origin = get_origin(hint)
        name = getattr(origin, "_name", None)
        if name in {"Required", "NotRequired"}:
            return name == "Required"
        if origin is not Annotated and name != "ReadOnly":
            return default
        hint = get_args(hint)[0]


def _dataclass_check(model: type, known: dict[Any, Check]) -> Check:
    hints = _hints(model)
    # Whoever made a dataclass has imported the module; this one need not.
    fields = sys.modules["dataclasses"].fields(model)
    checks = [(field.name, _check(hints.get(field.name, Any), known)) for field in fields]

    def check(value: Any) -> str | None:
        if not isinstance(value, model):
            return f" must be of that class, not {_kind(value)}"
        for name, field in checks:
            try:
                item = getattr(value, name)
            except AttributeError:
                return f".{name} is missing"
            problem = field(item)
            if problem is not None:
                return f".{name}{problem}"
        return None

    return check


def _pydantic_check(model: Any, _: dict[Any, Check]) -> Check:
    version = tuple(int(part) for part in sys.modules["pydantic.version"].VERSION.split(".")[:2])
    # Before 2.11 a model can only be validated by its aliases.
    by_name = {"by_name": True} if version >= (2, 11) else {}

    def check(value: Any) -> str | None:
        if not isinstance(value, model):
            return f" must be of that class, not {_kind(value)}"
        attributes: dict[str, Any] = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        try:
            dumped = value.model_dump(round_trip=True, warnings=False, by_alias=not by_name)
        except ValueError:
            # A serializer of the user's own refuses, which says nothing about the value.
            dumped = attributes
        # A dump lacks the fields that are excluded from dumps.
        data = {**attributes, **dumped} if by_name else dumped
        try:
            model.model_validate(data, strict=True, **by_name)
        except ValueError as error:
            complaints = cast("Any", error).errors(include_url=False, include_context=False)
        else:
            return None
        # Strict mode refuses what a model holds that uses enum values; lax mode converts, which is seen afterwards.
        readings = [data]
        if all(complaint["type"] == "missing" for complaint in complaints):
            # Fields excluded from the dump of an inner instance: look at that instance itself.
            readings.append(attributes)
        if any(_stays_as_it_is(model, value, reading, by_name) for reading in readings):
            return None
        way = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in complaints[0]["loc"])
        return f"{way}: {complaints[0]['msg']}"

    return check


def _stays_as_it_is(model: Any, value: Any, reading: dict[str, Any], options: dict[str, Any]) -> bool:
    try:
        again = model.model_validate(reading, **options)
    except ValueError:
        return False
    return again.__dict__ == value.__dict__


def _check(hint: Any, known: dict[Any, Check]) -> Check:
    """Build the check for any annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is None or hint is type(None):
        return lambda value: None if value is None else _misfit(value, "None")
    if isinstance(hint, NewType):
        return _check(hint.__supertype__, known)
    if origin is None and hasattr(hint, "__value__"):  # type X = ...
        return _check(hint.__value__, known)
    if origin is Annotated or getattr(origin, "_name", None) in _QUALIFIERS:
        return _check(args[0], known)
    if origin is Union or origin is types.UnionType:
        return _union_check(hint, args, known)
    if origin is Literal:
        return lambda value: None if _is_one_of(value, args) else f" is {value!r}, not one of {args}"
    model = _model_check(origin or hint, known)
    if model is not None:
        return model
    if origin is tuple:
        return _tuple_check(args, known)
    if isinstance(origin, type):
        return _container_check(origin, args, known)
    return _class_check(hint)


def _union_check(hint: Any, args: tuple[Any, ...], known: dict[Any, Check]) -> Check:
    options = [_check(option, known) for option in args if option is not type(None)]
    optional = len(options) < len(args)

    def check(value: Any) -> str | None:
        if optional and value is None:
            return None
        problem = None
        for option in options:
            problem = option(value)
            if problem is None:
                return None
        return problem if len(options) == 1 else _misfit(value, _name(hint))

    return check


def _is_one_of(value: Any, options: tuple[Any, ...]) -> bool:
    return any(type(value) is type(option) and value == option for option in options)


def _tuple_check(args: tuple[Any, ...], known: dict[Any, Check]) -> Check:
    if len(args) == 2 and args[1] is Ellipsis:
        return _container_check(tuple, args[:1], known)
    checks = [_check(arg, known) for arg in args]

    def check(value: Any) -> str | None:
        if not isinstance(value, tuple):
            return _misfit(value, "tuple")
        items = cast("tuple[Any, ...]", value)
        if len(items) != len(checks):
            return f" has {len(items)} items, not {len(checks)}"
        return _first_problem(
            (f"[{index}]", part(item)) for index, (part, item) in enumerate(zip(checks, items, strict=True))
        )

    return check


def _container_check(origin: type, args: tuple[Any, ...], known: dict[Any, Check]) -> Check:
    outer = _class_check(origin)
    if issubclass(origin, Mapping) and len(args) == 2:
        key_check, item_check = (_check(arg, known) for arg in args)

        def look_inside(value: Any) -> str | None:
            for key, item in value.items():
                problem = key_check(key)
                if problem is not None:
                    return f" has the key {key!r}, which{problem}"
                problem = item_check(item)
                if problem is not None:
                    return f"[{key!r}]{problem}"
            return None
    elif len(args) == 1 and origin.__module__ in _STANDARD_CONTAINERS and origin is not type:
        every = _check(args[0], known)

        def look_inside(value: Any) -> str | None:
            # Only what can be walked twice is walked: looking at an iterator would use it up.
            if not isinstance(value, Collection):
                return None
            items = cast("Collection[Any]", value)
            return _first_problem((f"[{index}]", every(item)) for index, item in enumerate(items))
    else:
        return outer

    def check(value: Any) -> str | None:
        problem = outer(value)
        return look_inside(value) if problem is None else problem

    return check


def _first_problem(parts: Iterable[tuple[str, str | None]]) -> str | None:
    for place, problem in parts:
        if problem is not None:
            return place + problem
    return None


def _class_check(hint: Any) -> Check:
    classes = _PROMOTED.get(hint, hint) if isinstance(hint, type) else None
    try:
        isinstance(None, classes or ())
    except TypeError:
        # A Protocol that is not runtime-checkable, for example.
        classes = None
    if classes is None or classes is object:
        return _accept
    return lambda value: None if isinstance(value, classes) else _misfit(value, _name(hint))


def _accept(_: Any) -> None:
    return None


def _misfit(value: Any, wanted: str) -> str:
    return f" is {_kind(value)}, not {wanted}"


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__qualname__


def _name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
