"""Inputs of a run from the command line: `name=value` pairs, a JSON document, and what parameters make of them."""

from __future__ import annotations

import difflib
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
from .converting import Misfit, fit, says_something
from .failures import UsageError, say
from .targets import Runnable, as_workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Not `task(...)`, which runs a plain flow when it is called from plain code.
_CALL = cast("Any", Task.__call__)  # pyright: ignore[reportUnknownMemberType]


def read_document(source: str) -> dict[str, Any]:
    """Read the inputs that a JSON file holds; `-` is stdin.

    Raises:
        UsageError: it cannot be read or holds no JSON object.
    """
    name = "stdin" if source == "-" else source
    try:
        document = json.loads(_text_of(source), parse_constant=_refuse)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f'{name} holds no JSON object such as {{"name": "value"}}')
    return cast("dict[str, Any]", document)


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Split `name=value` pairs at their first `=`; `@file` stands for what is in the file, `@@` for an `@`.

    Raises:
        UsageError: a pair has no name or no `=`, a name stands twice, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--input takes name=value, not {pair!r}")
        if name in found:
            raise UsageError(f"input {name!r} is given twice; write a list as {name}='[1, 2]'")
        found[name] = _from_file(name, value[1:]) if value.startswith("@") else value
    return found


def _from_file(name: str, source: str) -> str:
    """Give what an `@` stands for.

    Raises:
        UsageError: it cannot be read.
    """
    if source.startswith("@"):
        return source
    try:
        return _text_of(source)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(
            f"input {name!r}: cannot read {source!r}: {why} (a text with @ in front is written @@)"
        ) from error


def _text_of(source: str) -> str:
    return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")


def prepare(
    runnable: Runnable, document: Mapping[str, Any], pairs: Mapping[str, str]
) -> tuple[Workflow, dict[str, Any]]:
    """Make the workflow and the inputs of its run; a lone task gets its inputs as arguments.

    Args:
        runnable: what to run.
        document: values out of JSON.
        pairs: texts; they win over `document`.

    Raises:
        UsageError: a value does not fit its parameter, or a lone task has no such parameter or lacks a value.
    """
    tasks = _tasks(runnable)
    inputs = {
        **{name: _convert(name, value, None, tasks) for name, value in document.items() if name not in pairs},
        **{name: _convert(name, _parsed(text), text, tasks) for name, text in pairs.items()},
    }
    if isinstance(runnable, Task):
        runnable, inputs = _bind(cast("Task[Any, Any]", runnable), inputs)
    else:
        _point_at_slips(inputs, tasks)
    return as_workflow(runnable), inputs


def _point_at_slips(inputs: Iterable[str], tasks: Iterable[Task[Any, Any]]) -> None:
    """Tell of names that look like those of a parameter and are none; tasks may still read them from the channel."""
    names = {parameter.name for task in tasks for parameter in task.definition.plan.parameters}
    for name in inputs:
        near = difflib.get_close_matches(name, names, n=1) if name not in names else ()
        if near:
            say(f"no task has a parameter {name!r}; did you mean {near[0]!r}?", "note")


def _convert(name: str, value: Any, text: str | None, tasks: Iterable[Task[Any, Any]]) -> Any:
    """Read an input as the annotation of its parameter says; where parameters of that name disagree, JSON decides.

    Raises:
        UsageError: it does not fit the annotation.
    """
    found = [annotation for annotation in _annotations(name, tasks) if says_something(annotation)]
    if not found or any(annotation != found[0] for annotation in found):
        return value
    try:
        return fit(found[0], value, text)
    except Misfit as error:
        raise UsageError(f"input {name + error.place!r} {error.text}") from None


def _parsed(text: str) -> Any:
    """Read a text as JSON where it is JSON; else it stays a text."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


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


def _refuse(constant: str) -> NoReturn:
    """Leave NaN and Infinity texts: they are no JSON."""
    raise ValueError(constant)
