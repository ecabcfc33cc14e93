"""Inputs of a run from the command line: `name=value` pairs, a JSON document, and what parameters make of them."""

from __future__ import annotations

import json
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ..compose import Expression
from ..errors import BindingError
from ..plan import MISSING
from ..task import Task
from ..workflow import Workflow
from .failures import UsageError
from .targets import Runnable, as_workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# Not `task(...)`, which runs a plain flow when it is called from plain code.
_CALL = cast("Any", Task.__call__)  # pyright: ignore[reportUnknownMemberType]
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def read_document(source: str) -> dict[str, Any]:
    """Read the inputs that a JSON file holds; `-` is stdin.

    Raises:
        UsageError: it cannot be read or holds no JSON object.
    """
    name = "stdin" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f'{name} holds no JSON object such as {{"name": "value"}}')
    return cast("dict[str, Any]", document)


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Split `name=value` pairs at their first `=`.

    Raises:
        UsageError: a pair has no name or no `=`, or a name stands twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--input takes name=value, not {pair!r}")
        if name in found:
            raise UsageError(f"input {name!r} is given twice; write a list as {name}='[1, 2]'")
        found[name] = value
    return found


def prepare(
    runnable: Runnable, document: Mapping[str, Any], pairs: Mapping[str, str]
) -> tuple[Workflow, dict[str, Any]]:
    """Make the workflow and the inputs of its run; a lone task gets its inputs as arguments.

    Args:
        runnable: what to run.
        document: values as they are.
        pairs: texts to convert; they win over `document`.

    Raises:
        UsageError: a text does not fit its parameter, or a lone task has no such parameter or lacks a value.
    """
    tasks = _tasks(runnable)
    inputs = {**document, **{name: convert(name, text, tasks) for name, text in pairs.items()}}
    if isinstance(runnable, Task):
        runnable, inputs = _bind(cast("Task[Any, Any]", runnable), inputs)
    return as_workflow(runnable), inputs


def convert(name: str, text: str, tasks: Iterable[Task[Any, Any]]) -> Any:
    """Read the text of an input as JSON where it is, then as the annotation of the parameter says.

    Raises:
        UsageError: the text does not fit the annotation.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = text
    kinds = [kind for kind in map(_kind, _annotations(name, tasks)) if kind is not None]
    if not kinds or any(kind != kinds[0] for kind in kinds):
        return value
    kind, is_optional = kinds[0]
    if value is None and is_optional:
        return None
    try:
        return _CONVERTERS[kind](text, value)
    except ValueError:
        hint = {list: f"; write it as JSON: {name}='[1, 2]'", dict: f"; write it as JSON: {name}='{{\"key\": 1}}'"}
        raise UsageError(f"input {name!r} is {kind.__name__}, not {text!r}{hint.get(kind, '')}") from None


def _tasks(runnable: Runnable) -> list[Task[Any, Any]]:
    """List the tasks that an input may reach."""
    if isinstance(runnable, Task):
        return [cast("Task[Any, Any]", runnable)]
    return [node.task for node in as_workflow(runnable).graph.table if node.task is not None]


def _bind(task: Task[Any, Any], inputs: dict[str, Any]) -> tuple[Expression, dict[str, Any]]:
    """Bind what fits; an input named `task_id` cannot be bound by its name, so it goes the way of other inputs."""
    left = {name: inputs.pop(name) for name in ("task_id",) if name in inputs}
    plan = task.definition.plan
    open_names = [
        parameter.name
        for parameter in plan.open_parameters(len(task.args), {**(task.kwargs or {}), **inputs, **left})
        if parameter.is_required
    ]
    try:
        bound = _CALL(task, task_id=task.id, **inputs) if inputs else task
    except BindingError as error:
        raise UsageError(str(error)) from error
    if open_names:
        missing = " ".join(f"--input {name}=..." for name in open_names)
        raise UsageError(f"task {task.id!r} needs {missing}")
    return bound, left


def _annotations(name: str, tasks: Iterable[Task[Any, Any]]) -> Iterable[Any]:
    """Find how parameters of this name are annotated."""
    for task in tasks:
        definition = task.definition
        for parameter in definition.plan.parameters:
            if parameter.name == name and parameter.annotation is not MISSING:
                yield _resolved(parameter.annotation, definition.func)


def _resolved(annotation: Any, func: Any) -> Any:
    """Evaluate an annotation that is a text; None where it names something that is not there at run time."""
    if not isinstance(annotation, str):
        return annotation
    while hasattr(func, "func") or hasattr(func, "__wrapped__"):
        func = getattr(func, "func", None) or func.__wrapped__
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, globalns=getattr(func, "__globals__", {}))["it"]
    except (NameError, TypeError, SyntaxError, AttributeError):
        return None


def _kind(annotation: Any) -> tuple[type, bool] | None:
    """Say which simple type an annotation asks for, and whether None is one of its values."""
    members = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else None
    choices = [member for member in members or (annotation,) if member is not type(None)]
    if len(choices) != 1:
        return None
    kind = typing.get_origin(choices[0]) or choices[0]
    return (kind, len(choices) < len(members or choices)) if kind in _CONVERTERS else None


def _refuse(constant: str) -> NoReturn:
    """Leave NaN and Infinity texts: they are no JSON."""
    raise ValueError(constant)


def _as_int(text: str, _value: Any) -> int:
    return int(text)


def _as_float(text: str, _value: Any) -> float:
    return float(text)


def _as_bool(text: str, _value: Any) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


def _as_text(text: str, value: Any) -> str:
    return value if isinstance(value, str) else text


def _as_list(text: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(text)  # noqa: TRY004  # one class for every text that does not fit
    return cast("list[Any]", value)


def _as_dict(text: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(text)  # noqa: TRY004  # as above
    return cast("dict[str, Any]", value)


_CONVERTERS: dict[Any, Callable[[str, Any], Any]] = {
    int: _as_int,
    float: _as_float,
    bool: _as_bool,
    str: _as_text,
    list: _as_list,
    dict: _as_dict,
}
