"""Steps as they are written: every key checked by itself, the task found, its parameters compared with the function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..definition import Definition, check_id
from ..errors import DefinitionError
from ..policy import RetryPolicy, require_count
from ..task import Task
from .conditions import Condition, read_condition
from .faults import Faults, Path, check_keys, nearest
from .values import Reference, Values, read_elements, read_values

OPTION_KEYS = (
    "max_retries",
    "timeout",
    "limits",
    "executor",
    "max_cycles",
    "on_crash",
    "persist",
    "tags",
    "description",
)
MAP_KEYS = ("max_concurrency", "return_exceptions")
RETRY_KEYS = ("max_retries", "initial_interval", "backoff_factor", "max_interval", "jitter")
STEP_KEYS = ("id", "task", "depends_on", "params", "when", "enabled", "map", *MAP_KEYS, *OPTION_KEYS, "retry_policy")


class Step:
    """One step.

    Attributes:
        path: where it is written.
        id: its id; empty if it has none that can be used.
        task: what it runs; None for a disabled step, or if it was not found.
        depends_on: (id, place) of each dependency that is written down.
        params: what the task's parameters are given.
        when: its condition.
        is_enabled: whether it is a node.
        over: what a map goes over; None for no map.
        map_options: options of the map.
        options: task options that differ from those of the task; of `retry_policy` the fields that do.
        before: ids of the steps that it follows in the graph, once that is worked out.
    """

    __slots__ = (
        "before",
        "depends_on",
        "id",
        "is_enabled",
        "map_options",
        "options",
        "over",
        "params",
        "path",
        "task",
        "when",
    )

    def __init__(self, path: Path) -> None:
        """Begin empty."""
        self.path = path
        self.id = ""
        self.task: Task[Any, Any] | None = None
        self.depends_on: list[tuple[str, Path]] = []
        self.params = Values()
        self.when: Condition | None = None
        self.is_enabled = True
        self.over: Values | None = None
        self.map_options: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.before: list[str] = []

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"step {self.id!r}" if self.id else "the step"

    @property
    def references(self) -> list[Reference]:
        """Every result that it looks at."""
        over = self.over.references if self.over is not None else ()
        return [*self.params.references, *(self.when.references if self.when is not None else ()), *over]


def read_steps(data: Any, registry: Any, faults: Faults) -> list[Step]:
    """Read all steps; whatever is wrong is a fault.

    Raises:
        TypeError: the registry is no mapping.
    """
    if not isinstance(registry, Mapping):
        message = f"the registry is a mapping of names to tasks, not {type(registry).__name__} {registry!r}"
        raise TypeError(message)
    if not isinstance(data, Mapping):
        faults.add((), f"a configuration is a mapping with the key 'steps', not {type(data).__name__}")
        return []
    top = cast("dict[str, Any]", data)
    check_keys(top, ("name", "steps"), (), faults)
    if top.get("name") is not None:
        _check_id(top["name"], ("name",), "the name", faults)
    rows = top.get("steps")
    if not isinstance(rows, (list, tuple)) or not rows:
        faults.add(("steps",), "steps is a list of at least one step" + ("" if rows is None else f", not {rows!r}"))
        return []
    steps: list[Step] = []
    for index, row in enumerate(cast("list[Any]", rows)):
        path = ("steps", index)
        if isinstance(row, Mapping):
            steps.append(_read_step(cast("dict[str, Any]", row), path, cast("Mapping[str, Any]", registry), faults))
        else:
            faults.add(path, f"a step is a mapping with the keys 'id' and 'task', not {row!r}")
    if steps and not any(step.is_enabled for step in steps):
        faults.add(("steps",), "every step is disabled; enable at least one")
    return steps


def _read_step(row: dict[str, Any], path: Path, registry: Mapping[str, Any], faults: Faults) -> Step:
    """Read one step."""
    step = Step(path)
    check_keys(cast("dict[str, object]", row), STEP_KEYS, path, faults)
    if _check_id(row.get("id"), (*path, "id"), "the id of a step", faults):
        step.id = row["id"]
    enabled = row.get("enabled", True)
    if isinstance(enabled, bool):
        step.is_enabled = enabled
    else:
        faults.add((*path, "enabled"), f"enabled is true or false, not {enabled!r}")
    step.depends_on = _read_dependencies(row.get("depends_on"), (*path, "depends_on"), faults)
    step.params = read_values(row.get("params"), (*path, "params"), faults)
    if row.get("when") is not None:
        step.when = read_condition(row["when"], (*path, "when"), faults)
    if row.get("map") is not None:
        step.over = read_elements(row["map"], (*path, "map"), faults)
    _read_options(step, row, faults)
    step.task = _find_task(step, row.get("task"), registry, faults)
    if step.task is not None:
        _check_parameters(step, step.task, faults)
    return step


def _check_id(value: Any, path: Path, what: str, faults: Faults) -> bool:
    """Report what cannot be an id."""
    if value is None:
        faults.add(path, f"{what} is missing")
        return False
    try:
        check_id(value)
    except DefinitionError as error:
        faults.add(path, str(error).replace("a task id", what, 1))
        return False
    return True


def _read_dependencies(given: Any, path: Path, faults: Faults) -> list[tuple[str, Path]]:
    """Read `depends_on`: a list of ids, or one id."""
    if given is None:
        return []
    if isinstance(given, str):
        return [(given, path)]
    if not isinstance(given, (list, tuple)):
        faults.add(path, f"depends_on is a list of ids, not {given!r}")
        return []
    found: dict[str, Path] = {}
    for index, item in enumerate(cast("list[Any]", given)):
        place = (*path, index)
        if not isinstance(item, str):
            faults.add(place, f"depends_on lists ids, not {item!r}")
        elif item in found:
            faults.add(place, f"dependency {item!r} stands twice")
        else:
            found[item] = place
    return list(found.items())


def _read_options(step: Step, row: Mapping[str, Any], faults: Faults) -> None:
    """Read task options and those of a map."""
    for name in OPTION_KEYS:
        if name not in row:
            continue
        value, path = row[name], (*step.path, name)
        kind: type = {"persist": bool, "description": str, "limits": list, "tags": list}.get(name, object)
        allowed: Any = (list, tuple) if kind is list else kind
        if not isinstance(value, allowed):
            words = {bool: "true or false", str: "a text", list: "a list of names"}
            faults.add(path, f"{name} is {words[kind]}, not {value!r}")
            continue
        try:
            Definition(step.id or "step", None, cast("Any", {name: value}))
        except (DefinitionError, TypeError) as error:
            faults.add(path, str(error))
        else:
            step.options[name] = value
    if row.get("retry_policy") is not None:
        path = (*step.path, "retry_policy")
        step.options["retry_policy"] = _read_retries(row["retry_policy"], path, faults)
        if "max_retries" in row:
            faults.add(path, "retry_policy and max_retries both say how often; write max_retries inside retry_policy")
    for name in MAP_KEYS:
        if name not in row:
            continue
        value, path = row[name], (*step.path, name)
        if row.get("map") is None:
            faults.add(path, f"{name} is an option of a step with 'map'")
        elif name == "return_exceptions" and not isinstance(value, bool):
            faults.add(path, f"{name} is true or false, not {value!r}")
        else:
            try:
                if name == "max_concurrency":
                    require_count(name, value, least=1)
            except DefinitionError as error:
                faults.add(path, str(error))
            else:
                step.map_options[name] = value


def _read_retries(given: Any, path: Path, faults: Faults) -> dict[str, Any]:
    """Read `retry_policy`: fields of a RetryPolicy, each checked by itself."""
    if not isinstance(given, Mapping):
        faults.add(path, f"retry_policy is a mapping with the keys {', '.join(RETRY_KEYS)}, not {given!r}")
        return {}
    fields = cast("dict[str, Any]", given)
    check_keys(fields, RETRY_KEYS, path, faults)
    found: dict[str, Any] = {}
    for name in RETRY_KEYS:
        if name not in fields:
            continue
        value = fields[name]
        if name == "jitter" and not isinstance(value, bool):
            faults.add((*path, name), f"jitter is true or false, not {value!r}")
            continue
        try:
            RetryPolicy(**cast("Any", {name: value}))
        except DefinitionError as error:
            faults.add((*path, name), str(error).replace("RetryPolicy.", "", 1))
        else:
            found[name] = value
    return found


def _find_task(step: Step, name: Any, registry: Mapping[str, Any], faults: Faults) -> Task[Any, Any] | None:
    """Find the task of an enabled step in the registry; a plain function is taken as a task."""
    path = (*step.path, "task")
    if not isinstance(name, str):
        what = "task is missing" if name is None else f"task is a name in the registry, not {name!r}"
        faults.add(path, f"{what}; {nearest('', registry, 'registered tasks')}")
        return None
    if not step.is_enabled:
        return None
    if name not in registry:
        faults.add(path, f"unknown task {name!r}; {nearest(name, registry, 'registered tasks')}")
        return None
    found = registry[name]
    if isinstance(found, Task):
        return cast("Task[Any, Any]", found)
    if not callable(found):
        faults.add(path, f"{name!r} in the registry is no task and no function but {found!r}")
        return None
    return cast("Task[Any, Any]", Task(name, cast("Any", found)))


def _check_parameters(step: Step, task: Task[Any, Any], faults: Faults) -> None:
    """Compare the given parameters with those of the function."""
    try:
        plan = task.definition.plan
    except DefinitionError as error:
        faults.add((*step.path, "task"), str(error))
        return
    taken = plan.positional[: len(task.args)]
    after = plan.positional[len(task.args) :]
    for name in step.params.names:
        path = (*step.path, "params", name)
        if name in plan.context_names:
            faults.add(path, f"parameter {name!r} is the context, which the run gives")
        elif name in taken:
            faults.add(path, f"parameter {name!r} is bound in the registered task already")
        elif name not in plan.names and not plan.var_keyword:
            known = (*after, *(p.name for p in plan.parameters if p.keyword_only))
            faults.add(
                path, f"task {task.definition.id!r} has no parameter {name!r}; {nearest(name, known, 'parameters')}"
            )
        elif step.over is not None and after and name == after[0]:
            faults.add(path, f"parameter {name!r} gets the elements of the map")
    if step.over is not None and not after and not plan.var_positional:
        faults.add((*step.path, "map"), f"task {task.definition.id!r} has no parameter that could get the elements")
